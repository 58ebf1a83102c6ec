//! What the statements of a caller's query answered.

use super::{COLUMN, Receiver, Rows, Shape, columns::read_columns};
use crate::wire::SIZE;
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};
use std::io;
use studio_plugin_api::{DriverError, ErrorCode};

/// What a statement takes of a reply besides its rows, at the least, in bytes.
const SET: usize = 64;

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
    shape: Shape,
    leaves_out_copy: bool,
}

impl ResultSets {
    /// All of them; of [`Shape::PostgresMeta`] the last one that has rows.
    pub(crate) fn new(shape: Shape, limit: u64) -> Self {
        Self { sets: Vec::new(), open: Rows::shaped(shape, limit), limit, shape, leaves_out_copy: false }
    }

    fn keeps_last(&self) -> bool {
        self.shape == Shape::PostgresMeta
    }

    /// Whether all texts in those that are kept are in the encoding that was asked for, as far as can be told.
    pub(crate) fn are_readable(&self) -> bool {
        self.sets.iter().all(|set| set.rows.is_text)
    }

    /// Whether all texts in those that are kept are the same in nearly every encoding. This reads all of them.
    pub(crate) fn are_ascii(&self) -> bool {
        self.sets.iter().all(|set| set.rows.is_ascii())
    }

    /// Says that there is no room for what came: the limit that is set, and how large all of it is so far.
    fn too_large(&self, more: u64) -> DriverError {
        let size = self.limit - self.open.limit.min(self.limit) + self.open.size() + more;
        DriverError::result_too_large(self.limit).with(SIZE, size.max(self.limit + 1))
    }
}

impl Receiver for ResultSets {
    fn describe(&mut self, columns: &RowDescriptionBody) -> io::Result<()> {
        self.open.columns = read_columns(columns, 0, self.shape)?;
        Ok(())
    }

    fn take(&mut self, row: &DataRowBody) -> Result<(), DriverError> {
        if self.keeps_last() && self.open.count == 0 && !self.sets.is_empty() {
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
        let rows = std::mem::replace(&mut self.open, Rows::shaped(self.shape, left));
        let words = tag.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
        let row_count = tag.rsplit(' ').next().and_then(|number| number.parse().ok());
        if !self.keeps_last() || rows.count > 0 {
            self.sets.push(ResultSet { rows, command: words.to_owned(), row_count, leaves_out_copy });
        }
        Ok(())
    }

    fn leave_out_copy(&mut self) {
        self.leaves_out_copy = true;
    }
}
