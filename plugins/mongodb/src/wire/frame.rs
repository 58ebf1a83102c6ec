//! Documents that a walk is inside of, and numbers that come in pieces.

/// Says where a document or array stands, as far as that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Root,
    Cursor,
    /// A cursor's batch, and all below.
    Batch,
    /// A list of a replica set's members.
    Members,
    /// The part of `hello` that answers a login.
    Login,
    Other,
}

/// A document, an array, or code with its scope, that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The position after its contents. Documents and arrays have a zero byte there; code with its scope does not.
    pub(super) limit: u32,
    pub(super) role: Role,
    pub(super) is_code: bool,
}

impl Frame {
    /// The position after its last byte.
    pub(super) fn end(self) -> u32 {
        self.limit + u32::from(!self.is_code)
    }
}

/// Four bytes, as far as they are there.
#[derive(Debug, Default)]
pub(super) struct Number {
    bytes: [u8; 4],
    have: usize,
}

impl Number {
    /// Takes the bytes that are missing off the input, and moves the position on.
    pub(super) fn fill(&mut self, at: &mut u32, input: &mut &[u8]) -> Option<u32> {
        while self.have < 4 {
            let (first, rest) = input.split_first()?;
            *input = rest;
            if let Some(byte) = self.bytes.get_mut(self.have) {
                *byte = *first;
            }
            self.have += 1;
            *at += 1;
        }
        Some(u32::from_le_bytes(self.bytes))
    }
}
