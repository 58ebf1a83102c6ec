use super::*;
use bson::doc;
use serde::Deserialize;
use studio_plugin_api::parameters::from_body;

#[test]
fn near_misses_of_a_type_are_refused_with_the_right_form() {
    for (json, wanted) in [
        (r#"{"$oid":"xyz"}"#, "`$oid` must be a string of 24 hexadecimal digits"),
        (r#"{"$oid":"5f0001a910ff070809abcde"}"#, "24 hexadecimal digits"),
        (r#"{"$oid":1}"#, "24 hexadecimal digits"),
        (r#"{"$oid":"5f0001a910ff070809abcdef","x":1}"#, "`$oid` and `x` cannot be in one object"),
        (r#"{"x":1,"$numberInt":"1"}"#, "`x` and `$numberInt` cannot be in one object"),
        (r#"{"$numberInt":"99999999999"}"#, "from -2147483648 to 2147483647"),
        (r#"{"$numberInt":"1.0"}"#, "a whole number"),
        (r#"{"$numberInt":1}"#, "a string with a whole number"),
        (r#"{"$numberInt":" 1"}"#, "a whole number"),
        (r#"{"$numberLong":"9223372036854775808"}"#, "to 9223372036854775807"),
        (r#"{"$numberLong":true}"#, "a string with a whole number"),
        (r#"{"$date":"2016-12-31T23:59:60Z"}"#, "an RFC 3339 date"),
        (r#"{"$date":"2017-01-01T00:59:60.5+01:00"}"#, "an RFC 3339 date"),
        (r#"{"$numberDouble":"1e400"}"#, "a 64-bit floating-point number"),
        (r#"{"$numberDouble":"inf"}"#, "Infinity"),
        (r#"{"$numberDouble":""}"#, "a 64-bit floating-point number"),
        (r#"{"$numberDouble":1.5}"#, "a string"),
        (r#"{"$numberDecimal":1}"#, "a string with a decimal number"),
        (r#"{"$binary":"YQ==","$type":"00"}"#, "`$binary` and `$type` cannot be in one object"),
        (r#"{"$binary":"YQ=="}"#, r#"{"base64":"…","subType":"…"}"#),
        (r#"{"$binary":{"base64":"YQ","subType":"00"}}"#, "padded base64"),
        (r#"{"$binary":{"base64":"Y_==","subType":"00"}}"#, "padded base64"),
        (r#"{"$binary":{"base64":"YQ==","subType":"+1"}}"#, "hexadecimal digits"),
        (r#"{"$binary":{"base64":"YQ==","subType":""}}"#, "hexadecimal digits"),
        (r#"{"$binary":{"base64":"YQ==","subType":"001"}}"#, "hexadecimal digits"),
        (r#"{"$binary":{"base64":"YQ==","subType":0}}"#, "hexadecimal digits"),
        (r#"{"$binary":{"base64":"YQ=="}}"#, "subType"),
        (r#"{"$binary":{"base64":"YQ==","subType":"00","x":1}}"#, "subType"),
        (r#"{"$uuid":"c8edabc3-f738-4ca3-b68d-ab92a91478a"}"#, "a UUID such as"),
        (r#"{"$uuid":"c8e-dabc3f738-4ca3-b68d-ab92a91478a3"}"#, "a UUID such as"),
        (r#"{"$code":1}"#, "`$code` must be a string"),
        (r#"{"$code":1,"$scope":{}}"#, "`$code` must be a string"),
        (r#"{"$code":"","$scope":1}"#, "`$scope` must be a document"),
        (r#"{"$code":"","$scope":{},"x":1}"#, "`$code` and `x` cannot"),
        (r#"{"$scope":{}}"#, "`$scope` must be a document beside `$code`"),
        (r#"{"$symbol":null}"#, "`$symbol` must be a string"),
        (r#"{"$date":"yesterday"}"#, "an RFC 3339 date and time"),
        (r#"{"$date":"2026-11-05"}"#, "an RFC 3339 date and time"),
        (r#"{"$date":"2026-02-30T00:00:00Z"}"#, "an RFC 3339 date and time"),
        (r#"{"$date":1.5}"#, "an RFC 3339 date and time"),
        (r#"{"$timestamp":{"t":-1,"i":0}}"#, "from 0 to 4294967295"),
        (r#"{"$timestamp":{"t":4294967296,"i":0}}"#, "from 0 to 4294967295"),
        (r#"{"$timestamp":{"t":"1","i":0}}"#, "from 0 to 4294967295"),
        (r#"{"$timestamp":{"t":1}}"#, "from 0 to 4294967295"),
        (r#"{"$regularExpression":"a"}"#, r#"{"pattern":"…","options":"…"}"#),
        (r#"{"$regularExpression":{"pattern":"a"}}"#, "options"),
        (r#"{"$regularExpression":{"pattern":"a\u0000","options":""}}"#, "without NUL characters"),
        (r#"{"$regularExpression":{"pattern":"a","options":"\u0000"}}"#, "without NUL characters"),
        (r#"{"$dbPointer":{"$ref":"a.b","$id":"5f0001a910ff070809abcdef"}}"#, r#""$id":{"$oid":"…"}"#),
        (r#"{"$dbPointer":{"$ref":"a.b"}}"#, r#""$id":{"$oid":"…"}"#),
        (r#"{"$minKey":2}"#, "`$minKey` must be 1"),
        (r#"{"$maxKey":"1"}"#, "`$maxKey` must be 1"),
        (r#"{"$undefined":false}"#, "`$undefined` must be true"),
    ] {
        let (field, message) = refused(json);
        assert_eq!(field, "value");
        assert!(message.starts_with("`value`: `") && message.contains(wanted), "{json}: {message}");
    }
}

#[test]
fn whole_number_that_a_double_would_round_is_refused() {
    for json in ["9223372036854775809", "18446744073709551615", "9223372036854775999"] {
        let (field, message) = refused(json);
        assert_eq!(field, "value");
        assert!(message.contains("a double would round it"), "{json}: {message}");
    }
}

#[test]
fn text_that_is_no_decimal_or_would_lose_digits_is_refused() {
    for text in [
        "",
        ".",
        "+",
        "-",
        "e",
        "e1",
        ".e1",
        "1e",
        "1e+",
        "1e1.5",
        "--1",
        "+-1",
        "-+1",
        ".+1",
        "0+1",
        "1.+2",
        "1..2",
        "1.2.3",
        " 1",
        "1 ",
        "0x1",
        "1,5",
        "1_0",
        "sNaN",
        "-sNaN",
        "in",
        "infinit",
        "Infinityx",
        "٣",
        "1e1e1",
        // 35 digits, and exponents out of range for their digits.
        "12345678901234567890123456789012345",
        "1E+6145",
        "1E-6177",
        "1e99999999999999999999999999999999999999999",
    ] {
        let json = serde_json::json!({ "$numberDecimal": text }).to_string();
        assert!(refused(&json).1.contains("a decimal number"), "{text}");
    }
}

#[test]
fn errors_name_the_place_inside_the_value() {
    assert_eq!(refused(r#"{"a":[0,{"b.c":{"$oid":"x"}}]}"#).0, "value.a[1].b.c");
    assert_eq!(refused(r#"[1,{"$numberInt":"x"}]"#).0, "value[1]");
    assert_eq!(refused(r#"{"a":{"$date":{"$numberLong":"x"}}}"#).0, "value.a.$date");
}

#[test]
fn duplicate_keys_are_refused_with_their_name() {
    assert!(refused(r#"{"a":1,"b":2,"a":3}"#).1.contains("duplicate field `a`"));
    assert!(refused(r#"{"a":{"$oid":"x","$oid":"y"}}"#).1.contains("duplicate field `$oid`"));
    assert_eq!(refused(r#"{"x":{"a":1,"\u0061":1}}"#).0, "value.x");
}

#[test]
fn nul_in_the_name_of_a_field_is_refused() {
    assert!(refused(r#"{"a\u0000b":1}"#).1.contains("NUL"));
}

#[test]
fn what_is_no_json_is_refused() {
    for text in ["", "{", "{}x", "{a:1}", "{'a':1}", "NaN", "1e400", "[1,]", "\"\u{1}\"", r#""\ud800""#] {
        let (field, message) = refused(text);
        assert_eq!(field, "value");
        assert!(message.contains("not Extended JSON"), "{text}: {message}");
    }
}

fn nested(levels: usize, innermost: &str) -> String {
    let open = (0..levels).map(|level| if level % 2 == 0 { r#"{"a":"# } else { "[" });
    let close = (0..levels).rev().map(|level| if level % 2 == 0 { "}" } else { "]" });
    open.chain([innermost]).chain(close).collect()
}

#[test]
fn a_hundred_levels_pass_and_more_are_refused() {
    for innermost in [
        "1",
        r#"{"$oid":"5f0001a910ff070809abcdef"}"#,
        r#"{"$dbPointer":{"$ref":"","$id":{"$oid":"5f0001a910ff070809abcdef"}}}"#,
    ] {
        let value = read(&nested(100, innermost));
        assert_eq!(read(&write(&value, Form::Canonical)), value);
        assert!(refused(&nested(101, innermost)).1.contains("must not be nested over 100 levels"));
    }
    read(&nested(99, r#"{"$code":"","$scope":{}}"#));
    assert!(refused(&nested(100, r#"{"$code":"","$scope":{}}"#)).1.contains("100 levels"));
    assert!(refused(&nested(100_000, "1")).1.contains("recursion limit"));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    filter: Object,
    #[serde(default)]
    values: Vec<Value>,
}

#[test]
fn fields_of_a_body_are_read_and_their_errors_named() {
    let request: Request =
        from_body(br#"{"filter":{"b":{"$numberLong":"1"},"a":1.0},"values":[null,{"$minKey":1},0.1]}"#)
            .unwrap();
    assert_eq!(request.filter.0, doc! { "b": 1_i64, "a": 1.0 });
    assert_eq!(request.values, [Bson::Null, Bson::MinKey, Bson::Double(0.1)].map(Value));

    let place = |body: &str| field(&from_body::<Request>(body.as_bytes()).unwrap_err());
    assert_eq!(place(r#"{"filter":{"a":{"$oid":"x"}}}"#), "filter.a");
    assert_eq!(place(r#"{"filter":{"a":{"b":1,"b":1}}}"#), "filter.a.b");
    assert_eq!(place(r#"{"filter":[]}"#), "filter");
    assert_eq!(place(r#"{"filter":{"$oid":"5f0001a910ff070809abcdef"}}"#), "filter");
    assert_eq!(place(r#"{"filter":{},"values":[1,{"$date":""}]}"#), "values[1]");
    assert_eq!(place(&format!(r#"{{"filter":{}}}"#, nested(101, "1"))), "filter");
    let error = from_body::<Request>(br#"{"filter":{"a":{"$oid":"x"}}}"#).unwrap_err();
    assert_eq!(error.message, "`filter.a`: `$oid` must be a string of 24 hexadecimal digits");
}

#[test]
fn a_parameter_that_must_be_a_document_is_one() {
    assert_eq!(parse_document(r#"{"a":{"$gt":1}}"#, "filter").unwrap(), doc! { "a": { "$gt": 1 } });
    let error = parse_document(r#"{"$numberInt":"1"}"#, "filter").unwrap_err();
    assert_eq!(
        (field(&error).as_str(), error.message.as_str()),
        ("filter", "`filter`: must be an object, not Int32")
    );
}

#[test]
fn malformed_bson_is_the_servers_fault() {
    for elements in [
        b"\x0Aname".as_slice(),                       // a name without an end
        b"\x12a\0\x01",                               // an int64 of one byte
        b"\x77a\0",                                   // an unknown type
        b"\x02a\0\xFF\xFF\xFF\xFF\0",                 // a string of -1 bytes
        b"\x02a\0\x01\0\0\0x",                        // a string without an end
        b"\x03a\0\x09\0\0\0\0",                       // a document beyond its parent
        b"\x05a\0\x03\0\0\0\x02ab",                   // a binary beyond its parent
        b"\x0Fa\0\x0E\0\0\0\x01\0\0\0\0\x09\0\0\0\0", // a scope beyond its value
    ] {
        for form in [Form::Relaxed, Form::Canonical] {
            let error = write_bytes(&frame(elements), form).unwrap_err();
            assert_eq!(error.code, ErrorCode::DriverError, "{elements:x?}");
            assert!(error.message.contains("malformed BSON"), "{error}");
        }
    }
}

#[test]
fn nesting_beyond_any_server_is_refused_and_spares_the_stack() {
    let nest = |levels: usize| {
        (1..levels).fold(frame(b""), |document, _| frame(&[b"\x03a\0".as_slice(), &document].concat()))
    };
    assert!(write_bytes(&nest(200), Form::Relaxed).is_ok());
    for levels in [201, 5_000] {
        let error = write_bytes(&nest(levels), Form::Relaxed).unwrap_err();
        assert!(error.message.contains("nested over 200 levels"), "{error}");
    }
}

#[test]
fn values_are_counted_before_they_take_memory() {
    let array = |count: usize| format!("[{}1]", "{},".repeat(count - 1));
    assert!(parse_value(&array(99_999), "value").is_ok());
    for text in [array(100_000), format!("{{\"$or\":{}}}", array(3_300_000))] {
        let error = parse_value(&text, "value").unwrap_err();
        assert!(error.message.contains("at most 100000 values"), "{}", error.message);
    }
    let lists: Result<List<Value>, _> = serde_json::from_str(&format!("[{0},{0},{0}]", array(40_000)));
    assert!(lists.unwrap_err().to_string().contains("at most 100000 values"));
    let lists: List<Object> = serde_json::from_str(r#"[{"a":[1,2]},{}]"#).unwrap();
    assert_eq!(lists.0.len(), 2);
}

#[test]
fn refusals_are_short_however_long_the_names_are() {
    let long = "n".repeat(1 << 20);
    for text in [
        format!(r#"{{"{long}":1,"{long}":2}}"#),
        format!(r#"{{"$oid":1,"{long}":2}}"#),
        format!(r#"{{"$oid":1,{}"z":1}}"#, (0..50_000).map(|n| format!("\"{n}\":1,")).collect::<String>()),
    ] {
        let error = parse_value(&text, "value").unwrap_err();
        assert!(error.message.len() < 50_000, "{}", error.message.len());
    }
}

#[test]
fn writing_stops_at_its_bound() {
    // A name of no bytes and the smallest key there is: two bytes of BSON, fourteen of JSON.
    let document = frame(&[b"\x04a\0".as_slice(), &frame(&[0xff, 0].repeat(200_000))].concat());
    let document = RawDocument::from_bytes(&document).unwrap();
    let mut json = Vec::new();
    let error = write_document_within(document, Form::Relaxed, &mut json, 100_000).unwrap_err();
    assert_eq!(error.code, ErrorCode::ResultTooLarge);
    assert!(json.len() < 100_100, "{}", json.len());
    let mut whole = Vec::new();
    write_document_within(document, Form::Relaxed, &mut whole, 2_800_008).unwrap();
    assert_eq!(whole.len(), 2_800_007);
}
