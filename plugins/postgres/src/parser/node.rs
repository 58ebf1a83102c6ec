//! A statement's tree as its message on the wire, to be walked where it is.

use super::trees::{Kind, Message, TREES};

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    kind: &'static Message,
    wire: &'a [u8],
}

/// What a field of a node holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    Node(Node<'a>),
    Text(&'a str),
    /// A number, a truth, or one of an enumeration.
    Other,
}

/// A tree that is not as the table of trees has it.
#[derive(Debug)]
pub(crate) struct Unknown;

impl<'a> Node<'a> {
    /// The outermost node of what was parsed.
    pub(crate) fn whole(wire: &'a [u8]) -> Result<Self, Unknown> {
        let kind = TREES.message_named("ParseResult").ok_or(Unknown)?;
        Ok(Self { kind, wire })
    }

    /// What it is: `SelectStmt`.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// Its fields, in the order of the wire; a list has one for each of its items. What merely says which kind of node
    /// follows is left out.
    pub(crate) fn parts(self) -> impl Iterator<Item = Result<(&'static str, Part<'a>), Unknown>> {
        let Self { kind, mut wire } = self;
        std::iter::from_fn(move || {
            if wire.is_empty() {
                return None;
            }
            let part = take_part(kind, &mut wire).ok_or(Unknown);
            if part.is_err() {
                wire = &[];
            }
            Some(part)
        })
    }

    /// The nodes of one field.
    pub(crate) fn nodes(self, field: &str) -> impl Iterator<Item = Result<Node<'a>, Unknown>> {
        self.parts().filter_map(move |part| match part {
            Ok((name, Part::Node(node))) if name == field => Some(Ok(node)),
            Ok(_) => None,
            Err(unknown) => Some(Err(unknown)),
        })
    }

    /// The text of one field. The wire leaves an empty one out.
    pub(crate) fn text(self, field: &str) -> Result<&'a str, Unknown> {
        for part in self.parts() {
            if let (name, Part::Text(text)) = part?
                && name == field
            {
                return Ok(text);
            }
        }
        Ok("")
    }

    /// The texts of a field that is a list of nodes.
    pub(crate) fn texts(self, field: &str) -> Result<Vec<String>, Unknown> {
        let mut texts = Vec::new();
        for item in self.nodes(field) {
            let item = item?;
            if item.kind() == "String" {
                texts.push(item.text("sval")?.to_owned());
            }
        }
        Ok(texts)
    }

    /// The one node in it, where it only says which kind that is.
    fn inner(self) -> Option<Self> {
        let mut node = self;
        while node.kind.name == "Node" {
            let mut wire = node.wire;
            // Nothing stands for a place in a list that is empty.
            if wire.is_empty() {
                return Some(node);
            }
            match take_field(node.kind, &mut wire)? {
                (_, Part::Node(inner)) => node = inner,
                _ => return None,
            }
        }
        Some(node)
    }
}

fn take_part<'a>(kind: &'static Message, wire: &mut &'a [u8]) -> Option<(&'static str, Part<'a>)> {
    match take_field(kind, wire)? {
        (name, Part::Node(node)) => Some((name, Part::Node(node.inner()?))),
        other => Some(other),
    }
}

fn take_field<'a>(kind: &'static Message, wire: &mut &'a [u8]) -> Option<(&'static str, Part<'a>)> {
    let key = take_number(wire)?;
    let field = kind.field(u32::try_from(key >> 3).ok()?)?;
    let part = match (field.kind, key & 7) {
        (Kind::Bool | Kind::Int | Kind::Enumeration(_), 0) => {
            take_number(wire)?;
            Part::Other
        }
        // A list of numbers comes in one piece.
        (Kind::Bool | Kind::Int | Kind::Enumeration(_), 2) if field.list => {
            take_bytes(wire)?;
            Part::Other
        }
        (Kind::Text, 2) => Part::Text(std::str::from_utf8(take_bytes(wire)?).ok()?),
        (Kind::Message(place), 2) => {
            Part::Node(Node { kind: TREES.message(place)?, wire: take_bytes(wire)? })
        }
        _ => return None,
    };
    Some((field.name, part))
}

/// Takes a number off the front.
pub(super) fn take_number(wire: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = wire.split_first()?;
        *wire = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes bytes off the front that have their length before them.
pub(super) fn take_bytes<'a>(wire: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(wire)?).ok()?;
    let (bytes, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    Some(bytes)
}
