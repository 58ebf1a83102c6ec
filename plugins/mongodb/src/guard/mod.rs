//! What may not be asked of the server: its JavaScript, by anyone; and what a caller's role does not cover.
//!
//! JavaScript is found by looking at every key at every depth (`walk.rs`), not by knowing where MongoDB evaluates what:
//! a key that names a forbidden operator, or only looks like one (`keys.rs`), is refused wherever it stands. The one
//! exemption is what stands under `$literal`. A BSON value of type Code is no more than a value: MongoDB runs it only
//! under the operators that are refused.
//!
//! Roles concern stages of pipelines (`pipeline.rs`).

mod keys;
mod pipeline;
mod walk;

pub(crate) use pipeline::Effect;

use bson::{Bson, Document};
use studio_plugin_api::prelude::*;
use walk::{Path, Watch};

/// Refuses JavaScript in a document that the server reads as anything but a pipeline or an update: a filter, projection,
/// sort, array filter, validator, partial index's filter, the options of a collection or an index.
///
/// # Errors
/// `FORBIDDEN` with `details.operator` and `details.field`, the operator's place in dots and brackets below `field`;
/// `VALIDATION_ERROR` for more than 100 levels or NUL in a key.
pub(crate) fn check_filter(field: &str, filter: &Document) -> Result<(), DriverError> {
    walk::check_document(filter, &Path::Field(field), Watch::JavaScript)
}

/// Refuses JavaScript in an update: a document of update operators, or an array of pipeline stages.
///
/// # Errors
/// As [`check_filter`] and [`check_pipeline`]; `VALIDATION_ERROR` where it is neither a document nor an array.
pub(crate) fn check_update(field: &str, update: &Bson) -> Result<(), DriverError> {
    match update {
        Bson::Document(operators) => check_filter(field, operators),
        // Whatever the role, the stages of an update read the document at hand.
        Bson::Array(stages) => pipeline::check(field, stages, Access::Read).map(drop),
        _ => {
            let message = format!("`{field}`: must be an object of update operators, or an array of stages");
            Err(DriverError::validation(field, message))
        }
    }
}

/// Refuses JavaScript in a pipeline, and what the caller's role does not cover; tells whether the pipeline writes.
///
/// # Errors
/// As [`check_filter`]; `FORBIDDEN` for `$out` and `$merge` by a viewer, and below admin for stages that look beyond
/// collections and for the server's own databases; `VALIDATION_ERROR` for stages that never end, for what is not a
/// stage, for more than 1000 of them, and for names that MongoDB does not accept.
pub(crate) fn check_pipeline(field: &str, pipeline: &[Bson], granted: Access) -> Result<Effect, DriverError> {
    pipeline::check(field, pipeline, granted)
}

/// Refuses in a view's pipeline what no viewer may ask, whoever defines it: viewers will read the view.
///
/// # Errors
/// As [`check_pipeline`] for a viewer.
pub(crate) fn check_view(field: &str, pipeline: &[Bson]) -> Result<(), DriverError> {
    pipeline::check(field, pipeline, Access::Read).map(drop)
}

#[cfg(test)]
mod tests;
