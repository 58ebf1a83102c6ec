//! Parts of a server's document, of which others may be something that `bson` does not read.

use super::elements::{Elements, take_string};
use bson::{RawDocument, RawDocumentBuf};
use studio_plugin_api::DriverError;

/// The text of a field, with `U+FFFD` for what is not UTF-8; nothing where there is none.
pub(crate) fn text(document: &RawDocument, name: &str) -> Option<String> {
    let mut elements = Elements::of(document.as_bytes()).ok()?.map_while(Result::ok);
    let found = elements.find(|element| element.name == name.as_bytes() && element.kind == 0x02)?;
    Some(String::from_utf8_lossy(take_string(found.value).ok()?.0).into_owned())
}

/// The document without the fields of these names.
///
/// # Errors
/// `DRIVER_ERROR` when the bytes are not BSON.
pub(crate) fn without(document: &RawDocument, names: &[&str]) -> Result<RawDocumentBuf, DriverError> {
    let mut bytes = vec![0; 4];
    for element in Elements::of(document.as_bytes())? {
        let element = element?;
        if names.iter().all(|name| name.as_bytes() != element.name) {
            bytes.push(element.kind);
            bytes.extend_from_slice(element.name);
            bytes.push(0);
            bytes.extend_from_slice(element.value);
        }
    }
    bytes.push(0);
    let length = i32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    if let Some(place) = bytes.first_chunk_mut() {
        *place = length;
    }
    RawDocumentBuf::from_bytes(bytes).map_err(super::write::malformed)
}
