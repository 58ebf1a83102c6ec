//! Reading JSON so that a struct is always an object there: serde alone takes an array for one as well, field by field,
//! which would let `[{}, true]` be a filter and a flag.

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor},
};
use std::fmt;

/// The words by which errors of [`Due`] end.
pub(crate) const EXPECTED: &str = ", expected an object";

/// A wrapper of anything that takes part in reading, so that everything inside it is read by the same rule.
pub(crate) struct Objects<T>(pub(crate) T);

/// The visitor of a struct, which accepts objects only.
struct Due<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Due<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(map))
    }
}

macro_rules! forward_deserialize {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Objects(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    forward_deserialize! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_seq deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Due(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Due(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Objects(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Objects(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Objects(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Objects(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Objects(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! forward_visit {
    ($($method:ident $type:ty;)*) => {$(
        fn $method<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    forward_visit! {
        visit_bool bool; visit_i8 i8; visit_i16 i16; visit_i32 i32; visit_i64 i64; visit_i128 i128;
        visit_u8 u8; visit_u16 u16; visit_u32 u32; visit_u64 u64; visit_u128 u128; visit_f32 f32; visit_f64 f64;
        visit_char char; visit_str &str; visit_borrowed_str &'de str; visit_string String;
        visit_bytes &[u8]; visit_borrowed_bytes &'de [u8]; visit_byte_buf Vec<u8>;
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(access))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Objects(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, variant) = self.0.variant_seed(Objects(seed))?;
        Ok((name, Objects(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Objects(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Due(visitor))
    }
}

#[cfg(test)]
mod tests {
    use crate::parameters::{from_body, from_json};
    use serde::Deserialize;

    #[test]
    fn struct_is_an_object_and_nothing_else_however_deep_it_stands() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Step {
            #[allow(dead_code)]
            Move { by: u32 },
            #[allow(dead_code)]
            Set(Inner),
            #[allow(dead_code)]
            Pair(u32, u32),
        }
        #[derive(Debug, Deserialize)]
        struct Inner {
            #[allow(dead_code)]
            ttl: u32,
        }
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Outer {
            #[allow(dead_code)]
            filter: Option<Box<Inner>>,
            #[allow(dead_code)]
            items: Vec<Inner>,
            #[allow(dead_code)]
            named: std::collections::BTreeMap<String, Inner>,
            #[allow(dead_code)]
            steps: Vec<Step>,
            #[allow(dead_code)]
            any: Option<serde_json::Value>,
            #[allow(dead_code)]
            raw: Option<Box<serde_json::value::RawValue>>,
        }
        let refused = |body: &str| {
            let error = from_body::<Outer>(body.as_bytes()).map(drop).unwrap_err();
            assert!(error.message.ends_with("must be an object"), "{body}: {}", error.message);
            error.details["field"].as_str().unwrap().to_owned()
        };
        for body in ["[]", "[{},true]", "[[1],[]]", "7", "true", "\"text\""] {
            assert_eq!(refused(body), "body", "{body}");
        }
        assert_eq!(refused(r#"{"filter":[1]}"#), "filter");
        assert_eq!(refused(r#"{"items":[{"ttl":1},[2]]}"#), "items[1]");
        assert_eq!(refused(r#"{"named":[]}"#), "named");
        assert_eq!(refused(r#"{"named":{"a":[1]}}"#), "named.a");
        assert_eq!(refused(r#"{"steps":[{"move":[1]}]}"#), "steps[0].move");
        assert_eq!(refused(r#"{"steps":[{"set":[1]}]}"#), "steps[0].set");
        let body = r#"{"filter":{"ttl":1},"items":[{"ttl":1}],"named":{"a":{"ttl":1}},
            "steps":[{"move":{"by":1}},{"set":{"ttl":1}},{"pair":[1,2]}],"any":[{},[1]],"raw":[1, 2]}"#;
        let outer: Outer = from_body(body.as_bytes()).unwrap();
        assert_eq!(outer.raw.unwrap().get(), "[1, 2]");
        assert_eq!(outer.any.unwrap(), serde_json::json!([{}, [1]]));
        assert_eq!(outer.steps.len(), 3);
        let error = from_json::<Outer>(serde_json::json!({"items": [[1]]}), "options").unwrap_err();
        assert_eq!(error.message, "`items[0]`: must be an object");
    }
}
