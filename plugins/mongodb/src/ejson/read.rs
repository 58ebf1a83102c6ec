//! Extended JSON to BSON.
//!
//! `bson` has a conversion from `serde_json::Value`, which would be less code. It is not enough: by then the second of
//! two equal keys has replaced the first, decimals such as `""` or `.+1` and doubles such as `1e400` become numbers, errors
//! do not say where in the value they are, and text with the wrong type inside is taken for a document.

use super::types;
use crate::errors::shorten;
use bson::{Bson, Document};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};
use studio_plugin_api::DriverError;

/// Levels of documents and arrays that a value may have, MongoDB's documented limit. A type's object is no level.
const DEEPEST: usize = 100;
/// The values inside of each other that a field of a request may have. A value of two bytes in JSON takes a hundred in
/// memory, so that a body's own bound is none for this.
const MOST_VALUES: usize = 100_000;

/// Any Extended JSON value, as a field of a request body. A field that is `Option<Value>` takes JSON's `null` for `None`.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub(crate) struct Value(#[schemars(with = "serde_json::Value")] pub(crate) Bson);

/// An Extended JSON object that is a document, as a field of a request body.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub(crate) struct Object<const MOST: usize = MOST_VALUES>(
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")] pub(crate) Document,
);

/// Several of either, which together may have as many values inside as one.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(transparent)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// Reads a query parameter's text as any value.
///
/// # Errors
/// `VALIDATION_ERROR` whose field is `field` and the place inside the value, and which says what would be right.
pub(crate) fn parse_value(text: &str, field: &str) -> Result<Bson, DriverError> {
    parse::<Value>(text, field).map(|value| value.0)
}

/// Reads a query parameter's text as a document.
///
/// # Errors
/// As [`parse_value`].
pub(crate) fn parse_document(text: &str, field: &str) -> Result<Document, DriverError> {
    parse::<Object>(text, field).map(|object| object.0)
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str, field: &str) -> Result<T, DriverError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let not_json = |error: &serde_json::Error| {
        DriverError::validation(field, format!("`{field}` is not Extended JSON: {error}"))
    };
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if !error.inner().is_data() {
            return not_json(error.inner());
        }
        let place = match error.path().to_string() {
            path if path == "." => field.to_owned(),
            path if path.starts_with('[') => format!("{field}{path}"),
            path => format!("{field}.{path}"),
        };
        let message = error.inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        DriverError::field(&place, message)
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&mut Left::new(MOST_VALUES), deserializer)
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Object<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&mut Left::new(MOST), deserializer)
    }
}

impl<'de, T: Item> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Item> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let (mut list, mut left) = (Vec::new(), Left::new(MOST_VALUES));
                while let Some(item) = items.next_element_seed(One(&mut left, PhantomData))? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// What a [`List`] is of.
pub(crate) trait Item: Sized {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, or that there are too many values.
    fn read<'de, D: Deserializer<'de>>(left: &mut Left, deserializer: D) -> Result<Self, D::Error>;
}

impl Item for Value {
    fn read<'de, D: Deserializer<'de>>(left: &mut Left, deserializer: D) -> Result<Self, D::Error> {
        let value = Node(left).deserialize(deserializer)?;
        if levels(&value) > DEEPEST {
            return Err(Error::custom(format!("must not be nested over {DEEPEST} levels")));
        }
        Ok(Self(value))
    }
}

impl<const MOST: usize> Item for Object<MOST> {
    fn read<'de, D: Deserializer<'de>>(left: &mut Left, deserializer: D) -> Result<Self, D::Error> {
        match Value::read(left, deserializer)?.0 {
            Bson::Document(document) => Ok(Self(document)),
            other => Err(Error::custom(format!("must be an object, not {:?}", other.element_type()))),
        }
    }
}

/// Reads an item of a list.
struct One<'a, T>(&'a mut Left, PhantomData<T>);

impl<'de, T: Item> DeserializeSeed<'de> for One<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(self.0, deserializer)
    }
}

/// How many values there may still be.
pub(crate) struct Left {
    left: usize,
    most: usize,
}

impl Left {
    fn new(most: usize) -> Self {
        Self { left: most, most }
    }

    fn take<E: Error>(&mut self) -> Result<(), E> {
        let most = self.most;
        let too_many =
            || E::custom(format!("must have at most {most} values in it, those inside of others counted"));
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }
}

fn levels(value: &Bson) -> usize {
    match value {
        Bson::Document(document) => 1 + document.values().map(levels).max().unwrap_or_default(),
        Bson::Array(items) => 1 + items.iter().map(levels).max().unwrap_or_default(),
        Bson::JavaScriptCodeWithScope(code) => 1 + code.scope.values().map(levels).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Tells whether a number from 2⁶³ on is a double's: exactly, or as JavaScript and Rust write one, by the digits that tell
/// it from others and zeros.
fn is_double(number: u64) -> bool {
    // Of so large numbers, doubles are the multiples of 2¹¹.
    number.trailing_zeros() >= 11 || (number as f64).to_string() == number.to_string()
}

/// A value of any depth: `serde_json` stops at 128 levels, so that the stack is safe.
struct Node<'a>(&'a mut Left);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Bson;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bson, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Bson;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an Extended JSON value")
    }

    fn visit_unit<E>(self) -> Result<Bson, E> {
        Ok(Bson::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Bson, E> {
        Ok(Bson::Boolean(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Bson, E> {
        Ok(i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Bson, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) if is_double(number) => Ok(Bson::Double(number as f64)),
            Err(_) => Err(E::custom(format!(
                "{number} is no 64-bit integer, and a double would round it: write it as `$numberDecimal` or \
                 `$numberDouble`"
            ))),
        }
    }

    fn visit_f64<E>(self, number: f64) -> Result<Bson, E> {
        Ok(Bson::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Bson, E> {
        Ok(Bson::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Bson, E> {
        Ok(Bson::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bson, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Node(&mut *self.0))? {
            array.push(item);
        }
        Ok(Bson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Bson, A::Error> {
        match self.read_fields(fields, Names::MayMeanTypes)? {
            (document, true) => Ok(Bson::Document(document)),
            (object, false) => types::read(object).map_err(Error::custom),
        }
    }
}

/// A document whose own names mean no type.
struct Itself<'a>(&'a mut Left);

impl<'de> DeserializeSeed<'de> for Itself<'_> {
    type Value = Bson;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bson, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Itself<'_> {
    type Value = Bson;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object, the document itself")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Bson, A::Error> {
        Node(self.0).read_fields(fields, Names::AreFields).map(|(document, _)| Bson::Document(document))
    }
}

/// What an object's names are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    MayMeanTypes,
    AreFields,
}

impl Node<'_> {
    /// The fields of an object, and whether none of their names is a type's key.
    fn read_fields<'de, A: MapAccess<'de>>(
        self,
        mut fields: A,
        names: Names,
    ) -> Result<(Document, bool), A::Error> {
        let mut document = Document::new();
        let mut is_document = true;
        while let Some(name) = fields.next_key::<String>()? {
            if name.contains('\0') {
                return Err(Error::custom("the name of a field must not contain a NUL character"));
            }
            if document.contains_key(&name) {
                return Err(Error::custom(format!("duplicate field `{}`", shorten(&name))));
            }
            is_document &= !types::is_key(&name);
            let value = if name == types::DOCUMENT && names == Names::MayMeanTypes {
                fields.next_value_seed(Itself(&mut *self.0))?
            } else {
                fields.next_value_seed(Node(&mut *self.0))?
            };
            document.insert(name, value);
        }
        Ok((document, is_document))
    }
}
