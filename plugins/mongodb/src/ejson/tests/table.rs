//! One line a case: the value, its canonical form, its relaxed form (`""`: the same), and other forms that are read so.

use super::*;
use bson::{
    Binary, DateTime, Decimal128, JavaScriptCodeWithScope, Regex, Timestamp, bson, doc, oid::ObjectId,
    spec::BinarySubtype,
};

type Case = (Bson, &'static str, &'static str, &'static [&'static str]);

#[track_caller]
fn check(cases: &[Case]) {
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

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().unwrap())
}

#[test]
fn int32_is_bare_when_relaxed() {
    check(&[
        (
            Bson::Int32(0),
            r#"{"$numberInt":"0"}"#,
            "0",
            &[r#"{ "$numberInt" : "-0" }"#, r#"{"$numberInt":"+00"}"#],
        ),
        (Bson::Int32(-7), r#"{"$numberInt":"-7"}"#, "-7", &[]),
        (Bson::Int32(i32::MAX), r#"{"$numberInt":"2147483647"}"#, "2147483647", &[]),
        (Bson::Int32(i32::MIN), r#"{"$numberInt":"-2147483648"}"#, "-2147483648", &[]),
    ]);
}

#[test]
fn int64_is_bare_only_where_it_cannot_be_mistaken() {
    check(&[
        (Bson::Int64(0), r#"{"$numberLong":"0"}"#, "", &[r#"{"$numberLong":"-0"}"#]),
        (Bson::Int64(2_147_483_647), r#"{"$numberLong":"2147483647"}"#, "", &[]),
        (Bson::Int64(2_147_483_648), r#"{"$numberLong":"2147483648"}"#, "2147483648", &[]),
        (Bson::Int64(-2_147_483_648), r#"{"$numberLong":"-2147483648"}"#, "", &[]),
        (Bson::Int64(-2_147_483_649), r#"{"$numberLong":"-2147483649"}"#, "-2147483649", &[]),
        (
            Bson::Int64(9_007_199_254_740_991),
            r#"{"$numberLong":"9007199254740991"}"#,
            "9007199254740991",
            &[],
        ),
        (
            Bson::Int64(-9_007_199_254_740_991),
            r#"{"$numberLong":"-9007199254740991"}"#,
            "-9007199254740991",
            &[],
        ),
        (
            Bson::Int64(9_007_199_254_740_992),
            r#"{"$numberLong":"9007199254740992"}"#,
            "",
            &["9007199254740992"],
        ),
        (Bson::Int64(-9_007_199_254_740_992), r#"{"$numberLong":"-9007199254740992"}"#, "", &[]),
        (Bson::Int64(i64::MAX), r#"{"$numberLong":"9223372036854775807"}"#, "", &["9223372036854775807"]),
        (Bson::Int64(i64::MIN), r#"{"$numberLong":"-9223372036854775808"}"#, "", &["-9223372036854775808"]),
    ]);
}

#[test]
fn doubles_have_a_fraction_or_an_exponent() {
    check(&[
        (
            Bson::Double(5.0),
            r#"{"$numberDouble":"5.0"}"#,
            "5.0",
            &["5e0", "0.5E+1", r#"{"$numberDouble":"5"}"#],
        ),
        (Bson::Double(-0.0), r#"{"$numberDouble":"-0.0"}"#, "-0.0", &[r#"{"$numberDouble":"-0"}"#, "-0e5"]),
        (Bson::Double(0.0), r#"{"$numberDouble":"0.0"}"#, "0.0", &[]),
        (Bson::Double(0.1), r#"{"$numberDouble":"0.1"}"#, "0.1", &["0.10000000000000000555"]),
        (Bson::Double(1e300), r#"{"$numberDouble":"1e+300"}"#, "1e+300", &[r#"{"$numberDouble":"1E300"}"#]),
        (Bson::Double(5e-324), r#"{"$numberDouble":"5e-324"}"#, "5e-324", &[]),
        (
            Bson::Double(f64::MAX),
            r#"{"$numberDouble":"1.7976931348623157e+308"}"#,
            "1.7976931348623157e+308",
            &[],
        ),
        (
            Bson::Double(1.234567890123e18),
            r#"{"$numberDouble":"1.234567890123e+18"}"#,
            "1.234567890123e+18",
            &[],
        ),
        (Bson::Double(f64::NAN), r#"{"$numberDouble":"NaN"}"#, "", &[]),
        (Bson::Double(f64::INFINITY), r#"{"$numberDouble":"Infinity"}"#, "", &[]),
        (Bson::Double(f64::NEG_INFINITY), r#"{"$numberDouble":"-Infinity"}"#, "", &[]),
    ]);
    assert_eq!(write(&Bson::Double(-f64::NAN), Form::Relaxed), r#"{"$numberDouble":"NaN"}"#);
    // Whole numbers beyond 64 bits are doubles.
    for exact in
        ["9223372036854775808", "9223372036854776000", "18446744073709549568", "10000000000000000000"]
    {
        assert_eq!(read(exact), Bson::Double(exact.parse().unwrap()), "{exact}");
    }
    assert_eq!(read("-123456789012345678901234567890"), Bson::Double(-1.234_567_890_123_456_8e29));
}

#[test]
fn decimal128_keeps_its_digits_and_exponent() {
    check(&[
        (
            decimal("0"),
            r#"{"$numberDecimal":"0"}"#,
            "",
            &[r#"{"$numberDecimal":"000"}"#, r#"{"$numberDecimal":"+0"}"#],
        ),
        (decimal("-0"), r#"{"$numberDecimal":"-0"}"#, "", &[]),
        (decimal("1.10"), r#"{"$numberDecimal":"1.10"}"#, "", &[r#"{"$numberDecimal":"110e-2"}"#]),
        (decimal(".5"), r#"{"$numberDecimal":"0.5"}"#, "", &[r#"{"$numberDecimal":".5"}"#]),
        (decimal("5."), r#"{"$numberDecimal":"5"}"#, "", &[r#"{"$numberDecimal":"5."}"#]),
        (decimal("-0E+3"), r#"{"$numberDecimal":"-0E+3"}"#, "", &[r#"{"$numberDecimal":"-0e3"}"#]),
        (decimal("0.000001"), r#"{"$numberDecimal":"0.000001"}"#, "", &[r#"{"$numberDecimal":"1E-6"}"#]),
        (decimal("1E-7"), r#"{"$numberDecimal":"1E-7"}"#, "", &[r#"{"$numberDecimal":"0.0000001"}"#]),
        (decimal("1.2E+3"), r#"{"$numberDecimal":"1.2E+3"}"#, "", &[r#"{"$numberDecimal":"12E2"}"#]),
        (
            decimal("9999999999999999999999999999999999"),
            r#"{"$numberDecimal":"9999999999999999999999999999999999"}"#,
            "",
            &[],
        ),
        (
            decimal("9.999999999999999999999999999999999E+6144"),
            r#"{"$numberDecimal":"9.999999999999999999999999999999999E+6144"}"#,
            "",
            &[],
        ),
        // The specification's clamping: one more zero, one power less.
        (decimal("1E+6112"), r#"{"$numberDecimal":"1.0E+6112"}"#, "", &[r#"{"$numberDecimal":"1E6112"}"#]),
        (decimal("0E+9000"), r#"{"$numberDecimal":"0E+6111"}"#, "", &[]),
        (decimal("1E-6176"), r#"{"$numberDecimal":"1E-6176"}"#, "", &[]),
        (decimal("NaN"), r#"{"$numberDecimal":"NaN"}"#, "", &[r#"{"$numberDecimal":"nan"}"#]),
        (decimal("Infinity"), r#"{"$numberDecimal":"Infinity"}"#, "", &[r#"{"$numberDecimal":"+inf"}"#]),
        (decimal("-Infinity"), r#"{"$numberDecimal":"-Infinity"}"#, "", &[r#"{"$numberDecimal":"-Inf"}"#]),
    ]);
}

#[test]
fn decimal128_bits_that_are_not_canonical_are_written_as_what_they_mean() {
    let written =
        |bits: u128| write(&Bson::Decimal128(Decimal128::from_bytes(bits.to_le_bytes())), Form::Canonical);
    let coefficient_too_large = (6176 << 113) | (10_u128.pow(34));
    assert_eq!(written(coefficient_too_large), r#"{"$numberDecimal":"0"}"#);
    assert_eq!(written(coefficient_too_large | (1 << 127)), r#"{"$numberDecimal":"-0"}"#);
    let large_form_of_coefficient = (0b11 << 125) | (6179 << 111) | 5;
    assert_eq!(written(large_form_of_coefficient), r#"{"$numberDecimal":"0E+3"}"#);
    let signalling_nan_with_payload = (0b111_1110 << 120) | (1 << 127) | 7;
    assert_eq!(written(signalling_nan_with_payload), r#"{"$numberDecimal":"NaN"}"#);
    let infinity_with_payload = (0b1111 << 123) | 7;
    assert_eq!(written(infinity_with_payload), r#"{"$numberDecimal":"Infinity"}"#);
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
