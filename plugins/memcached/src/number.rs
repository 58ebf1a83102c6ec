//! Whole numbers of 64 bits in JSON.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::borrow::Cow;

/// Up to here a number is exact in JavaScript and everywhere else that counts in doubles.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A number from 0 to 2⁶⁴−1: a JSON number where that is exact for every reader, else a string of digits. Either form
/// may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whole(pub(crate) u64);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= MAX_SAFE { serializer.serialize_u64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Whole;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a whole number from 0 to 18446744073709551615")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Whole, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.then(|| text.parse().ok()).flatten();
                number.map(Whole).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

impl JsonSchema for Whole {
    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+$" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json, to_value};

    #[test]
    fn numbers_that_doubles_can_not_hold_are_strings() {
        assert_eq!(to_value(Whole(MAX_SAFE)).unwrap(), json!(9_007_199_254_740_991_u64));
        assert_eq!(to_value(Whole(MAX_SAFE + 1)).unwrap(), json!("9007199254740992"));
        for number in [0, 7, MAX_SAFE + 1, u64::MAX] {
            assert_eq!(from_value::<Whole>(to_value(Whole(number)).unwrap()).unwrap(), Whole(number));
            assert_eq!(from_value::<Whole>(json!(number)).unwrap(), Whole(number));
        }
        let bad = [
            json!(-1),
            json!(1.5),
            json!(""),
            json!("+1"),
            json!("1 v"),
            json!("18446744073709551616"),
            Value::Null,
        ];
        for value in bad {
            assert!(from_value::<Whole>(value.clone()).is_err(), "{value}");
        }
    }
}
