//! Raw BSON to Extended JSON, in one pass and straight into the reply.

use super::{
    Form,
    elements::{Element, Elements, Malformed, exactly, take_length, take_string, take_text},
    mark::Mark,
    shape::{self, Shape},
};
use base64::{Engine, encoded_len, engine::general_purpose::STANDARD};
use bson::{Decimal128, RawBsonRef, RawDocument, RawDocumentBuf, raw::cstr};
use jiff::{SignedDuration, civil, fmt::temporal::DateTimePrinter};
use serde::Serialize;
use std::fmt::Display;
use studio_plugin_api::{DriverError, ErrorCode};

/// Levels of documents and arrays; MongoDB itself stops at 200 (`maxBSONDepth`). It bounds the stack.
const DEEPEST: usize = 200;

/// The largest whole number up to which a double tells all whole numbers apart: JavaScript's `MAX_SAFE_INTEGER`.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// 9999-12-31T23:59:59.999Z in milliseconds since 1970, the last date that the relaxed form writes as text.
const LAST_TEXT_DATE: i64 = 253_402_300_799_999;

/// Appends a document. After an error `json` ends in the middle of a value.
///
/// # Errors
/// `DRIVER_ERROR` when the bytes are not BSON or nested over 200 levels.
pub(crate) fn write_document(
    document: &RawDocument,
    form: Form,
    json: &mut Vec<u8>,
) -> Result<(), DriverError> {
    write_document_within(document, form, json, u64::MAX)
}

/// Appends a document, like [`write_document`], as long as `json` has no more bytes than `limit`: in JSON a document may
/// have eight times as many as in BSON.
///
/// # Errors
/// As [`write_document`]; `RESULT_TOO_LARGE`.
pub(crate) fn write_document_within(
    document: &RawDocument,
    form: Form,
    json: &mut Vec<u8>,
    limit: u64,
) -> Result<(), DriverError> {
    json.reserve(document.as_bytes().len());
    Writer { form, json, limit }.document(document.as_bytes(), 1)
}

/// Appends any value, like [`write_document`].
///
/// # Errors
/// As [`write_document`].
pub(crate) fn write_value(value: RawBsonRef<'_>, form: Form, json: &mut Vec<u8>) -> Result<(), DriverError> {
    let mut around = RawDocumentBuf::new();
    around.append(cstr!(""), value);
    let mut writer = Writer { form, json, limit: u64::MAX };
    Elements::of(around.as_bytes())?.try_for_each(|element| writer.element(element?, 0))
}

/// The subtype of binary values that have their length in them once more.
const OLD_BINARY: u8 = 2;

struct Writer<'a> {
    form: Form,
    json: &'a mut Vec<u8>,
    limit: u64,
}

impl Writer<'_> {
    fn document(&mut self, document: &[u8], level: usize) -> Result<(), DriverError> {
        check_level(level)?;
        let shape = shape::look(document)?;
        let wrapped = matches!(shape, Shape::Wrapped | Shape::Marked { wrapped: true });
        self.raw(if wrapped { "{\"$document\":{" } else { "{" });
        match shape {
            Shape::Plain | Shape::Wrapped => {
                for (index, element) in Elements::of(document)?.enumerate() {
                    let element = element?;
                    self.separate(index);
                    self.plain(std::str::from_utf8(element.name).map_err(malformed)?)?;
                    self.raw(":");
                    self.element(element, level)?;
                }
            }
            Shape::Marked { .. } => self.marked_fields(document, level)?,
        }
        self.raw(if wrapped { "}}" } else { "}" });
        Ok(())
    }

    /// The fields of a document where a name stands for several, or is not what is stored.
    fn marked_fields(&mut self, document: &[u8], level: usize) -> Result<(), DriverError> {
        for (index, (name, elements)) in shape::by_shown_name(document)?.iter().enumerate() {
            self.separate(index);
            self.plain(name)?;
            self.raw(":");
            match elements.as_slice() {
                [element] => self.named(element, level)?,
                elements => {
                    self.begin_mark(Mark::RepeatedName);
                    self.raw(",\"values\":[");
                    for (index, element) in elements.iter().enumerate() {
                        self.separate(index);
                        self.named(element, level)?;
                    }
                    self.raw("]}}");
                }
            }
        }
        Ok(())
    }

    /// An element's value, with its name where that is not text.
    fn named(&mut self, element: &Element<'_>, level: usize) -> Result<(), DriverError> {
        if std::str::from_utf8(element.name).is_ok() {
            return self.element(*element, level);
        }
        self.begin_mark(Mark::NameNotUtf8);
        self.raw(",\"base64\":");
        self.base64(element.name)?;
        self.raw(",\"value\":");
        self.element(*element, level)?;
        self.raw("}}");
        Ok(())
    }

    fn array(&mut self, array: &[u8], level: usize) -> Result<(), DriverError> {
        check_level(level)?;
        self.raw("[");
        for (index, element) in Elements::of(array)?.enumerate() {
            self.separate(index);
            self.element(element?, level)?;
        }
        self.raw("]");
        Ok(())
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.raw(",");
        }
    }

    /// `level` is that of the document or array around the value.
    fn element(&mut self, element: Element<'_>, level: usize) -> Result<(), DriverError> {
        if self.json.len() as u64 > self.limit {
            return Err(DriverError::result_too_large(self.limit));
        }
        let value = element.value;
        match element.kind {
            0x01 => self.double(f64::from_le_bytes(exactly(value)?)),
            0x02 => self.text(take_string(value)?.0),
            0x03 => self.document(value, level + 1),
            0x04 => self.array(value, level + 1),
            0x05 => self.binary(value),
            0x06 => self.fixed(r#"{"$undefined":true}"#),
            0x07 => self.object_id(exactly(value)?),
            0x08 => match value {
                [0] => self.fixed("false"),
                [1] => self.fixed("true"),
                other => self.marked_bytes(Mark::BooleanByte, other),
            },
            0x09 => self.date(i64::from_le_bytes(exactly(value)?)),
            0x0a => self.fixed("null"),
            0x0b => self.regex(value),
            0x0c => {
                let (namespace, id) = take_string(value)?;
                self.raw(r#"{"$dbPointer":{"$ref":"#);
                self.text(namespace)?;
                self.raw(r#","$id":"#);
                self.object_id(exactly(id)?)?;
                self.fixed("}}")
            }
            0x0d => self.wrapped_text("$code", take_string(value)?.0),
            0x0e => self.wrapped_text("$symbol", take_string(value)?.0),
            0x0f => {
                let (code, scope) = take_string(take_length(value)?.1)?;
                self.raw(r#"{"$code":"#);
                self.text(code)?;
                self.raw(r#","$scope":"#);
                self.document(scope, level + 1)?;
                self.fixed("}")
            }
            0x10 => {
                let number = i32::from_le_bytes(exactly(value)?);
                match self.form {
                    Form::Relaxed => self.plain(number),
                    Form::Canonical => self.quoted("$numberInt", number),
                }
            }
            0x11 => {
                let bits = u64::from_le_bytes(exactly(value)?);
                let (time, increment) = (bits >> 32, bits & u64::from(u32::MAX));
                self.raw(r#"{"$timestamp":{"t":"#);
                self.plain(time)?;
                self.raw(r#","i":"#);
                self.plain(increment)?;
                self.fixed("}}")
            }
            0x12 => {
                let number = i64::from_le_bytes(exactly(value)?);
                let unmistakable = i32::try_from(number).is_err() && number.unsigned_abs() <= LARGEST_EXACT;
                if self.form == Form::Relaxed && unmistakable {
                    self.plain(number)
                } else {
                    self.quoted("$numberLong", number)
                }
            }
            0x13 => {
                let decimal = Decimal128::from_bytes(exactly(value)?);
                self.wrapped("$numberDecimal", format_args!("{decimal}"))
            }
            0x7f => self.fixed(r#"{"$maxKey":1}"#),
            0xff => self.fixed(r#"{"$minKey":1}"#),
            // The walk through the elements ends at any other.
            kind => Err(malformed(format!("a value of the type {kind}"))),
        }
    }

    /// A text; what is not UTF-8 is shown, beside its bytes, in a way that can't be written back.
    fn text(&mut self, text: &[u8]) -> Result<(), DriverError> {
        if let Ok(text) = std::str::from_utf8(text) {
            return self.plain(text);
        }
        self.begin_mark(Mark::TextNotUtf8);
        self.raw(",\"text\":");
        self.plain(String::from_utf8_lossy(text))?;
        self.raw(",\"base64\":");
        self.base64(text)?;
        self.fixed("}}")
    }

    fn marked_bytes(&mut self, mark: Mark, bytes: &[u8]) -> Result<(), DriverError> {
        self.begin_mark(mark);
        self.raw(",\"base64\":");
        self.base64(bytes)?;
        self.fixed("}}")
    }

    /// Begins what stands for something that JSON can't say; `}}` ends it.
    fn begin_mark(&mut self, mark: Mark) {
        self.raw("{\"$inexact\":{\"reason\":\"");
        self.raw(mark.reason());
        self.raw("\"");
    }

    fn double(&mut self, number: f64) -> Result<(), DriverError> {
        if number.is_nan() {
            self.wrapped("$numberDouble", "NaN")
        } else if number.is_infinite() {
            self.wrapped("$numberDouble", if number > 0.0 { "Infinity" } else { "-Infinity" })
        } else if self.form == Form::Relaxed {
            self.plain(number)
        } else {
            self.quoted("$numberDouble", number)
        }
    }

    fn date(&mut self, milliseconds: i64) -> Result<(), DriverError> {
        self.raw(r#"{"$date":"#);
        if self.form == Form::Relaxed && (0..=LAST_TEXT_DATE).contains(&milliseconds) {
            static WHOLE_SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
            static MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
            let printer = if milliseconds % 1000 == 0 { &WHOLE_SECONDS } else { &MILLISECONDS };
            self.raw("\"");
            // Not a `jiff::Timestamp`, whose range ends before the year 9999 does.
            civil::date(1970, 1, 1)
                .at(0, 0, 0, 0)
                .checked_add(SignedDuration::from_millis(milliseconds))
                .and_then(|date| printer.print_datetime(&date, &mut *self.json))
                .map_err(unwritable)?;
            self.raw("Z\"");
        } else {
            self.quoted("$numberLong", milliseconds)?;
        }
        self.raw("}");
        Ok(())
    }

    fn binary(&mut self, value: &[u8]) -> Result<(), DriverError> {
        let (_, rest) = take_length(value)?;
        let (subtype, mut bytes) =
            rest.split_first().ok_or_else(|| malformed("a binary value has no type"))?;
        if *subtype == OLD_BINARY {
            bytes = match take_length(bytes) {
                Ok((length, inner)) if length == inner.len() => inner,
                _ => return self.marked_bytes(Mark::BinaryLength, bytes),
            };
        }
        self.raw(r#"{"$binary":{"base64":"#);
        self.base64(bytes)?;
        self.raw(r#","subType":""#);
        self.hexadecimal(&[*subtype]);
        self.fixed(r#""}}"#)
    }

    /// Bytes as a string of JSON.
    fn base64(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        self.raw("\"");
        let start = self.json.len();
        let length = encoded_len(bytes.len(), true).unwrap_or_default();
        self.json.resize(start + length, 0);
        let end = self.json.get_mut(start..).unwrap_or_default();
        STANDARD.encode_slice(bytes, end).map_err(unwritable)?;
        self.fixed("\"")
    }

    fn object_id(&mut self, id: [u8; 12]) -> Result<(), DriverError> {
        self.raw(r#"{"$oid":""#);
        self.hexadecimal(&id);
        self.fixed(r#""}"#)
    }

    fn regex(&mut self, value: &[u8]) -> Result<(), DriverError> {
        let (pattern, rest) = take_text(value)?;
        let (options, _) = take_text(rest)?;
        self.raw(r#"{"$regularExpression":{"pattern":"#);
        self.text(pattern)?;
        self.raw(r#","options":"#);
        match std::str::from_utf8(options) {
            // Not as MongoDB stores them, but a client can write anything.
            Ok(letters) if !letters.chars().is_sorted() => {
                let mut letters: Vec<_> = letters.chars().collect();
                letters.sort_unstable();
                self.plain(letters.into_iter().collect::<String>())?;
            }
            _ => self.text(options)?,
        }
        self.fixed("}}")
    }

    /// `{"$name":"text"}`
    fn wrapped_text(&mut self, name: &str, text: &[u8]) -> Result<(), DriverError> {
        self.raw("{\"");
        self.raw(name);
        self.raw("\":");
        self.text(text)?;
        self.fixed("}")
    }

    /// `{"$name":value}`
    fn wrapped(&mut self, name: &str, value: impl Serialize) -> Result<(), DriverError> {
        self.raw("{\"");
        self.raw(name);
        self.raw("\":");
        self.plain(value)?;
        self.raw("}");
        Ok(())
    }

    /// `{"$name":"number"}`
    fn quoted(&mut self, name: &str, number: impl Serialize) -> Result<(), DriverError> {
        self.raw("{\"");
        self.raw(name);
        self.raw("\":\"");
        self.plain(number)?;
        self.raw("\"}");
        Ok(())
    }

    fn plain(&mut self, value: impl Serialize) -> Result<(), DriverError> {
        serde_json::to_writer(&mut *self.json, &value).map_err(unwritable)
    }

    fn fixed(&mut self, text: &str) -> Result<(), DriverError> {
        self.raw(text);
        Ok(())
    }

    fn raw(&mut self, text: &str) {
        self.json.extend_from_slice(text.as_bytes());
    }

    fn hexadecimal(&mut self, bytes: &[u8]) {
        let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
        self.json.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    }
}

fn check_level(level: usize) -> Result<(), DriverError> {
    if level > DEEPEST { Err(malformed(format!("it is nested over {DEEPEST} levels"))) } else { Ok(()) }
}

pub(super) fn malformed(error: impl Display) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("the MongoDB server sent malformed BSON: {error}"))
}

fn unwritable(error: impl Display) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("a value could not be written as JSON: {error}"))
}

impl From<Malformed> for DriverError {
    fn from(error: Malformed) -> Self {
        malformed(error)
    }
}
