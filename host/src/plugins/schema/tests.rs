use super::{check::Misfit, *};
use serde_json::json;
use std::time::Instant;
use studio_plugin_api::{Access, Call};

fn check(schema: Value, value: Value) -> Result<(), Misfit> {
    let bytes = value.to_string().len();
    Schema::compile(&schema).unwrap().check(&value, bytes)
}

fn misfit(schema: Value, value: Value) -> (String, String) {
    match check(schema, value.clone()) {
        Err(Misfit::Field { field, reason }) => (field, reason),
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn values_are_held_to_each_keyword_and_the_field_is_named() {
    for (schema, fits, does_not, field, reason) in [
        (json!({"type": "integer"}), json!(3.0), json!(3.5), "", "must be a whole number"),
        (json!({"type": ["string", "null"]}), json!(null), json!(1), "", "must be null or a string"),
        (json!({"type": "number", "minimum": 2}), json!(2), json!(1), "", "must be 2 or more"),
        (json!({"exclusiveMaximum": 2}), json!("x"), json!(2), "", "must be less than 2"),
        (json!({"multipleOf": 0.1}), json!(0.3), json!(0.35), "", "must be a multiple of 0.1"),
        (json!({"enum": ["a", 1]}), json!(1.0), json!("b"), "", "must be one of `a`, `1`"),
        (json!({"const": null}), json!(null), json!(0), "", "must be `null`"),
        (
            json!({"const": u64::MAX}),
            json!(u64::MAX),
            json!(u64::MAX - 1),
            "",
            "must be `18446744073709551615`",
        ),
        (json!({"maxLength": 2}), json!("ää"), json!("abc"), "", "must have at most 2 characters"),
        (json!({"pattern": "^a+$"}), json!("aa"), json!("b"), "", "must match `^a+$`"),
        (json!({"items": {"type": "string"}}), json!(["a"]), json!(["a", 1]), "[1]", "must be a string"),
        (
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            json!(["a"]),
            json!(["a", 1]),
            "[1]",
            "is not known here",
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, "1"]),
            json!([1, 1]),
            "",
            "must not have the same item twice",
        ),
        (
            json!({"contains": {"type": "null"}, "minItems": 1}),
            json!([null]),
            json!([1]),
            "",
            "does not have the items that it must",
        ),
        (json!({"required": ["a"]}), json!({"a": 1}), json!({}), "a", "is required"),
        (
            json!({"properties": {"a": {"items": {"properties": {"b": {"type": "boolean"}}}}}}),
            json!({"a": [{"b": true}]}),
            json!({"a": [{"b": true}, {"b": 1}]}),
            "a[1].b",
            "must be true or false",
        ),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"a": 1}),
            json!({"b": 1}),
            "b",
            "is not known here",
        ),
        (
            json!({"patternProperties": {"^x": {"type": "null"}}}),
            json!({"x": null, "y": 1}),
            json!({"x": 1}),
            "x",
            "must be null",
        ),
        (
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"a": 1}),
            json!({"ab": 1}),
            "ab",
            "must have at most 1 characters",
        ),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"b": 1}),
            json!({"a": 1}),
            "b",
            "is required beside `a`",
        ),
        (
            json!({"dependentSchemas": {"a": {"required": ["c"]}}}),
            json!({"b": 1}),
            json!({"a": 1}),
            "c",
            "is required",
        ),
        (
            json!({"allOf": [{"type": "string"}, {"minLength": 1}]}),
            json!("a"),
            json!(""),
            "",
            "must have 1 characters or more",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            json!(null),
            json!(1),
            "",
            "must be null or a string",
        ),
        (
            json!({"anyOf": [{"properties": {"a": {"type": "string"}}, "type": "object"}, {"type": "null"}]}),
            json!({"a": "x"}),
            json!({"a": 1}),
            "a",
            "must be a string",
        ),
        (
            json!({"oneOf": [{"const": "a"}, {"const": "b"}]}),
            json!("b"),
            json!("c"),
            "",
            "fits none of the forms that it may have",
        ),
        (
            json!({"oneOf": [{"minimum": 1}, {"minimum": 2}]}),
            json!(1),
            json!(3),
            "",
            "fits more than one of the forms of which it must be one",
        ),
        (json!({"not": {"type": "string"}}), json!(1), json!("x"), "", "is what it must not be"),
        (
            json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}),
            json!({"c": 1}),
            json!({"a": 1}),
            "b",
            "is required",
        ),
        (
            json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "null"}}}),
            json!(null),
            json!(1),
            "",
            "must be null",
        ),
        (
            json!({"$defs": {"n": {"$anchor": "tree", "properties": {"next": {"$ref": "#tree"}}, "additionalProperties": false}}, "$ref": "#tree"}),
            json!({"next": {"next": {}}}),
            json!({"next": {"net": {}}}),
            "next.net",
            "is not known here",
        ),
        (json!(true), json!(1), json!(null), "?", ""),
    ] {
        assert_eq!(check(schema.clone(), fits.clone()), Ok(()), "{schema} {fits}");
        if field != "?" {
            assert_eq!(
                misfit(schema.clone(), does_not.clone()),
                (field.to_owned(), reason.to_owned()),
                "{schema}"
            );
        }
    }
}

#[test]
fn work_is_bounded_whatever_schema_and_value_are_like() {
    // Each level checks the next one twice, so the steps double with every level.
    let doubling = json!({"$ref": "#/$defs/n", "$defs": {"n": {
        "properties": {"c": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}}}}});
    let deep = (0..100).fold(json!(1), |inner, _| json!({"c": inner}));
    assert_eq!(check(doubling, deep), Err(Misfit::TooMuch));
    // A part refers to itself.
    assert_eq!(check(json!({"$ref": "#"}), json!(1)), Err(Misfit::TooMuch));
    assert_eq!(check(json!({"not": {"$ref": "#"}}), json!(1)), Err(Misfit::TooMuch));
    assert_eq!(check(json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}), json!(1)), Err(Misfit::TooMuch));
    let all: Vec<_> = (0..3000).map(|_| json!({"items": {"type": "integer"}})).collect();
    let items: Vec<_> = (0..5000).collect();
    assert_eq!(check(json!({"allOf": all}), json!(items)), Err(Misfit::TooMuch));
    let huge = json!({"pattern": "(a{1000}){1000}"});
    assert!(Schema::compile(&huge).unwrap_err()[0].reason.contains("linear time"));
    let many: Vec<_> = (0..20_000).map(|_| json!({})).collect();
    assert!(Schema::compile(&json!({"allOf": many})).unwrap_err()[0].reason.contains("more than"));
}

#[test]
fn texts_are_read_as_what_the_schema_takes() {
    let schema = Schema::compile(&json!({"properties": {
        "count": {"type": ["integer", "null"], "minimum": 0}, "all": {"type": "boolean"}, "name": {"type": "string"},
        "names": {"type": "array", "items": {"type": "string"}}, "numbers": {"type": "array", "items": {"type": "integer"}},
        "order": {"anyOf": [{"type": "string", "enum": ["up", "down"]}, {"type": "null"}]},
    }}))
    .unwrap();
    for (name, text, value) in [
        ("count", "10", json!(10)),
        ("count", "ten", json!("ten")),
        ("count", "1e3", json!(1000.0)),
        ("all", "", json!(true)),
        ("all", "0", json!(false)),
        ("name", "10", json!("10")),
        ("names", "a,1", json!(["a", "1"])),
        ("numbers", "1,2", json!([1, 2])),
        ("order", "up", json!("up")),
    ] {
        assert_eq!(schema.read_text(schema.member(name).unwrap(), text), value, "{name}={text}");
    }
}

#[test]
fn messages_repeat_nothing_of_the_value() {
    for schema in [
        json!({"type": "null"}),
        json!({"const": 1}),
        json!({"pattern": "x"}),
        json!({"not": {}}),
        json!({"maxLength": 1}),
    ] {
        let (field, reason) = misfit(schema, json!("s3cret"));
        assert!(!field.contains("s3cret") && !reason.contains("s3cret"), "{reason}");
    }
}

#[test]
fn binary_query_values_obey_the_schema_under_the_callers_names() {
    let query = json!({"type": "object", "properties": {"pattern": {"type": "string", "maxLength": 3}},
        "required": ["pattern"], "additionalProperties": false});
    let operation = json!({"method": "GET", "path": "/", "access": "read", "query": query});
    let schemas = OperationSchemas::compile(0, &serde_json::from_value(operation).unwrap()).unwrap();
    let check = |query: &[(&str, &str)]| {
        let query = query.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        schemas.check_call(&Call {
            operation: 0,
            granted: Access::Read,
            path: Vec::new(),
            query,
            body: Vec::new(),
            deadline: Instant::now(),
            max_reply_bytes: 1000,
            request_id: "test".into(),
        })
    };
    let field = |query: &[(&str, &str)]| check(query).unwrap_err().details["field"].clone();
    check(&[("bytes:pattern", "rO0q")]).unwrap();
    assert_eq!(field(&[("bytes:pattern", "rO0qKg==")]), "pattern", "too long");
    assert_eq!(field(&[("bytes:pattern", "rO0q"), ("pattern", "a")]), "pattern", "given twice");
    assert_eq!(field(&[("pattern", "a"), ("bytes:other", "rO0q")]), "other", "not known");
}
