//! One line a case: the value, its canonical form, its relaxed form (`""`: the same), and other forms that are read so.

use super::*;
use bson::{
    Binary, DateTime, JavaScriptCodeWithScope, Regex, Timestamp, bson, doc, oid::ObjectId,
    spec::BinarySubtype,
};

type Case = (Bson, &'static str, &'static str, &'static [&'static str]);

#[track_caller]
pub(super) fn check(cases: &[Case]) {
    for (value, canonical, relaxed, others) in cases {
        let relaxed = if relaxed.is_empty() { canonical } else { relaxed };
        assert_eq!(&write(value, Form::Canonical), canonical);
        assert_eq!(&write(value, Form::Relaxed), relaxed);
        for json in [canonical, relaxed].into_iter().chain(*others) {
            assert_eq!(bytes(&read(json)), bytes(value), "{json} is {value:?}");
        }
    }
}

fn date(milliseconds: i64) -> Bson {
    Bson::DateTime(DateTime::from_millis(milliseconds))
}

fn binary(subtype: u8, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes: bytes.to_vec() })
}

fn regex(pattern: &str, options: &str) -> Bson {
    let (pattern, options) = (pattern.try_into().unwrap(), options.try_into().unwrap());
    Bson::RegularExpression(Regex { pattern, options })
}

#[test]
fn dates_are_text_from_1970_to_9999_when_relaxed() {
    check(&[
        (
            date(0),
            r#"{"$date":{"$numberLong":"0"}}"#,
            r#"{"$date":"1970-01-01T00:00:00Z"}"#,
            &[r#"{"$date":0}"#],
        ),
        (
            date(1_356_351_330_501),
            r#"{"$date":{"$numberLong":"1356351330501"}}"#,
            r#"{"$date":"2012-12-24T12:15:30.501Z"}"#,
            &[
                r#"{"$date":1356351330501}"#,
                r#"{"$date":"2012-12-24T13:15:30.501+01:00"}"#,
                r#"{"$date":"2012-12-24t12:15:30.501000z"}"#,
            ],
        ),
        (date(500), r#"{"$date":{"$numberLong":"500"}}"#, r#"{"$date":"1970-01-01T00:00:00.500Z"}"#, &[]),
        (
            date(951_782_400_000),
            r#"{"$date":{"$numberLong":"951782400000"}}"#,
            r#"{"$date":"2000-02-29T00:00:00Z"}"#,
            &[],
        ),
        (
            date(253_402_300_799_999),
            r#"{"$date":{"$numberLong":"253402300799999"}}"#,
            r#"{"$date":"9999-12-31T23:59:59.999Z"}"#,
            &[],
        ),
        (date(253_402_300_800_000), r#"{"$date":{"$numberLong":"253402300800000"}}"#, "", &[]),
        (
            date(-1),
            r#"{"$date":{"$numberLong":"-1"}}"#,
            "",
            &[
                r#"{"$date":"1969-12-31T23:59:59.999Z"}"#,
                r#"{"$date":"1969-12-31T23:59:59.9990001Z"}"#,
                r#"{"$date":"1970-01-01T00:59:59.999999999+01:00"}"#,
                r#"{"$date":-1}"#,
            ],
        ),
        (date(i64::MIN), r#"{"$date":{"$numberLong":"-9223372036854775808"}}"#, "", &[]),
        (date(i64::MAX), r#"{"$date":{"$numberLong":"9223372036854775807"}}"#, "", &[]),
    ]);
}

#[test]
fn binary_has_padded_base64_and_a_subtype_of_two_digits() {
    check(&[
        (
            binary(0, b""),
            r#"{"$binary":{"base64":"","subType":"00"}}"#,
            "",
            &[r#"{"$binary":{"subType":"0","base64":""}}"#],
        ),
        (binary(0, &[0xff, 0xfe]), r#"{"$binary":{"base64":"//4=","subType":"00"}}"#, "", &[]),
        (
            binary(1, b"abc"),
            r#"{"$binary":{"base64":"YWJj","subType":"01"}}"#,
            "",
            &[r#"{"$binary":{"base64":"YWJj","subType":"1"}}"#],
        ),
        (binary(2, b"abc"), r#"{"$binary":{"base64":"YWJj","subType":"02"}}"#, "", &[]),
        (binary(3, &[3; 16]), r#"{"$binary":{"base64":"AwMDAwMDAwMDAwMDAwMDAw==","subType":"03"}}"#, "", &[]),
        (
            binary(4, &[0xC8; 16]),
            r#"{"$binary":{"base64":"yMjIyMjIyMjIyMjIyMjIyA==","subType":"04"}}"#,
            "",
            &[
                r#"{"$uuid":"c8c8c8c8-c8c8-c8c8-c8c8-c8c8c8c8c8c8"}"#,
                r#"{"$uuid":"C8C8C8C8C8C8C8C8C8C8C8C8C8C8C8C8"}"#,
            ],
        ),
        // Not every binary of subtype 4 is a UUID.
        (binary(4, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"04"}}"#, "", &[]),
        (binary(5, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"05"}}"#, "", &[]),
        (binary(6, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"06"}}"#, "", &[]),
        (binary(7, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"07"}}"#, "", &[]),
        (binary(8, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"08"}}"#, "", &[]),
        (binary(9, &[0x27, 0]), r#"{"$binary":{"base64":"JwA=","subType":"09"}}"#, "", &[]),
        (binary(0x7F, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"7f"}}"#, "", &[]),
        (binary(0x80, b"a"), r#"{"$binary":{"base64":"YQ==","subType":"80"}}"#, "", &[]),
        (
            binary(0xFF, b"a"),
            r#"{"$binary":{"base64":"YQ==","subType":"ff"}}"#,
            "",
            &[r#"{"$binary":{"base64":"YQ==","subType":"FF"}}"#],
        ),
    ]);
}

#[test]
fn object_ids_are_lower_case_and_read_in_any() {
    let id = Bson::ObjectId(ObjectId::from_bytes([0x5F, 0, 1, 0xA9, 0x10, 0xFF, 7, 8, 9, 0xAB, 0xCD, 0xEF]));
    check(&[(id, r#"{"$oid":"5f0001a910ff070809abcdef"}"#, "", &[r#"{"$oid":"5F0001A910FF070809ABCDEF"}"#])]);
}

#[test]
fn text_is_escaped_as_json_wants_it() {
    check(&[
        (bson!(""), r#""""#, "", &[]),
        (bson!("ß→😀"), r#""ß→😀""#, "", &[r#""\u00df\u2192\ud83d\ude00""#]),
        (
            bson!("\u{0}\n\t\"\\/\u{1f}\u{7f}\u{2028}"),
            "\"\\u0000\\n\\t\\\"\\\\/\\u001f\u{7f}\u{2028}\"",
            "",
            &[],
        ),
        (Bson::Symbol("a\"b".into()), r#"{"$symbol":"a\"b"}"#, "", &[]),
    ]);
}

#[test]
fn code_and_its_scope_in_either_order() {
    let with_scope =
        |scope| Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "f(x)".into(), scope });
    check(&[
        (Bson::JavaScriptCode("f(\"x\")".into()), r#"{"$code":"f(\"x\")"}"#, "", &[]),
        (with_scope(doc! {}), r#"{"$code":"f(x)","$scope":{}}"#, "", &[r#"{"$scope":{},"$code":"f(x)"}"#]),
        (
            with_scope(doc! { "x": 1 }),
            r#"{"$code":"f(x)","$scope":{"x":{"$numberInt":"1"}}}"#,
            r#"{"$code":"f(x)","$scope":{"x":1}}"#,
            &[],
        ),
    ]);
}

#[test]
fn the_options_of_regular_expressions_are_in_order() {
    check(&[
        (regex("", ""), r#"{"$regularExpression":{"pattern":"","options":""}}"#, "", &[]),
        (
            regex("^a\\/b\"", "imx"),
            r#"{"$regularExpression":{"pattern":"^a\\/b\"","options":"imx"}}"#,
            "",
            &[r#"{"$regularExpression":{"options":"xim","pattern":"^a\\/b\""}}"#],
        ),
    ]);
    // As a careless client may have stored it; `bson` itself would put it in order.
    let json = write_bytes(&frame(b"\x0Bv\0a\0xi\0"), Form::Relaxed).unwrap();
    assert_eq!(json, r#"{"v":{"$regularExpression":{"pattern":"a","options":"ix"}}}"#);
}

#[test]
fn timestamps_have_two_unsigned_numbers() {
    let timestamp = |time, increment| Bson::Timestamp(Timestamp { time, increment });
    check(&[
        (timestamp(0, 0), r#"{"$timestamp":{"t":0,"i":0}}"#, "", &[]),
        (
            timestamp(123_456_789, 42),
            r#"{"$timestamp":{"t":123456789,"i":42}}"#,
            "",
            &[r#"{"$timestamp":{"i":42,"t":123456789}}"#],
        ),
        (timestamp(u32::MAX, u32::MAX), r#"{"$timestamp":{"t":4294967295,"i":4294967295}}"#, "", &[]),
    ]);
}

#[test]
fn types_with_one_or_two_values() {
    check(&[
        (Bson::Boolean(true), "true", "", &[]),
        (Bson::Boolean(false), "false", "", &[]),
        (Bson::Null, "null", "", &[]),
        (Bson::Undefined, r#"{"$undefined":true}"#, "", &[]),
        (Bson::MinKey, r#"{"$minKey":1}"#, "", &[]),
        (Bson::MaxKey, r#"{"$maxKey":1}"#, "", &[]),
    ]);
}

#[test]
fn db_pointers_have_a_namespace_and_an_object_id() {
    let json = r#"{"$dbPointer":{"$ref":"db.things","$id":{"$oid":"56e1fc72e0c917e9c4714161"}}}"#;
    let pointer = read(json);
    assert!(matches!(pointer, Bson::DbPointer(_)));
    check(&[(
        pointer,
        json,
        "",
        &[r#"{"$dbPointer":{"$id":{"$oid":"56E1FC72E0C917E9C4714161"},"$ref":"db.things"}}"#],
    )]);
}

#[test]
fn documents_and_arrays_keep_their_order() {
    check(&[
        (bson!({}), "{}", "", &[]),
        (bson!([]), "[]", "", &[]),
        (
            bson!({ "z": 1, "a": [true, null, { "": 2.5 }], "$x.y": "" }),
            r#"{"z":{"$numberInt":"1"},"a":[true,null,{"":{"$numberDouble":"2.5"}}],"$x.y":""}"#,
            r#"{"z":1,"a":[true,null,{"":2.5}],"$x.y":""}"#,
            &[],
        ),
    ]);
}

#[test]
fn operators_and_db_refs_stay_documents() {
    for (json, value) in [
        (r#"{"$set":{"a":1},"$inc":{"b":2}}"#, bson!({ "$set": { "a": 1 }, "$inc": { "b": 2 } })),
        (r#"{"a":{"$gt":5,"$lt":6.0}}"#, bson!({ "a": { "$gt": 5, "$lt": 6.0 } })),
        (r#"{"$regex":"^a","$options":"i"}"#, bson!({ "$regex": "^a", "$options": "i" })),
        (
            r#"{"$regex":{"$regularExpression":{"pattern":"a","options":""}},"$options":"ix"}"#,
            bson!({ "$regex": regex("a", ""), "$options": "ix" }),
        ),
        (r#"{"zip":{"$type":2}}"#, bson!({ "zip": { "$type": 2 } })),
        (r#"{"zip":{"$type":"string"}}"#, bson!({ "zip": { "$type": "string" } })),
        (r#"{"$ref":"c","$id":1,"$db":"d","x":2}"#, bson!({ "$ref": "c", "$id": 1, "$db": "d", "x": 2 })),
        (r#"{"$ref":"c"}"#, bson!({ "$ref": "c" })),
        (r#"{"$numberint":"1"}"#, bson!({ "$numberint": "1" })),
    ] {
        assert_eq!(read(json), value);
        assert_eq!(write(&value, Form::Relaxed), json);
    }
}
