//! Which messages a statement's tree is made of: what their fields are called in libpg_query's JSON, where `pg_query`'s
//! own types know only their numbers on the wire.
//!
//! `trees.txt` has a message a line, its name first, and then its fields, each `name:kind`, or the name alone where it is
//! the kind too. Fields are numbered in their order; a number stands before one that leaves some out. `*` marks a list.
//! A line with `=` is an enumeration, with the names of its values from 1 on. Only what the parser can make is there:
//! nodes of later stages, which analyse and execute, are not.

use std::{collections::HashMap, sync::LazyLock};

/// All messages.
pub(super) static TREES: LazyLock<Trees> = LazyLock::new(|| Trees::read(include_str!("trees.txt")));

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Int,
    /// A message, by its place.
    Message(usize),
    /// An enumeration, by its place.
    Enumeration(usize),
}

/// A field of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) list: bool,
}

/// A kind of node.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    fields: Vec<Field>,
    by_name: HashMap<&'static str, usize>,
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        let place = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(place)
    }
    #[cfg(test)]
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }
    pub(super) fn field_named(&self, name: &str) -> Option<&Field> {
        self.fields.get(*self.by_name.get(name)?)
    }
}

/// The messages and enumerations.
#[derive(Debug, Default)]
pub(super) struct Trees {
    messages: Vec<Message>,
    enumerations: Vec<Vec<&'static str>>,
    by_name: HashMap<&'static str, Kind>,
}

impl Trees {
    pub(super) fn message(&self, place: usize) -> Option<&Message> {
        self.messages.get(place)
    }
    pub(super) fn message_named(&self, name: &str) -> Option<&Message> {
        match self.by_name.get(name)? {
            Kind::Message(place) => self.message(*place),
            _ => None,
        }
    }
    /// The name of an enumeration's value.
    pub(super) fn value_name(&self, enumeration: usize, value: u64) -> Option<&'static str> {
        self.enumerations.get(enumeration)?.get(usize::try_from(value).ok()?.checked_sub(1)?).copied()
    }
    /// The value of an enumeration that has this name.
    pub(super) fn value_named(&self, enumeration: usize, name: &str) -> Option<u64> {
        let place = self.enumerations.get(enumeration)?.iter().position(|known| *known == name)?;
        u64::try_from(place).ok()?.checked_add(1)
    }

    fn read(text: &'static str) -> Self {
        let mut trees = Self::default();
        trees.by_name.extend([("text", Kind::Text), ("bool", Kind::Bool), ("int", Kind::Int)]);
        for line in text.lines() {
            match line.strip_prefix("= ") {
                Some(line) => {
                    let mut words = line.split(' ');
                    let name = words.next().unwrap_or_default();
                    trees.by_name.insert(name, Kind::Enumeration(trees.enumerations.len()));
                    trees.enumerations.push(words.collect());
                }
                None => {
                    let name = line.split(' ').next().unwrap_or_default();
                    trees.by_name.insert(name, Kind::Message(trees.messages.len()));
                    trees.messages.push(Message { name, fields: Vec::new(), by_name: HashMap::new() });
                }
            }
        }
        for (message, line) in trees.messages.iter_mut().zip(text.lines()) {
            message.fields = read_fields(line, &trees.by_name);
            message.by_name =
                message.fields.iter().enumerate().map(|(place, field)| (field.name, place)).collect();
        }
        trees
    }
}

fn read_fields(line: &'static str, kinds: &HashMap<&'static str, Kind>) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut number = 1;
    for word in line.split(' ').skip(1) {
        if let Ok(given) = word.parse() {
            number = given;
            continue;
        }
        let (word, list) = word.strip_suffix('*').map_or((word, false), |word| (word, true));
        let (name, kind) = word.split_once(':').unwrap_or((word, word));
        if let Some(kind) = kinds.get(kind) {
            fields.push(Field { number, name, kind: *kind, list });
        }
        number += 1;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_table_is_understood() {
        let text = include_str!("trees.txt");
        let messages: Vec<_> = text.lines().take_while(|line| !line.starts_with('=')).collect();
        assert_eq!(messages.len() + TREES.enumerations.len(), text.lines().count(), "messages come first");
        for line in messages {
            let name = line.split(' ').next().unwrap();
            let words = line.split(' ').skip(1).filter(|word| word.parse::<u32>().is_err()).count();
            let message = TREES.message_named(name).unwrap();
            assert_eq!(message.fields.len(), words, "{name}");
            assert!(message.fields.is_sorted_by_key(|field| field.number), "{name}");
        }
    }

    #[test]
    fn enumerations_have_the_values_that_pg_query_knows() {
        use pg_query::protobuf::{AExprKind, ObjectType};
        let place = |name| match TREES.by_name[name] {
            Kind::Enumeration(place) => place,
            kind => panic!("{kind:?}"),
        };
        for value in 1..60 {
            let known = ObjectType::try_from(value).ok().map(|value| value.as_str_name());
            assert_eq!(TREES.value_name(place("ObjectType"), value as u64), known);
            let known = AExprKind::try_from(value).ok().map(|value| value.as_str_name());
            assert_eq!(TREES.value_name(place("A_Expr_Kind"), value as u64), known);
        }
        assert_eq!(TREES.value_named(place("A_Expr_Kind"), "AEXPR_OP"), Some(1));
    }
}
