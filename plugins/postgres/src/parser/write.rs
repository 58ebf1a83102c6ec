//! A statement's tree as libpg_query's JSON, from its message on the wire.

use super::{
    node::{take_bytes, take_number},
    trees::{Field, Kind, Message, TREES},
};
use studio_plugin_api::{DriverError, ErrorCode};

/// Fields that libpg_query has got since the version whose trees postgres-meta answers with.
const NEWER: &[&str] = &["arg_location", "conninfo_location", "payload_location"];

/// How many rows `FETCH ALL` fetches, which is the largest number that there is; and where postgres-meta's parser runs, that
/// is this one.
pub(super) const ALL: i64 = i64::MAX;
pub(super) const ALL_OF_POSTGRES_META: i64 = i32::MAX as i64;

/// Writes a tree whose outermost message has this name.
pub(super) fn write_json(name: &str, message: &[u8]) -> Result<Vec<u8>, DriverError> {
    let mut json = Vec::with_capacity(message.len() * 4);
    TREES.message_named(name).and_then(|kind| write_message(&mut json, kind, message)).ok_or_else(|| {
        DriverError::new(ErrorCode::DriverError, "the parser gave a tree that is not known")
    })?;
    Ok(json)
}

/// Nothing when a message is not what the table says.
fn write_message(json: &mut Vec<u8>, kind: &Message, mut wire: &[u8]) -> Option<()> {
    json.push(b'{');
    let mut list: Option<u32> = None;
    let mut first = true;
    while !wire.is_empty() {
        let key = take_number(&mut wire)?;
        let field = kind.field(u32::try_from(key >> 3).ok()?)?;
        if NEWER.contains(&field.name) {
            take_number(&mut wire)?;
            continue;
        }
        if list != Some(field.number) {
            if list.take().is_some() {
                json.push(b']');
            }
            if !first {
                json.push(b',');
            }
            write_text(json, field.name)?;
            json.push(b':');
            if field.list {
                json.push(b'[');
                list = Some(field.number);
            }
        } else {
            json.push(b',');
        }
        first = false;
        write_value(json, field, key & 7, &mut wire)?;
    }
    if list.is_some() {
        json.push(b']');
    }
    // The wire leaves an empty text out; here libpg_query does not.
    if first && kind.name == "String" {
        json.extend_from_slice(br#""sval":"""#);
    }
    json.push(b'}');
    Some(())
}

fn write_value(json: &mut Vec<u8>, field: &Field, wire_type: u64, wire: &mut &[u8]) -> Option<()> {
    match (field.kind, wire_type) {
        (Kind::Bool, 0) => json.extend_from_slice(if take_number(wire)? == 0 { b"false" } else { b"true" }),
        // A negative number travels as the 64-bit number that has its bits.
        (Kind::Int, 0) => {
            let number = match take_number(wire)?.cast_signed() {
                ALL => ALL_OF_POSTGRES_META,
                number => number,
            };
            json.extend_from_slice(number.to_string().as_bytes());
        }
        (Kind::Enumeration(place), 0) => write_text(json, TREES.value_name(place, take_number(wire)?)?)?,
        (Kind::Text, 2) => write_text(json, std::str::from_utf8(take_bytes(wire)?).ok()?)?,
        // The wire leaves what is false out; as a node of its own, libpg_query does not.
        (Kind::Message(_), 2) if field.name == "Boolean" && wire.first() == Some(&0) => {
            take_bytes(wire)?;
            json.extend_from_slice(br#"{"boolval":false}"#);
        }
        (Kind::Message(place), 2) => write_message(json, TREES.message(place)?, take_bytes(wire)?)?,
        _ => return None,
    }
    Some(())
}

fn write_text(json: &mut Vec<u8>, text: &str) -> Option<()> {
    serde_json::to_writer(json, text).ok()
}
