//! A walk through one BSON document, in pieces of any size.

use super::{
    Breach,
    login::{MAX_PAYLOAD, is_challenge},
};

/// Levels of documents and arrays: MongoDB's own bound on what it parses (`maxBSONDepth`).
const MAX_LEVELS: usize = 200;
/// Values outside of a cursor's batch, and in it.
const MAX_TOLD: u32 = 500_000;
const MAX_IN_BATCH: u32 = 6_000_000;
/// Members that one list of a replica set names; MongoDB has sets of up to 50.
const MAX_MEMBERS: u32 = 64;
/// Bytes of a reply to `hello`, and of `$clusterTime`: the client library keeps both.
const MAX_HELLO: u32 = 64 << 10;
const MAX_CLUSTER_TIME: u32 = 4 << 10;
/// The longest name that means something here, and one byte more.
const NAME_BYTES: usize = 32;

const LENGTHS: Breach = Breach("the lengths in a document contradict each other");

/// How far a walk came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There must be more.
    Open,
    /// The document is whole; `challenge` tells whether it makes the client hash.
    Ended { challenge: bool },
}

/// Where a document or array stands, as far as that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Root,
    Cursor,
    /// A cursor's batch, and all below.
    Batch,
    /// A list of a replica set's members.
    Members,
    /// What `hello` answers of a login.
    Login,
    Other,
}

/// A document, an array, or code with its scope, that is open.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// The position after its contents. Documents and arrays have a zero byte there; code with its scope does not.
    limit: u32,
    role: Role,
    is_code: bool,
}

impl Frame {
    fn end(self) -> u32 {
        self.limit + u32::from(!self.is_code)
    }
}

/// A value that is looked at when it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// A number that must be from 1 to the largest int32.
    Positive,
    /// The same, or 0.
    NotNegative,
    /// A message of a login.
    Login,
}

/// What comes next.
#[derive(Debug)]
enum Next {
    /// The length of a document, an array, or a scope.
    Length(Number, Role),
    /// The type of an element, or the end of the document.
    Type,
    /// The rest of an element's name.
    Name(u8),
    /// The rest of so many texts that end by a zero byte.
    Texts(u8),
    /// The length of a string, with what else follows it that is not looked at.
    String(Number, u32),
    /// The length of a binary value.
    Binary(Number),
    /// The length of code with its scope, and then of the code in it.
    Code(Number),
    CodeText(Number),
    /// So many bytes that are not looked at.
    Skip(u32),
    /// So many bytes that are.
    Keep(u32, Watched),
}

/// Four bytes, as far as they are there.
#[derive(Debug, Default)]
struct Number {
    bytes: [u8; 4],
    have: usize,
}

impl Number {
    fn fill(&mut self, walk: &mut Position, input: &mut &[u8]) -> Option<u32> {
        while self.have < 4 {
            let (first, rest) = input.split_first()?;
            *input = rest;
            if let Some(byte) = self.bytes.get_mut(self.have) {
                *byte = *first;
            }
            self.have += 1;
            walk.at += 1;
        }
        Some(u32::from_le_bytes(self.bytes))
    }
}

#[derive(Debug, Default)]
struct Position {
    at: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Walk {
    position: Position,
    /// How long the whole must be.
    length: u32,
    open: Vec<Frame>,
    next: Next,
    name: Vec<u8>,
    kept: Vec<u8>,
    told: u32,
    in_batch: u32,
    members: u32,
    challenge: bool,
}

impl Walk {
    /// Begins at the first byte of a document that must have this length.
    pub(super) fn new(length: u32) -> Self {
        Self {
            position: Position::default(),
            length,
            open: Vec::with_capacity(8),
            next: Next::Length(Number::default(), Role::Root),
            name: Vec::with_capacity(NAME_BYTES),
            kept: Vec::new(),
            told: 0,
            in_batch: 0,
            members: 0,
            challenge: false,
        }
    }

    /// Goes on to the end of the input or of the document, whichever is first, and takes off the input what it passed.
    ///
    /// # Errors
    /// What no MongoDB sends.
    pub(super) fn advance(&mut self, input: &mut &[u8]) -> Result<Progress, Breach> {
        loop {
            match std::mem::replace(&mut self.next, Next::Type) {
                Next::Length(mut number, role) => match number.fill(&mut self.position, input) {
                    Some(length) => self.enter(length, role)?,
                    None => return Ok(self.wait(Next::Length(number, role))),
                },
                Next::Type => {
                    let Some((kind, rest)) = input.split_first() else { return Ok(Progress::Open) };
                    *input = rest;
                    self.position.at += 1;
                    if *kind != 0 {
                        self.name.clear();
                        self.next = Next::Name(*kind);
                    } else if self.leave()? {
                        return Ok(Progress::Ended { challenge: self.challenge });
                    }
                }
                Next::Name(kind) => {
                    let wanted = self.top().role;
                    let keep = matches!(wanted, Role::Root | Role::Cursor | Role::Login);
                    let (text, ended) = self.take_text(input)?;
                    if keep {
                        let room = NAME_BYTES.saturating_sub(self.name.len());
                        self.name.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
                    }
                    if !ended {
                        return Ok(self.wait(Next::Name(kind)));
                    }
                    self.next = self.begin_value(kind)?;
                }
                Next::Texts(count) => {
                    let (_, ended) = self.take_text(input)?;
                    match (ended, count) {
                        (false, _) => return Ok(self.wait(Next::Texts(count))),
                        (true, 1) => {}
                        (true, _) => self.next = Next::Texts(count - 1),
                    }
                }
                Next::String(mut number, more) => match number.fill(&mut self.position, input) {
                    // The zero byte at its end counts.
                    Some(0) => return Err(LENGTHS),
                    Some(length) => self.next = Next::Skip(self.fits(length, more)?),
                    None => return Ok(self.wait(Next::String(number, more))),
                },
                Next::Binary(mut number) => match number.fill(&mut self.position, input) {
                    Some(length) => self.next = self.begin_binary(length)?,
                    None => return Ok(self.wait(Next::Binary(number))),
                },
                Next::Code(mut number) => match number.fill(&mut self.position, input) {
                    Some(length) => {
                        let limit = (self.position.at - 4).checked_add(length).ok_or(LENGTHS)?;
                        self.push(Frame { limit, role: self.inner_role(), is_code: true })?;
                        self.next = Next::CodeText(Number::default());
                    }
                    None => return Ok(self.wait(Next::Code(number))),
                },
                Next::CodeText(mut number) => match number.fill(&mut self.position, input) {
                    Some(0) => return Err(LENGTHS),
                    Some(length) => self.next = Next::Skip(self.fits(length, 0)?),
                    None => return Ok(self.wait(Next::CodeText(number))),
                },
                Next::Skip(count) => {
                    let passed = self.pass(input, count);
                    if passed < count {
                        return Ok(self.wait(Next::Skip(count - passed)));
                    }
                    // After its text, code has a scope.
                    if self.top().is_code {
                        self.next = Next::Length(Number::default(), self.inner_role());
                    }
                }
                Next::Keep(count, watched) => {
                    let taken = input.get(..input.len().min(count as usize)).unwrap_or_default();
                    self.kept.extend_from_slice(taken);
                    let passed = self.pass(input, count);
                    if passed < count {
                        return Ok(self.wait(Next::Keep(count - passed, watched)));
                    }
                    self.look(watched)?;
                }
            }
        }
    }

    fn wait(&mut self, next: Next) -> Progress {
        self.next = next;
        Progress::Open
    }

    fn pass(&mut self, input: &mut &[u8], count: u32) -> u32 {
        let passed = input.len().min(count as usize);
        *input = input.get(passed..).unwrap_or_default();
        let passed = u32::try_from(passed).unwrap_or(count);
        self.position.at += passed;
        passed
    }

    /// The innermost document.
    fn top(&self) -> Frame {
        self.open.last().copied().unwrap_or(Frame { limit: self.length, role: Role::Other, is_code: false })
    }

    /// That of what is inside of the innermost document, where its name says nothing more.
    fn inner_role(&self) -> Role {
        if self.top().role == Role::Batch { Role::Batch } else { Role::Other }
    }

    /// As many bytes as that, if the innermost document has room for them and the zero byte at its end.
    fn fits(&self, count: u32, more: u32) -> Result<u32, Breach> {
        let count = count.checked_add(more).ok_or(LENGTHS)?;
        let end = self.position.at.checked_add(count).ok_or(LENGTHS)?;
        if end <= self.top().limit { Ok(count) } else { Err(LENGTHS) }
    }

    fn push(&mut self, frame: Frame) -> Result<(), Breach> {
        if self.open.last().is_some_and(|around| frame.end() > around.limit) {
            return Err(LENGTHS);
        }
        if self.open.len() >= MAX_LEVELS {
            return Err(Breach("a document has more than 200 levels"));
        }
        self.open.push(frame);
        Ok(())
    }

    fn enter(&mut self, length: u32, role: Role) -> Result<(), Breach> {
        let end = (self.position.at - 4).checked_add(length).ok_or(LENGTHS)?;
        if length < 5 || (role == Role::Root && length != self.length) {
            return Err(LENGTHS);
        }
        // The scope ends where the code does.
        if self.top().is_code && end != self.top().limit {
            return Err(LENGTHS);
        }
        if self.top().role == Role::Root && self.name_is("$clusterTime") && length > MAX_CLUSTER_TIME {
            return Err(Breach("the cluster's time is longer than any"));
        }
        self.push(Frame { limit: end - 1, role, is_code: false })
    }

    /// Leaves the innermost document at its zero byte; whether it was the outermost.
    fn leave(&mut self) -> Result<bool, Breach> {
        if self.position.at != self.top().end() {
            return Err(LENGTHS);
        }
        self.open.pop();
        if self.top().is_code {
            self.open.pop();
        }
        Ok(self.open.is_empty())
    }

    /// The next part of a text that ends by a zero byte, without it, and whether it ends.
    fn take_text<'a>(&mut self, input: &mut &'a [u8]) -> Result<(&'a [u8], bool), Breach> {
        let bytes = *input;
        let (text, ended) = match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => (bytes.get(..end).unwrap_or_default(), true),
            None => (bytes, false),
        };
        let taken = text.len() + usize::from(ended);
        let count = u32::try_from(taken).map_err(|_| LENGTHS)?;
        self.fits(count, 0)?;
        self.position.at += count;
        *input = bytes.get(taken..).unwrap_or_default();
        Ok((text, ended))
    }

    fn name_is(&self, name: &str) -> bool {
        self.name == name.as_bytes()
    }

    /// Counts an element, and says what its value begins with.
    fn begin_value(&mut self, kind: u8) -> Result<Next, Breach> {
        self.count()?;
        let role = self.top().role;
        let skip = |count| Ok(Next::Skip(count));
        match kind {
            0x03 => Ok(Next::Length(Number::default(), self.role_of_document())),
            0x04 => Ok(Next::Length(Number::default(), self.role_of_array())),
            0x10 | 0x12 if role == Role::Root => self.begin_number(if kind == 0x10 { 4 } else { 8 }),
            0x05 => Ok(Next::Binary(Number::default())),
            0x02 | 0x0d | 0x0e => Ok(Next::String(Number::default(), 0)),
            0x0c => Ok(Next::String(Number::default(), 12)),
            0x0b => Ok(Next::Texts(2)),
            0x0f => Ok(Next::Code(Number::default())),
            0x06 | 0x0a | 0x7f | 0xff => Ok(Next::Type),
            0x08 => skip(self.fits(1, 0)?),
            0x10 => skip(self.fits(4, 0)?),
            0x01 | 0x09 | 0x11 | 0x12 => skip(self.fits(8, 0)?),
            0x07 => skip(self.fits(12, 0)?),
            0x13 => skip(self.fits(16, 0)?),
            _ => Err(Breach("a document holds a value of an unknown type")),
        }
    }

    fn count(&mut self) -> Result<(), Breach> {
        let (count, most) = match self.top().role {
            Role::Batch => (&mut self.in_batch, MAX_IN_BATCH),
            Role::Members => (&mut self.members, MAX_MEMBERS),
            _ => (&mut self.told, MAX_TOLD),
        };
        *count += 1;
        if *count <= most {
            return Ok(());
        }
        Err(Breach(match self.top().role {
            Role::Members => "a replica set names more members than any has",
            _ => "a reply holds more values than fit into a reply's memory",
        }))
    }

    fn role_of_document(&self) -> Role {
        match self.top().role {
            Role::Root if self.name_is("cursor") => Role::Cursor,
            Role::Root if self.name_is("speculativeAuthenticate") => Role::Login,
            _ => self.inner_role(),
        }
    }

    fn role_of_array(&self) -> Role {
        match self.top().role {
            Role::Root if ["hosts", "passives", "arbiters"].iter().any(|name| self.name_is(name)) => {
                Role::Members
            }
            Role::Cursor if self.name_is("firstBatch") || self.name_is("nextBatch") => Role::Batch,
            _ => self.inner_role(),
        }
    }

    /// A number of the outermost document.
    fn begin_number(&mut self, bytes: u32) -> Result<Next, Breach> {
        let bytes = self.fits(bytes, 0)?;
        let watched = match self.name.as_slice() {
            b"maxBsonObjectSize" => {
                // Only `hello` and `buildInfo` answer with it.
                if self.length > MAX_HELLO {
                    return Err(Breach("the reply to `hello` is longer than any"));
                }
                Watched::Positive
            }
            b"maxMessageSizeBytes" | b"maxWriteBatchSize" => Watched::Positive,
            b"logicalSessionTimeoutMinutes" => Watched::NotNegative,
            _ => return Ok(Next::Skip(bytes)),
        };
        self.kept.clear();
        Ok(Next::Keep(bytes, watched))
    }

    fn begin_binary(&mut self, length: u32) -> Result<Next, Breach> {
        // Its subtype is one byte more.
        let bytes = self.fits(length, 1)?;
        if !matches!(self.top().role, Role::Root | Role::Login) || !self.name_is("payload") {
            return Ok(Next::Skip(bytes));
        }
        if length > MAX_PAYLOAD {
            return Err(Breach("a message of a login is longer than any"));
        }
        self.kept.clear();
        Ok(Next::Keep(bytes, Watched::Login))
    }

    fn look(&mut self, watched: Watched) -> Result<(), Breach> {
        let least = match watched {
            Watched::Positive => 1,
            Watched::NotNegative => 0,
            Watched::Login => {
                self.challenge |= is_challenge(self.kept.get(1..).unwrap_or_default())?;
                return Ok(());
            }
        };
        let number = match *self.kept.as_slice() {
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(LENGTHS),
        };
        if (least..=i64::from(i32::MAX)).contains(&number) {
            Ok(())
        } else {
            Err(Breach("a number in the reply to `hello` is out of any range"))
        }
    }
}
