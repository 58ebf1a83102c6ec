//! Values in request bodies: from JSON to what Redis stores.
//!
//! | JSON | becomes |
//! | --- | --- |
//! | string, number, boolean | a string; a number or boolean as its JSON text |
//! | object | a hash |
//! | array of strings, numbers, booleans | a list, or a set with `type: "set"` |
//! | array of `{member, score}` | a sorted set; `score` a number, or `"inf"`, `"-inf"` |
//! | array of `{id?, fields}` | a stream; all ids or none, rising; a field's value may be an array to repeat it |
//!
//! Nested objects, arrays and null have no place in Redis: they are refused, not turned into text behind the caller's
//! back. Numbers are kept as written: `1.50` stays `1.50`, and integers of any length keep every digit.
//!
//! A value has as many parts as a command of Redis may have arguments. A field of a stream's entry that is repeated is
//! written once in JSON and many times to Redis: what that may come to is bounded by the length of the JSON.

mod score;

use super::KeyType;
use crate::{errors, json_bytes::Text};
use schemars::JsonSchema;
use score::Score;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, cell::Cell, fmt};
use studio_plugin_api::{DriverError, encoding::Encoding, parameters};

/// Arguments of a command are as many at most, and some of them are the driver's own.
const MAX_PARTS: usize = (1 << 20) - 64;
/// So many times the length of its JSON all parts of a value may have together: fewer where memory is an instance's.
const MAX_GROWTH: usize = if cfg!(target_family = "wasm") { 3 } else { 16 };

/// Bytes of a field's path in an error.
const LONGEST_FIELD: usize = 256;

/// A value as it stands in the body.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonValue(Box<RawValue>);

impl JsonSchema for JsonValue {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number", "boolean", "object", "array"],
            "description": "string; object: a hash; array: a list, or by `type` a set, a sorted set of \
                {member, score}, or a stream of {id?, fields}"
        })
    }
}

/// A value to store.
#[derive(Debug, PartialEq)]
pub(crate) struct NewValue {
    /// The types that it fits, the first being what it is unless the key or the caller says otherwise.
    pub(crate) fits: &'static [KeyType],
    /// What follows the key in the command that writes it; for a stream, each entry's id, count of names and values,
    /// and these, one entry after the other.
    pub(crate) arguments: Vec<Vec<u8>>,
}

impl NewValue {
    /// Reads a value. `wanted` is the body's `type`; `field` is where the value stands, for errors.
    pub(crate) fn read(
        json: &JsonValue,
        wanted: Option<KeyType>,
        encoding: Option<Encoding>,
        field: &str,
    ) -> Result<Self, DriverError> {
        let room = json.0.get().len().saturating_mul(MAX_GROWTH);
        let reader = Reader {
            encoding: encoding.unwrap_or_default(),
            parts: Cell::new(MAX_PARTS),
            room: Cell::new(room),
        };
        let mut value = match Shape::of(&json.0) {
            Shape::Object(pairs) => reader.hash(pairs, field)?,
            Shape::Array(items) => reader.array(items, wanted, field)?,
            Shape::Scalar => {
                let arguments = vec![reader.scalar(&json.0, field)?];
                Self { fits: &[KeyType::String], arguments }
            }
        };
        if value.arguments.is_empty() {
            return Err(refuse(field, "must not be empty: Redis has no empty collections"));
        }
        if let Some(wanted) = wanted {
            let fitting = value.fits.iter().position(|fit| *fit == wanted);
            value.fits = fitting.and_then(|place| value.fits.get(place..=place)).ok_or_else(|| {
                let shape = value.fits.first().map_or("value", |fit| fit.name());
                refuse(
                    field,
                    &format!("has the form of a {shape}, which does not fit type `{}`", wanted.name()),
                )
            })?;
        }
        Ok(value)
    }

    /// What it becomes where nothing else says.
    pub(crate) fn key_type(&self) -> KeyType {
        self.fits.first().copied().unwrap_or(KeyType::String)
    }
}

/// A JSON text one level deep: the parts stay unread, so that names keep their order and numbers their text.
enum Shape<'a> {
    Object(Vec<(String, &'a RawValue)>),
    Array(Vec<&'a RawValue>),
    Scalar,
}

impl<'a> Shape<'a> {
    fn of(json: &'a RawValue) -> Self {
        // The text is whole JSON already: what does not read as the one is the other.
        match json.get().trim_start().as_bytes().first() {
            Some(b'{') => {
                serde_json::from_str(json.get()).map_or(Self::Scalar, |Pairs(pairs)| Self::Object(pairs))
            }
            Some(b'[') => {
                serde_json::from_str(json.get()).map_or(Self::Scalar, |Items(items)| Self::Array(items))
            }
            _ => Self::Scalar,
        }
    }
}

/// The items of an array; of too many of them so many as show it.
struct Items<'a>(Vec<&'a RawValue>);

impl<'a, 'de: 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Items<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    if items.len() <= MAX_PARTS {
                        items.push(item);
                    }
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(InOrder)
    }
}

struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'a, 'de: 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    // One too many tells enough.
                    if pairs.len() <= MAX_PARTS {
                        pairs.push(pair);
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberItem<'a> {
    #[serde(borrow)]
    member: &'a RawValue,
    score: Score,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryItem<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    fields: Pairs<'a>,
}

struct Reader {
    encoding: Encoding,
    /// How many parts there may still be, and how many bytes.
    parts: Cell<usize>,
    room: Cell<usize>,
}

impl Reader {
    /// A part of so many bytes is to be sent.
    fn count(&self, bytes: usize, field: &str) -> Result<(), DriverError> {
        let parts = self.parts.get().checked_sub(1);
        let parts = parts.ok_or_else(|| too_many(field))?;
        let room = self.room.get().checked_sub(bytes);
        let room = room.ok_or_else(|| refuse(field, "is repeated too often for its length"))?;
        self.parts.set(parts);
        self.room.set(room);
        Ok(())
    }

    fn decode(&self, text: Cow<'_, str>, field: &str) -> Result<Vec<u8>, DriverError> {
        self.count(text.len(), field)?;
        match self.encoding {
            // What is a copy already is not copied once more.
            Encoding::Utf8 => Ok(text.into_owned().into_bytes()),
            Encoding::Base64 => self.encoding.decode(&text, field),
        }
    }

    fn scalar(&self, json: &RawValue, field: &str) -> Result<Vec<u8>, DriverError> {
        let text = json.get().trim();
        match text.as_bytes().first() {
            Some(b'"') => {
                let text: Text<'_> =
                    serde_json::from_str(text).map_err(|_| refuse(field, "is not a JSON string"))?;
                self.decode(text.0, field)
            }
            Some(b'{' | b'[') => {
                Err(refuse(field, "must be a string, number or boolean: Redis has no nested values"))
            }
            Some(b'n') | None => Err(refuse(field, "must be a string, number or boolean: Redis has no null")),
            _ => {
                self.count(text.len(), field)?;
                Ok(text.as_bytes().to_vec())
            }
        }
    }

    fn hash(&self, pairs: Vec<(String, &RawValue)>, field: &str) -> Result<NewValue, DriverError> {
        // Before any of them is copied.
        if pairs.len() > MAX_PARTS / 2 {
            return Err(too_many(field));
        }
        let mut arguments = Vec::with_capacity(pairs.len() * 2);
        for (name, value) in pairs {
            let place = format!("{field}.{name}");
            arguments.push(self.decode(name.into(), &place)?);
            arguments.push(self.scalar(value, &place)?);
        }
        Ok(NewValue { fits: &[KeyType::Hash], arguments })
    }

    fn array(
        &self,
        items: Vec<&RawValue>,
        wanted: Option<KeyType>,
        field: &str,
    ) -> Result<NewValue, DriverError> {
        // Before any of them is copied.
        if items.len() > MAX_PARTS {
            return Err(too_many(field));
        }
        let Some(first) = items.first() else {
            return Ok(NewValue { fits: &[KeyType::List, KeyType::Set], arguments: Vec::new() });
        };
        // Whether objects are members or entries is told by the type, else by the first one's names.
        let is_entry = match (wanted, Shape::of(first)) {
            (Some(KeyType::Zset), _) => Some(false),
            (Some(KeyType::Stream), _) => Some(true),
            (_, Shape::Object(pairs)) => Some(pairs.iter().any(|(name, _)| name == "fields")),
            _ => None,
        };
        match is_entry {
            Some(true) => self.stream(&items, field),
            Some(false) => self.sorted_set(&items, field),
            None => {
                let scalars = items.iter().enumerate();
                let arguments = scalars.map(|(place, item)| self.scalar(item, &format!("{field}[{place}]")));
                Ok(NewValue {
                    fits: &[KeyType::List, KeyType::Set],
                    arguments: arguments.collect::<Result<_, _>>()?,
                })
            }
        }
    }

    fn sorted_set(&self, items: &[&RawValue], field: &str) -> Result<NewValue, DriverError> {
        let mut arguments = Vec::with_capacity(items.len() * 2);
        for (place, item) in items.iter().enumerate() {
            let place = format!("{field}[{place}]");
            let item: MemberItem<'_> = read_item(item, &place, "{member, score}")?;
            self.count(item.score.0.len(), &place)?;
            arguments.push(item.score.0.into_bytes());
            arguments.push(self.scalar(item.member, &format!("{place}.member"))?);
        }
        Ok(NewValue { fits: &[KeyType::Zset], arguments })
    }

    fn stream(&self, items: &[&RawValue], field: &str) -> Result<NewValue, DriverError> {
        let mut arguments = Vec::new();
        let mut last = Some((0, 0));
        for (place, item) in items.iter().enumerate() {
            let place = format!("{field}[{place}]");
            let item: EntryItem<'_> = read_item(item, &place, "{id?, fields}")?;
            // A wrong id would be refused by the server halfway through the write.
            let id = item.id.as_deref().filter(|id| *id != "*");
            let number = id.map(|id| entry_id(id, &format!("{place}.id"))).transpose()?;
            if arguments.is_empty() && number.is_none() {
                last = None;
            }
            match (last, number) {
                (None, None) => arguments.push(b"*".to_vec()),
                (Some(before), Some(now)) if now > before => {
                    last = Some(now);
                    arguments.push(format!("{}-{}", now.0, now.1).into_bytes());
                }
                (Some(_), Some(_)) => {
                    return Err(refuse(
                        &format!("{place}.id"),
                        "ids must rise from entry to entry, from 0-1 up",
                    ));
                }
                _ => return Err(refuse(&format!("{place}.id"), "either all entries have an id or none has")),
            }
            let mut fields = Vec::with_capacity(item.fields.0.len() * 2);
            for (name, value) in item.fields.0 {
                let place = format!("{place}.fields.{name}");
                let name = self.encoding.decode(&name, &place)?;
                let values = match Shape::of(value) {
                    Shape::Array(values) => values,
                    _ => vec![value],
                };
                for value in values {
                    self.count(name.len(), &place)?;
                    fields.push(name.clone());
                    fields.push(self.scalar(value, &place)?);
                }
            }
            if fields.is_empty() {
                return Err(refuse(&format!("{place}.fields"), "must not be empty"));
            }
            arguments.push(fields.len().to_string().into_bytes());
            arguments.append(&mut fields);
        }
        Ok(NewValue { fits: &[KeyType::Stream], arguments })
    }
}

fn read_item<'a, T: Deserialize<'a>>(item: &'a RawValue, place: &str, form: &str) -> Result<T, DriverError> {
    parameters::from_part(item.get()).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        refuse(place, &format!("must be {form}: {message}"))
    })
}

pub(super) fn entry_id(text: &str, field: &str) -> Result<(u64, u64), DriverError> {
    let (time, sequence) = text.split_once('-').unwrap_or((text, "0"));
    match (time.parse(), sequence.parse()) {
        (Ok(time), Ok(sequence)) if !text.contains('+') => Ok((time, sequence)),
        _ => Err(refuse(field, "must be like 1526919030474-0")),
    }
}

fn too_many(field: &str) -> DriverError {
    refuse(field, &format!("may have {MAX_PARTS} parts"))
}

fn refuse(field: &str, message: &str) -> DriverError {
    // A name in it may be megabytes.
    let field = errors::start(field, LONGEST_FIELD);
    DriverError::field(field, message)
}

#[cfg(test)]
mod tests;
