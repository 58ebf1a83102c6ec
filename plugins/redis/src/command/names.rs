//! What the server and the lists here call a command.

use crate::packed::Packed;

/// No name of a subcommand is longer than so many bytes; a first argument may be of any length.
const LONGEST: usize = 256;

/// A command's name, and with `|` that of its subcommand, if its first argument is one; in lower case.
pub(super) struct Names {
    full: String,
    /// Where the command's own name ends.
    end: usize,
}

impl Names {
    pub(super) fn of(words: &Packed) -> Self {
        let first = words.word(1);
        let first = if first.len() > LONGEST { &[] } else { first };
        let mut full = String::with_capacity(words.word(0).len() + 1 + first.len());
        full.push_str(&String::from_utf8_lossy(words.word(0)));
        let end = full.len();
        full.push('|');
        full.push_str(&String::from_utf8_lossy(first));
        full.make_ascii_lowercase();
        Self { full, end }
    }

    /// `config`
    pub(super) fn name(&self) -> &str {
        self.full.get(..self.end).unwrap_or_default()
    }

    /// `config|set`
    pub(super) fn full(&self) -> &str {
        &self.full
    }

    /// `set`
    pub(super) fn first(&self) -> &str {
        self.full.get(self.end + 1..).unwrap_or_default()
    }
}
