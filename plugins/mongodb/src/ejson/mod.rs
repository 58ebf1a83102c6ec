//! MongoDB Extended JSON v2, both directions
//! (<https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>).
//!
//! **Written** from raw BSON in one pass. The relaxed form departs from the specification in one point, so that numbers
//! keep their type when a document is read, edited and written back: a number is bare only where it is read back as
//! the same BSON type, and where a client whose numbers are all doubles (JavaScript) sees the same value. An int64 that
//! would fit into an int32, or that is beyond ±(2⁵³ − 1), is therefore `{"$numberLong":"…"}`. Doubles always have a
//! fraction or an exponent.
//!
//! **Read** are both forms, `$uuid`, and `$date` with bare milliseconds. A JSON object with a key of the specification's
//! table must be exactly that type's object; every other object stays a document, query operators and DBRefs too. What
//! would be lost silently is refused: duplicate keys, decimals of more than 34 digits, doubles beyond their range.
//!
//! Two keys are this gateway's own, in both forms, since the specification has no words for what servers store without
//! complaint. `{"$document":{…}}` is a document whose own fields have names of types, as a stored `{"$oid":"…"}`, and is
//! read back as just that; a document with an `_id` needs it not, since no type's object has one. `{"$inexact":{…}}`
//! stands where JSON can't say what there is, with a `reason` and all that can be shown: text and names that are not
//! UTF-8, two fields of one name, old binary values with a wrong length inside. It is never read back, so that an edit of
//! what was shown can't save the loss.

mod elements;
mod mark;
pub(crate) mod parts;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod types;
mod write;

#[cfg(test)]
pub(crate) use tests::any_value;

pub(crate) use read::{List, Object, Value, parse_document, parse_value};
pub(crate) use write::{write_document, write_document_within, write_value};

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
