//! Ways in for the fuzz targets (`fuzz/`), which see nothing else of this crate's inside.

pub use crate::guard::fuzzing::inspect;
pub use crate::parser::fuzzing::{deparse, format, parse};

/// Writes a value that a server sent as a text, of a type by its number, as JSON.
pub fn write_value(type_oid: u32, text: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    crate::json::Kind::of(type_oid).write(Some(text), &mut json);
    json
}
