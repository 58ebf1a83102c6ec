//! The guard's part that asks no server, for fuzz targets.

use super::inspect;
use crate::parser::deep;
use studio_plugin_api::DriverError;

/// Looks at a viewer's text, and gives the names that it calls.
///
/// # Errors
/// As the guard's.
pub async fn inspect(sql: String) -> Result<Vec<String>, DriverError> {
    let mentioned = deep::run(sql, inspect::inspect).await?;
    Ok(mentioned.called.into_iter().map(|called| called.name).collect())
}
