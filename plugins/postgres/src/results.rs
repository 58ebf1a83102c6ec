//! Rows on their way from the wire into JSON.

use crate::{
    json::{Kind, write_text},
    statement::Statement,
    wire::SIZE,
};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};
use std::{collections::HashMap, io, ops::Range};
use studio_plugin_api::{DriverError, ErrorCode};

/// What a column takes of a reply besides its name, at the least; a statement besides its rows; and an item of a list, to
/// find the row that it belongs to. All in bytes.
const COLUMN: usize = 48;
const SET: usize = 64;
const ITEM: usize = 96;

/// What a server's answers are made into.
pub(crate) trait Receiver {
    /// Rows of these columns follow.
    fn describe(&mut self, columns: &RowDescriptionBody) -> io::Result<()>;
    /// A row.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE` when there is no room for it.
    fn take(&mut self, row: &DataRowBody) -> Result<(), DriverError>;
    /// A statement is done; the tag says what it was and how many rows it was about: `INSERT 0 1`.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE` when there is no room for saying so.
    fn complete(&mut self, tag: &str) -> Result<(), DriverError>;
    /// Rows follow as `COPY` writes them, which are left out.
    fn leave_out_copy(&mut self) {}
}

/// The answers of statements that answer nothing worth knowing.
pub(crate) struct Ignored;

impl Receiver for Ignored {
    fn describe(&mut self, _: &RowDescriptionBody) -> io::Result<()> {
        Ok(())
    }
    fn take(&mut self, _: &DataRowBody) -> Result<(), DriverError> {
        Ok(())
    }
    fn complete(&mut self, _: &str) -> Result<(), DriverError> {
        Ok(())
    }
}

/// One column of a result.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    /// `"name":`, as it stands before each value.
    key: Vec<u8>,
    kind: Kind,
    shown: Shown,
}

/// What of a column is in the object of a row. Of columns of one name, the first one's place and the last one's value
/// count, as in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Itself,
    /// The value of this column, which has the same name.
    Later(usize),
    Nothing,
}

/// The rows of one statement as a JSON array of objects, still open at its end.
#[derive(Debug)]
pub(crate) struct Rows {
    json: Vec<u8>,
    columns: Vec<Column>,
    count: u64,
    /// What it may have, in bytes.
    limit: u64,
}

impl Rows {
    /// No rows yet, of no columns.
    pub(crate) fn new(limit: u64) -> Self {
        Self { json: b"[".to_vec(), columns: Vec::new(), count: 0, limit }
    }

    /// What they are made of.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How large they are so far, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.json.len() as u64
    }

    /// The array.
    pub(crate) fn into_array(mut self) -> Vec<u8> {
        self.json.push(b']');
        self.json
    }

    /// The one row, where there is one.
    pub(crate) fn into_only(mut self) -> Option<Vec<u8>> {
        (self.count == 1).then(|| self.json.split_off(1))
    }

    fn add(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        self.open_row(row)?;
        self.close_row()
    }

    /// Begins an object with the row's columns.
    fn open_row(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        if self.count > 0 {
            self.json.push(b',');
        }
        write_fields(&self.columns, row, &mut self.json, self.limit)
    }

    fn close_row(&mut self) -> Result<(), DriverError> {
        self.json.push(b'}');
        self.count += 1;
        match self.size() < self.limit {
            true => Ok(()),
            false => Err(DriverError::result_too_large(self.limit)),
        }
    }
}

/// What the rows that follow are made of. So many columns at the start are not shown.
fn read_columns(body: &RowDescriptionBody, hidden: usize) -> io::Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut first_of_name = HashMap::new();
    let mut fields = body.fields();
    while let Some(field) = fields.next()? {
        let mut key = Vec::with_capacity(field.name().len() + 3);
        write_text(field.name().as_bytes(), &mut key);
        key.push(b':');
        let index = columns.len();
        let mut shown = Shown::Nothing;
        if index >= hidden {
            let first = *first_of_name.entry(field.name().to_owned()).or_insert(index);
            match columns.get_mut(first) {
                Some(first) => first.shown = Shown::Later(index),
                None => shown = Shown::Itself,
            }
        }
        columns.push(Column {
            name: field.name().to_owned(),
            type_oid: field.type_oid(),
            key,
            kind: Kind::of(field.type_oid()),
            shown,
        });
    }
    Ok(columns)
}

/// Writes a row as a JSON object that is still open, into a buffer that may have `limit` bytes.
fn write_fields(
    columns: &[Column],
    row: &DataRowBody,
    json: &mut Vec<u8>,
    limit: u64,
) -> Result<(), DriverError> {
    let broken = |error: io::Error| crate::errors::from_io(&error);
    let buffer = row.buffer();
    let mut ranges = row.ranges();
    // Read when a column needs them.
    let mut all: Option<Vec<Option<Range<usize>>>> = None;
    let mut before = b'{';
    for column in columns {
        let mut range = ranges.next().map_err(broken)?.flatten();
        let mut kind = column.kind;
        match column.shown {
            Shown::Itself => {}
            Shown::Later(index) => {
                let all = match &mut all {
                    Some(all) => all,
                    none => none.insert(row.ranges().collect().map_err(broken)?),
                };
                range = all.get(index).cloned().flatten();
                kind = columns.get(index).map_or(kind, |later| later.kind);
            }
            Shown::Nothing => continue,
        }
        let value = range.and_then(|range| buffer.get(range));
        let length = column.key.len() + value.map_or(0, <[u8]>::len);
        if json.len() as u64 + length as u64 > limit {
            return Err(DriverError::result_too_large(limit));
        }
        json.push(before);
        before = b',';
        json.extend_from_slice(&column.key);
        kind.write(value, json);
    }
    if before == b'{' {
        json.push(before);
    }
    Ok(())
}

/// The answer to a query of the driver's own: rows with their lists, whose items come before them.
pub(crate) struct Answer {
    lists: Vec<ListItems>,
    /// How many of the lists have all their items.
    complete: usize,
    /// Bytes of all items that are not in their row yet.
    waiting: u64,
    rows: Rows,
}

/// The items of one list of all rows.
struct ListItems {
    /// `,"name":[`, as it stands before the items in a row.
    key: Vec<u8>,
    columns: Vec<Column>,
    /// The items of each row, by the row's first column.
    items: HashMap<Box<[u8]>, Vec<u8>>,
}

impl Answer {
    /// Nothing yet. All of it may have `limit` bytes.
    pub(crate) fn new(statement: &Statement, limit: u64) -> Self {
        let items = |name: &str| {
            let mut key = b",".to_vec();
            write_text(name.as_bytes(), &mut key);
            key.extend_from_slice(b":[");
            ListItems { key, columns: Vec::new(), items: HashMap::new() }
        };
        let lists = statement.lists.iter().map(|list| items(list.name)).collect();
        Self { lists, complete: 0, waiting: 0, rows: Rows::new(limit) }
    }

    /// The rows.
    pub(crate) fn into_rows(self) -> Rows {
        self.rows
    }
}

impl Receiver for Answer {
    fn describe(&mut self, columns: &RowDescriptionBody) -> io::Result<()> {
        match self.lists.get_mut(self.complete) {
            // The first one says which row an item belongs to.
            Some(list) => list.columns = read_columns(columns, 1)?,
            None => self.rows.columns = read_columns(columns, 0)?,
        }
        Ok(())
    }

    fn take(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        let first = row.ranges().next().map_err(|error| crate::errors::from_io(&error))?.flatten();
        let first = first.and_then(|range| row.buffer().get(range)).unwrap_or_default();
        if let Some(list) = self.lists.get_mut(self.complete) {
            let left = self.rows.limit.saturating_sub(self.waiting);
            let items = list.items.entry(first.into()).or_default();
            let before = items.len();
            if before > 0 {
                items.push(b',');
            } else {
                self.waiting += (first.len() + ITEM) as u64;
            }
            let limit = left + before as u64;
            write_fields(&list.columns, row, items, limit).map_err(|error| match error.code {
                ErrorCode::ResultTooLarge => DriverError::result_too_large(self.rows.limit),
                _ => error,
            })?;
            items.push(b'}');
            self.waiting += (items.len() - before) as u64;
        } else {
            self.rows.open_row(row)?;
            for list in &mut self.lists {
                let items = list.items.remove(first).unwrap_or_default();
                if !items.is_empty() {
                    self.waiting -= (items.len() + first.len() + ITEM) as u64;
                }
                self.rows.json.extend_from_slice(&list.key);
                self.rows.json.extend_from_slice(&items);
                self.rows.json.push(b']');
            }
            self.rows.close_row()?;
        }
        match self.rows.size() + self.waiting < self.rows.limit {
            true => Ok(()),
            false => Err(DriverError::result_too_large(self.rows.limit)),
        }
    }

    fn complete(&mut self, _: &str) -> Result<(), DriverError> {
        self.complete += 1;
        Ok(())
    }
}

/// What one statement of a caller's query answered.
#[derive(Debug)]
pub(crate) struct ResultSet {
    pub(crate) rows: Rows,
    /// The tag's words: `SELECT`, `CREATE TABLE`.
    pub(crate) command: String,
    /// The tag's last number; none where it has none.
    pub(crate) row_count: Option<u64>,
    /// Rows of it were left out, because `COPY` wrote them.
    pub(crate) leaves_out_copy: bool,
}

/// What all statements of a caller's query answered.
#[derive(Debug)]
pub(crate) struct ResultSets {
    /// Of the statements that are done.
    pub(crate) sets: Vec<ResultSet>,
    open: Rows,
    /// What all of them may have, in bytes.
    limit: u64,
    /// Only the last one that has rows is wanted.
    keeps_last: bool,
    leaves_out_copy: bool,
}

impl ResultSets {
    /// All of them.
    pub(crate) fn all(limit: u64) -> Self {
        let open = Rows::new(limit);
        Self { sets: Vec::new(), open, limit, keeps_last: false, leaves_out_copy: false }
    }

    /// The last one that has rows.
    pub(crate) fn last(limit: u64) -> Self {
        Self { keeps_last: true, ..Self::all(limit) }
    }

    /// Says that there is no room for what came: the limit that is set, and how large all of it is so far.
    fn too_large(&self, more: u64) -> DriverError {
        let size = self.limit - self.open.limit.min(self.limit) + self.open.size() + more;
        DriverError::result_too_large(self.limit).with(SIZE, size.max(self.limit + 1))
    }
}

impl Receiver for ResultSets {
    fn describe(&mut self, columns: &RowDescriptionBody) -> io::Result<()> {
        self.open.columns = read_columns(columns, 0)?;
        Ok(())
    }

    fn take(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        if self.keeps_last && self.open.count == 0 && !self.sets.is_empty() {
            self.sets.clear();
            self.open.limit = self.limit;
        }
        self.open.add(row).map_err(|error| match error.code {
            ErrorCode::ResultTooLarge => self.too_large(row.buffer().len() as u64),
            _ => error,
        })
    }

    fn complete(&mut self, tag: &str) -> Result<(), DriverError> {
        let columns: usize = self.open.columns.iter().map(|column| column.key.len() + COLUMN).sum();
        let size = self.open.size() + (columns + SET + tag.len()) as u64;
        let Some(left) = self.open.limit.checked_sub(size) else {
            return Err(self.too_large(0));
        };
        let leaves_out_copy = std::mem::take(&mut self.leaves_out_copy);
        let rows = std::mem::replace(&mut self.open, Rows::new(left));
        let words = tag.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
        let row_count = tag.rsplit(' ').next().and_then(|number| number.parse().ok());
        if !self.keeps_last || rows.count > 0 {
            self.sets.push(ResultSet { rows, command: words.to_owned(), row_count, leaves_out_copy });
        }
        Ok(())
    }

    fn leave_out_copy(&mut self) {
        self.leaves_out_copy = true;
    }
}

#[cfg(test)]
mod tests;
