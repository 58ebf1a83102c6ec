//! Ways in for the fuzz targets (`fuzz/`), which see nothing else of this crate's inside.

use crate::{
    ejson::{self, Form},
    guard, id,
    wire::Filter,
};
use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use studio_plugin_api::{Access, DriverError};

/// Reads Extended JSON, and gives the value as the BSON of a document with this one field, `v`.
///
/// # Errors
/// As any reading of a caller's value; also for what is too large to be BSON.
pub fn read_value(json: &str) -> Result<Vec<u8>, DriverError> {
    to_bytes(ejson::parse_value(json, "value")?)
}

/// Reads an id as it stands in a path, and gives it as [`read_value`] does.
///
/// # Errors
/// As for any id.
pub fn read_id(text: &str) -> Result<Vec<u8>, DriverError> {
    to_bytes(id::read_id(text, None)?)
}

/// Writes a server's document as Extended JSON. Nothing where it has not even a document's length.
///
/// # Errors
/// As any writing of a server's value.
pub fn write_document(bytes: &[u8], is_canonical: bool) -> Option<Result<Vec<u8>, DriverError>> {
    let document = RawDocument::from_bytes(bytes).ok()?;
    let mut json = Vec::new();
    let written = ejson::write_document(document, form(is_canonical), &mut json);
    Some(written.map(|()| json))
}

/// Writes the ids of a server's documents, each of these fields being one.
///
/// # Errors
/// As for any id.
pub fn write_ids(bytes: &[u8]) -> Option<Result<Vec<String>, DriverError>> {
    let document = RawDocument::from_bytes(bytes).ok()?;
    let ids = document.iter().filter_map(Result::ok).map(|(_, value)| id::write_id(value));
    Some(ids.collect())
}

/// Lets a server's bytes through to the client library, in pieces of this size, and tells whether they end
/// with a whole message.
///
/// # Errors
/// What is wrong with them, in words.
pub fn pass_messages(bytes: &[u8], piece: usize) -> Result<bool, &'static str> {
    let mut filter = Filter::default();
    for piece in bytes.chunks(piece.max(1)) {
        filter.check(piece).map_err(|breach| breach.0)?;
    }
    Ok(filter.is_between_messages())
}

/// Whether a viewer may ask this, given as Extended JSON: an array as a pipeline, an object as a filter.
///
/// # Errors
/// As the guard's, and for what is neither.
pub fn check(json: &str) -> Result<(), DriverError> {
    match ejson::parse_value(json, "value")? {
        Bson::Array(stages) => guard::check_pipeline("value", &stages, Access::Read).map(drop),
        Bson::Document(filter) => guard::check_filter("value", &filter),
        other => guard::check_update("value", &other),
    }
}

fn form(is_canonical: bool) -> Form {
    if is_canonical { Form::Canonical } else { Form::Relaxed }
}

fn to_bytes(value: Bson) -> Result<Vec<u8>, DriverError> {
    let document = Document::from_iter([("v".to_owned(), value)]);
    let raw = RawDocumentBuf::try_from(&document);
    raw.map(RawDocumentBuf::into_bytes)
        .map_err(|error| DriverError::validation("value", format!("`value` has no BSON: {error}")))
}
