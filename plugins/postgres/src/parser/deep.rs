//! Parsing within bounds: of what a text asks of the parser, and of what all calls together may take.

use super::measure::{self, Size};
use crate::room::{self, Room, Wanted};
use studio_plugin_api::DriverError;

/// Runs what makes a tree of a text: in place where it is small, and else on a thread, once there is room for it. What a
/// thread does not touch of its stack costs nothing.
///
/// # Errors
/// `VALIDATION_ERROR` for a text that is too large or nests too deeply, `DRIVER_ERROR` when there is no thread to have;
/// and those of `work`.
pub(crate) async fn run<T: Send + 'static>(
    sql: String,
    work: impl FnOnce(&str, &Wanted) -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    let (sql, size) = match measure::cost_of_measuring(&sql)? {
        None => {
            let size = Size::measure(&sql)?;
            (sql, size)
        }
        Some(bytes) => {
            room::run(Room::of(bytes), move |_| Size::measure(&sql).map(|size| (sql, size))).await?
        }
    };
    match size.cost_of_parsing()? {
        None => work(&sql, &Wanted::default()),
        Some(bytes) => room::run(Room::of(bytes), move |wanted| work(&sql, wanted)).await,
    }
}

/// What the parser says is wrong, without the words that `pg_query` puts before it.
pub(crate) fn message(error: pg_query::Error) -> String {
    match error {
        pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => message,
        other => other.to_string(),
    }
}
