//! A look at all that a server sends, before the client library decodes it.
//!
//! The client library decodes by itself: it gives memory as a message's length says, recurses as deep as documents
//! nest, and hashes a password as often as a login's challenge asks. So each byte from a server goes through a
//! [`Filter`] first, which follows messages (OP_MSG) and the BSON in them without recursion and in constant memory,
//! and ends at the first thing that no MongoDB sends.
//!
//! Bounded are, beside each length by what is around it: the length of a message; levels of documents; how many values
//! the client library may have to decode whole (`MAX_TOLD`), and how many there may be in a cursor's batch, which stays
//! raw (`MAX_IN_BATCH`); the size of what the library keeps (the reply to `hello`, `$clusterTime`); the members that a
//! replica set may name; the numbers in `hello` that the library computes with; and rounds of hashing.

mod document;
mod frame;
mod login;
#[cfg(test)]
mod tests;
mod watch;

use document::{Progress, Walk};
use std::fmt;

/// Bytes of a message: MongoDB's own bound on a reply's document (16 MiB and 16 KiB), and the frame around it.
const MAX_MESSAGE: u32 = (16 << 20) + (64 << 10);
/// Header (16 bytes), flags (4), and the kind of the first section.
const HEAD: usize = 21;
/// Bytes of the length that a message begins with.
const LENGTH: usize = 4;
/// The operation code of OP_MSG, the only one that is asked for.
const OP_MSG: u32 = 2013;
const CHECKSUM_PRESENT: u32 = 1;
/// Flag bits that only say what is allowed; a peer overlooks those that it does not know.
const OPTIONAL_FLAGS: u32 = 0xffff_0000;
const CHECKSUM_BYTES: u32 = 4;

/// Tells of something that no MongoDB server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breach(pub(crate) &'static str);

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Tells what the bytes that passed will cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Nothing that costs more than its length.
    Data,
    /// The challenge of a login, which makes the client hash the password many times.
    Challenge,
}

/// Follows what one server sends on one connection.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    part: Part,
    speaks: bool,
}

#[derive(Debug)]
enum Part {
    /// The first bytes of a message, as far as they are there.
    Head { bytes: [u8; HEAD], have: usize },
    /// The document of a message; `checksum` tells whether one follows.
    Body { walk: Box<Walk>, checksum: bool },
    /// The checksum, of which so many bytes are missing.
    Checksum { missing: u32 },
}

impl Default for Part {
    fn default() -> Self {
        Self::Head { bytes: [0; HEAD], have: 0 }
    }
}

impl Filter {
    /// Whether no message is under way.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(self.part, Part::Head { have: 0, .. })
    }

    /// Whether there was the beginning of a message as MongoDB sends them. Until then, it is some other service.
    pub(crate) fn speaks(&self) -> bool {
        self.speaks
    }

    /// Looks at the next bytes, which may end anywhere.
    ///
    /// # Errors
    /// [`Breach`]: nothing of them may be passed on, and nothing after.
    pub(crate) fn check(&mut self, mut bytes: &[u8]) -> Result<Passed, Breach> {
        let mut passed = Passed::Data;
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Head { bytes: head, have } => {
                    let wanted = head.get_mut(*have..).unwrap_or_default();
                    let count = wanted.len().min(bytes.len());
                    let (taken, rest) = bytes.split_at(count);
                    if let Some(place) = wanted.get_mut(..count) {
                        place.copy_from_slice(taken);
                    }
                    *have += count;
                    bytes = rest;
                    if *have >= LENGTH {
                        check_length(head)?;
                    }
                    if *have == HEAD {
                        self.part = begin(head)?;
                        self.speaks = true;
                    }
                }
                Part::Body { walk, checksum } => match walk.advance(&mut bytes)? {
                    Progress::Open => {}
                    Progress::Ended { challenge } => {
                        if challenge {
                            passed = Passed::Challenge;
                        }
                        self.part = if *checksum {
                            Part::Checksum { missing: CHECKSUM_BYTES }
                        } else {
                            Part::default()
                        };
                    }
                },
                Part::Checksum { missing } => {
                    let count = bytes.len().min(*missing as usize);
                    bytes = bytes.get(count..).unwrap_or_default();
                    *missing -= u32::try_from(count).unwrap_or_default();
                    if *missing == 0 {
                        self.part = Part::default();
                    }
                }
            }
        }
        Ok(passed)
    }
}

/// Reads the number at a place in a message's head.
fn number(head: &[u8; HEAD], at: usize) -> u32 {
    let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    u32::from_le_bytes(bytes)
}

/// Looks at a message's length, which is there before the rest of its head. The client library tells of what can't be
/// one, and that may be the beginning of some other service's greeting.
fn check_length(head: &[u8; HEAD]) -> Result<(), Breach> {
    match number(head, 0) {
        length if length > MAX_MESSAGE => Err(Breach("a message is longer than any reply")),
        length if length < HEAD as u32 => Err(Breach("a message is shorter than its own head")),
        _ => Ok(()),
    }
}

/// Reads a message's header and flags.
fn begin(head: &[u8; HEAD]) -> Result<Part, Breach> {
    let (length, operation, flags) = (number(head, 0), number(head, 12), number(head, 16));
    if operation != OP_MSG {
        return Err(Breach("a message is not of the kind that was asked for"));
    }
    if flags & !(CHECKSUM_PRESENT | OPTIONAL_FLAGS) != 0 {
        return Err(Breach("a message has flags that nobody asked for"));
    }
    if head.last() != Some(&0) {
        return Err(Breach("a message begins with something else than its document"));
    }
    let checksum = flags & CHECKSUM_PRESENT != 0;
    let around = HEAD as u32 + if checksum { CHECKSUM_BYTES } else { 0 };
    let body = length.checked_sub(around).ok_or(Breach("a message is shorter than its own head"))?;
    Ok(Part::Body { walk: Box::new(Walk::new(body)), checksum })
}
