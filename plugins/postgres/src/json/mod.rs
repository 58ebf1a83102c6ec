//! PostgreSQL's values as JSON, from the texts that the server sends into the buffer that is answered with.
//!
//! What becomes of each type is as postgres-meta has it, so that one client reads both: `int8` beyond what JavaScript
//! counts exactly, `numeric`, dates, times and intervals are strings; NaN and the infinities are null; `json` is put in
//! as it is; arrays of the types that [`Kind::of`] lists are arrays, others the text that PostgreSQL shows; `bytea` is a
//! list of bytes as Node.js writes one.
//!
//! [`Kind::exact`] is the same without what is lost by it: NaN and the infinities are strings, what an array is of is
//! written as it is by itself, and an array whose bounds are not the usual ones is the text that PostgreSQL shows.

mod array;
mod interval;

use std::io::Write as _;
use tokio_postgres::types::{Kind as TypeKind, Type};

/// The largest integer that JavaScript and all below it count exactly: 2^53 - 1.
const LARGEST_SAFE: u64 = 9_007_199_254_740_991;

/// How values of a type are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A string; of a type that is not PostgreSQL's own.
    Unknown,
    /// `t` or `f`.
    Boolean,
    /// A number that JSON can have as it is.
    Integer,
    /// `int8`.
    Long,
    /// A number, or `NaN`, `Infinity`, `-Infinity`, which are null.
    Float,
    /// The same, which are strings.
    ExactFloat,
    /// JSON.
    Json,
    /// Bytes in hexadecimal.
    Bytes,
    /// `<(x,y),r>`, of numbers that are written so.
    Circle(Element),
    /// An interval as an element of an array.
    Interval,
    /// An array of them.
    Array(Element),
    /// The same; one with other bounds is a string.
    ExactArray(Element),
}

/// What arrays are made of that are written as arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Text,
    Boolean,
    Integer,
    Long,
    Float,
    ExactFloat,
    Json,
    Bytes,
    ExactCircle,
    Interval,
}

impl Element {
    fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Boolean => Kind::Boolean,
            Self::Integer => Kind::Integer,
            Self::Long => Kind::Long,
            Self::Float => Kind::Float,
            Self::ExactFloat => Kind::ExactFloat,
            Self::Json => Kind::Json,
            Self::Bytes => Kind::Bytes,
            Self::ExactCircle => Kind::Circle(Self::ExactFloat),
            Self::Interval => Kind::Interval,
        }
    }
}

impl Kind {
    /// By the type's number, which is the same in every database for types of PostgreSQL's own (`pg_type.dat`).
    pub(crate) fn of(oid: u32) -> Self {
        match oid {
            // bool
            16 => Self::Boolean,
            17 => Self::Bytes,
            20 => Self::Long,
            // int2, int4, oid
            21 | 23 | 26 => Self::Integer,
            // float4, float8
            700 | 701 => Self::Float,
            // json, jsonb
            114 | 3802 => Self::Json,
            718 => Self::Circle(Element::Float),
            1000 => Self::Array(Element::Boolean),
            1001 => Self::Array(Element::Bytes),
            // int2, int4, oid
            1005 | 1007 | 1028 => Self::Array(Element::Integer),
            // float4, float8, numeric
            1021 | 1022 | 1231 => Self::Array(Element::Float),
            199 | 3807 => Self::Array(Element::Json),
            1187 => Self::Array(Element::Interval),
            // regproc, text, bpchar, varchar, int8
            1008 | 1009 | 1014 | 1015 | 1016
            // macaddr, inet, cidr, money
            | 1040 | 1041 | 651 | 791
            // timestamp, date, time, timestamptz, timetz
            | 1115 | 1182 | 1183 | 1185 | 1270
            // uuid, numrange
            | 2951 | 3907 => Self::Array(Element::Text),
            _ => Self::Text,
        }
    }

    /// The same, of which nothing is lost.
    pub(crate) fn exact(oid: u32) -> Self {
        let known = Type::from_oid(oid);
        match (known.as_ref().map(Type::kind), Self::of(oid)) {
            (None, _) => Self::Unknown,
            (_, Self::Float) => Self::ExactFloat,
            (_, Self::Circle(_)) => Self::Circle(Element::ExactFloat),
            // They are between semicolons, which only these are.
            _ if known == Some(Type::BOX_ARRAY) => Self::Text,
            (Some(TypeKind::Array(element)), _) => Self::ExactArray(match Self::exact(element.oid()) {
                Self::Boolean => Element::Boolean,
                Self::Integer => Element::Integer,
                Self::Long => Element::Long,
                Self::ExactFloat => Element::ExactFloat,
                Self::Json => Element::Json,
                Self::Bytes => Element::Bytes,
                Self::Circle(_) => Element::ExactCircle,
                _ => Element::Text,
            }),
            (_, kind) => kind,
        }
    }

    /// That of arrays whose elements are strings.
    pub(crate) fn exact_array_of_texts() -> Self {
        Self::ExactArray(Element::Text)
    }

    /// Writes one value; nothing stands for NULL.
    pub(crate) fn write(self, value: Option<&[u8]>, out: &mut Vec<u8>) {
        let Some(value) = value else {
            out.extend_from_slice(b"null");
            return;
        };
        match self {
            Self::Text | Self::Unknown => write_text(value, out),
            Self::Boolean => {
                out.extend_from_slice(if value == b"t" { b"true".as_slice() } else { b"false".as_slice() });
            }
            Self::Integer if is_number(value) => out.extend_from_slice(value),
            Self::Json if is_json(value) => out.extend_from_slice(value),
            // Not all is UTF-8 that a database of encoding SQL_ASCII keeps.
            Self::Json if is_json(String::from_utf8_lossy(value).as_bytes()) => {
                out.extend_from_slice(String::from_utf8_lossy(value).as_bytes());
            }
            Self::Long if is_safe(value) && is_number(value) => out.extend_from_slice(value),
            Self::Float | Self::ExactFloat if is_number(value) => out.extend_from_slice(value),
            // NaN, Infinity.
            Self::Float if value.last().is_some_and(u8::is_ascii_alphabetic) => {
                out.extend_from_slice(b"null")
            }
            // Or what no PostgreSQL sends, which must not stand in the JSON as it is.
            Self::Integer | Self::Json | Self::Long | Self::Float | Self::ExactFloat => {
                write_text(value, out)
            }
            Self::Bytes => write_bytes(value, out),
            Self::Circle(number) => write_circle(number, value, out),
            Self::Interval => interval::write(value, out),
            Self::ExactArray(_) if value.first() == Some(&b'[') => write_text(value, out),
            Self::Array(element) | Self::ExactArray(element) => array::write(element, value, out),
        }
    }
}

/// Whether a text is JSON, up to the depth that its readers have.
fn is_json(text: &[u8]) -> bool {
    // What is ignored is not looked at for being UTF-8.
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// Whether a text is a number that JSON has.
fn is_number(text: &[u8]) -> bool {
    let begins = text.first().is_some_and(|first| *first == b'-' || first.is_ascii_digit());
    begins && text.last().is_some_and(u8::is_ascii_digit) && is_json(text)
}

/// Whether JavaScript counts an integer exactly.
fn is_safe(digits: &[u8]) -> bool {
    // Up to 15 digits and a sign there is nothing to look at.
    digits.len() <= 15
        || std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.trim_start_matches('-').parse().ok())
            .is_some_and(|number: u64| number <= LARGEST_SAFE)
}

/// Writes a text as a JSON string.
pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    // Not all is UTF-8 that a database of encoding SQL_ASCII keeps.
    let text = String::from_utf8_lossy(text);
    // Writing to memory does not fail, and a string always has a JSON form.
    let _ = serde_json::to_writer(out, &*text);
}

/// `\x00ff`, or with `bytea_output = escape` `\000\377`, as Node.js writes a `Buffer`.
fn write_bytes(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"Buffer","data":["#);
    let start = out.len();
    let mut put = |byte: u32| {
        let _ = write!(out, "{byte},");
    };
    match value.strip_prefix(b"\\x") {
        Some(digits) => {
            let digit = |digit: u8| (digit as char).to_digit(16).unwrap_or_default();
            for pair in digits.chunks_exact(2) {
                if let [high, low] = pair {
                    put(digit(*high) * 16 + digit(*low));
                }
            }
        }
        None => unescape_bytes(value, put),
    }
    if out.len() > start {
        out.pop();
    }
    out.extend_from_slice(b"]}");
}

/// Takes bytes as PostgreSQL escapes them (its manual, 8.4.2): a backslash is two, what is not to be seen three octal
/// digits after one.
fn unescape_bytes(mut value: &[u8], mut put: impl FnMut(u32)) {
    loop {
        match value {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                let digit = |digit: &u8| u32::from(digit - b'0');
                put(digit(a) * 64 + digit(b) * 8 + digit(c));
                value = rest;
            }
            [b'\\', b'\\', rest @ ..] => {
                put(u32::from(b'\\'));
                value = rest;
            }
            [byte, rest @ ..] => {
                put(u32::from(*byte));
                value = rest;
            }
            [] => return,
        }
    }
}

/// `<(1,2),3>` as an object.
fn write_circle(of: Element, value: &[u8], out: &mut Vec<u8>) {
    let numbers: Vec<&[u8]> =
        value.split(|letter| b"<>(),".contains(letter)).filter(|number| !number.is_empty()).collect();
    let [x, y, radius] = numbers.as_slice() else { return write_text(value, out) };
    let fits =
        |text: &&[u8]| [b"NaN".as_slice(), b"Infinity", b"-Infinity"].contains(text) || is_number(text);
    if ![x, y, radius].into_iter().all(fits) {
        return write_text(value, out);
    }
    for (name, number) in [("{\"x\":", x), (",\"y\":", y), (",\"radius\":", radius)] {
        out.extend_from_slice(name.as_bytes());
        of.kind().write(Some(number), out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests;
