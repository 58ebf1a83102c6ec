//! Replies out of bytes that come in any pieces.

use super::{Budget, builder::Builder, meter::Meter};
use redis::Value;

/// The replies on a connection. Meter and builder keep their state between the pieces of a reply, so that none of them is
/// looked at twice.
#[derive(Default)]
pub(crate) struct Replies {
    meter: Meter,
    builder: Builder,
    /// Whether the reply under way is passed over.
    passes_over: bool,
}

/// A reply that has come whole.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// An answer.
    Answer(Value),
    /// An answer that nobody waits for any more, or that is too large.
    PassedOver,
}

/// Why a connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The replies to a call are larger than they may be.
    TooLarge,
    /// The server does not speak this protocol, or overdoes it.
    NotRedis,
}

impl Replies {
    /// Goes over bytes that were read, up to the end of the next reply, and tells of it when it is whole. What the
    /// server says unasked is passed over, at the cost of the call that waits meanwhile. An answer that is not
    /// `wanted` costs nobody memory, nor does one that is over the budget: it is passed over, unless that is hopeless.
    pub(crate) fn next(
        &mut self,
        bytes: &mut &[u8],
        budget: &mut Budget,
        wanted: bool,
    ) -> Result<Option<Reply>, Broken> {
        while !bytes.is_empty() {
            if !wanted && !self.passes_over {
                self.pass_over();
            }
            let builder = if self.passes_over { None } else { Some(&mut self.builder) };
            let seen = self.meter.look(bytes, budget, builder)?;
            let _ = bytes.split_off(..seen.bytes);
            if budget.is_hopeless() {
                return Err(Broken::TooLarge);
            }
            if self.meter.is_push() {
                continue;
            }
            if budget.is_over() && !self.passes_over {
                self.pass_over();
            }
            if !seen.whole {
                continue;
            }
            if std::mem::take(&mut self.passes_over) {
                return Ok(Some(Reply::PassedOver));
            }
            return self.builder.take().map(|answer| Some(Reply::Answer(answer))).ok_or(Broken::NotRedis);
        }
        Ok(None)
    }

    fn pass_over(&mut self) {
        self.passes_over = true;
        // Half a reply may be in there.
        self.builder = Builder::default();
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
    fn read(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Value>, Broken> {
        read_where(bytes, sizes, |_| true).map(|replies| {
            let answers = replies.into_iter().map(|reply| match reply {
                Reply::Answer(answer) => answer,
                Reply::PassedOver => panic!("passed over"),
            });
            answers.collect()
        })
    }

    /// As [`read`], where only some pieces are wanted, by their number.
    fn read_where(
        bytes: &[u8],
        sizes: &[usize],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<Reply>, Broken> {
        let (mut replies, mut all) = (Replies::default(), Vec::new());
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        let mut budget = Budget::new(64 << 20);
        for number in 0.. {
            let (mut piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            while let Some(reply) = replies.next(&mut piece, &mut budget, wanted(number))? {
                all.push(reply);
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        Ok(all)
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
            assert_eq!(read(wrong.as_bytes(), &[4]), Err(Broken::NotRedis), "{wrong}");
        }
        let nested = "*1\r\n".repeat(100_000);
        assert_eq!(read(nested.as_bytes(), &[64]), Err(Broken::NotRedis));
    }

    #[test]
    fn unawaited_answers_are_skipped_and_later_ones_are_read() {
        let bytes = b"*2\r\n$3\r\nabc\r\n:1\r\n+b\r\n";
        // Left in the middle of the first one.
        let read = read_where(bytes, &[5, 12, 100], |number| number != 1).unwrap();
        assert_eq!(read, [Reply::PassedOver, Reply::Answer(Value::SimpleString("b".into()))]);
        // Left before it.
        let read = read_where(bytes, &[17, 100], |number| number == 1).unwrap();
        assert_eq!(read, [Reply::PassedOver, Reply::Answer(Value::SimpleString("b".into()))]);
    }

    #[test]
    fn pushes_without_end_are_at_the_cost_of_who_waits() {
        let (mut replies, mut budget) = (Replies::default(), Budget::new(1 << 20));
        let pushes = b">2\r\n+message\r\n$1\r\na\r\n".repeat(100);
        for _ in 0..1000 {
            assert_eq!(replies.next(&mut pushes.as_slice(), &mut budget, true), Ok(None));
        }
        assert!(budget.is_over());
    }
}
