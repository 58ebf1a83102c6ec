//! What Extended JSON has no words for: documents that look like types, and bytes that JSON can't carry.

use super::*;
use bson::{bson, doc};
use proptest::{collection::vec, prelude::*};

fn written(elements: &[u8], form: Form) -> String {
    write_bytes(&frame(elements), form).unwrap()
}

/// Both forms, which are the same for these.
fn shown(elements: &[u8]) -> String {
    let relaxed = written(elements, Form::Relaxed);
    assert_eq!(written(elements, Form::Canonical), relaxed);
    relaxed
}

#[test]
fn stored_lookalikes_of_typed_values_are_told_apart_from_them() {
    for (value, json) in [
        (bson!({ "$oid": "5f0001a910ff070809abcdef" }), r#"{"$oid":"5f0001a910ff070809abcdef"}"#),
        (bson!({ "$numberInt": "5" }), r#"{"$numberInt":"5"}"#),
        (bson!({ "$numberLong": "5" }), r#"{"$numberLong":"5"}"#),
        (bson!({ "$numberDouble": "5" }), r#"{"$numberDouble":"5"}"#),
        (bson!({ "$numberDecimal": "NaN" }), r#"{"$numberDecimal":"NaN"}"#),
        (bson!({ "$date": "2026-11-05T12:30:00Z" }), r#"{"$date":"2026-11-05T12:30:00Z"}"#),
        (bson!({ "$uuid": "x" }), r#"{"$uuid":"x"}"#),
        (bson!({ "$symbol": "x" }), r#"{"$symbol":"x"}"#),
        (bson!({ "$code": "x" }), r#"{"$code":"x"}"#),
        (bson!({ "$undefined": true }), r#"{"$undefined":true}"#),
        // Not what the type wants, and of the older Extended JSON.
        (bson!({ "$oid": true }), r#"{"$oid":true}"#),
        (bson!({ "$binary": "YQ==", "$type": "00" }), r#"{"$binary":"YQ==","$type":"00"}"#),
        (bson!({ "$code": "x", "other": null }), r#"{"$code":"x","other":null}"#),
        (
            bson!({ "$binary": { "base64": "", "subType": "00" } }),
            r#"{"$binary":{"base64":"","subType":"00"}}"#,
        ),
        (
            bson!({ "$regularExpression": { "pattern": "", "options": "" } }),
            r#"{"$regularExpression":{"pattern":"","options":""}}"#,
        ),
        (bson!({ "$code": "x", "$scope": {} }), r#"{"$code":"x","$scope":{}}"#),
        (bson!({ "$document": {} }), r#"{"$document":{}}"#),
        (bson!({ "$document": {}, "_id": true }), r#"{"$document":{},"_id":true}"#),
        (bson!({ "$inexact": "x" }), r#"{"$inexact":"x"}"#),
    ] {
        for form in [Form::Relaxed, Form::Canonical] {
            let wrapped = format!(r#"{{"$document":{json}}}"#);
            assert_eq!(write(&value, form), wrapped);
            assert_eq!(bytes(&read(&wrapped)), bytes(&value), "{wrapped}");
            let inside = bson!({ "a": [value.clone()], "$ref": "c", "$id": value.clone() });
            let json = write(&inside, form);
            assert_eq!(json, format!(r#"{{"a":[{wrapped}],"$ref":"c","$id":{wrapped}}}"#));
            assert_eq!(bytes(&read(&json)), bytes(&inside));
        }
    }
}

#[test]
fn types_inside_of_a_document_that_looks_like_one_stay_types() {
    let value = bson!({ "$oid": { "$numberInt": 5, "$date": "x" }, "x": 5_i64 });
    let json = r#"{"$document":{"$oid":{"$document":{"$numberInt":5,"$date":"x"}},"x":{"$numberLong":"5"}}}"#;
    assert_eq!(write(&value, Form::Relaxed), json);
    assert_eq!(bytes(&read(json)), bytes(&value));
    assert_eq!(read(r#"{"$code":"x","$scope":{"$document":{"$oid":1}}}"#).element_type() as u8, 0x0f);
}

#[test]
fn a_document_with_an_id_shows_its_fields_as_they_are() {
    let value = bson!({ "_id": 1, "$oid": "5f0001a910ff070809abcdef", "$date": { "$date": "x" } });
    let json = r#"{"_id":1,"$oid":"5f0001a910ff070809abcdef","$date":{"$document":{"$date":"x"}}}"#;
    assert_eq!(write(&value, Form::Relaxed), json);
    assert_eq!(bytes(&read(json)), bytes(&value));
}

#[test]
fn a_document_itself_must_be_an_object_alone() {
    for json in [
        r#"{"$document":1}"#,
        r#"{"$document":[]}"#,
        r#"{"$document":"x"}"#,
        r#"{"$document":{},"a":1}"#,
        r#"{"a":1,"$document":{}}"#,
        r#"{"_id":1,"$document":{}}"#,
    ] {
        let (_, message) = refused(json);
        assert!(message.contains("document"), "{json}: {message}");
    }
    assert!(refused(r#"{"$document":{"a":1,"a":2}}"#).1.contains("duplicate field `a`"));
}

#[test]
fn two_fields_of_one_name_are_both_shown_in_one() {
    let twice = b"\x10a\0\x01\0\0\0\x0Ab\0\x10a\0\x02\0\0\0";
    let json = r#"{"a":{"$inexact":{"reason":"repeated_name","values":[1,2]}},"b":null}"#;
    assert_eq!(written(twice, Form::Relaxed), json);
    let (field, message) = refused(json);
    assert_eq!(field, "value.a");
    assert!(message.contains("`$inexact`"), "{message}");
    // Deeper, in an array, in a scope, in a document that looks like a type, and twenty names apart.
    let inner = frame(twice);
    let in_array = [b"\x04x\0".as_slice(), &frame(&[b"\x030\0".as_slice(), &inner].concat())].concat();
    assert_eq!(written(&in_array, Form::Relaxed), format!(r#"{{"x":[{json}]}}"#));
    let code = [b"\x02\0\0\0f\0".as_slice(), &inner].concat();
    let length = u32::try_from(code.len() + 4).unwrap().to_le_bytes();
    let in_scope = [b"\x0fx\0".as_slice(), &length, &code].concat();
    assert_eq!(written(&in_scope, Form::Relaxed), format!(r#"{{"x":{{"$code":"f","$scope":{json}}}}}"#));
    let json = shown(b"\x0A$oid\0\x0A$oid\0");
    assert_eq!(
        json,
        r#"{"$document":{"$oid":{"$inexact":{"reason":"repeated_name","values":[null,null]}}}}"#
    );
    assert_eq!(refused(&json).0, "value.$document.$oid");
    let many: Vec<u8> =
        (0..20).chain([7]).flat_map(|number| format!("\x0An{number}\0").into_bytes()).collect();
    assert!(shown(&many).contains(r#""n7":{"$inexact":{"reason":"repeated_name","values":[null,null]}}"#));
}

#[test]
fn invalid_utf8_is_shown_beside_its_readable_part() {
    let text = "{\"$inexact\":{\"reason\":\"text_not_utf8\",\"text\":\"a\u{FFFD}\",\"base64\":\"Yf8=\"}}";
    for (element, json) in [
        (b"\x02name\0\x03\0\0\0a\xFF\0".as_slice(), text.to_owned()),
        (b"\x0Dname\0\x03\0\0\0a\xFF\0", format!(r#"{{"$code":{text}}}"#)),
        (b"\x0Ename\0\x03\0\0\0a\xFF\0", format!(r#"{{"$symbol":{text}}}"#)),
        (b"\x0Bname\0a\xFF\0i\0", format!(r#"{{"$regularExpression":{{"pattern":{text},"options":"i"}}}}"#)),
        (b"\x0Bname\0i\0a\xFF\0", format!(r#"{{"$regularExpression":{{"pattern":"i","options":{text}}}}}"#)),
        (
            b"\x0Cname\0\x03\0\0\0a\xFF\0abcdefghijkl",
            format!(r#"{{"$dbPointer":{{"$ref":{text},"$id":{{"$oid":"6162636465666768696a6b6c"}}}}}}"#),
        ),
        (
            b"\x0Fname\0\x10\0\0\0\x03\0\0\0a\xFF\0\x05\0\0\0\0",
            format!(r#"{{"$code":{text},"$scope":{{}}}}"#),
        ),
        (
            b"\x05name\0\x02\0\0\0\x02ab",
            r#"{"$inexact":{"reason":"binary_length","base64":"YWI="}}"#.to_owned(),
        ),
        (
            b"\x05name\0\x05\0\0\0\x02\x09\0\0\0a",
            r#"{"$inexact":{"reason":"binary_length","base64":"CQAAAGE="}}"#.to_owned(),
        ),
        (b"\x08name\0\x02", r#"{"$inexact":{"reason":"boolean_byte","base64":"Ag=="}}"#.to_owned()),
    ] {
        let shown = shown(element);
        assert_eq!(shown, format!(r#"{{"name":{json}}}"#));
        assert!(refused(&shown).1.contains("`$inexact`"), "{shown}");
    }
}

#[test]
fn names_that_are_no_text_are_shown_beside_their_values() {
    let name = |value: &str| {
        format!(r#"{{"$inexact":{{"reason":"name_not_utf8","base64":"Yf8=","value":{value}}}}}"#)
    };
    let json = shown(b"\x0A_id\0\x0Aa\xFF\0\x08b\0\x01");
    assert_eq!(json, format!("{{\"_id\":null,\"a\u{FFFD}\":{},\"b\":true}}", name("null")));
    assert!(refused(&json).1.contains("`$inexact`"));
    // Two that look the same, and one that is what both look like.
    let json = shown(b"\x0Aa\xFF\0\x0Aa\xFE\0\x0Aa\xEF\xBF\xBD\0");
    assert!(json.contains("repeated_name") && json.contains("Yf8=") && json.contains("Yf4="), "{json}");
    // Those of an array's items mean nothing.
    let array = [b"\x04x\0".as_slice(), &frame(b"\x0A\xFF\0\x0A0\0")].concat();
    assert_eq!(shown(&array), r#"{"x":[null,null]}"#);
}

#[test]
fn ids_and_filters_may_hold_documents_that_look_like_types() {
    let filter = parse_document(r#"{"a":{"$eq":{"$document":{"$oid":"x"}}}}"#, "filter").unwrap();
    assert_eq!(filter, doc! { "a": { "$eq": { "$oid": "x" } } });
}

proptest! {
    /// Whatever elements a document has: it is shown, and read back as it is or not at all.
    #[test]
    fn any_elements_are_shown_and_never_read_back_as_others(
        elements in vec(
            (prop_oneof![Just(b"a".to_vec()), Just(b"$oid".to_vec()), Just(b"_id".to_vec()), vec(1..=255_u8, 0..3)],
             prop_oneof![
                Just(b"\x0A".to_vec()), Just(b"\x10\x05\0\0\0".to_vec()), Just(b"\x08\x07".to_vec()),
                vec(any::<u8>(), 0..3).prop_map(|text| [&[2], &(text.len() as u32 + 1).to_le_bytes()[..], &text, &[0]].concat()),
                vec(any::<u8>(), 0..8).prop_map(|bytes| [&[5], &(bytes.len() as u32).to_le_bytes()[..], &[2], &bytes].concat()),
                vec(1..=255_u8, 0..3).prop_map(|text| [&[11], &text[..], &[0, b'i', 0]].concat()),
             ]),
            0..5,
        ),
        form in prop_oneof![Just(Form::Relaxed), Just(Form::Canonical)],
    ) {
        let elements = elements.iter().flat_map(|(name, value)| [&value[..1], name, &[0], &value[1..]].concat());
        let inner = frame(&elements.collect::<Vec<_>>());
        let document = frame(&[b"\x03x\0".as_slice(), &inner].concat());
        let json = write_bytes(&document, form).unwrap();
        match parse_document(&json, "document") {
            Ok(read) => {
                let read = RawDocumentBuf::try_from(&read).unwrap();
                prop_assert_eq!(read.as_bytes(), &document[..], "{}", json);
            }
            Err(error) => prop_assert!(json.contains("$inexact"), "{}: {}", json, error),
        }
    }
}
