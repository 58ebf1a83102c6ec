//! Free ports to listen on, below those that the kernel gives to outgoing connections.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Linux gives outgoing connections ports from 32768 on, unless told otherwise (ip(7), `ip_local_port_range`). Port 10080
/// is below these, because browsers and Node connect to nothing there (Fetch standard, "port blocking").
const PORTS: Range<u16> = 10_100..30_000;
/// The file with the first port of an outgoing connection, and the last.
const OUTGOING: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Fewer ports than this are too few to choose from.
const FEWEST: u16 = 1000;
/// How many choices are tried.
const TRIES: usize = 100;

/// The claims of ports that are given out as numbers; they last as long as this process.
static GIVEN_OUT: Mutex<Vec<Claim>> = Mutex::new(Vec::new());

/// Ports in a row that only this process may listen on: no other process that claims ports gets them meanwhile.
#[derive(Debug)]
pub struct Claim {
    /// The first of them.
    pub first: u16,
    /// UDP sockets of the same numbers, which no server here uses. The kernel lets only one process have each, and takes
    /// them back when that ends.
    _marks: Vec<UdpSocket>,
}

impl Claim {
    /// Claims this many ports in a row.
    ///
    /// # Errors
    /// When no free ones are found.
    pub fn ports(count: u16) -> io::Result<Self> {
        claim(count, Ipv4Addr::LOCALHOST).map(|(claim, _)| claim)
    }
}

/// Finds a port on which nothing listens. This process may listen on it; no other process that claims ports does.
///
/// # Errors
/// When none is found.
pub fn free_port() -> io::Result<u16> {
    let claim = Claim::ports(1)?;
    let port = claim.first;
    GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
    Ok(port)
}

/// Listens on a port of 127.0.0.1.
///
/// # Errors
/// When none is found.
pub fn listener() -> io::Result<TcpListener> {
    listener_at(Ipv4Addr::LOCALHOST)
}

/// Listens on a port of another address of this machine, or of all.
///
/// # Errors
/// When none is found.
pub fn listener_at(address: Ipv4Addr) -> io::Result<TcpListener> {
    // Listening claims the port too.
    let (_, listeners) = claim(1, address)?;
    listeners.into_iter().next().ok_or_else(|| io::Error::other("no port"))
}

fn claim(count: u16, address: Ipv4Addr) -> io::Result<(Claim, Vec<TcpListener>)> {
    let range = ports_below(&fs::read_to_string(OUTGOING).unwrap_or_default());
    let mut last = io::Error::other("no ports are left");
    for _ in 0..TRIES {
        let choices = u64::from(range.end.saturating_sub(range.start).saturating_sub(count)).max(1);
        let first = range.start + u16::try_from(RandomState::new().hash_one(()) % choices).unwrap_or(0);
        match claim_at(first, count, address) {
            Ok(claimed) => return Ok(claimed),
            Err(error) => last = error,
        }
    }
    Err(io::Error::new(last.kind(), format!("{TRIES} ports of {range:?} are taken: {last}")))
}

fn claim_at(first: u16, count: u16, address: Ipv4Addr) -> io::Result<(Claim, Vec<TcpListener>)> {
    let ports = || first..first.saturating_add(count);
    let marks = ports().map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port))).collect::<Result<_, _>>()?;
    let listeners = ports().map(|port| TcpListener::bind((address, port))).collect::<Result<_, _>>()?;
    Ok((Claim { first, _marks: marks }, listeners))
}

/// Chooses the range of ports, by the kernel's first and last port of outgoing connections.
fn ports_below(outgoing: &str) -> Range<u16> {
    let first = outgoing.split_whitespace().next().and_then(|first| first.parse().ok());
    match first {
        Some(first) if (PORTS.start + FEWEST..PORTS.end).contains(&first) => PORTS.start..first,
        // All of these are below, or too few are, or the kernel's ports are not known.
        _ => PORTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_end_where_those_of_outgoing_connections_begin() {
        for (outgoing, ports) in [
            ("32768\t60999\n", PORTS),
            ("20000\t60999\n", 10_100..20_000),
            ("1024\t65535\n", PORTS),
            ("", PORTS),
        ] {
            assert_eq!(ports_below(outgoing), ports, "{outgoing:?}");
        }
    }

    #[test]
    fn claimed_ports_are_nobody_elses_until_they_are_dropped() {
        let claim = Claim::ports(3).unwrap();
        for port in claim.first..claim.first + 3 {
            assert!(claim_at(port, 1, Ipv4Addr::LOCALHOST).is_err());
            // The ports can be listened on all the same.
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
        let first = claim.first;
        drop(claim);
        claim_at(first, 3, Ipv4Addr::LOCALHOST).unwrap();
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given_out() {
        let listener = listener().unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(PORTS.contains(&port));
        assert!(claim_at(port, 1, Ipv4Addr::LOCALHOST).is_err());
    }
}
