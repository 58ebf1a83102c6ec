use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn written(oid: u32, text: &str) -> Value {
    let mut out = Vec::new();
    Kind::of(oid).write(Some(text.as_bytes()), &mut out);
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn each_type_is_written_as_postgres_meta_writes_it() {
    let table = [
        (16, "t", json!(true)),
        (17, "\\x00ff", json!({"type": "Buffer", "data": [0, 255]})),
        (17, "\\x", json!({"type": "Buffer", "data": []})),
        (20, "9007199254740991", json!(9_007_199_254_740_991_i64)),
        (20, "-9007199254740992", json!("-9007199254740992")),
        (21, "-5", json!(-5)),
        (26, "4294967295", json!(4_294_967_295_u32)),
        (25, "a\"\\\n\u{1}é", json!("a\"\\\n\u{1}é")),
        (114, "{\"a\": [1, null]}", json!({"a": [1, null]})),
        (701, "NaN", json!(null)),
        (701, "-Infinity", json!(null)),
        (701, "1e+300", json!(1e300)),
        (718, "<(1,2.5),3>", json!({"x": 1, "y": 2.5, "radius": 3})),
        (718, "<(Infinity,-1e-5),NaN>", json!({"x": null, "y": -1e-5, "radius": null})),
        (718, "<(.5,1),1>", json!("<(.5,1),1>")),
        (718, "<(1,+2),3.>", json!("<(1,+2),3.>")),
        (1186, "1 day", json!("1 day")),
        (1700, "1.50", json!("1.50")),
        (1000, "{t,NULL,f}", json!([true, null, false])),
        (1001, "{\"\\\\x00\"}", json!([{"type": "Buffer", "data": [0]}])),
        (1007, "[2:3]={7,8}", json!([7, 8])),
        (1007, "{{1,2},{3,4}}", json!([[1, 2], [3, 4]])),
        (1007, "{}", json!([])),
        (1009, "{a,\"b \\\"c\\\\,{}\",\"NULL\",NULL,\"\"}", json!(["a", "b \"c\\,{}", "NULL", null, ""])),
        (1016, "{1,9007199254740993}", json!(["1", "9007199254740993"])),
        (1231, "{1.50,NaN}", json!([1.5, null])),
        (3807, "{\"{\\\"a\\\": 1}\",\"\\\"x\\\"\",NULL}", json!([{"a": 1}, "x", null])),
        (
            1187,
            "{\"-1 days\",\"1 year 2 mons 04:05:06.7\"}",
            json!([{"days": -1}, {"years": 1, "months": 2, "hours": 4, "minutes": 5, "seconds": 6, "milliseconds": 700.0}]),
        ),
        (1187, "{-00:00:01.5}", json!([{"seconds": -1, "milliseconds": -500.0}])),
        // Elements that are not known to need more than PostgreSQL's own text.
        (1017, "{\"(1,2)\",NULL}", json!("{\"(1,2)\",NULL}")),
    ];
    for (oid, text, expected) in table {
        assert_eq!(json_of(written(oid, text)), json_of(expected), "{oid} {text}");
    }
}

/// 700 and 700.0 are one number.
fn json_of(value: Value) -> String {
    value.to_string().replace(".0", "")
}

#[test]
fn what_is_no_array_stays_a_text() {
    let deep = "{".repeat(7) + &"}".repeat(7);
    for text in [
        "", "{", "{1", "{1}}", "x", "[1:2]", "{\"a", "{,1}", "{1,}", "{1,,2}", "{}{}", "{{1}2}", "{\"a\"b}",
        "{1{2}}", &deep,
    ] {
        assert_eq!(written(1009, text), json!(text));
    }
}

#[test]
fn what_is_not_of_its_type_stays_a_text() {
    for oid in [20, 23, 114, 701, 1007, 1231, 3807] {
        for text in ["\u{12}", "1,\"b\":2", "}", "+1", "007", ""] {
            assert_eq!(written(oid, text), json!(text), "{oid} {text}");
        }
    }
    assert_eq!(written(1187, "{-0:000:-1.5}"), json!(["-0:000:-1.5"]));
}

proptest! {
    #[test]
    fn arrays_of_any_texts_come_back(items in prop::collection::vec(prop::option::of(".*"), 1..6)) {
        // As PostgreSQL writes them: quoted, with quotes and backslashes escaped.
        let quoted = items.iter().map(|item| match item {
            Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            None => "NULL".to_owned(),
        });
        let text = format!("{{{}}}", quoted.collect::<Vec<_>>().join(","));
        prop_assert_eq!(written(1009, &text), json!(items));
    }

    #[test]
    fn any_text_gives_json_whatever_its_type(oid in prop::sample::select(vec![17, 25, 718, 1009, 1187, 1186]), text in ".*") {
        written(oid, &text);
    }

    #[test]
    fn safe_integers_are_numbers_and_all_others_strings(number in any::<i64>()) {
        let expected = match number.unsigned_abs() <= LARGEST_SAFE {
            true => json!(number),
            false => json!(number.to_string()),
        };
        prop_assert_eq!(written(20, &number.to_string()), expected);
    }
}
