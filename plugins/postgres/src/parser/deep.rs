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
    let (sql, size) = measured(sql).await?;
    match size.cost_of_parsing()? {
        None => work(&sql, &Wanted::default()),
        Some(bytes) => room::run(Room::of(bytes), move |wanted| work(&sql, wanted)).await,
    }
}

/// Runs what makes a tree of a text that is small enough to be parsed in place; nothing where it is not, or where `work`
/// fails.
pub(crate) fn run_if_small<T>(sql: &str, work: impl FnOnce(&str) -> Result<T, DriverError>) -> Option<T> {
    if measure::cost_of_measuring(sql).ok()?.is_some() {
        return None;
    }
    match Size::measure(sql).ok()?.cost_of_parsing() {
        Ok(None) => work(sql).ok(),
        Ok(Some(_)) | Err(_) => None,
    }
}

/// As [`run`], for what is made of a text without a tree, in a time that grows with the product of its words and bytes.
///
/// # Errors
/// As [`run`].
pub(super) async fn run_slowly<T: Send + 'static>(
    sql: String,
    work: impl FnOnce(&str, &Wanted) -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    let (sql, size) = measured(sql).await?;
    match size.takes_long_to_lay_out(&sql)? {
        false => work(&sql, &Wanted::default()),
        true => room::run(Room::one_by_one(), move |wanted| work(&sql, wanted)).await,
    }
}

async fn measured(sql: String) -> Result<(String, Size), DriverError> {
    match measure::cost_of_measuring(&sql)? {
        None => Size::measure(&sql).map(|size| (sql, size)),
        Some(bytes) => room::run(Room::of(bytes), move |_| Size::measure(&sql).map(|size| (sql, size))).await,
    }
}

/// What the parser says is wrong, without the words that `pg_query` puts before it.
pub(crate) fn message(error: pg_query::Error) -> String {
    match error {
        pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => message,
        other => other.to_string(),
    }
}
