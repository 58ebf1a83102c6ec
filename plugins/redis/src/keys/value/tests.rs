use super::*;
use proptest::prelude::*;

fn read(json: &str, wanted: Option<KeyType>) -> Result<NewValue, DriverError> {
    NewValue::read(&serde_json::from_str(json).unwrap(), wanted, None, "value")
}

fn texts(json: &str, wanted: Option<KeyType>) -> (KeyType, Vec<String>) {
    let value = read(json, wanted).unwrap();
    let texts = value.arguments.iter().map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    (value.key_type(), texts.collect())
}

fn refused(json: &str, wanted: Option<KeyType>) -> String {
    read(json, wanted).unwrap_err().details["field"].as_str().unwrap().to_owned()
}

#[test]
fn scalars_are_strings_and_numbers_keep_their_text() {
    for (json, expected) in [
        (r#""a\u00e9""#, "aé"),
        ("1.50", "1.50"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e3", "1e3"),
        ("true", "true"),
    ] {
        assert_eq!(texts(json, None), (KeyType::String, vec![expected.to_owned()]));
    }
}

#[test]
fn shapes_choose_the_type_and_the_type_settles_doubt() {
    assert_eq!(texts(r#"{"b":"1","a":2}"#, None).1, ["b", "1", "a", "2"]);
    assert_eq!(texts(r#"["a","b"]"#, None).0, KeyType::List);
    assert_eq!(texts(r#"["a","b"]"#, Some(KeyType::Set)).0, KeyType::Set);
    let scores = r#"[{"member":"a","score":1.5},{"score":"-inf","member":2}]"#;
    assert_eq!(texts(scores, None), (KeyType::Zset, ["1.5", "a", "-inf", "2"].map(String::from).to_vec()));
    let entries = r#"[{"id":"1","fields":{"z":"1","a":["2","3"]}},{"id":"1-1","fields":{"b":4}}]"#;
    let expected = ["1-0", "6", "z", "1", "a", "2", "a", "3", "1-1", "2", "b", "4"];
    assert_eq!(texts(entries, None), (KeyType::Stream, expected.map(String::from).to_vec()));
    assert_eq!(texts(r#"[{"fields":{"a":"1"}}]"#, None).1, ["*", "2", "a", "1"]);
}

#[test]
fn what_redis_cannot_hold_is_refused_where_it_stands() {
    assert_eq!(refused("null", None), "value");
    assert_eq!(refused("{}", None), "value");
    assert_eq!(refused("[]", None), "value");
    assert_eq!(refused(r#"{"a":{"b":1}}"#, None), "value.a");
    assert_eq!(refused(r#"["a",null]"#, None), "value[1]");
    assert_eq!(refused(r#"["a",["b"]]"#, None), "value[1]");
    assert_eq!(refused(r#"{"a":"1"}"#, Some(KeyType::String)), "value");
    assert_eq!(refused(r#""a""#, Some(KeyType::Hash)), "value");
    assert_eq!(refused(r#"["a"]"#, Some(KeyType::Zset)), "value[0]");
    assert_eq!(refused(r#"[{"member":"a","score":"1"}]"#, None), "value[0]");
    assert_eq!(refused(r#"[{"member":"a","score":1e999}]"#, None), "value[0]");
    assert_eq!(refused(r#"[{"member":"a","score":1,"x":1}]"#, None), "value[0]");
    assert_eq!(refused(r#"[{"member":["a"],"score":1}]"#, None), "value[0].member");
    assert_eq!(
        refused(r#"[{"id":"2","fields":{"a":"1"}},{"id":"1","fields":{"a":"1"}}]"#, None),
        "value[1].id"
    );
    assert_eq!(refused(r#"[{"id":"0-0","fields":{"a":"1"}}]"#, None), "value[0].id");
    assert_eq!(refused(r#"[{"id":"2","fields":{"a":"1"}},{"fields":{"a":"1"}}]"#, None), "value[1].id");
    assert_eq!(refused(r#"[{"fields":{}}]"#, None), "value[0].fields");
}

#[test]
fn base64_values_become_bytes() {
    let json = serde_json::from_str(r#"{"YQ==":"/w=="}"#).unwrap();
    let value = NewValue::read(&json, None, Some(Encoding::Base64), "value").unwrap();
    assert_eq!(value.arguments, [b"a".to_vec(), vec![0xFF]]);
}

proptest! {
    #[test]
    fn any_strings_arrive_as_they_are(items in proptest::collection::vec(any::<String>(), 1..20)) {
        let json = serde_json::to_string(&items).unwrap();
        prop_assert_eq!(texts(&json, None), (KeyType::List, items));
    }
}

#[test]
fn values_are_bounded_by_parts_and_by_repeated_names() {
    let list = |count: usize| format!("[1{}]", ",1".repeat(count - 1));
    assert_eq!(read(&list(MAX_PARTS), None).unwrap().arguments.len(), MAX_PARTS);
    assert_eq!(refused(&list(MAX_PARTS + 1), None), "value");
    // A megabyte of name, a hundred thousand times.
    let repeated =
        |name: usize, count| format!(r#"[{{"fields":{{"{}":{}}}}}]"#, "n".repeat(name), list(count));
    assert!(refused(&repeated(1_000_000, 100_000), None).starts_with("value[0].fields.nnn"));
    read(&repeated(20, 10_000), None).unwrap();
}
