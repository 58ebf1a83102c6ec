//! The owner of a connection.

use std::net::{IpAddr, Ipv6Addr};

/// The owner of a connection, as far as its peer's address tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// A client's; those of an IPv6 /64 are one.
    Client(IpAddr),
    /// A trusted proxy's, behind which are many clients.
    Proxy,
}

impl Address {
    /// Makes the address of a client.
    pub fn client(address: IpAddr) -> Self {
        Self::Client(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        })
    }
}
