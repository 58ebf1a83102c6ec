//! BSON inside a reply that is otherwise plain.

use crate::ejson::{self, Form};
use bson::RawDocument;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use studio_plugin_api::{DriverError, ErrorCode};

/// A document as Extended JSON, written already.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Extended(#[schemars(with = "serde_json::Map<String, serde_json::Value>")] Box<RawValue>);

impl Extended {
    /// Writes a document.
    ///
    /// # Errors
    /// As [`ejson::write_document`].
    pub(crate) fn new(document: &RawDocument, form: Form) -> Result<Self, DriverError> {
        let mut json = Vec::new();
        ejson::write_document(document, form, &mut json)?;
        serde_json::from_slice(&json).map(Self).map_err(|error| {
            DriverError::new(ErrorCode::DriverError, format!("a document has no JSON form: {error}"))
        })
    }
}
