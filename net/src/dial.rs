//! TCP connections: to the first of several addresses that answers, and kept until their peer is known to be gone.

use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, time::Duration};
use studio_plugin_api::DriverError;
use tokio::{net::TcpStream, time::timeout};

/// Limits the time for one address of a host that has several; the caller's own deadline limits the whole.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Says how soon a peer that vanished without a word is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// After about half a minute, whether data was sent to it or not.
    Prompt,
    /// After two idle minutes and the probes that the system then sends, as MongoDB's client libraries have it.
    Patient,
}

impl Keepalive {
    const PROMPT_IDLE: Duration = Duration::from_secs(15);
    const PROMPT_INTERVAL: Duration = Duration::from_secs(5);
    #[cfg(target_os = "linux")]
    const PROMPT_UNACKNOWLEDGED: Duration = Duration::from_secs(30);
    const PATIENT_IDLE: Duration = Duration::from_secs(120);

    fn set_up(self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new();
        match self {
            Self::Prompt => {
                let keepalive = keepalive.with_time(Self::PROMPT_IDLE).with_interval(Self::PROMPT_INTERVAL);
                socket.set_tcp_keepalive(&keepalive)?;
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(Self::PROMPT_UNACKNOWLEDGED))?;
                Ok(())
            }
            Self::Patient => socket.set_tcp_keepalive(&keepalive.with_time(Self::PATIENT_IDLE)),
        }
    }
}

/// Connects to the first of these addresses that answers, in their order, each within this time.
///
/// # Errors
/// The last address's error, whether it timed out or refused; `AddrNotAvailable` where there is none.
pub async fn connect(
    addresses: &[SocketAddr],
    time: Duration,
    keepalive: Keepalive,
) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            keepalive.set_up(&stream)?;
            Ok(stream)
        };
        match timeout(time, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Makes a `CONNECTION_ERROR` out of a failure of [`connect`]. The server is named as in `the Redis server`.
pub fn unreachable_server(server: &str, error: &io::Error) -> DriverError {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => "timeout",
        _ => "refused",
    };
    DriverError::connection(reason, format!("{server} can't be reached: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    /// Makes a server, and gives its address and one where nothing listens.
    async fn addresses() -> (TcpListener, SocketAddr, SocketAddr) {
        let listener = studio_test_servers::listener().unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        // The server listens on one loopback address only, so that its port is free on the next one.
        let closed = SocketAddr::from(([127, 0, 0, 2], address.port()));
        (TcpListener::from_std(listener).unwrap(), address, closed)
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn_until_one_answers() {
        let (_listener, server, closed) = addresses().await;
        let open = connect(&[closed, server], ADDRESS_TIMEOUT, Keepalive::Prompt).await.unwrap();
        assert_eq!(open.peer_addr().unwrap(), server);
        let refused = connect(&[closed], ADDRESS_TIMEOUT, Keepalive::Prompt).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let nowhere = connect(&[], ADDRESS_TIMEOUT, Keepalive::Prompt).await.unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn address_that_does_not_answer_is_left_in_time() {
        let (_listener, server, _) = addresses().await;
        // A queue with no room left: the next connect is not answered.
        let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let port = studio_test_servers::free_port().unwrap();
        deaf.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        deaf.listen(0).unwrap();
        let silent = deaf.local_addr().unwrap().as_socket().unwrap();
        let time = Duration::from_secs(1);
        let mut queue = Vec::new();
        let error = loop {
            match connect(&[silent], time, Keepalive::Prompt).await {
                Ok(stream) if queue.len() < 10 => queue.push(stream),
                ended => break ended.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let open = connect(&[silent, server], time, Keepalive::Prompt).await.unwrap();
        assert_eq!(open.peer_addr().unwrap(), server);
    }

    #[tokio::test]
    async fn connections_are_kept_alive_promptly_or_patiently() {
        let (_listener, server, _) = addresses().await;
        for (keepalive, idle) in [(Keepalive::Prompt, 15), (Keepalive::Patient, 120)] {
            let stream = connect(&[server], ADDRESS_TIMEOUT, keepalive).await.unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap(), "{keepalive:?}");
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(idle), "{keepalive:?}");
        }
    }

    #[test]
    fn only_a_timeout_is_told_as_one() {
        let told = |kind| unreachable_server("the server", &io::Error::from(kind));
        assert_eq!(told(io::ErrorKind::TimedOut).details["reason"], "timeout");
        assert_eq!(told(io::ErrorKind::ConnectionRefused).details["reason"], "refused");
        assert_eq!(told(io::ErrorKind::HostUnreachable).details["reason"], "refused");
    }
}
