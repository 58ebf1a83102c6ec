//! The server's own list of its commands.

use crate::wire;
use redis::Value;
use std::collections::HashMap;

/// What the server says of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) readonly: bool,
    pub(crate) write: bool,
    pub(crate) admin: bool,
    pub(crate) blocking: bool,
    pub(crate) pubsub: bool,
    /// Not a flag but an ACL category (Redis 6 and later): `@dangerous`.
    pub(crate) dangerous: bool,
}

impl Flags {
    fn add(&mut self, word: &str) {
        match word {
            "readonly" => self.readonly = true,
            "write" => self.write = true,
            "admin" => self.admin = true,
            "blocking" => self.blocking = true,
            "pubsub" => self.pubsub = true,
            "@dangerous" => self.dangerous = true,
            _ => {}
        }
    }
}

/// Where a command's keys are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FirstKey {
    /// It has none.
    #[default]
    None,
    /// The first is this word of the command; 0 is its name.
    Word(usize),
    /// Other words tell.
    Movable,
}

/// What the server says of one command.
#[derive(Debug, Clone, Copy)]
struct Entry {
    flags: Flags,
    first_key: FirstKey,
}

/// Commands by name in lower case; a subcommand (Redis 7 and later) as `config|set`.
#[derive(Debug, Default)]
pub(crate) struct CommandTable {
    commands: HashMap<String, Entry>,
}

impl CommandTable {
    /// Reads the answer to `COMMAND`; `None` where it is no such answer.
    pub(crate) fn read(entries: Vec<Value>) -> Option<Self> {
        let mut table = Self::default();
        for entry in entries {
            table.add(entry)?;
        }
        Some(table)
    }

    /// Stands for a server that does not tell.
    pub(crate) fn unavailable() -> Self {
        Self::default()
    }

    /// Whether the server told its commands.
    pub(crate) fn is_known(&self) -> bool {
        !self.commands.is_empty()
    }

    /// The flags of a command or, with `|`, a subcommand.
    pub(crate) fn get(&self, name: &str) -> Option<Flags> {
        self.commands.get(name).map(|entry| entry.flags)
    }

    /// Where the keys of a command or, with `|`, a subcommand are.
    pub(crate) fn first_key(&self, name: &str) -> Option<FirstKey> {
        self.commands.get(name).map(|entry| entry.first_key)
    }

    /// `[name, arity, flags, first key, last key, step, categories, tips, key specifications, subcommands]`, the last four
    /// in newer servers only.
    fn add(&mut self, entry: Value) -> Option<()> {
        // An unknown name in `COMMAND INFO` is nil; `COMMAND` has none, but a proxy may.
        let mut parts = wire::items(entry)?.into_iter();
        let Some(name) = parts.next().and_then(wire::text) else { return Some(()) };
        let mut flags = Flags::default();
        let (words, first, categories) = (parts.nth(1), parts.next(), parts.nth(2));
        let mut is_movable = false;
        for words in [words, categories].into_iter().flatten() {
            for word in wire::items(words)?.into_iter().filter_map(wire::text) {
                is_movable |= word == "movablekeys";
                flags.add(&word);
            }
        }
        let first = first.as_ref().and_then(wire::integer).and_then(|first| usize::try_from(first).ok());
        let first_key = match first {
            Some(first) if first > 0 => FirstKey::Word(first),
            _ if is_movable => FirstKey::Movable,
            _ => FirstKey::None,
        };
        self.commands.insert(name.to_ascii_lowercase(), Entry { flags, first_key });
        match parts.nth(2) {
            Some(subcommands) => wire::items(subcommands)?.into_iter().try_for_each(|entry| self.add(entry)),
            None => Some(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The table as a Redis 7.0 server sends it, from a captured list.
    pub(crate) fn redis_7() -> CommandTable {
        let words =
            |words: &[&str]| Value::Array(words.iter().map(|w| Value::SimpleString(w.to_string())).collect());
        let lines = include_str!("commands-7.0.txt").lines().filter(|line| !line.starts_with('#'));
        let entries = lines.map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (rest, first) = rest.split_once("key=").unwrap_or((rest, "0"));
            let (categories, flags): (Vec<_>, Vec<_>) =
                rest.trim().split(' ').partition(|word| word.starts_with('@'));
            let number = || Value::Int(1);
            let first = Value::Int(first.parse().unwrap());
            let name = Value::BulkString(name.as_bytes().to_vec());
            let empty = || words(&[]);
            Value::Array(vec![
                name,
                number(),
                words(&flags),
                first,
                number(),
                number(),
                words(&categories),
                empty(),
                empty(),
                empty(),
            ])
        });
        CommandTable::read(entries.collect()).unwrap()
    }

    #[test]
    fn flags_categories_and_subcommands_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let word = |word: &str| Value::SimpleString(word.into());
        let list = Value::Array;
        let entry = |name: &str, flags: Vec<Value>, subcommands: Vec<Value>| {
            list(vec![
                text(name),
                Value::Int(-2),
                Value::Set(flags),
                Value::Int(0),
                Value::Int(0),
                Value::Int(0),
                list(vec![word("@dangerous")]),
                list(vec![]),
                list(vec![]),
                list(subcommands),
            ])
        };
        let table = CommandTable::read(vec![
            entry("CONFIG", vec![], vec![entry("config|set", vec![word("admin")], vec![])]),
            // As from Redis 5: no categories.
            list(vec![text("get"), Value::Int(2), list(vec![word("readonly"), word("fast")])]),
        ])
        .unwrap();
        assert_eq!(
            table.get("config|set").unwrap(),
            Flags { admin: true, dangerous: true, ..Flags::default() }
        );
        assert_eq!(table.get("get").unwrap(), Flags { readonly: true, ..Flags::default() });
        assert_eq!(table.get("nope"), None);
    }
}
