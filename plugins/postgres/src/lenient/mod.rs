//! How postgres-meta takes what its callers write. Under `pg-meta/`, fields of bodies and query parameters are first made
//! what their structs say that they are, by the structs' schemas, and then read as under `postgres/`, where nothing is
//! taken for anything else. Where postgres-meta validates, it takes a text for a number and null for false; where it does
//! not, JavaScript says what is true, and what the text of something is.

mod checked;
pub(crate) mod javascript;
mod plain;
mod query;
mod schema;

pub(crate) use schema::{FALSE_IS_ABSENT, FALSE_IS_NULL, SQL, SQL_BOOLEAN, TEXT_OR_ABSENT};

use crate::{extent, prefix::Prefix};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, Visitor},
};
use serde_json::Value;
use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};
use studio_plugin_api::parameters;

/// How postgres-meta reads a part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// After its validator, which takes what it can for what it wants.
    Checked,
    /// As it is.
    Plain,
}

/// A part of some requests.
pub(crate) trait Part: 'static {
    /// How postgres-meta reads it.
    const READING: Reading;
}

/// What is read as it is.
pub(crate) struct Unchecked;

impl Part for Unchecked {
    const READING: Reading = Reading::Plain;
}

macro_rules! read_by_face {
    ($(#[$docs:meta])* $name:ident, $read:ident) => {
        $(#[$docs])*
        pub(crate) struct $name<F, P, T> {
            value: T,
            part: PhantomData<fn() -> (F, P)>,
        }

        impl<F, P, T> Deref for $name<F, P, T> {
            type Target = T;
            fn deref(&self) -> &T {
                &self.value
            }
        }

        impl<'de, F: Prefix, P: Part, T: DeserializeOwned + JsonSchema + 'static> Deserialize<'de> for $name<F, P, T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = match F::LENIENT {
                    true => $read(deserializer, P::READING)?,
                    false => T::deserialize(deserializer)?,
                };
                Ok(Self { value, part: PhantomData })
            }
        }

        impl<F, P, T: JsonSchema> JsonSchema for $name<F, P, T> {
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}

read_by_face!(
    /// A body, or a part of one, read as the prefix has it.
    Given,
    read_body
);
read_by_face!(
    /// Query parameters, read as the prefix has them.
    Chosen,
    read_query
);

fn read_body<'de, D: Deserializer<'de>, T: DeserializeOwned + JsonSchema + 'static>(
    deserializer: D,
    reading: Reading,
) -> Result<T, D::Error> {
    let body: Value = extent::bounded(deserializer)?;
    let schema = schema::of::<T>();
    finish(&match reading {
        Reading::Checked => checked::read(body, &schema),
        Reading::Plain => plain::read(body, &schema),
    })
}

fn read_query<'de, D: Deserializer<'de>, T: DeserializeOwned + JsonSchema + 'static>(
    deserializer: D,
    reading: Reading,
) -> Result<T, D::Error> {
    let pairs = deserializer.deserialize_map(Pairs)?;
    finish(&query::read(&pairs, &schema::of::<T>(), reading).map_err(D::Error::custom)?)
}

/// Reads what was made of it, with the words of all other errors.
fn finish<T: DeserializeOwned, E: Error>(value: &Value) -> Result<T, E> {
    let json = serde_json::to_vec(value).map_err(E::custom)?;
    parameters::from_body(&json).map_err(|error| E::custom(error.message))
}

/// Parameters, of which some may be there more than once.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, String)>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("parameters")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::{Bare, Enveloped};
    use serde_json::json;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(crate = "studio_plugin_api::schemars")]
    #[derive(Default)]
    struct Thing {
        name: Option<String>,
        on: bool,
        limit: Option<u64>,
    }

    struct Checked;
    impl Part for Checked {
        const READING: Reading = Reading::Checked;
    }

    #[test]
    fn one_face_takes_what_the_other_refuses() {
        let body = json!({"name": 5, "on": "true", "limit": "1e1"});
        let given: Given<Bare, Checked, Thing> = serde_json::from_value(body.clone()).unwrap();
        assert_eq!((given.name.as_deref(), given.on, given.limit), (Some("5"), true, Some(10)));
        assert!(serde_json::from_value::<Given<Enveloped, Checked, Thing>>(body).is_err());
        let body = json!({"name": null, "on": 0});
        let given: Given<Bare, Unchecked, Thing> = serde_json::from_value(body).unwrap();
        assert_eq!((given.name.as_deref(), given.on), (None, false));
    }

    #[test]
    fn parameters_are_read_by_face_too() {
        let query = |text: &str| [("on".to_owned(), text.to_owned()), ("limit".to_owned(), "1".to_owned())];
        let chosen: Chosen<Bare, Unchecked, Thing> = parameters::from_query(&query("1")).unwrap();
        assert_eq!((chosen.on, chosen.limit), (false, Some(1)));
        let chosen: Chosen<Enveloped, Unchecked, Thing> = parameters::from_query(&query("1")).unwrap();
        assert!(chosen.on);
        assert!(parameters::from_query::<Chosen<Bare, Checked, Thing>>(&query("1")).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = serde_json::from_value::<Given<Bare, Checked, Thing>>(json!({"limit": "x"}));
        let message = refused.err().unwrap().to_string();
        assert!(message.contains("`limit`"), "{message}");
    }

    #[test]
    fn both_faces_have_the_schema_of_what_they_read() {
        assert_eq!(schema::of::<Given<Bare, Checked, Thing>>(), schema::of::<Thing>());
    }
}
