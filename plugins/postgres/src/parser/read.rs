//! A statement's tree from libpg_query's JSON, as its message on the wire.

use super::{
    trees::{Field, Kind, Message, TREES},
    write::{ALL, ALL_OF_POSTGRES_META},
};
use serde_json::{Map, Value};

/// Encodes a message. What is wrong with it is said in a sentence.
pub(super) fn encode(kind: &Message, object: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    for (name, value) in object {
        let unknown = || match kind.name {
            "Node" => format!("Deparser does not handle node type: {name}"),
            other => format!("{other} has no {name}"),
        };
        let field = kind.field_named(name).ok_or_else(unknown)?;
        match (field.list, value) {
            (true, Value::Array(items)) => {
                for item in items {
                    encode_value(&mut wire, field, item)?;
                }
            }
            (false, value) => encode_value(&mut wire, field, value)?,
            (true, _) => return Err(format!("{}.{name} is not a list", kind.name)),
        }
    }
    Ok(wire)
}

fn encode_value(wire: &mut Vec<u8>, field: &Field, value: &Value) -> Result<(), String> {
    let wrong = || format!("{} is not what it should be", field.name);
    match (field.kind, value) {
        (Kind::Bool, Value::Bool(truth)) => put_number(wire, field, u64::from(*truth)),
        (Kind::Int, Value::Number(number)) => {
            // Numbers of objects go beyond what is positive in 32 bits.
            let number = number.as_i64().filter(|number| number.unsigned_abs() <= u64::from(u32::MAX));
            let number = match number.ok_or_else(wrong)? {
                ALL_OF_POSTGRES_META if field.name == "howMany" => ALL,
                number => number,
            };
            put_number(wire, field, number.cast_unsigned());
        }
        (Kind::Enumeration(place), Value::String(name)) => {
            put_number(wire, field, TREES.value_named(place, name).ok_or_else(wrong)?);
        }
        (Kind::Text, Value::String(text)) if !text.contains('\0') => put_bytes(wire, field, text.as_bytes()),
        (Kind::Message(place), Value::Object(object)) => {
            let kind = TREES.message(place).ok_or_else(wrong)?;
            let message = encode(kind, object).map_err(|error| match kind.name {
                "Node" => error,
                name => format!("Error deparsing {name}: {error}"),
            })?;
            put_bytes(wire, field, &message);
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn put_number(wire: &mut Vec<u8>, field: &Field, number: u64) {
    put_varint(wire, u64::from(field.number) << 3);
    put_varint(wire, number);
}

fn put_bytes(wire: &mut Vec<u8>, field: &Field, bytes: &[u8]) {
    put_varint(wire, u64::from(field.number) << 3 | 2);
    put_varint(wire, bytes.len() as u64);
    wire.extend_from_slice(bytes);
}

fn put_varint(wire: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        wire.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    wire.push(number as u8);
}
