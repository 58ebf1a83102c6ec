//! memcached's text protocol as bytes: what came and was not read yet, and what the first line of a reply means.
//! Nothing here waits for the network.

use std::ops::Range;
use studio_plugin_api::DriverError;

/// Longer than any line of the protocol: the longest is a key of a dump, 250 bytes in percent-encoding, and its facts.
const MAX_LINE: usize = 8 << 10;

/// Bytes that came and were not read yet.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    /// Everything before was read.
    start: usize,
}

impl Incoming {
    /// Adds what came, in whatever pieces it comes.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// Where the next line is, without its end, for [`at`](Self::at); `None` while it is not whole. It counts as read.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` (`unsupported`) for a line that can't be of this protocol.
    pub(crate) fn next_line(&mut self) -> Result<Option<Range<usize>>, DriverError> {
        let unread = self.bytes.get(self.start..).unwrap_or_default();
        let Some(length) = unread.iter().position(|byte| *byte == b'\n') else {
            return if unread.len() > MAX_LINE { Err(not_memcached()) } else { Ok(None) };
        };
        let line = unread.get(..length).unwrap_or_default();
        // The lines of a dump end without a carriage return.
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let found = self.start..self.start + text.len();
        self.start += length + 1;
        Ok(Some(found))
    }

    /// The bytes of a line that was just found.
    pub(crate) fn at(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// At most this many bytes of what came. They count as read.
    pub(crate) fn take(&mut self, most: usize) -> &[u8] {
        let end = self.bytes.len().min(self.start.saturating_add(most));
        let taken = self.bytes.get(self.start..end).unwrap_or_default();
        self.start = end;
        taken
    }
}

/// What a meta command asked for, beside the value: `f5 c1 t-1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts(String);

impl Facts {
    /// The number behind a flag's letter.
    pub(crate) fn number<T: std::str::FromStr>(&self, letter: char) -> Option<T> {
        self.0.split(' ').find_map(|token| token.strip_prefix(letter)).and_then(|text| text.parse().ok())
    }
}

/// An error line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `ERROR`, `CLIENT_ERROR` or `SERVER_ERROR`.
    pub(crate) kind: &'static str,
    /// What is behind it; may be empty.
    pub(crate) text: String,
}

impl Refusal {
    /// Reads an error line; `None` for any other.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        let kind = ["ERROR", "CLIENT_ERROR", "SERVER_ERROR"].into_iter().find(|kind| *kind == word)?;
        Some(Self { kind, text: text.to_owned() })
    }
}

/// The first line of a reply to a meta command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// `VA`: a value of this many bytes follows.
    Value(u64, Facts),
    /// `HD`: done.
    Done(Facts),
    /// `EN` or `NF`: there is no such key.
    Absent,
    /// `NS`: not stored, because the key is there or is not there.
    NotStored,
    /// `EX`: not stored, because it was changed since.
    Changed,
    /// An error.
    Refused(Refusal),
}

impl Head {
    /// Reads it.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` (`unsupported`) for a line that no memcached sends.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, DriverError> {
        let line = std::str::from_utf8(line).map_err(|_| not_memcached())?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "VA" => {
                let (length, facts) = rest.split_once(' ').unwrap_or((rest, ""));
                let length = length.parse().map_err(|_| not_memcached())?;
                Ok(Self::Value(length, Facts(facts.to_owned())))
            }
            "HD" => Ok(Self::Done(Facts(rest.to_owned()))),
            "EN" | "NF" => Ok(Self::Absent),
            "NS" => Ok(Self::NotStored),
            "EX" => Ok(Self::Changed),
            _ => Refusal::parse(line).map(Self::Refused).ok_or_else(not_memcached),
        }
    }
}

/// The server says something that this protocol has no place for.
pub(crate) fn not_memcached() -> DriverError {
    DriverError::connection("unsupported", "the server's answer is not memcached's text protocol")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines, and values of the lengths that some of them announce, read from pieces of these sizes.
    fn read_in_pieces(bytes: &[u8], sizes: &[usize], lines: &[Option<usize>]) -> Vec<Vec<u8>> {
        let mut incoming = Incoming::default();
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        let mut more = |incoming: &mut Incoming| {
            let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            rest = later;
            incoming.add(piece);
        };
        let mut found = Vec::new();
        for value in lines {
            let line = loop {
                match incoming.next_line().unwrap() {
                    Some(range) => break incoming.at(range).to_vec(),
                    None => more(&mut incoming),
                }
            };
            found.push(line);
            if let Some(length) = value {
                let mut data = Vec::new();
                while data.len() < length + 2 {
                    let taken = incoming.take(length + 2 - data.len());
                    if taken.is_empty() {
                        more(&mut incoming);
                    } else {
                        data.extend_from_slice(taken);
                    }
                }
                found.push(data);
            }
        }
        found
    }

    proptest! {
        #[test]
        fn replies_read_the_same_in_whatever_pieces_they_come(
            replies in prop::collection::vec(("[A-Z]{2}( [a-z][0-9]{1,4}){0,3}", prop::option::of(any::<Vec<u8>>())), 1..8),
            sizes in prop::collection::vec(1..40_usize, 1..8),
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (line, value) in &replies {
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice(b"\r\n");
                expected.push(line.clone().into_bytes());
                if let Some(value) = value {
                    let data = [value.as_slice(), b"\r\n"].concat();
                    bytes.extend_from_slice(&data);
                    expected.push(data);
                }
            }
            let lines: Vec<_> = replies.iter().map(|(_, value)| value.as_ref().map(Vec::len)).collect();
            prop_assert_eq!(read_in_pieces(&bytes, &sizes, &lines), expected);
        }

        #[test]
        fn any_line_is_read_or_refused_as_unsupported(line: Vec<u8>) {
            if let Err(error) = Head::parse(&line) {
                prop_assert_eq!(&error.details["reason"], "unsupported");
            }
        }
    }

    #[test]
    fn heads_are_read() {
        let facts = |text: &str| Facts(text.to_owned());
        assert_eq!(Head::parse(b"VA 3 f5 t-1").unwrap(), Head::Value(3, facts("f5 t-1")));
        assert_eq!(Head::parse(b"VA 0").unwrap(), Head::Value(0, facts("")));
        assert_eq!(Head::parse(b"HD c7").unwrap(), Head::Done(facts("c7")));
        assert_eq!(Head::parse(b"EN").unwrap(), Head::Absent);
        let refusal = Refusal { kind: "CLIENT_ERROR", text: "bad data chunk".to_owned() };
        assert_eq!(Head::parse(b"CLIENT_ERROR bad data chunk").unwrap(), Head::Refused(refusal));
        for foreign in ["-ERR unknown command", "HTTP/1.1 400 Bad Request", "", "VA", "VA x", "VA -1"] {
            assert_eq!(
                Head::parse(foreign.as_bytes()).unwrap_err().details["reason"],
                "unsupported",
                "{foreign}"
            );
        }
        let facts = facts("f5 c18446744073709551615 t-1");
        assert_eq!((facts.number('f'), facts.number('t')), (Some(5_u32), Some(-1_i64)));
        assert_eq!((facts.number('c'), facts.number::<u32>('h')), (Some(u64::MAX), None));
    }

    #[test]
    fn line_without_an_end_is_given_up() {
        let mut incoming = Incoming::default();
        incoming.add(&vec![b'x'; MAX_LINE]);
        assert_eq!(incoming.next_line().unwrap(), None);
        incoming.add(b"xx");
        assert!(incoming.next_line().is_err());
    }
}
