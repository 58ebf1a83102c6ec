//! Rows on their way from the wire into JSON.

use crate::json::{Kind, write_text};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};
use std::{collections::HashMap, io};
use studio_plugin_api::DriverError;

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
    fn complete(&mut self, tag: &str);
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
    fn complete(&mut self, _: &str) {}
}

/// One column of a result.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    /// `"name":`, as it stands before each value.
    key: Vec<u8>,
    kind: Kind,
    /// Another column of the same name comes after it, whose value counts.
    is_hidden: bool,
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

    /// What they may have, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
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

    fn set_columns(&mut self, body: &RowDescriptionBody) -> io::Result<()> {
        self.columns.clear();
        let mut last = HashMap::new();
        let mut fields = body.fields();
        while let Some(field) = fields.next()? {
            let mut key = Vec::with_capacity(field.name().len() + 3);
            write_text(field.name().as_bytes(), &mut key);
            key.push(b':');
            last.insert(field.name().to_owned(), self.columns.len());
            self.columns.push(Column {
                name: field.name().to_owned(),
                type_oid: field.type_oid(),
                key,
                kind: Kind::of(field.type_oid()),
                is_hidden: false,
            });
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            column.is_hidden = last.get(&column.name) != Some(&index);
        }
        Ok(())
    }

    fn add(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        let buffer = row.buffer();
        let broken = |error: io::Error| crate::errors::from_io(&error);
        if self.count > 0 {
            self.json.push(b',');
        }
        self.json.push(b'{');
        let mut is_first = true;
        let mut ranges = row.ranges();
        for column in &self.columns {
            let range = ranges.next().map_err(broken)?.flatten();
            if column.is_hidden {
                continue;
            }
            if !is_first {
                self.json.push(b',');
            }
            is_first = false;
            self.json.extend_from_slice(&column.key);
            column.kind.write(range.and_then(|range| buffer.get(range)), &mut self.json);
        }
        self.json.push(b'}');
        self.count += 1;
        match self.size() < self.limit {
            true => Ok(()),
            false => Err(DriverError::result_too_large(self.limit)),
        }
    }
}

impl Receiver for Rows {
    fn describe(&mut self, columns: &RowDescriptionBody) -> io::Result<()> {
        self.set_columns(columns)
    }
    fn take(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        self.add(row)
    }
    fn complete(&mut self, _: &str) {}
}

/// What one statement of a caller's query answered.
#[derive(Debug)]
pub(crate) struct ResultSet {
    pub(crate) rows: Rows,
    /// The tag's words: `SELECT`, `CREATE TABLE`.
    pub(crate) command: String,
    /// The tag's last number; none where it has none.
    pub(crate) row_count: Option<u64>,
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
}

impl ResultSets {
    /// All of them.
    pub(crate) fn all(limit: u64) -> Self {
        Self { sets: Vec::new(), open: Rows::new(limit), limit, keeps_last: false }
    }

    /// The last one that has rows.
    pub(crate) fn last(limit: u64) -> Self {
        Self { keeps_last: true, ..Self::all(limit) }
    }
}

impl Receiver for ResultSets {
    fn describe(&mut self, columns: &RowDescriptionBody) -> io::Result<()> {
        self.open.set_columns(columns)
    }

    fn take(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        if self.keeps_last && self.open.count == 0 && !self.sets.is_empty() {
            self.sets.clear();
            self.open.limit = self.limit;
        }
        self.open.add(row)
    }

    fn complete(&mut self, tag: &str) {
        let left = self.open.limit.saturating_sub(self.open.size());
        let rows = std::mem::replace(&mut self.open, Rows::new(left));
        let words = tag.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
        let row_count = tag.rsplit(' ').next().and_then(|number| number.parse().ok());
        if !self.keeps_last || rows.count > 0 {
            self.sets.push(ResultSet { rows, command: words.to_owned(), row_count });
        }
    }
}
