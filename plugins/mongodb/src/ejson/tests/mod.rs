mod arbitrary;
mod marks;
mod numbers;
mod properties;
mod refusals;
mod table;

pub(crate) use arbitrary::any_value;

use super::*;
use bson::{Bson, Document, RawBson, RawDocument, RawDocumentBuf};
use studio_plugin_api::{DriverError, ErrorCode};

fn write(value: &Bson, form: Form) -> String {
    let raw = RawBson::try_from(value.clone()).unwrap();
    let mut json = Vec::new();
    write_value(raw.as_raw_bson_ref(), form, &mut json).unwrap();
    String::from_utf8(json).unwrap()
}

fn read(json: &str) -> Bson {
    parse_value(json, "value").unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The bytes of a value, by which -0.0 is not 0.0 and NaN is NaN.
fn bytes(value: &Bson) -> Vec<u8> {
    RawDocumentBuf::try_from(&Document::from_iter([("v".to_owned(), value.clone())])).unwrap().into_bytes()
}

fn refused(json: &str) -> (String, String) {
    let error = parse_value(json, "value").map(|value| panic!("{json} was read as {value:?}")).unwrap_err();
    assert_eq!(error.code, ErrorCode::ValidationError, "{json}: {error}");
    (field(&error), error.message)
}

fn field(error: &DriverError) -> String {
    error.details["field"].as_str().unwrap().to_owned()
}

/// A document of these elements, whatever they are.
fn frame(elements: &[u8]) -> Vec<u8> {
    let length = u32::try_from(elements.len() + 5).unwrap();
    [&length.to_le_bytes(), elements, &[0]].concat()
}

fn write_bytes(document: &[u8], form: Form) -> Result<String, DriverError> {
    let mut json = Vec::new();
    write_document(RawDocument::from_bytes(document).unwrap(), form, &mut json)?;
    Ok(String::from_utf8(json).unwrap())
}
