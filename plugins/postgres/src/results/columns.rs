//! What rows are made of: their columns, and what these are called.

use crate::json::{Kind, write_text};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{Field, RowDescriptionBody};
use std::{
    borrow::Cow,
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
    let fields: Vec<Field<'_>> = body.fields().collect()?;
    let mut twins = has_twins(&fields).then(|| Twins::of(&fields));
    for (index, field) in fields.iter().enumerate() {
        let mut renamed = None;
        let mut shown = if index < hidden { Shown::Nothing } else { Shown::Itself };
        if let Some(twins) = &mut twins {
            match shape {
                Shape::Objects => renamed = twins.rename(field.name()),
                Shape::PostgresMeta if index >= hidden => {
                    let first = twins.first(field.name(), index);
                    if first < index
                        && let Some(first) = columns.get_mut(first)
                    {
                        first.shown = Shown::Later(index);
                        shown = Shown::Nothing;
                    }
                }
                Shape::PostgresMeta | Shape::Arrays => {}
            }
        }
        let mut key = Vec::new();
        if shape != Shape::Arrays {
            write_text(renamed.as_deref().unwrap_or(field.name()).as_bytes(), &mut key);
            key.push(b':');
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

/// Whether two columns have one name.
fn has_twins(fields: &[Field<'_>]) -> bool {
    let mut names: Vec<&str> = fields.iter().map(Field::name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
}

/// The names of columns, of which some are there twice.
struct Twins<'a> {
    used: HashSet<Cow<'a, str>>,
    /// How often each name was met.
    met: HashMap<&'a str, u32>,
    /// The first column of each name.
    first: HashMap<&'a str, usize>,
}

impl<'a> Twins<'a> {
    fn of(fields: &[Field<'a>]) -> Self {
        let used = fields.iter().map(|field| Cow::Borrowed(field.name())).collect();
        Self { used, met: HashMap::new(), first: HashMap::new() }
    }

    /// The first column of a name, which may be this one.
    fn first(&mut self, name: &'a str, index: usize) -> usize {
        *self.first.entry(name).or_insert(index)
    }

    /// Another name for the next column, where an earlier one has its own: `n_2` for the second `n`, unless that is one
    /// of the names itself.
    fn rename(&mut self, name: &'a str) -> Option<String> {
        let met = self.met.entry(name).or_default();
        *met += 1;
        if *met == 1 {
            return None;
        }
        loop {
            let other = format!("{name}_{met}");
            if self.used.insert(Cow::Owned(other.clone())) {
                return Some(other);
            }
            *met += 1;
        }
    }
}
