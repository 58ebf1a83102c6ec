use super::*;
use fast_socks5::client::{Config as ClientConfig, Socks5Stream};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};
use studio_plugin_api::{DriverError, Network};
use tokio::{io::AsyncReadExt, sync::mpsc};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server that hands over each connection that it gets.
async fn start_server() -> (u16, mpsc::UnboundedReceiver<TcpStream>) {
    let listener = studio_test_servers::listener().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, streams) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            sender.send(stream).unwrap();
        }
    });
    (port, streams)
}

/// Rules that let names and addresses of `allowed` through to 127.0.0.1, and count what they are asked.
fn network(allowed: &'static [&'static str]) -> (Network, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let network = Network::new(move |host: String, port| {
        counter.fetch_add(1, Ordering::Relaxed);
        let answer = if allowed.contains(&host.as_str()) {
            Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
        } else {
            Err(DriverError::new(ErrorCode::Forbidden, format!("{host} is forbidden")))
        };
        async { answer }
    });
    (network, asked)
}

async fn start(network: Network) -> (Relay, Arc<Servers>) {
    let servers = Arc::new(Servers::default());
    let onward = Onward { network, tls: None, servers: servers.clone() };
    (Relay::start(onward).await.unwrap(), servers)
}

fn proxy(relay: &Relay) -> Socks5Proxy {
    match &relay.entrance {
        Entrance::Proxy(proxy) => proxy.clone(),
        Entrance::Socket(_) => panic!("it is entered by a socket"),
    }
}

fn place(relay: &Relay) -> (String, u16) {
    let proxy = proxy(relay);
    (proxy.host, proxy.port.unwrap())
}

async fn connect(relay: &Relay, host: &str, port: u16) -> Result<Socks5Stream<TcpStream>, String> {
    let (username, password) = proxy(relay).authentication.unwrap();
    let config = ClientConfig::default();
    Socks5Stream::connect_with_password(place(relay), host.to_owned(), port, username, password, config)
        .await
        .map_err(|error| error.to_string())
}

/// A reply of MongoDB: `{}`.
fn reply() -> Vec<u8> {
    let numbers = [26_u32, 1, 2, 2013, 0].map(u32::to_le_bytes).concat();
    [&numbers[..], &[0, 5, 0, 0, 0, 0]].concat()
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the stream ends");
    bytes
}

#[tokio::test]
async fn relay_connects_only_where_the_rules_allow_under_any_name() {
    let (port, mut streams) = start_server().await;
    let (network, asked) = network(&["db.example", "127.0.0.1"]);
    let (relay, servers) = start(network).await;
    // Each of these leads to the server, did the relay ask anyone but the rules.
    for (number, host) in
        ["localhost", "127.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"].into_iter().enumerate()
    {
        connect(&relay, host, port).await.err().unwrap_or_else(|| panic!("{host} was connected to"));
        assert_eq!(asked.load(Ordering::Relaxed), number + 1, "{host}");
        assert_eq!(servers.explain().unwrap().code, ErrorCode::Forbidden, "{host}");
    }
    assert!(streams.try_recv().is_err(), "nobody connected");
    for host in ["db.example", "127.0.0.1"] {
        let mut client = connect(&relay, host, port).await.unwrap();
        let mut server = streams.recv().await.unwrap();
        client.write_all(b"question").await.unwrap();
        let mut question = [0; 8];
        server.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question");
        server.write_all(&reply()).await.unwrap();
        drop(server);
        assert_eq!(read_to_end(&mut client).await, reply());
    }
}

#[tokio::test]
async fn whoever_does_not_know_the_password_gets_nowhere() {
    let (port, mut streams) = start_server().await;
    let (network, asked) = network(&["127.0.0.1"]);
    let (relay, _) = start(network).await;
    let (username, password) = proxy(&relay).authentication.unwrap();
    let host = || "127.0.0.1".to_owned();
    let config = ClientConfig::default;
    assert!(Socks5Stream::connect(place(&relay), host(), port, config()).await.is_err());
    for (username, password) in [
        (username.clone(), String::new()),
        (username.clone(), username.clone()),
        (password.clone(), password.clone()),
        (username.clone(), password[..35].to_owned()),
    ] {
        let connecting =
            Socks5Stream::connect_with_password(place(&relay), host(), port, username, password, config());
        assert!(connecting.await.is_err());
    }
    // A request without any greeting, as SOCKS4 has it, and one that skips the login.
    let [high, low] = port.to_be_bytes();
    for request in [&[4, 1, high, low, 127, 0, 0, 1, 0][..], &[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low]]
    {
        let mut stream = TcpStream::connect(place(&relay)).await.unwrap();
        stream.write_all(request).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.starts_with(&[5, 0]) && !answer.starts_with(&[0, 90]), "{answer:?}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0, "the rules were asked for a stranger");
    assert!(streams.try_recv().is_err(), "nobody connected");
    assert!(connect(&relay, "127.0.0.1", port).await.is_ok());
}

#[tokio::test]
async fn the_end_of_one_side_is_the_end_of_the_other() {
    let (port, mut streams) = start_server().await;
    let (relay, _) = start(network(&["127.0.0.1"]).0).await;
    let client = connect(&relay, "127.0.0.1", port).await.unwrap();
    let mut server = streams.recv().await.unwrap();
    drop(client);
    assert!(read_to_end(&mut server).await.is_empty());
    // Closed for both directions: what the server still sends comes back as a reset.
    server.write_all(b"late").await.unwrap();
    let reset = async {
        while server.take_error().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reset).await.expect("the connection is closed");
}

#[tokio::test]
async fn dropping_it_closes_everything() {
    let (port, mut streams) = start_server().await;
    let (relay, _) = start(network(&["127.0.0.1"]).0).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(connect(&relay, "127.0.0.1", port).await.unwrap());
    }
    let place = place(&relay);
    drop(relay);
    for mut client in clients {
        let mut server = streams.recv().await.unwrap();
        assert!(read_to_end(&mut server).await.is_empty());
        assert!(read_to_end(&mut client).await.is_empty());
    }
    timeout(PATIENCE, async { while TcpStream::connect(&place).await.is_ok() {} })
        .await
        .expect("it listens no more");
}

#[tokio::test]
async fn every_address_of_a_host_is_tried_and_a_failure_told() {
    let (port, mut streams) = start_server().await;
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, studio_test_servers::free_port().unwrap()));
    let several = Network::new(move |_, port| async move {
        Ok(vec![closed, SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
    });
    let (relay, servers) = start(several).await;
    let _client = connect(&relay, "db.example", port).await.unwrap();
    streams.recv().await.unwrap();
    assert!(servers.explain().is_none());
    connect(&relay, "db.example", closed.port()).await.err().unwrap();
    let error = servers.explain().unwrap();
    assert_eq!((error.code, &error.details["reason"]), (ErrorCode::ConnectionError, &"refused".into()));
}
