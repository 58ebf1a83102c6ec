//! Reading a path, a query or a body into a handler's structs, with errors that name the field.

use crate::{
    DriverError,
    encoding::Encoding,
    objects::{self, Objects},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, IntoDeserializer, Visitor, value},
    forward_to_deserialize_any,
};
use std::borrow::Cow;

pub(crate) fn from_path<T: DeserializeOwned>(
    names: &[&'static str],
    values: &[Vec<u8>],
) -> Result<T, DriverError> {
    let pairs = names.iter().zip(values).map(|(name, bytes)| (*name, Parameter(bytes)));
    read_fields(value::MapDeserializer::new(pairs), "path")
}

/// Reads query parameters into a struct; see [`Query`](crate::Query).
///
/// # Errors
/// `VALIDATION_ERROR` that names the parameter.
pub fn from_query<T: DeserializeOwned>(query: &[(String, String)]) -> Result<T, DriverError> {
    if query.iter().any(|(name, _)| name.starts_with(BYTES_PREFIX)) {
        return from_query_with_bytes(query);
    }
    let pairs = query.iter().map(|(name, text)| (name.as_str(), Parameter(text.as_bytes())));
    read_fields(value::MapDeserializer::new(pairs), "query")
}

fn from_query_with_bytes<T: DeserializeOwned>(query: &[(String, String)]) -> Result<T, DriverError> {
    let pairs: Vec<(&str, Cow<'_, [u8]>)> = query
        .iter()
        .map(|(name, text)| match name.strip_prefix(BYTES_PREFIX) {
            Some(name) => Ok((name, Encoding::Base64.decode(text, name)?.into())),
            None => Ok((name.as_str(), text.as_bytes().into())),
        })
        .collect::<Result<_, DriverError>>()?;
    let pairs = pairs.iter().map(|(name, bytes)| (*name, Parameter(bytes)));
    read_fields(value::MapDeserializer::new(pairs), "query")
}

/// The prefix of the names of query parameters that are headers of the request. Callers can't send them: hosts refuse
/// such names.
pub const HEADER_PREFIX: &str = "header:";

/// The prefix of the names of query parameters whose values are not UTF-8: they come in base64. Callers can't send such
/// names: hosts refuse them.
pub const BYTES_PREFIX: &str = "bytes:";

/// Finds the names of a path template's parameters, in order.
pub fn path_names(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// Reads the text of a parameter that is true or false; `None`: it is neither.
pub fn read_flag(text: &str) -> Option<bool> {
    match text {
        // A bare `?flag` means yes, as in most web interfaces.
        "true" | "1" | "" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Takes the request's headers out of the query parameters, among which a host hands them over.
pub(crate) fn take_headers(query: &mut Vec<(String, String)>) -> Vec<(String, String)> {
    let taken = query.extract_if(.., |(name, _)| name.starts_with(HEADER_PREFIX));
    taken.map(|(mut name, value)| (name.split_off(HEADER_PREFIX.len()), value)).collect()
}

/// Refuses query parameters that an operation without any was given.
pub(crate) fn refuse_surplus(query: &[(String, String)]) -> Result<(), DriverError> {
    match query.first() {
        Some((name, _)) => {
            let name = name.strip_prefix(BYTES_PREFIX).unwrap_or(name);
            Err(DriverError::field(name, "there is no such query parameter here"))
        }
        None => Ok(()),
    }
}

/// Finds the JSON text of a body; `None` if it has none.
pub fn body_text(body: &[u8]) -> Option<&[u8]> {
    // Some editors write a mark before it, which RFC 8259 (§8.1) lets be ignored.
    let body = body.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(body);
    (!body.is_empty()).then_some(body)
}

/// Reads a JSON body into a struct; see [`Body`](crate::Body).
///
/// # Errors
/// `VALIDATION_ERROR` that names the field.
pub fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, DriverError> {
    // An absent body reads as null, so that `Body<Option<T>>` takes it.
    let body = body_text(body).unwrap_or(b"null");
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Objects(&mut reader)).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        if body == b"null" {
            DriverError::validation("body", "a JSON body is required")
        // An enum given as a number counts as a syntax error in serde_json, although the body is JSON.
        } else if error.inner().is_data() || serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            refuse(&path, &message, "body")
        } else {
            DriverError::validation("body", format!("the body is not JSON: {message}"))
        }
    })?;
    reader.end().map_err(|error| {
        DriverError::validation("body", format!("the body is more than one JSON text: {error}"))
    })?;
    Ok(value)
}

/// Reads a part of a body that was kept as its text, by the rules of [`from_body`]: a struct from an object alone.
///
/// # Errors
/// serde_json's, whose line and column are those of the part.
pub fn from_part<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = T::deserialize(Objects(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// Reads a JSON object that is not a request body (a connection's options) by the same rules.
pub(crate) fn from_json<T: DeserializeOwned>(json: serde_json::Value, whole: &str) -> Result<T, DriverError> {
    serde_path_to_error::deserialize(Objects(json)).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        refuse(&path, &message, whole)
    })
}

/// Reads a connection's options; errors name the field as the connection's body has it, `options.…`.
pub(crate) fn options_from_json<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, DriverError> {
    from_json(json, "options").map_err(|mut error| {
        if let Some(serde_json::Value::String(field)) = error.details.get_mut("field")
            && field != "options"
        {
            *field = format!("options.{field}");
        }
        error
    })
}

fn read_fields<'de, T: Deserialize<'de>>(
    fields: impl Deserializer<'de, Error = value::Error>,
    whole: &str,
) -> Result<T, DriverError> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        refuse(&path, &message, whole)
    })
}

/// Names the field: the path that serde was at, and for a missing, unknown or repeated field the name that serde's
/// message quotes, since the path then ends at its parent.
fn refuse(path: &str, message: &str, whole: &str) -> DriverError {
    // Both quote the caller's text, which may be the whole body.
    let (path, message) = (beginning(path), beginning(message));
    let parent = if path == "." { "" } else { path };
    // An error that was made here once already, further in, names its field.
    if let Some((field, _)) = message.strip_prefix('`').and_then(|rest| rest.split_once("`: "))
        && parent.is_empty()
    {
        return DriverError::validation(field, message);
    }
    let quoted = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    let field = match quoted {
        Some(name) if parent.is_empty() || parent == name => name.to_owned(),
        Some(name) if parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        Some(name) => format!("{parent}.{name}"),
        None if parent.is_empty() => whole.to_owned(),
        None => parent.to_owned(),
    };
    let message = match message.rfind(" at line ") {
        Some(end) => message.get(..end).unwrap_or(message),
        None => message,
    };
    let message = if message.ends_with(objects::EXPECTED) { "must be an object" } else { message };
    DriverError::field(&field, message)
}

/// Cuts a text to its beginning, as much as anyone reads of an error.
fn beginning(text: &str) -> &str {
    const MOST: usize = 1000;
    text.char_indices().nth(MOST).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// One parameter's bytes, read as the field's type asks.
#[derive(Clone, Copy)]
struct Parameter<'a>(&'a [u8]);

impl<'a> Parameter<'a> {
    fn text(self) -> Result<&'a str, value::Error> {
        std::str::from_utf8(self.0).map_err(|_| value::Error::custom("must be UTF-8 text"))
    }

    fn parse<T: std::str::FromStr>(self, wanted: &str) -> Result<T, value::Error> {
        let text = self.text()?;
        text.parse().map_err(|_| value::Error::custom(format!("must be {wanted}, not `{}`", shorten(text))))
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

macro_rules! deserialize_number {
    ($($method:ident $visit:ident $type:ty, $wanted:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
            visitor.$visit(self.parse::<$type>($wanted)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Parameter<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        visitor.visit_str(self.text()?)
    }

    deserialize_number! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, 0 or more";
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number from -2147483648 to 2147483647";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
        deserialize_char visit_char char, "one character";
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        let text = self.text()?;
        match read_flag(text) {
            Some(flag) => visitor.visit_bool(flag),
            None => Err(value::Error::custom(format!("must be true or false, not `{}`", shorten(text)))),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        let items = self.0.split(|byte| *byte == b',').filter(|item| !item.is_empty()).map(Parameter);
        visitor.visit_seq(value::SeqDeserializer::new(items))
    }

    forward_to_deserialize_any! { str string identifier unit unit_struct tuple tuple_struct map struct ignored_any i128 u128 }
}

impl<'de> IntoDeserializer<'de, value::Error> for Parameter<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests;
