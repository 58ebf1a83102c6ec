//! Raw BSON to Extended JSON, in one pass and straight into the reply.

use super::Form;
use base64::{Engine, encoded_len, engine::general_purpose::STANDARD};
use bson::{
    DateTime, RawArray, RawBinaryRef, RawBsonRef, RawDocument, oid::ObjectId, raw::RawElement,
    raw::RawRegexRef,
};
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
/// `DRIVER_ERROR` when the bytes are not BSON, nested over 200 levels or, for the canonical form, hold text that is not
/// UTF-8.
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
    Writer { form, json, limit }.document(document, 1)
}

/// Appends any value, like [`write_document`].
///
/// # Errors
/// As [`write_document`].
pub(crate) fn write_value(value: RawBsonRef<'_>, form: Form, json: &mut Vec<u8>) -> Result<(), DriverError> {
    Writer { form, json, limit: u64::MAX }.value(value, 0)
}

struct Writer<'a> {
    form: Form,
    json: &'a mut Vec<u8>,
    limit: u64,
}

impl Writer<'_> {
    fn document(&mut self, document: &RawDocument, level: usize) -> Result<(), DriverError> {
        check_level(level)?;
        self.raw("{");
        for (index, element) in document.iter_elements().enumerate() {
            let element = element.map_err(malformed)?;
            if index > 0 {
                self.raw(",");
            }
            self.plain(element.key().as_str())?;
            self.raw(":");
            self.element(&element, level)?;
        }
        self.raw("}");
        Ok(())
    }

    fn array(&mut self, array: &RawArray, level: usize) -> Result<(), DriverError> {
        check_level(level)?;
        self.raw("[");
        for (index, element) in array.iter_elements().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.element(&element.map_err(malformed)?, level)?;
        }
        self.raw("]");
        Ok(())
    }

    fn element(&mut self, element: &RawElement<'_>, level: usize) -> Result<(), DriverError> {
        if self.json.len() as u64 > self.limit {
            return Err(DriverError::result_too_large(self.limit));
        }
        match element.value() {
            Ok(value) => self.value(value, level),
            Err(error) => {
                let in_field = |error| malformed(format!("field `{}`: {error}", element.key()));
                if self.form == Form::Canonical {
                    return Err(in_field(error));
                }
                // Only text that is not UTF-8 gets past this.
                let readable = element.value_utf8_lossy().map_err(in_field)?;
                self.value(readable.as_raw_bson_ref(), level)
            }
        }
    }

    /// `level` is that of the document or array around the value.
    fn value(&mut self, value: RawBsonRef<'_>, level: usize) -> Result<(), DriverError> {
        match value {
            RawBsonRef::Double(number) => self.double(number),
            RawBsonRef::String(text) => self.plain(text),
            RawBsonRef::Document(document) => self.document(document, level + 1),
            RawBsonRef::Array(array) => self.array(array, level + 1),
            RawBsonRef::Binary(binary) => self.binary(binary),
            RawBsonRef::Undefined => self.fixed(r#"{"$undefined":true}"#),
            RawBsonRef::ObjectId(id) => self.object_id(id),
            RawBsonRef::Boolean(yes) => self.fixed(if yes { "true" } else { "false" }),
            RawBsonRef::DateTime(date) => self.date(date),
            RawBsonRef::Null => self.fixed("null"),
            RawBsonRef::RegularExpression(regex) => self.regex(regex),
            // Its parts are private, and its own serialization is this very form.
            RawBsonRef::DbPointer(pointer) => self.plain(pointer),
            RawBsonRef::JavaScriptCode(code) => self.wrapped("$code", code),
            RawBsonRef::JavaScriptCodeWithScope(code) => {
                self.raw(r#"{"$code":"#);
                self.plain(code.code)?;
                self.raw(r#","$scope":"#);
                self.document(code.scope, level + 1)?;
                self.raw("}");
                Ok(())
            }
            RawBsonRef::Symbol(text) => self.wrapped("$symbol", text),
            RawBsonRef::Int32(number) => match self.form {
                Form::Relaxed => self.plain(number),
                Form::Canonical => self.quoted("$numberInt", number),
            },
            RawBsonRef::Timestamp(timestamp) => {
                self.raw(r#"{"$timestamp":{"t":"#);
                self.plain(timestamp.time)?;
                self.raw(r#","i":"#);
                self.plain(timestamp.increment)?;
                self.raw("}}");
                Ok(())
            }
            RawBsonRef::Int64(number) => {
                let unmistakable = i32::try_from(number).is_err() && number.unsigned_abs() <= LARGEST_EXACT;
                if self.form == Form::Relaxed && unmistakable {
                    self.plain(number)
                } else {
                    self.quoted("$numberLong", number)
                }
            }
            RawBsonRef::Decimal128(decimal) => self.wrapped("$numberDecimal", format_args!("{decimal}")),
            RawBsonRef::MinKey => self.fixed(r#"{"$minKey":1}"#),
            RawBsonRef::MaxKey => self.fixed(r#"{"$maxKey":1}"#),
        }
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

    fn date(&mut self, date: DateTime) -> Result<(), DriverError> {
        let milliseconds = date.timestamp_millis();
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

    fn binary(&mut self, binary: RawBinaryRef<'_>) -> Result<(), DriverError> {
        self.raw(r#"{"$binary":{"base64":""#);
        let start = self.json.len();
        let length = encoded_len(binary.bytes.len(), true).unwrap_or_default();
        self.json.resize(start + length, 0);
        let end = self.json.get_mut(start..).unwrap_or_default();
        STANDARD.encode_slice(binary.bytes, end).map_err(unwritable)?;
        self.raw(r#"","subType":""#);
        self.hexadecimal(&[binary.subtype.into()]);
        self.raw(r#""}}"#);
        Ok(())
    }

    fn object_id(&mut self, id: ObjectId) -> Result<(), DriverError> {
        self.raw(r#"{"$oid":""#);
        self.hexadecimal(&id.bytes());
        self.raw(r#""}"#);
        Ok(())
    }

    fn regex(&mut self, regex: RawRegexRef<'_>) -> Result<(), DriverError> {
        self.raw(r#"{"$regularExpression":{"pattern":"#);
        self.plain(regex.pattern.as_str())?;
        self.raw(r#","options":"#);
        let options = regex.options.as_str();
        if options.is_ascii() && options.as_bytes().is_sorted() {
            self.plain(options)?;
        } else {
            // Not as MongoDB stores them, but a client can write anything.
            let mut letters: Vec<_> = options.chars().collect();
            letters.sort_unstable();
            self.plain(letters.into_iter().collect::<String>())?;
        }
        self.raw("}}");
        Ok(())
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

fn malformed(error: impl Display) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("the MongoDB server sent malformed BSON: {error}"))
}

fn unwritable(error: impl Display) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("a value could not be written as JSON: {error}"))
}
