//! Replies out of bytes that come in any pieces.

use crate::errors;
use redis::{Parser, Value};
use std::io::{self, Read};
use studio_plugin_api::DriverError;

/// The replies that have arrived. The parser keeps its state between the pieces of a reply, so that none of them is
/// looked at twice.
#[derive(Default)]
pub(super) struct Replies {
    parser: Parser,
    arrived: Arrived,
}

impl Replies {
    /// Takes what was read, when all before it is used up: [`next`](Self::next) has said that there is nothing.
    pub(super) fn arrive(&mut self, bytes: Vec<u8>) {
        self.arrived = Arrived { bytes, used: 0 };
    }

    /// The next reply, unless more must be read for it. What the server says unasked is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Value>, DriverError> {
        loop {
            match self.parser.parse_value(&mut self.arrived) {
                Ok(Value::Push { .. }) => {}
                Ok(reply) => return Ok(Some(reply)),
                Err(error) if error.is_timeout() => return Ok(None),
                Err(error) => return Err(errors::from_client(&error)),
            }
        }
    }
}

/// Bytes for the parser. When they are used up it would block, not end: a parser that has seen the end takes a reply
/// that is incomplete for a wrong one.
#[derive(Default)]
struct Arrived {
    bytes: Vec<u8>,
    used: usize,
}

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.bytes.get(self.used..).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = rest.read(into)?;
        self.used += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn bulk() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..40)
            .prop_map(|bytes| [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat())
    }

    fn scalar() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            bulk(),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            "[-+][A-Z]{1,9} [a-z ]{0,20}\r\n".prop_map(String::into_bytes),
            any::<f64>().prop_map(|number| format!(",{number}\r\n").into_bytes()),
            "[a-zäöü]{0,20}".prop_map(|text| format!("={}\r\ntxt:{text}\r\n", text.len() + 4).into_bytes()),
            "\\([1-9][0-9]{20,40}\r\n".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "$-1\r\n",
                "*-1\r\n",
                "_\r\n",
                "#t\r\n",
                "#f\r\n",
                "+OK\r\n",
                "$0\r\n\r\n"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ]
    }

    fn reply() -> impl Strategy<Value = Vec<u8>> {
        scalar().prop_recursive(4, 60, 8, |inner| {
            let sequence =
                (prop::sample::select(vec!['*', '~']), vec(inner.clone(), 0..8)).prop_map(|(kind, items)| {
                    [format!("{kind}{}\r\n", items.len()).into_bytes(), items.concat()]
                });
            let map = vec((inner.clone(), inner), 0..4).prop_map(|pairs| {
                let items = pairs.iter().flat_map(|(name, value)| [name.as_slice(), value]);
                [format!("%{}\r\n", pairs.len()).into_bytes(), items.collect::<Vec<_>>().concat()]
            });
            prop_oneof![sequence.prop_map(|parts| parts.concat()), map.prop_map(|parts| parts.concat())]
        })
    }

    /// All replies in these bytes, read in pieces of these sizes by turns.
    fn read(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Value>, DriverError> {
        let (mut replies, mut all) = (Replies::default(), Vec::new());
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        loop {
            while let Some(reply) = replies.next()? {
                all.push(reply);
            }
            if rest.is_empty() {
                return Ok(all);
            }
            let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            replies.arrive(piece.to_vec());
            rest = after;
        }
    }

    proptest! {
        #[test]
        fn replies_in_any_pieces_are_the_same(
            sent in vec((reply(), any::<bool>()), 1..6),
            sizes in vec(1usize..50, 1..10),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (reply, pushed_before) in sent {
                if pushed_before {
                    bytes.extend_from_slice(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
                }
                expected.push(redis::parse_redis_value(&reply).unwrap());
                bytes.extend(reply);
            }
            // NaN, which is not equal to itself, is shown the same.
            prop_assert_eq!(format!("{:?}", read(&bytes, &sizes).unwrap()), format!("{expected:?}"));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in "[-*$+:>%0-9a\r\n]{0,60}", sizes in vec(1usize..20, 1..5)) {
            let whole = read(bytes.as_bytes(), &[bytes.len().max(1)]);
            let pieces = read(bytes.as_bytes(), &sizes);
            // A wrong byte that comes alone is noticed later, or with the call's deadline.
            if let Ok(whole) = whole {
                prop_assert_eq!(pieces.unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_big_reply_in_small_pieces_is_read_once() {
        let mut bytes = b"*300000\r\n".to_vec();
        bytes.extend(b"$3\r\nabc\r\n".repeat(300_000));
        // Looked at from its start for every piece, this would be 30 GB to look at.
        let read = read(&bytes, &[100]).unwrap();
        assert_eq!(read, [Value::Array(vec![Value::BulkString(b"abc".to_vec()); 300_000])]);
    }

    #[test]
    fn what_is_not_the_protocol_is_told() {
        for wrong in ["HTTP/1.1 400 Bad Request\r\n", ":x\r\n", "#maybe\r\n", "$3\r\nabcde"] {
            let error = read(wrong.as_bytes(), &[4]).unwrap_err();
            assert_eq!(error.details["reason"], "unsupported", "{wrong}");
        }
        let nested = "*1\r\n".repeat(100_000);
        assert_eq!(read(nested.as_bytes(), &[64]).unwrap_err().details["reason"], "unsupported");
    }
}
