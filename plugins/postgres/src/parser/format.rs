//! SQL laid out anew.

use super::deep;
use crate::room::Wanted;
use sqlformat::{Dialect, FormatOptions, Indent, QueryParams};
use studio_plugin_api::DriverError;

/// Lays SQL out, a clause a line, in the manner of the formatter that postgres-meta has.
///
/// # Errors
/// `QUERY_ERROR` for what is not even made of SQL's words.
pub(super) fn format(sql: &str, wanted: &Wanted) -> Result<String, DriverError> {
    // The formatter takes anything, and lays out what follows an open quotation mark in its own way.
    pg_query::scan(sql).map_err(|error| DriverError::query("42601", deep::message(error)))?;
    wanted.check()?;
    if sql.trim().is_empty() {
        return Ok(String::new());
    }
    let options = FormatOptions {
        indent: Indent::Spaces(2),
        uppercase: None,
        lines_between_queries: 2,
        dialect: Dialect::PostgreSql,
        ..FormatOptions::default()
    };
    let mut formatted = sqlformat::format(sql, &QueryParams::None, &options);
    formatted.push('\n');
    Ok(formatted)
}
