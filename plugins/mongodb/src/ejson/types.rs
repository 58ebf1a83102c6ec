//! The objects that stand for a value of a type: `{"$oid":"…"}` and its like.

use crate::errors::shorten;
use base64::{Engine, engine::general_purpose::STANDARD};
use bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, Uuid,
    oid::ObjectId,
};
use serde_json::json;
use std::ops::Range;

/// The key around a document that would be read as something else.
pub(super) const DOCUMENT: &str = "$document";
/// The key of what stands for something that JSON can't say.
pub(super) const INEXACT: &str = "$inexact";

/// Each key, and what its value must be.
const TYPES: [(&str, &str); 18] = [
    ("$binary", r#"{"base64":"…","subType":"…"} with padded base64 and one or two hexadecimal digits"#),
    ("$code", "a string"),
    ("$date", r#"an RFC 3339 date and time such as "2026-11-05T12:30:00.250Z", or {"$numberLong":"…"}"#),
    ("$dbPointer", r#"{"$ref":"…","$id":{"$oid":"…"}}"#),
    (DOCUMENT, "an object, alone: the document itself, whose own fields may have any names"),
    ("$maxKey", "1"),
    ("$minKey", "1"),
    ("$numberDecimal", "a string with a decimal number of at most 34 digits, Infinity, -Infinity or NaN"),
    ("$numberDouble", "a string with a 64-bit floating-point number, Infinity, -Infinity or NaN"),
    ("$numberInt", "a string with a whole number from -2147483648 to 2147483647"),
    ("$numberLong", "a string with a whole number from -9223372036854775808 to 9223372036854775807"),
    ("$oid", "a string of 24 hexadecimal digits"),
    ("$regularExpression", r#"{"pattern":"…","options":"…"}, strings without NUL characters"#),
    ("$scope", "a document beside `$code`"),
    ("$symbol", "a string"),
    ("$timestamp", r#"{"t":…,"i":…}, whole numbers from 0 to 4294967295"#),
    ("$undefined", "true"),
    ("$uuid", "a string with a UUID such as \"c8edabc3-f738-4ca3-b68d-ab92a91478a3\""),
];

const REFUSED: &str = "`$inexact` marks what JSON can't say as it is stored, so that writing it back would lose it; leave \
                       it out, and change the other fields by update operators";

/// The most names of an object's fields in an error.
const MOST_NAMES: usize = 5;

/// Whether an object with this key stands for a value of a type.
pub(super) fn is_key(name: &str) -> bool {
    name.starts_with('$') && (name == INEXACT || TYPES.iter().any(|(key, _)| *key == name))
}

/// Whether it is a key of this gateway's own, which stands for no type.
pub(super) fn is_marker(name: &str) -> bool {
    name == DOCUMENT || name == INEXACT
}

/// What an object stands for; one of its keys is one of [`is_key`]'s, its values are read already.
///
/// # Errors
/// What would be right, when it is not exactly such an object.
pub(super) fn read(mut object: Document) -> Result<Bson, String> {
    if object.contains_key(INEXACT) {
        return Err(REFUSED.to_owned());
    }
    // No value of a type has it, and a stored document has.
    if object.contains_key("_id") && !object.contains_key(DOCUMENT) {
        return Ok(Bson::Document(object));
    }
    let scope = if object.contains_key("$code") { object.remove("$scope") } else { None };
    let names: Vec<_> = object.keys().take(MOST_NAMES).map(|name| format!("`{}`", shorten(name))).collect();
    let mut fields = object.into_iter();
    let (Some((key, value)), None) = (fields.next(), fields.next()) else {
        return Err(format!("{} cannot be in one object", names.join(" and ")));
    };
    match scope {
        Some(Bson::Document(scope)) => match value {
            Bson::String(code) => Ok(Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope })),
            _ => Err(wanted("$code")),
        },
        Some(_) => Err(wanted("$scope")),
        None => read_value(&key, value).ok_or_else(|| wanted(&key)),
    }
}

fn wanted(key: &str) -> String {
    let wanted = TYPES.iter().find(|(name, _)| *name == key).map_or("absent", |(_, wanted)| wanted);
    format!("`{key}` must be {wanted}")
}

fn read_value(key: &str, value: Bson) -> Option<Bson> {
    Some(match (key, value) {
        ("$binary", Bson::Document(body)) => Bson::Binary(read_binary(&body)?),
        ("$code", Bson::String(code)) => Bson::JavaScriptCode(code),
        ("$date", Bson::String(text)) => Bson::DateTime(read_date(&text)?),
        ("$date", Bson::Int64(milliseconds)) => Bson::DateTime(DateTime::from_millis(milliseconds)),
        ("$date", Bson::Int32(milliseconds)) => Bson::DateTime(DateTime::from_millis(milliseconds.into())),
        ("$dbPointer", Bson::Document(body)) => read_pointer(&body)?,
        (DOCUMENT, Bson::Document(document)) => Bson::Document(document),
        ("$maxKey", Bson::Int32(1)) => Bson::MaxKey,
        ("$minKey", Bson::Int32(1)) => Bson::MinKey,
        ("$numberDecimal", Bson::String(text)) => Bson::Decimal128(read_decimal(&text)?),
        ("$numberDouble", Bson::String(text)) => Bson::Double(read_double(&text)?),
        ("$numberInt", Bson::String(text)) => Bson::Int32(text.parse().ok()?),
        ("$numberLong", Bson::String(text)) => Bson::Int64(text.parse().ok()?),
        ("$oid", Bson::String(text)) => Bson::ObjectId(ObjectId::parse_str(text).ok()?),
        ("$regularExpression", Bson::Document(body)) => Bson::RegularExpression(read_regex(&body)?),
        ("$symbol", Bson::String(text)) => Bson::Symbol(text),
        ("$timestamp", Bson::Document(body)) => Bson::Timestamp(read_timestamp(&body)?),
        ("$undefined", Bson::Boolean(true)) => Bson::Undefined,
        ("$uuid", Bson::String(text)) => Bson::Binary(Uuid::parse_str(text).ok()?.into()),
        _ => return None,
    })
}

/// A time to the millisecond that it is in. The parser takes a leap second for the millisecond before it, and rounds
/// finer times before 1970 up.
fn read_date(text: &str) -> Option<DateTime> {
    const SECONDS: Range<usize> = 17..19;
    if text.get(SECONDS)? == "60" {
        return None;
    }
    let (whole, rest) = text.split_at_checked(SECONDS.end)?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits <= 3 {
        return DateTime::parse_rfc3339_str(text).ok();
    }
    let (milliseconds, zone) = (rest.get(..4)?, rest.get(digits + 1..)?);
    DateTime::parse_rfc3339_str(format!("{whole}{milliseconds}{zone}")).ok()
}

/// The two values of an object that has exactly these names.
fn both<'a>(body: &'a Document, first: &str, second: &str) -> Option<(&'a Bson, &'a Bson)> {
    if body.len() == 2 { Some((body.get(first)?, body.get(second)?)) } else { None }
}

fn read_binary(body: &Document) -> Option<Binary> {
    let (base64, subtype) = both(body, "base64", "subType")?;
    let subtype = subtype.as_str()?;
    // The number parser would take a sign.
    if subtype.len() > 2 || !subtype.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let subtype = u8::from_str_radix(subtype, 16).ok()?.into();
    Some(Binary { subtype, bytes: STANDARD.decode(base64.as_str()?).ok()? })
}

fn read_pointer(body: &Document) -> Option<Bson> {
    let (namespace, id) = both(body, "$ref", "$id")?;
    let (namespace, id) = (namespace.as_str()?, id.as_object_id()?.to_hex());
    // `bson` has no other way to make one.
    Bson::try_from(json!({ "$dbPointer": { "$ref": namespace, "$id": { "$oid": id } } })).ok()
}

fn read_regex(body: &Document) -> Option<Regex> {
    let (pattern, options) = both(body, "pattern", "options")?;
    // MongoDB keeps the options in alphabetical order.
    let mut options: Vec<_> = options.as_str()?.chars().collect();
    options.sort_unstable();
    let options = options.into_iter().collect::<String>();
    Some(Regex { pattern: pattern.as_str()?.try_into().ok()?, options: options.try_into().ok()? })
}

fn read_timestamp(body: &Document) -> Option<Timestamp> {
    let number = |value: &Bson| match value {
        Bson::Int32(number) => u32::try_from(*number).ok(),
        Bson::Int64(number) => u32::try_from(*number).ok(),
        _ => None,
    };
    let (time, increment) = both(body, "t", "i")?;
    Some(Timestamp { time: number(time)?, increment: number(increment)? })
}

fn read_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also parses other words, and numbers out of range, to an infinity.
        number => number.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// By the grammar of the Decimal128 specification, of which `bson` takes more: `""`, `.`, `+`, `.+1`, `sNaN`.
fn read_decimal(text: &str) -> Option<Decimal128> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = unsigned.split_once('e').unwrap_or((&unsigned, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_number = digits(whole)
        && digits(fraction)
        && digits(exponent)
        && !(whole.is_empty() && fraction.is_empty())
        && !exponent.is_empty();
    let is_word = matches!(unsigned.as_str(), "nan" | "inf" | "infinity");
    if is_number || is_word { text.parse().ok() } else { None }
}
