//! What the parser's operations do with a text, for fuzz targets.

use super::{deep, deparse as trees, format as layout, write_tree};
use studio_plugin_api::DriverError;

/// Makes a tree, in JSON, SQL.
///
/// # Errors
/// As `/query/deparse`.
pub async fn deparse(tree: String) -> Result<String, DriverError> {
    trees::run(tree).await
}

/// Makes SQL a tree, in JSON.
///
/// # Errors
/// As `/query/parse`.
pub async fn parse(sql: String) -> Result<Vec<u8>, DriverError> {
    deep::run(sql, write_tree).await
}

/// Lays SQL out.
///
/// # Errors
/// As `/query/format`.
pub async fn format(sql: String) -> Result<String, DriverError> {
    deep::run(sql, layout::format).await
}
