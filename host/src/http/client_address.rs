//! Finds the client that a request comes from when proxies stand in front of the gateway.

use crate::config::{ForwardedHeader, HttpSettings};
use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of trusted proxies, and the header in which they name the client.
#[derive(Clone)]
pub(super) struct TrustedProxies {
    networks: Arc<[IpNet]>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self { networks: settings.trusted_proxies.as_slice().into(), header: settings.forwarded_header }
    }

    /// Finds the client's address: the peer's or, while that is a trusted proxy, the one that it forwarded for. Each
    /// proxy adds to the header's end, so the part before an untrusted address may be forged.
    pub(super) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => FORWARDED,
        };
        // Several lines count as one list.
        let lines = headers.get_all(name).iter().rev();
        let has_quotes = self.header == ForwardedHeader::Forwarded;
        let mut elements =
            lines.flat_map(|line| FromTheEnd { rest: Some(line.as_bytes()), separator: b',', has_quotes });
        let mut client = peer.to_canonical();
        while self.trusts(client)
            && let Some(address) = elements.next().and_then(|element| self.read(element))
        {
            client = address.to_canonical();
        }
        client
    }

    /// Tells whether this is the address of a trusted proxy.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Reads the address in one element of the header; `unknown` and a proxy's own names (`_hidden`) give none.
    fn read(&self, element: &[u8]) -> Option<IpAddr> {
        let text = std::str::from_utf8(element).ok()?.trim();
        match self.header {
            // Some proxies add the port, and some add the brackets that IPv6 needs before a port.
            ForwardedHeader::XForwardedFor => {
                let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let bare = bare.filter(|bare| bare.contains(':')).unwrap_or(text);
                bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).ok()
            }
            // The parser does not handle quotes, so it gets only the parameter that matters.
            ForwardedHeader::Forwarded => {
                let mut pairs = FromTheEnd { rest: Some(text.as_bytes()), separator: b';', has_quotes: true };
                let pair = pairs.find_map(|pair| {
                    let pair = std::str::from_utf8(pair).ok()?.trim();
                    let (name, _) = pair.split_once('=')?;
                    name.eq_ignore_ascii_case("for").then_some(pair)
                })?;
                rfc7239::parse(pair).next()?.ok()?.forwarded_for?.ip().copied()
            }
        }
    }
}

/// Splits at separators, from the end: a client may have begun a quote before the part that a proxy added, but from the
/// end on the list is as the proxy wrote it. A separator within quotes does not count, and a quote after a backslash
/// does not end them (RFC 9110 §5.6.4).
struct FromTheEnd<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    has_quotes: bool,
}

impl<'a> Iterator for FromTheEnd<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        for (place, byte) in rest.iter().enumerate().rev() {
            let (before, after) = rest.split_at(place);
            if *byte == b'"' && self.has_quotes {
                let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
                quoted ^= backslashes % 2 == 0;
            } else if *byte == self.separator && !quoted {
                self.rest = Some(before);
                return after.get(1..);
            }
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXY: &str = "10.0.0.1";

    /// Gives the client of a request from this peer with these lines of the header; 10.0.0.0/8 and 2001:db8:ffff::/48
    /// are trusted.
    fn client(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let trusted_proxies = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        let settings = HttpSettings {
            trusted_proxies: trusted_proxies.into(),
            forwarded_header: header,
            ..HttpSettings::default()
        };
        let name = if header == ForwardedHeader::Forwarded { FORWARDED } else { X_FORWARDED_FOR };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, line.parse().unwrap());
        }
        TrustedProxies::new(&settings).client_address(peer.parse().unwrap(), &headers).to_string()
    }

    fn by_x_forwarded_for(peer: &str, lines: &[&str]) -> String {
        client(ForwardedHeader::XForwardedFor, peer, lines)
    }

    fn by_forwarded(peer: &str, lines: &[&str]) -> String {
        client(ForwardedHeader::Forwarded, peer, lines)
    }

    #[test]
    fn strangers_headers_count_for_nothing() {
        assert_eq!(by_x_forwarded_for("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(by_forwarded("192.0.2.9", &["for=198.51.100.1"]), "192.0.2.9");
        assert_eq!(by_forwarded("::ffff:192.0.2.9", &[]), "192.0.2.9");
    }

    #[test]
    fn trusted_proxy_says_whom_it_forwards_for() {
        for value in ["192.0.2.60", "192.0.2.60:4711", "198.51.100.1,192.0.2.60", "?, 192.0.2.60 , 10.1.2.3"]
        {
            assert_eq!(by_x_forwarded_for(PROXY, &[value]), "192.0.2.60", "{value}");
        }
        for value in [
            "for=192.0.2.60",
            "For=\"192.0.2.60:4711\";proto=https;by=10.0.0.1",
            "for=\"unclosed, for=_hidden, for=192.0.2.60",
            "for=192.0.2.60, for=\"[2001:db8:ffff::1]:80\";proto=http",
        ] {
            assert_eq!(by_forwarded(PROXY, &[value]), "192.0.2.60", "{value}");
        }
        for value in ["[2001:db8::17]", "[2001:db8::17]:4711", "unknown, [2001:db8::17] , [2001:db8:ffff::9]"]
        {
            assert_eq!(by_x_forwarded_for(PROXY, &[value]), "2001:db8::17", "{value}");
        }
        let client = by_forwarded("::ffff:10.0.0.1", &["for=\"[2001:db8:cafe::17]:4711\""]);
        assert_eq!(client, "2001:db8:cafe::17");
        assert_eq!(by_x_forwarded_for("2001:db8:ffff::9", &["2001:db8::17"]), "2001:db8::17");
    }

    #[test]
    fn separators_and_names_within_quotes_are_none() {
        for value in [
            r#"for=192.0.2.60;host="x,for=198.51.100.1""#,
            r#"for=192.0.2.60;host="x;for=198.51.100.1""#,
            r#"for=192.0.2.60;host="\",for=198.51.100.1""#,
            r#"for=192.0.2.60;host="\\";proto="a,for=\"198.51.100.1\"""#,
            r#"for=198.51.100.1;host="x, for=192.0.2.60, for="[2001:db8:ffff::1]:80";host=",for=9.9.9.9""#,
            r#"host="a=b"; for=192.0.2.60;by=";,;""#,
        ] {
            assert_eq!(by_forwarded(PROXY, &[value]), "192.0.2.60", "{value}");
        }
        assert_eq!(by_forwarded(PROXY, &[r#"host="for=192.0.2.60""#]), PROXY);
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(by_x_forwarded_for(PROXY, &["198.51.100.1", "192.0.2.60", "10.0.0.9"]), "192.0.2.60");
    }

    #[test]
    fn client_is_the_last_proxy_known_where_the_header_does_not_say() {
        for value in ["", "not an address", "10.0.0.300", "192.0.2.60, "] {
            assert_eq!(by_x_forwarded_for(PROXY, &[value]), PROXY, "{value}");
        }
        for value in ["for=unknown", "for=_hidden", "for=2001:db8::1", "proto=https", "192.0.2.60", ";;"] {
            assert_eq!(by_forwarded(PROXY, &[value]), PROXY, "{value}");
        }
        assert_eq!(by_x_forwarded_for(PROXY, &[]), PROXY);
        assert_eq!(by_x_forwarded_for(PROXY, &["unknown, 10.0.0.9, 10.0.0.8"]), "10.0.0.9");
    }

    proptest! {
        #[test]
        fn what_a_client_writes_before_the_proxy_changes_nothing(text in "[ -~\u{e4}]{0,60}") {
            let (simple, standard) = (format!("{text},192.0.2.60"), format!("{text},for=192.0.2.60"));
            prop_assert_eq!(by_x_forwarded_for(PROXY, &[&simple]), "192.0.2.60");
            prop_assert_eq!(by_forwarded(PROXY, &[&standard]), "192.0.2.60");
        }

        #[test]
        fn no_header_makes_reading_panic(text in "[ -~]{0,60}") {
            by_x_forwarded_for(PROXY, &[&text]);
            by_forwarded(PROXY, &[&text]);
        }
    }
}
