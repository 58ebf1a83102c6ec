//! The elements of a BSON document, by their bytes.
//!
//! `bson` has an iterator too. It ends at the first name that is not UTF-8, at text that is none, and at an old binary
//! value whose inner length is wrong; servers store all of these, and a caller is to see the rest.

use std::fmt::{self, Display};

/// Bytes of the length that documents, strings and binary values begin with.
const LENGTH: usize = 4;

/// Tells what is wrong with a document's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

const LENGTHS: Malformed = Malformed("the lengths in a document contradict each other");

/// A field: its type's number, its name as it is stored, and the bytes of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) kind: u8,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Goes through a document, one element after the other. It ends after the first error.
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Begins with a document's or array's bytes, its length and the zero byte at its end included.
    ///
    /// # Errors
    /// [`Malformed`] where its length is another.
    pub(super) fn of(document: &'a [u8]) -> Result<Self, Malformed> {
        let (length, rest) = take_length(document)?;
        match rest.split_last() {
            Some((0, elements)) if length == document.len() => Ok(Self(elements)),
            _ => Err(LENGTHS),
        }
    }

    fn take(&mut self, kind: u8, rest: &'a [u8]) -> Result<Element<'a>, Malformed> {
        let (name, rest) = take_text(rest)?;
        let length = length_of(kind, rest)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(LENGTHS)?;
        self.0 = rest;
        Ok(Element { kind, name, value })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = std::mem::take(&mut self.0).split_first()?;
        Some(self.take(*kind, rest))
    }
}

/// Takes the length off the bytes of a value that begins with one.
///
/// # Errors
/// [`Malformed`] where there is none, or it is negative.
pub(super) fn take_length(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>().ok_or(LENGTHS)?;
    Ok((usize::try_from(i32::from_le_bytes(*length)).map_err(|_| LENGTHS)?, rest))
}

/// Takes a text up to its zero byte, and that, off some bytes.
///
/// # Errors
/// [`Malformed`] where there is no zero byte.
pub(super) fn take_text(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(LENGTHS)?;
    let (text, rest) = bytes.split_at(end);
    Ok((text, rest.get(1..).unwrap_or_default()))
}

/// Takes a string, which may have zero bytes in it, off some bytes.
///
/// # Errors
/// [`Malformed`] where it is longer than they are, or doesn't end with a zero byte.
pub(super) fn take_string(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (length, rest) = take_length(bytes)?;
    let (text, rest) = rest.split_at_checked(length).ok_or(LENGTHS)?;
    match text.split_last() {
        Some((0, text)) => Ok((text, rest)),
        _ => Err(LENGTHS),
    }
}

/// Gives the bytes of a value whose length its type fixes.
///
/// # Errors
/// [`Malformed`] where there are others.
pub(super) fn exactly<const COUNT: usize>(bytes: &[u8]) -> Result<[u8; COUNT], Malformed> {
    bytes.try_into().map_err(|_| LENGTHS)
}

/// How many bytes the value of this type has that these begin with.
fn length_of(kind: u8, bytes: &[u8]) -> Result<usize, Malformed> {
    let told = |more: usize| take_length(bytes)?.0.checked_add(more).ok_or(LENGTHS);
    match kind {
        0x06 | 0x0a | 0x7f | 0xff => Ok(0),
        0x08 => Ok(1),
        0x10 => Ok(4),
        0x01 | 0x09 | 0x11 | 0x12 => Ok(8),
        0x07 => Ok(12),
        0x13 => Ok(16),
        0x02 | 0x0d | 0x0e => told(LENGTH),
        0x03 | 0x04 | 0x0f => told(0),
        0x05 => told(LENGTH + 1),
        0x0c => told(LENGTH + 12),
        0x0b => {
            let (_, rest) = take_text(bytes)?;
            let (_, rest) = take_text(rest)?;
            Ok(bytes.len() - rest.len())
        }
        _ => Err(Malformed("a document holds a value of an unknown type")),
    }
}
