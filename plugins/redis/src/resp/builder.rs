//! Makes values of what the meter goes over, each byte of a string copied once, into room of its length.
//!
//! The parser of the `redis` crate wants a reply in one piece: a large one was there twice over, and more while the piece
//! grew. It reads the lines that are neither a status nor a number, and those that come in pieces.

use super::Broken;
use redis::Value;

/// Room for so many values of a collection is made at once, whatever it announces.
const ROOM: u64 = 4096;
/// Bytes of a line whose room is kept for the next.
const LONGEST_KEPT: usize = 1 << 10;
const LINE_END: &[u8; 2] = b"\r\n";

/// A reply as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Builder {
    open: Vec<Collection>,
    /// The line under way with its first byte, or a string that is none by itself, with its head.
    text: Vec<u8>,
    /// The string under way.
    string: Vec<u8>,
    kind: u8,
    /// Bytes of the string that are still to come, without its line end; and of that, how many came.
    left: usize,
    ended: usize,
    whole: Option<Value>,
}

#[derive(Debug)]
struct Collection {
    kind: u8,
    values: Vec<Value>,
    count: u64,
}

impl Builder {
    /// The reply, when it is whole.
    pub(super) fn take(&mut self) -> Option<Value> {
        self.whole.take()
    }

    /// A value of this kind begins.
    pub(super) fn begin(&mut self, kind: u8) {
        self.kind = kind;
        self.text.clear();
    }

    /// More of a line, which may end with it.
    pub(super) fn line(&mut self, bytes: &[u8], ends: bool) -> Result<(), Broken> {
        if ends
            && self.text.is_empty()
            && let Some(value) = simple(self.kind, bytes)
        {
            self.add(value);
            return Ok(());
        }
        self.begin_text();
        self.text.extend_from_slice(bytes);
        if ends { self.read_text() } else { Ok(()) }
    }

    fn begin_text(&mut self) {
        if self.text.is_empty() {
            self.text.push(self.kind);
        }
    }

    /// A string of this length follows.
    pub(super) fn string(&mut self, length: u64) -> Result<(), Broken> {
        (self.left, self.ended) = (usize::try_from(length).map_err(|_| Broken::TooLarge)?, 0);
        if self.kind == b'$' {
            self.string = Vec::new();
            self.string.try_reserve_exact(self.left).map_err(|_| Broken::TooLarge)?;
        } else {
            self.begin_text();
            self.text.extend_from_slice(format!("{length}\r\n").as_bytes());
        }
        Ok(())
    }

    /// More of the string and its line end.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (data, end) = bytes.split_at(self.left.min(bytes.len()));
        self.left -= data.len();
        let into = if self.kind == b'$' { &mut self.string } else { &mut self.text };
        into.extend_from_slice(data);
        if LINE_END.get(self.ended..).is_none_or(|expected| !expected.starts_with(end)) {
            return Err(Broken::NotRedis);
        }
        self.ended += end.len();
        if self.left > 0 || self.ended < LINE_END.len() {
            return Ok(());
        }
        if self.kind == b'$' {
            let string = std::mem::take(&mut self.string);
            self.add(Value::BulkString(string));
            return Ok(());
        }
        self.text.extend_from_slice(LINE_END);
        self.read_text()
    }

    /// Nil, as RESP2 writes it.
    pub(super) fn nil(&mut self) {
        self.add(Value::Nil);
    }

    /// A collection of so many values follows.
    pub(super) fn open(&mut self, count: u64) {
        let values = Vec::with_capacity(usize::try_from(count.min(ROOM)).unwrap_or_default());
        let collection = Collection { kind: self.kind, values, count };
        if count == 0 {
            self.add(collection.close());
        } else {
            self.open.push(collection);
        }
    }

    fn read_text(&mut self) -> Result<(), Broken> {
        let value = redis::parse_redis_value(&self.text).map_err(|_| Broken::NotRedis)?;
        self.text.clear();
        self.text.shrink_to(LONGEST_KEPT);
        self.add(value);
        Ok(())
    }

    /// A value has come; with it collections may be whole.
    fn add(&mut self, mut value: Value) {
        while let Some(collection) = self.open.last_mut() {
            collection.values.push(value);
            if (collection.values.len() as u64) < collection.count {
                return;
            }
            match self.open.pop() {
                Some(collection) => value = collection.close(),
                None => return,
            }
        }
        self.whole = Some(value);
    }
}

impl Collection {
    fn close(mut self) -> Value {
        match self.kind {
            b'~' => Value::Set(self.values),
            b'%' => Value::Map(pairs(self.values)),
            b'|' => {
                let data = Box::new(self.values.pop().unwrap_or_default());
                Value::Attribute { data, attributes: pairs(self.values) }
            }
            _ => Value::Array(self.values),
        }
    }
}

/// Reads a status or a number of which the whole line is there, with its line end; `None` for what is neither, or not
/// quite.
fn simple(kind: u8, line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line.strip_suffix(LINE_END)?).ok()?;
    match kind {
        b'+' if text == "OK" => Some(Value::Okay),
        b'+' => Some(Value::SimpleString(text.to_owned())),
        b':' => text.parse().ok().map(Value::Int),
        _ => None,
    }
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        pairs.push((name, value));
    }
    pairs
}
