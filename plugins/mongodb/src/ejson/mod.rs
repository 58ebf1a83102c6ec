//! MongoDB Extended JSON v2, both directions
//! (<https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>).
//!
//! **Written** from raw BSON in one pass. The relaxed form departs from the specification in one point, so that numbers
//! keep their type when a document is read, edited and written back: a number is bare only where it is read back as
//! the same BSON type, and where a client whose numbers are all doubles (JavaScript) sees the same value. An int64 that
//! would fit into an int32, or that is beyond ±(2⁵³ − 1), is therefore `{"$numberLong":"…"}`. Doubles always have a
//! fraction or an exponent.
//!
//! Servers store strings that are not UTF-8 without complaint. The relaxed form, which is for people, shows `U+FFFD`
//! for what is not text; the canonical form, which is for exact copies, is an error that names the field. A field's
//! name that is not UTF-8 is an error in both.
//!
//! **Read** are both forms, `$uuid`, and `$date` with bare milliseconds. A JSON object with a key of the specification's
//! table must be exactly that type's object; every other object stays a document, query operators and DBRefs too. What
//! would be lost silently is refused: duplicate keys, decimals of more than 34 digits, doubles beyond their range.
//! Extended JSON has no way to write a document whose own field names are keys of the table (`{"$oid":1}`).

mod read;
#[cfg(test)]
mod tests;
mod types;
mod write;

#[cfg(test)]
pub(crate) use tests::any_value;

pub(crate) use read::{List, Object, Value, parse_document, parse_value};
pub(crate) use write::{write_document, write_value};

use schemars::JsonSchema;
use serde::Deserialize;

/// Which of the two forms to write: the query parameter `ejson`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// Readable: plain JSON where that says the type.
    #[default]
    Relaxed,
    /// Exact: every number and date says its type.
    Canonical,
}
