//! Looks at a reply before anything is made of it: where it ends, and what it costs, by what it announces.
//!
//! It allocates nothing that grows with what a server says, and goes over each byte of a line once and over a string's
//! bytes not at all.

use super::{Broken, Budget, builder::Builder};

/// The deepest that replies may nest. No command of Redis comes near.
const MAX_DEPTH: usize = 64;
/// Bytes of a line: a status, an error, a number. What may be long has its length announced.
const MAX_LINE: usize = 64 << 10;
/// Digits of an announced length, with a sign.
const MAX_DIGITS: usize = 20;
/// Digits of a length that is read at once.
const FEW_DIGITS: usize = 9;

/// How far a reply has come.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// For each array, map or set that is open: how many values it still waits for.
    open: Vec<u64>,
    part: Part,
    is_push: bool,
}

/// The part of a value that comes next.
#[derive(Debug, Default)]
enum Part {
    /// The byte that says what it is.
    #[default]
    Kind,
    /// The rest of a line that is the whole value.
    Line { length: usize, after_return: bool },
    /// The digits of a length or count.
    Number { kind: u8, digits: Digits },
    /// Bytes of a string and its line end.
    Bytes { left: u64 },
}

#[derive(Debug, Default)]
struct Digits {
    text: [u8; MAX_DIGITS],
    length: usize,
    after_return: bool,
}

/// What was seen of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// So many of the bytes belong to it.
    pub(super) bytes: usize,
    /// It ends with them.
    pub(super) whole: bool,
}

impl Meter {
    /// Whether the reply under way is something that the server says unasked. Known from its first byte on.
    pub(super) fn is_push(&self) -> bool {
        self.is_push
    }

    /// Looks at the next bytes of the reply under way, up to its end, and tells the builder of them, as long as they are
    /// within the budget.
    pub(super) fn look(
        &mut self,
        bytes: &[u8],
        budget: &mut Budget,
        mut builder: Option<&mut Builder>,
    ) -> Result<Seen, Broken> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let builder = builder.as_deref_mut();
            if self.step(&mut rest, budget, builder)? && self.close() {
                return Ok(Seen { bytes: bytes.len() - rest.len(), whole: true });
            }
        }
        Ok(Seen { bytes: bytes.len(), whole: false })
    }

    /// Goes over some bytes of one part; true when a value without parts of its own ends with them.
    fn step(
        &mut self,
        rest: &mut &[u8],
        budget: &mut Budget,
        builder: Option<&mut Builder>,
    ) -> Result<bool, Broken> {
        let begins = self.open.is_empty() && matches!(self.part, Part::Kind);
        // Of a push nothing is made.
        let mut builder = builder.filter(|_| !budget.is_over() && (begins || !self.is_push));
        match &mut self.part {
            Part::Kind => {
                let Some(kind) = rest.split_off_first() else { return Ok(false) };
                budget.begin_value();
                if self.open.is_empty() {
                    self.is_push = *kind == b'>';
                }
                if let Some(builder) = builder.as_deref_mut() {
                    builder.begin(*kind);
                }
                match kind {
                    b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {
                        self.part = Part::Line { length: 0, after_return: false };
                    }
                    b'$' | b'!' | b'=' | b'*' | b'~' | b'%' | b'|' => {
                        if let Some(number) = short_number(rest) {
                            let builder = builder.filter(|_| !budget.is_over());
                            return self.announce(*kind, number, budget, builder);
                        }
                        self.part = Part::Number { kind: *kind, digits: Digits::default() };
                    }
                    b'>' if self.open.is_empty() => {
                        self.part = Part::Number { kind: *kind, digits: Digits::default() };
                    }
                    _ => return Err(Broken::NotRedis),
                }
                Ok(false)
            }
            Part::Line { length, after_return } => {
                let end = line_end(rest, after_return);
                let line = rest.split_off(..end.unwrap_or(rest.len())).unwrap_or_default();
                *length = length.saturating_add(line.len());
                if *length > MAX_LINE {
                    return Err(Broken::NotRedis);
                }
                budget.spend(line.len() as u64);
                if let Some(builder) = builder {
                    builder.line(line, end.is_some())?;
                }
                Ok(end.is_some())
            }
            Part::Number { kind, digits } => match digits.read(rest)? {
                Some(number) => {
                    let kind = *kind;
                    self.announce(kind, number, budget, builder)
                }
                None => Ok(false),
            },
            Part::Bytes { left } => {
                let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let bytes = rest.split_off(..taken).unwrap_or_default();
                *left -= taken as u64;
                if let Some(builder) = builder {
                    builder.bytes(bytes)?;
                }
                Ok(*left == 0)
            }
        }
    }

    /// A string of this length or a collection of this count follows. True when there is nothing in it.
    fn announce(
        &mut self,
        kind: u8,
        number: i64,
        budget: &mut Budget,
        builder: Option<&mut Builder>,
    ) -> Result<bool, Broken> {
        let Ok(number) = u64::try_from(number) else {
            // Nil, as RESP2 writes it.
            if !matches!(kind, b'$' | b'*' | b'~' | b'>') {
                return Err(Broken::NotRedis);
            }
            if let Some(builder) = builder {
                builder.nil();
            }
            return Ok(true);
        };
        if matches!(kind, b'$' | b'!' | b'=') {
            // With the line end.
            let left = number.saturating_add(2);
            budget.spend(left);
            if let Some(builder) = builder.filter(|_| !budget.is_over()) {
                builder.string(number)?;
            }
            self.part = Part::Bytes { left };
            return Ok(false);
        }
        let values = match kind {
            b'%' => number.saturating_mul(2),
            // Attributes stand before what they are about.
            b'|' => number.saturating_mul(2).saturating_add(1),
            _ => number,
        };
        budget.announce_values(values);
        if values > 0 && self.open.len() >= MAX_DEPTH {
            return Err(Broken::NotRedis);
        }
        if let Some(builder) = builder.filter(|_| !budget.is_over()) {
            builder.open(values);
        }
        if values == 0 {
            return Ok(true);
        }
        self.open.push(values);
        self.part = Part::Kind;
        Ok(false)
    }

    /// A value has ended, and with it every collection that waited for no other; true when the whole reply has.
    fn close(&mut self) -> bool {
        self.part = Part::Kind;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

/// Where the line ends, its line end included. `after_return`: whether the bytes before ended with a carriage return.
fn line_end(bytes: &[u8], after_return: &mut bool) -> Option<usize> {
    let mut before = *after_return;
    for (place, byte) in bytes.iter().enumerate() {
        if before && *byte == b'\n' {
            return Some(place + 1);
        }
        before = *byte == b'\r';
    }
    *after_return = before;
    None
}

/// Takes a length and its line end, where both are there and it has few digits.
fn short_number(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0;
    for (place, byte) in rest.iter().take(FEW_DIGITS + 1).enumerate() {
        match byte {
            b'0'..=b'9' if place < FEW_DIGITS => number = number * 10 + i64::from(byte - b'0'),
            b'\r' if place > 0 => {
                *rest = rest.get(place..)?.strip_prefix(b"\r\n")?;
                return Some(number);
            }
            _ => return None,
        }
    }
    None
}

impl Digits {
    /// The number, when its line has ended.
    fn read(&mut self, rest: &mut &[u8]) -> Result<Option<i64>, Broken> {
        while let Some(byte) = rest.split_off_first() {
            match byte {
                b'\n' if self.after_return => {
                    let text = self.text.get(..self.length).unwrap_or_default();
                    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                    return number.map(Some).ok_or(Broken::NotRedis);
                }
                b'\r' if !self.after_return => self.after_return = true,
                b'0'..=b'9' | b'-' if !self.after_return => {
                    *self.text.get_mut(self.length).ok_or(Broken::NotRedis)? = *byte;
                    self.length += 1;
                }
                _ => return Err(Broken::NotRedis),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these bytes, in pieces of this size, where a result may have so many bytes.
    fn look(bytes: &[u8], size: usize, most: u64) -> Result<Seen, Broken> {
        let (mut meter, mut budget) = (Meter::default(), Budget::new(most));
        let mut all = 0;
        for piece in bytes.chunks(size) {
            let seen = meter.look(piece, &mut budget, None)?;
            if budget.is_over() {
                return Err(Broken::TooLarge);
            }
            all += seen.bytes;
            if seen.whole {
                return Ok(Seen { bytes: all, whole: true });
            }
        }
        Ok(Seen { bytes: all, whole: false })
    }

    #[test]
    fn replies_end_where_they_do() {
        for reply in [
            "+OK\r\n",
            "+a\nb\rc\r\n",
            "$-1\r\n",
            "$0\r\n\r\n",
            "$4\r\n\r\n\r\n\r\n",
            "*0\r\n",
            "*2\r\n*1\r\n:1\r\n%1\r\n+a\r\n~2\r\n#t\r\n_\r\n",
            "|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n",
            ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        ] {
            let bytes = [reply.as_bytes(), b"+next\r\n"].concat();
            for size in [1, 2, 3, 100] {
                assert_eq!(look(&bytes, size, 0), Ok(Seen { bytes: reply.len(), whole: true }), "{reply:?}");
            }
            assert!(!look(&reply.as_bytes()[..reply.len() - 1], 5, 0).unwrap().whole, "{reply:?}");
        }
    }

    #[test]
    fn what_is_announced_is_refused_before_it_comes() {
        for head in [
            "$4000000000\r\n",
            "=4000000000\r\n",
            "!9223372036854775807\r\n",
            "*4294967295\r\n",
            "~4294967295\r\n",
            "%9223372036854775807\r\n",
            "|9223372036854775807\r\n",
            ">4294967295\r\n",
            "*2\r\n+a\r\n*3\r\n$500000000\r\n",
        ] {
            assert_eq!(look(head.as_bytes(), 3, 64 << 20), Err(Broken::TooLarge), "{head:?}");
        }
    }

    #[test]
    fn many_small_values_cost_what_they_take() {
        let many = [&b"*1000000\r\n"[..], &b"_\r\n".repeat(1_000_000)].concat();
        assert_eq!(look(&many, 1000, 10 << 20), Err(Broken::TooLarge));
        // Whose count is not announced, because each is in one of its own.
        let nested = b"*2\r\n_\r\n".repeat(60);
        assert!(!look(&nested, 7, 0).unwrap().whole);
        assert_eq!(look(&b"*2\r\n_\r\n".repeat(65), 7, 1 << 20), Err(Broken::NotRedis));
    }

    #[test]
    fn lines_without_an_end_and_what_is_no_length_are_given_up() {
        for kind in ["+", "-", ":", ",", "(", "#", "_"] {
            let line = [kind.as_bytes(), &vec![b'1'; MAX_LINE + 1]].concat();
            assert_eq!(look(&line, 999, 64 << 20), Err(Broken::NotRedis), "{kind}");
        }
        for strange in
            ["$?\r\n", "*?\r\n", "$+1\r\n", "$ 1\r\n", "$1\n", "*--1\r\n", "%-1\r\n", "=-1\r\n", "x"]
        {
            assert_eq!(look(strange.as_bytes(), 1, 1 << 20), Err(Broken::NotRedis), "{strange:?}");
        }
        assert_eq!(look(&[b"$", &[b'0'; 21][..]].concat(), 4, 1 << 20), Err(Broken::NotRedis));
    }
}
