//! Rows on their way from the wire into JSON.

mod columns;
mod sets;

pub(crate) use columns::{Column, Shape};
pub(crate) use sets::{ResultSet, ResultSets};

use crate::{
    json::{Kind, write_text},
    statement::Statement,
};
use columns::{Shown, read_columns};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};
use std::{collections::HashMap, io, ops::Range};
use studio_plugin_api::{DriverError, ErrorCode};

/// What a column takes of a reply besides its name, at the least; and an item of a list, to
/// find the row that it belongs to. All in bytes.
const COLUMN: usize = 48;
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

/// The rows of one statement as a JSON array, still open at its end.
#[derive(Debug)]
pub(crate) struct Rows {
    json: Vec<u8>,
    columns: Vec<Column>,
    shape: Shape,
    count: u64,
    /// Where in the JSON texts stand that may be arrays of a type that is not known yet, and the columns that they are of.
    open_arrays: Vec<(u32, u16)>,
    /// All of it is text in the encoding that was asked for.
    is_text: bool,
    /// What it may have, in bytes.
    limit: u64,
}

impl Rows {
    /// No rows yet, of no columns.
    pub(crate) fn new(limit: u64) -> Self {
        Self::shaped(Shape::PostgresMeta, limit)
    }

    fn shaped(shape: Shape, limit: u64) -> Self {
        Self {
            json: b"[".to_vec(),
            columns: Vec::new(),
            shape,
            count: 0,
            open_arrays: Vec::new(),
            is_text: true,
            limit,
        }
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

    /// Makes arrays of the texts in columns that are of arrays, as was found out since.
    pub(crate) fn close_arrays(&mut self, is_array: impl Fn(&Column) -> bool) {
        let of_arrays: Vec<bool> = self.columns.iter().map(is_array).collect();
        let mut json = Vec::new();
        let mut end = 0;
        for (start, column) in std::mem::take(&mut self.open_arrays) {
            let start = start as usize;
            let is_array = of_arrays.get(usize::from(column)).copied().unwrap_or_default();
            let mut texts = serde_json::Deserializer::from_slice(self.json.get(start..).unwrap_or_default())
                .into_iter::<String>();
            let Some(Ok(text)) = texts.next().filter(|_| is_array) else { continue };
            json.extend_from_slice(self.json.get(end..start).unwrap_or_default());
            Kind::exact_array_of_texts().write(Some(text.as_bytes()), &mut json);
            end = start + texts.byte_offset();
        }
        if end > 0 {
            json.extend_from_slice(self.json.get(end..).unwrap_or_default());
            self.json = json;
        }
    }

    fn is_ascii(&self) -> bool {
        self.json.is_ascii() && self.columns.iter().all(|column| column.name.is_ascii())
    }

    fn add(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        self.open_row(row)?;
        self.close_row()
    }

    /// Begins an object, or an array, with the row's columns.
    fn open_row(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        if self.count > 0 {
            self.json.push(b',');
        }
        let opening = self.shape.brackets().0;
        let open_arrays = &mut self.open_arrays;
        let mut mark = |start: usize, column: usize| {
            if let (Ok(start), Ok(column)) = (u32::try_from(start), u16::try_from(column)) {
                open_arrays.push((start, column));
            }
        };
        self.is_text &= write_fields(&self.columns, opening, row, &mut self.json, self.limit, &mut mark)?;
        Ok(())
    }

    fn close_row(&mut self) -> Result<(), DriverError> {
        self.json.push(self.shape.brackets().1);
        self.count += 1;
        match self.size() < self.limit {
            true => Ok(()),
            false => Err(DriverError::result_too_large(self.limit)),
        }
    }
}

/// Writes a row as a JSON object or array that is still open, into a buffer that may have `limit` bytes. Marks values
/// that may turn out to be arrays; the result is whether all values are text.
fn write_fields(
    columns: &[Column],
    opening: u8,
    row: &DataRowBody,
    json: &mut Vec<u8>,
    limit: u64,
    mark: &mut impl FnMut(usize, usize),
) -> Result<bool, DriverError> {
    let broken = |error: io::Error| crate::errors::from_io(&error);
    let buffer = row.buffer();
    let mut ranges = row.ranges();
    // Read when a column needs them.
    let mut all: Option<Vec<Option<Range<usize>>>> = None;
    let mut before = opening;
    let mut is_text = true;
    for (index, column) in columns.iter().enumerate() {
        let mut range = ranges.next().map_err(broken)?.flatten();
        let mut kind = column.kind;
        match column.shown {
            Shown::Itself => {}
            Shown::Later(later) => {
                let all = match &mut all {
                    Some(all) => all,
                    none => none.insert(row.ranges().collect().map_err(broken)?),
                };
                range = all.get(later).cloned().flatten();
                kind = columns.get(later).map_or(kind, |later| later.kind);
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
        if kind == Kind::Unknown && value.is_some_and(|value| matches!(value.first(), Some(b'{' | b'['))) {
            mark(json.len(), index);
        }
        is_text = is_text && value.is_none_or(|value| std::str::from_utf8(value).is_ok());
        kind.write(value, json);
    }
    if before == opening {
        json.push(before);
    }
    Ok(is_text)
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
            Some(list) => list.columns = read_columns(columns, 1, Shape::PostgresMeta)?,
            None => self.rows.columns = read_columns(columns, 0, Shape::PostgresMeta)?,
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
            let written = write_fields(&list.columns, b'{', row, items, limit, &mut |_, _| {});
            written.map_err(|error| match error.code {
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

#[cfg(test)]
mod tests;
