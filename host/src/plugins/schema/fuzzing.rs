//! Checks any value against any schema, for a fuzz target.

use super::{Schema, check::Misfit};
use serde_json::Value;

/// Holds a value, which took so many bytes, to a schema: `None` where that takes too long, and else whether it fits.
///
/// # Errors
/// The number of parts that are no schemas.
pub(in crate::plugins) fn check_value(
    schema: &Value,
    value: &Value,
    bytes: usize,
) -> Result<Option<bool>, usize> {
    let schema = Schema::compile(schema).map_err(|faults| faults.len())?;
    Ok(match schema.check(value, bytes) {
        Ok(()) => Some(true),
        Err(Misfit::Field { .. }) => Some(false),
        Err(Misfit::TooMuch) => None,
    })
}
