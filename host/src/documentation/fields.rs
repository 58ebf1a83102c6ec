//! Finds the fields of a type and the variants of an enum, as their `Deserialize` asks for them.

use serde::{
    Deserialize,
    de::{
        Deserializer, Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer},
    },
    forward_to_deserialize_any,
};
use std::{cell::Cell, collections::BTreeSet};

/// Names that `Deserialize` told.
type Names = &'static [&'static str];

/// A type with names.
#[derive(Clone, Copy)]
enum Found {
    Fields(Names),
    Variants(Names),
}

/// Lists the dotted keys of a type's fields, and of the fields in them.
pub(super) fn keys<T: for<'de> Deserialize<'de>>() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut unseen: Vec<Vec<&'static str>> = vec![Vec::new()];
    while let Some(path) = unseen.pop() {
        let asked = Cell::new(None);
        let _ = T::deserialize(Asked { path: &path, found: &asked });
        match asked.get() {
            Some(Found::Fields(names)) => {
                unseen.extend(names.iter().map(|name| [&path[..], &[*name]].concat()))
            }
            Some(Found::Variants(_)) | None => drop(keys.insert(path.join("."))),
        }
    }
    keys
}

/// Lists the variants of an enum.
pub(super) fn variants<T: for<'de> Deserialize<'de>>() -> Names {
    let asked = Cell::new(None);
    let _ = T::deserialize(Asked { path: &[], found: &asked });
    match asked.get() {
        Some(Found::Variants(names)) => names,
        _ => panic!("{} is no enum", std::any::type_name::<T>()),
    }
}

/// Hands a type the one field that leads on along the path, and notes the names at the path's end.
struct Asked<'a> {
    path: &'a [&'static str],
    found: &'a Cell<Option<Found>>,
}

impl Asked<'_> {
    fn stop<T>(self, found: Found) -> Result<T, Error> {
        self.found.set(Some(found));
        Err(Error::custom("the names are known"))
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: Names,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path {
            [] => self.stop(Found::Fields(fields)),
            [first, rest @ ..] => {
                let field = (*first, Asked { path: rest, found: self.found });
                visitor.visit_map(MapDeserializer::new(std::iter::once(field)))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &str, names: Names, _: V) -> Result<V::Value, Error> {
        self.stop(Found::Variants(names))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a value"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de> for Asked<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[test]
fn fields_within_options_and_tables_are_listed_by_their_names() {
    #[derive(Deserialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    #[allow(dead_code)]
    enum Word {
        FirstWord,
        Second,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        #[serde(rename = "type")]
        kind: Word,
        list: Vec<String>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        number: u8,
        inner: Option<Inner>,
        table: std::collections::BTreeMap<String, u8>,
    }
    let found: Vec<_> = keys::<Outer>().into_iter().collect();
    assert_eq!(found, ["inner.list", "inner.type", "number", "table"]);
    assert_eq!(variants::<Word>(), ["FIRST_WORD", "SECOND"]);
}
