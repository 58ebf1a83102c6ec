//! Which addresses connections may lead to, so that a connection's `host` can't be turned against the network that
//! the gateway itself stands in (server-side request forgery).
//!
//! Connections never lead to cloud metadata and link-local addresses, and lead to private and loopback ones only when
//! the settings allow it. The address after name resolution counts: a caller connects to the addresses that
//! [`AddressPolicy::resolve`] gave and does not resolve the name again, since the second answer may be another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use studio_plugin_api::DriverError;

/// How long name resolution may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The rules on which addresses connections may lead to.
#[derive(Clone, Copy, Debug)]
pub struct AddressPolicy {
    /// Whether private and loopback addresses are among them.
    pub allow_private: bool,
}

/// The kind of an address that connections may not lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenAddress {
    /// 169.254.0.0/16, fe80::/10 (RFC 3927, RFC 4291). Never allowed.
    #[error("link-local")]
    LinkLocal,
    /// Addresses at which clouds serve credentials to machines, outside the link-local range. Never allowed.
    #[error("cloud metadata")]
    CloudMetadata,
    /// 0.0.0.0/8, `::` (RFC 1122 §3.2.1.3): "this host". Never allowed.
    #[error("unspecified")]
    Unspecified,
    /// 224.0.0.0/4, ff00::/8. Never allowed.
    #[error("multicast")]
    Multicast,
    /// 240.0.0.0/4 with broadcast, 192.0.0.0/24 (RFC 6890), 64:ff9b:1::/48 (RFC 8215). Never allowed.
    #[error("reserved")]
    Reserved,
    /// 127.0.0.0/8, `::1`. Allowed with [`AddressPolicy::allow_private`].
    #[error("loopback")]
    Loopback,
    /// RFC 1918, 100.64.0.0/10 (RFC 6598), 198.18.0.0/15 (RFC 2544), fc00::/7 (RFC 4193), fec0::/10. Allowed with
    /// [`AddressPolicy::allow_private`].
    #[error("private")]
    Private,
}

/// Why a host can't be connected to. The message names the host and the rule, not the address it leads to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The host is, or resolves to, a forbidden address.
    #[error("the host `{host}` leads to a {rule} address, which this gateway does not connect to")]
    Forbidden {
        /// The host as it was given.
        host: String,
        /// The kind of address.
        rule: ForbiddenAddress,
    },
    /// The host resolves to no address.
    #[error("the host `{host}` can't be resolved")]
    NotResolved {
        /// The host as it was given.
        host: String,
    },
    /// Name resolution took longer than 5 s.
    #[error("resolving the host `{host}` took too long")]
    TimedOut {
        /// The host as it was given.
        host: String,
    },
}

impl From<AddressError> for DriverError {
    fn from(error: AddressError) -> Self {
        let message = error.to_string();
        match error {
            AddressError::Forbidden { .. } => Self::forbidden(message).with("field", "host"),
            AddressError::NotResolved { .. } => Self::connection("not_resolved", message),
            AddressError::TimedOut { .. } => Self::connection("timeout", message),
        }
    }
}

impl AddressPolicy {
    /// Judges one address. An IPv4 address written inside an IPv6 one is judged as that IPv4 address.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        match kind(address) {
            None => Ok(()),
            Some(ForbiddenAddress::Loopback | ForbiddenAddress::Private) if self.allow_private => Ok(()),
            Some(rule) => Err(rule),
        }
    }

    /// Judges a host before anything is resolved, when a connection is created. Addresses and `localhost` are held to
    /// [`Self::check`]. Other names pass here, and so do unusual spellings of addresses (`127.1`, `0x7f000001`):
    /// [`Self::resolve`] judges them at each connect by the addresses that they resolve to.
    ///
    /// # Errors
    /// [`AddressError::Forbidden`].
    pub fn check_literal(&self, host: &str) -> Result<(), AddressError> {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = if name == "localhost" || name.ends_with(".localhost") {
            IpAddr::V4(Ipv4Addr::LOCALHOST) // RFC 6761 §6.3
        } else if let Ok(address) = without_brackets(host).parse() {
            address
        } else {
            return Ok(());
        };
        self.check(address).map_err(|rule| AddressError::Forbidden { host: host.to_owned(), rule })
    }

    /// Resolves a host (a name, an IPv4 or IPv6 address, the latter also in brackets) to one or more addresses, in the
    /// resolver's order. Connect to these; do not resolve the host again.
    ///
    /// # Errors
    /// [`AddressError`]: forbidden if any of its addresses is, not resolved, or not resolved within 5 s.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
        let not_resolved = || AddressError::NotResolved { host: host.to_owned() };
        // So that the log shows each question to the DNS, which must have no part of a secret in it.
        tracing::trace!(host, "a name is resolved");
        let lookup = tokio::net::lookup_host((without_brackets(host), port));
        let addresses: Vec<SocketAddr> = tokio::time::timeout(RESOLVE_TIMEOUT, lookup)
            .await
            .map_err(|_| AddressError::TimedOut { host: host.to_owned() })?
            .map_err(|_| not_resolved())?
            .collect();
        if addresses.is_empty() {
            return Err(not_resolved());
        }
        for address in &addresses {
            self.check(address.ip())
                .map_err(|rule| AddressError::Forbidden { host: host.to_owned(), rule })?;
        }
        Ok(addresses)
    }
}

/// Removes the brackets of an IPv6 address as URLs write it (`[::1]`).
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// Finds the kind of special address that this is, if it is one.
fn kind(address: IpAddr) -> Option<ForbiddenAddress> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<ForbiddenAddress> {
    let kind = match address.octets() {
        [0, ..] => ForbiddenAddress::Unspecified,
        // Alibaba Cloud's metadata, Azure's WireServer.
        [100, 100, 100, 200] | [168, 63, 129, 16] => ForbiddenAddress::CloudMetadata,
        _ if address.is_link_local() => ForbiddenAddress::LinkLocal,
        _ if address.is_multicast() => ForbiddenAddress::Multicast,
        // 192.0.0.192 is Oracle Cloud's older metadata.
        [192, 0, 0, _] | [240..=255, ..] => ForbiddenAddress::Reserved,
        _ if address.is_loopback() => ForbiddenAddress::Loopback,
        _ if address.is_private() => ForbiddenAddress::Private,
        [100, 64..=127, ..] | [198, 18..=19, ..] => ForbiddenAddress::Private,
        _ => return None,
    };
    Some(kind)
}

fn kind_v6(address: Ipv6Addr) -> Option<ForbiddenAddress> {
    if let Some(embedded) = embedded_v4(address) {
        return kind_v4(embedded);
    }
    let kind = match address.segments() {
        _ if address.is_unspecified() => ForbiddenAddress::Unspecified,
        _ if address.is_loopback() => ForbiddenAddress::Loopback,
        _ if address.is_multicast() => ForbiddenAddress::Multicast,
        _ if address.is_unicast_link_local() => ForbiddenAddress::LinkLocal,
        // Amazon's services of the instance (metadata at ::254, pod identity at ::23); Google's; Scaleway's.
        [0xfd00, 0x0ec2, ..]
        | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]
        | [0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042] => ForbiddenAddress::CloudMetadata,
        // A network's own NAT64 prefix: only that network knows where the IPv4 address stands in the IPv6 one.
        [0x0064, 0xff9b, 1, ..] => ForbiddenAddress::Reserved,
        _ if address.is_unique_local() => ForbiddenAddress::Private,
        [0xfec0..=0xfeff, ..] => ForbiddenAddress::Private,
        _ => return None,
    };
    Some(kind)
}

/// Finds the IPv4 address that packets to this IPv6 address may end up at.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // `::` and `::1` hold no IPv4 address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        // IPv4-compatible and IPv4-mapped (RFC 4291 §2.5.5), IPv4-translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        // NAT64 (RFC 6052 §2.1).
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => (high, low),
        // Teredo (RFC 4380 §4), which stores the client's address inverted.
        [0x2001, 0, _, _, _, _, high, low] => (!high, !low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: AddressPolicy = AddressPolicy { allow_private: false };
    const LENIENT: AddressPolicy = AddressPolicy { allow_private: true };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Lists the ways of writing an IPv4 address inside an IPv6 one that networks route to it.
    fn forms(address: Ipv4Addr) -> [Ipv6Addr; 6] {
        let bits = address.to_bits();
        let (high, low) = ((bits >> 16) as u16, bits as u16);
        [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0x0102, 0x0304, 0, 0, !high, !low),
        ]
    }

    #[test]
    fn metadata_and_link_local_are_forbidden_always() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "64:ff9b:1::a9fe:a9fe",
        ] {
            assert!(STRICT.check(address(text)).is_err(), "{text}");
            assert!(LENIENT.check(address(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn private_and_loopback_are_forbidden_unless_allowed() {
        for text in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
        ] {
            assert!(STRICT.check(address(text)).is_err(), "{text}");
            assert!(LENIENT.check(address(text)).is_ok(), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for text in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255", "2606:4700::1111"]
        {
            assert!(STRICT.check(address(text)).is_ok(), "{text}");
        }
        for form in forms(Ipv4Addr::new(1, 1, 1, 1)) {
            assert!(STRICT.check(form.into()).is_ok(), "{form}");
        }
    }

    #[test]
    fn literals_are_judged_at_creation_and_names_pass() {
        for host in
            ["127.0.0.1", "[::1]", "::1", "localhost", "LOCALHOST.", "db.localhost", "[::ffff:10.0.0.1]"]
        {
            assert!(STRICT.check_literal(host).is_err(), "{host}");
            assert!(LENIENT.check_literal(host).is_ok(), "{host}");
        }
        for host in ["db.example.com", "notlocalhost", "127.1", ""] {
            assert!(STRICT.check_literal(host).is_ok(), "{host}");
        }
    }

    #[tokio::test]
    async fn unusual_spellings_are_judged_by_what_they_resolve_to() {
        for host in ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1", "[::1]", "localhost"] {
            // A resolver may or may not know a spelling, but it must not let one through.
            assert!(STRICT.resolve(host, 6379).await.is_err(), "{host}");
        }
        for host in ["0xa9fea9fe", "2852039166", "169.254.43518", "fe80::1%lo", "0"] {
            assert!(LENIENT.resolve(host, 80).await.is_err(), "{host}");
        }
    }

    #[tokio::test]
    async fn resolve_gives_addresses_with_the_port() {
        assert_eq!(LENIENT.resolve("[::1]", 6379).await.unwrap(), ["[::1]:6379".parse().unwrap()]);
        assert_eq!(STRICT.resolve("1.1.1.1", 80).await.unwrap(), ["1.1.1.1:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn refusal_names_host_and_rule_only() {
        let refused = STRICT.resolve("2130706433", 80).await.unwrap_err().to_string();
        assert!(refused.contains("`2130706433`") && refused.contains("loopback"), "{refused}");
        assert!(!refused.contains("127.0.0.1"), "{refused}");
        let missing = STRICT.resolve("no-such-host.invalid", 80).await.unwrap_err();
        assert!(matches!(missing, AddressError::NotResolved { .. } | AddressError::TimedOut { .. }));
        assert!(matches!(STRICT.resolve("", 80).await, Err(AddressError::NotResolved { .. })));
    }

    proptest! {
        #[test]
        fn no_forbidden_address_passes_in_any_mapped_form(bits: u32, allow_private: bool) {
            let policy = AddressPolicy { allow_private };
            let plain = Ipv4Addr::from_bits(bits);
            // `::` and `::1` are the two addresses that are not judged as their embedded form.
            prop_assume!(bits > 1);
            for form in forms(plain) {
                prop_assert_eq!(policy.check(form.into()), policy.check(plain.into()), "{}", form);
            }
        }

        #[test]
        fn no_forbidden_range_passes_in_any_mapped_form(
            range in prop::sample::select(vec![
                (0x0000_0000_u32, 8), (0xa9fe_0000, 16), (0xc000_0000, 24), (0xe000_0000, 4), (0xf000_0000, 4),
                (0x6464_64c8, 32), (0xa83f_8110, 32),
            ]),
            bits: u32,
        ) {
            let (start, prefix) = range;
            let inside = Ipv4Addr::from_bits(start | bits & u32::MAX.checked_shr(prefix).unwrap_or(0));
            prop_assert!(LENIENT.check(inside.into()).is_err(), "{}", inside);
            for form in forms(inside).into_iter().filter(|form| !form.is_loopback()) {
                prop_assert!(LENIENT.check(form.into()).is_err(), "{}", form);
            }
        }

        #[test]
        fn strict_policy_never_allows_more_than_the_lenient_one(bits: u128) {
            let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
            prop_assert!(LENIENT.check(address).is_ok() || STRICT.check(address).is_err());
        }

        #[test]
        fn resolving_a_literal_never_gives_a_forbidden_address(bits: u32) {
            let host = bits.to_string();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
            prop_assert!(STRICT.check_literal(&address.to_string()).is_ok() == STRICT.check(address).is_ok());
            if let Ok(addresses) = runtime.block_on(STRICT.resolve(&host, 1)) {
                prop_assert!(addresses.iter().all(|found| STRICT.check(found.ip()).is_ok()), "{}", host);
            }
        }
    }
}
