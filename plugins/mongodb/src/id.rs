//! Documents' ids as they stand in a path.
//!
//! 24 hexadecimal digits are an ObjectId, text that starts with `{` is Extended JSON, all else is a string, unless
//! `id_type` says otherwise. Some ids have neither form: booleans, null, strings that look like something else, and
//! strings that no path can carry. For those there is `{"$eq":…}`, in MongoDB's own word for "this very value"; no id is
//! a document like that, since MongoDB refuses ids whose fields start with `$`.

use crate::ejson::{self, Form};
use bson::{Binary, Bson, RawBsonRef, Uuid, doc, oid::ObjectId};
use schemars::JsonSchema;
use serde::Deserialize;
use std::str::FromStr;
use studio_plugin_api::{DriverError, ErrorCode};

/// What an id in a path is: the query parameter `id_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum IdType {
    /// Text, whatever it looks like.
    String,
    /// 24 hexadecimal digits.
    ObjectId,
    /// An int32.
    Int,
    /// An int64.
    Long,
    /// A UUID, binary subtype 4.
    Uuid,
}

/// Reads an id as it stands in a path, percent-decoded.
///
/// # Errors
/// `VALIDATION_ERROR` for the field `id` when the text is not what it looks like or what `id_type` says.
pub(crate) fn read_id(text: &str, id_type: Option<IdType>) -> Result<Bson, DriverError> {
    match id_type {
        Some(IdType::String) => Ok(Bson::String(text.to_owned())),
        Some(IdType::ObjectId) => parse(text, "24 hexadecimal digits", Bson::ObjectId),
        Some(IdType::Int) => parse(text, "a whole number from -2147483648 to 2147483647", Bson::Int32),
        Some(IdType::Long) => parse(text, "a whole number of 64 bits", Bson::Int64),
        Some(IdType::Uuid) => parse(text, "a UUID", |id: Uuid| Bson::Binary(Binary::from_uuid(id))),
        None if text.starts_with('{') => match ejson::parse_value(text, "id")? {
            Bson::Document(mut document) if document.len() == 1 && document.contains_key("$eq") => {
                Ok(document.remove("$eq").unwrap_or_default())
            }
            id => Ok(id),
        },
        None => Ok(ObjectId::from_str(text).map_or_else(|_| Bson::String(text.to_owned()), Bson::ObjectId)),
    }
}

/// Writes an id so that [`read_id`] without an `id_type` reads the same: an ObjectId as 24 digits, a string as it is if
/// a path can tell, and all else as canonical Extended JSON.
///
/// # Errors
/// `DRIVER_ERROR` when the server sent malformed BSON.
pub(crate) fn write_id(id: RawBsonRef<'_>) -> Result<String, DriverError> {
    match id {
        RawBsonRef::ObjectId(id) => return Ok(id.to_hex()),
        RawBsonRef::String(text) if is_told_apart(text) => return Ok(text.to_owned()),
        _ => {}
    }
    let mut json = Vec::new();
    ejson::write_value(id, Form::Canonical, &mut json)?;
    let json = String::from_utf8(json)
        .map_err(|error| DriverError::new(ErrorCode::DriverError, format!("an id is not text: {error}")))?;
    Ok(if json.starts_with('{') { json } else { format!(r#"{{"$eq":{json}}}"#) })
}

/// The filter for the document with this id and no other: an id that came from a caller may look like an operator.
pub(crate) fn filter_by_id(id: Bson) -> bson::Document {
    doc! { "_id": { "$eq": id } }
}

/// Whether a path with this text leads to this string. Clients resolve the segments `.` and `..`, however encoded.
fn is_told_apart(text: &str) -> bool {
    !text.starts_with('{') && !matches!(text, "" | "." | "..") && ObjectId::from_str(text).is_err()
}

fn parse<T: FromStr>(text: &str, wanted: &str, make: impl Fn(T) -> Bson) -> Result<Bson, DriverError> {
    text.parse()
        .map(make)
        .map_err(|_| DriverError::field("id", format!("must be {wanted}, as `id_type` says")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{RawBson, bson};
    use proptest::prelude::*;

    const HEX: &str = "5f0001a910ff070809abcdef";

    fn write(id: &Bson) -> String {
        write_id(RawBson::try_from(id.clone()).unwrap().as_raw_bson_ref()).unwrap()
    }

    #[test]
    fn a_paths_text_is_an_object_id_or_extended_json_or_a_string() {
        assert_eq!(read_id(HEX, None).unwrap(), Bson::ObjectId(HEX.parse().unwrap()));
        assert_eq!(read_id(&HEX.to_uppercase(), None).unwrap(), Bson::ObjectId(HEX.parse().unwrap()));
        assert_eq!(read_id("42", None).unwrap(), bson!("42"));
        assert_eq!(read_id("", None).unwrap(), bson!(""));
        assert_eq!(read_id(r#"{"$numberInt":"42"}"#, None).unwrap(), bson!(42));
        assert_eq!(read_id(r#"{"b":1,"a":[2.5]}"#, None).unwrap(), bson!({ "b": 1, "a": [2.5] }));
        assert_eq!(read_id(r#"{"$eq":true}"#, None).unwrap(), bson!(true));
        assert_eq!(read_id(r#"{"$oid":"x"}"#, None).unwrap_err().details["field"], "id");
    }

    #[test]
    fn id_type_settles_doubt() {
        let uuid = "c8edabc3-f738-4ca3-b68d-ab92a91478a3";
        assert_eq!(read_id(HEX, Some(IdType::String)).unwrap(), bson!(HEX));
        assert_eq!(read_id("{", Some(IdType::String)).unwrap(), bson!("{"));
        assert_eq!(read_id("-42", Some(IdType::Int)).unwrap(), bson!(-42));
        assert_eq!(read_id("42", Some(IdType::Long)).unwrap(), bson!(42_i64));
        let by_wrapper = read_id(&format!(r#"{{"$uuid":"{uuid}"}}"#), None).unwrap();
        assert_eq!(read_id(uuid, Some(IdType::Uuid)).unwrap(), by_wrapper);
        for (text, id_type) in [
            ("42", IdType::ObjectId),
            ("4.2", IdType::Int),
            ("2147483648", IdType::Int),
            ("9223372036854775808", IdType::Long),
            ("c8edabc3", IdType::Uuid),
        ] {
            let error = read_id(text, Some(id_type)).unwrap_err();
            assert_eq!(
                (error.code, error.details["field"].as_str()),
                (ErrorCode::ValidationError, Some("id"))
            );
        }
        assert_eq!(serde_json::from_str::<IdType>(r#""objectId""#).unwrap(), IdType::ObjectId);
    }

    #[test]
    fn ids_are_written_as_a_person_would() {
        assert_eq!(write(&Bson::ObjectId(HEX.parse().unwrap())), HEX);
        assert_eq!(write(&bson!("a/b c")), "a/b c");
        assert_eq!(write(&bson!(42)), r#"{"$numberInt":"42"}"#);
        assert_eq!(write(&bson!({ "a": 1 })), r#"{"a":{"$numberInt":"1"}}"#);
        assert_eq!(write(&bson!(HEX)), format!(r#"{{"$eq":"{HEX}"}}"#));
        assert_eq!(write(&bson!("{")), r#"{"$eq":"{"}"#);
        assert_eq!(write(&bson!("..")), r#"{"$eq":".."}"#);
        assert_eq!(write(&Bson::Null), r#"{"$eq":null}"#);
    }

    #[test]
    fn an_id_that_looks_like_an_operator_is_only_compared() {
        let id = read_id(r#"{"$ne":null}"#, None).unwrap();
        assert_eq!(filter_by_id(id), doc! { "_id": { "$eq": { "$ne": null } } });
    }

    proptest! {
        #[test]
        fn any_id_is_read_as_it_was_written(id in ejson::any_value()) {
            let read = read_id(&write(&id), None).unwrap();
            // By text, since NaN is not equal to itself.
            prop_assert_eq!(format!("{read:?}"), format!("{id:?}"));
        }

        #[test]
        fn any_string_is_read_as_it_was_written(text in prop_oneof![any::<String>(), "[0-9a-fA-F]{24}", "\\{.*", "\\.{0,3}"]) {
            prop_assert_eq!(read_id(&write(&bson!(text.clone())), None).unwrap(), bson!(text));
        }
    }
}
