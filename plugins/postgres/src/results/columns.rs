//! What rows are made of: their columns, and what these are called.

use crate::json::{Kind, write_text};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::RowDescriptionBody;
use std::{
    collections::{HashMap, HashSet},
    io,
};

/// One column of a result.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// What its values are called in the objects of rows, where an earlier column has its name.
    pub(crate) renamed: Option<String>,
    pub(crate) type_oid: u32,
    /// `"name":`, as it stands before each value; nothing where rows are arrays.
    pub(super) key: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) shown: Shown,
}

/// How a caller gets rows and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As postgres-meta has them: objects. Of columns of one name, the first one's place and the last one's value count,
    /// as in JavaScript.
    PostgresMeta,
    /// Objects in which nothing is lost: later columns of one name get a number.
    Objects,
    /// Arrays of values, in the order of the columns.
    Arrays,
}

impl Shape {
    fn kind_of(self, oid: u32) -> Kind {
        match self {
            Self::PostgresMeta => Kind::of(oid),
            Self::Objects | Self::Arrays => Kind::exact(oid),
        }
    }
    pub(super) fn brackets(self) -> (u8, u8) {
        if self == Self::Arrays { (b'[', b']') } else { (b'{', b'}') }
    }
}

/// What of a column is in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Itself,
    /// The value of this column, which has the same name.
    Later(usize),
    Nothing,
}

/// What the rows that follow are made of. So many columns at the start are not shown.
pub(super) fn read_columns(
    body: &RowDescriptionBody,
    hidden: usize,
    shape: Shape,
) -> io::Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut first_of_name = HashMap::new();
    let mut names = match shape {
        Shape::Objects => Some(Names::of(body)?),
        Shape::PostgresMeta | Shape::Arrays => None,
    };
    let mut fields = body.fields();
    while let Some(field) = fields.next()? {
        let renamed = names.as_mut().and_then(|names| names.rename(field.name()));
        let mut key = Vec::new();
        if shape != Shape::Arrays {
            write_text(renamed.as_deref().unwrap_or(field.name()).as_bytes(), &mut key);
            key.push(b':');
        }
        let index = columns.len();
        let mut shown = Shown::Itself;
        if index < hidden {
            shown = Shown::Nothing;
        } else if shape == Shape::PostgresMeta {
            let first = *first_of_name.entry(field.name().to_owned()).or_insert(index);
            if let Some(first) = columns.get_mut(first) {
                first.shown = Shown::Later(index);
                shown = Shown::Nothing;
            }
        }
        columns.push(Column {
            name: field.name().to_owned(),
            renamed,
            type_oid: field.type_oid(),
            key,
            kind: shape.kind_of(field.type_oid()),
            shown,
        });
    }
    Ok(columns)
}

/// The names in the objects of rows, of which each is there once.
struct Names {
    used: HashSet<String>,
    /// How often each name was met.
    met: HashMap<String, u32>,
}

impl Names {
    fn of(body: &RowDescriptionBody) -> io::Result<Self> {
        let names = body.fields().map(|field| Ok(field.name().to_owned()));
        Ok(Self { used: names.collect()?, met: HashMap::new() })
    }

    /// Another name for the next column, where an earlier one has its own: `n_2` for the second `n`, unless that is one
    /// of the names itself.
    fn rename(&mut self, name: &str) -> Option<String> {
        let met = self.met.entry(name.to_owned()).or_default();
        *met += 1;
        if *met == 1 {
            return None;
        }
        loop {
            let other = format!("{name}_{met}");
            if self.used.insert(other.clone()) {
                return Some(other);
            }
            *met += 1;
        }
    }
}
