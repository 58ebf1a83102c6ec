use super::*;
use crate::PathBytes;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    order: Option<Order>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Order {
    Up,
    Down,
}

fn query(pairs: &[(&str, &str)]) -> Result<Page, DriverError> {
    let pairs: Vec<_> = pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    from_query(&pairs)
}

fn field(error: &DriverError) -> &str {
    error.details["field"].as_str().unwrap()
}

#[test]
fn parameters_that_nobody_asked_for_are_named() {
    assert!(refuse_surplus(&[]).is_ok());
    let error = refuse_surplus(&[("count".to_owned(), "1".to_owned())]).unwrap_err();
    assert_eq!(error.details["field"], "count");
}

#[test]
fn query_text_is_read_as_the_type_of_its_field() {
    let page = query(&[("count", "10"), ("names", "a,b"), ("all", "true"), ("order", "up")]).unwrap();
    let expected =
        Page { count: Some(10), names: vec!["a".into(), "b".into()], all: true, order: Some(Order::Up) };
    assert_eq!(page, expected);
}

#[test]
fn query_errors_name_the_parameter_and_what_would_be_right() {
    let error = query(&[("count", "ten")]).unwrap_err();
    assert_eq!(field(&error), "count");
    assert_eq!(error.message, "`count`: must be a whole number from 0 to 4294967295, not `ten`");
    let error = query(&[("cuont", "1")]).unwrap_err();
    assert_eq!(field(&error), "cuont");
    assert!(error.message.contains("`count`"), "{}", error.message);
    assert_eq!(field(&query(&[("order", "sideways")]).unwrap_err()), "order");
    assert_eq!(field(&query(&[("count", "1"), ("count", "2")]).unwrap_err()), "count");
}

#[test]
fn field_that_is_named_further_in_is_the_one_that_errors_name() {
    #[derive(Debug)]
    struct Inner;
    impl<'de> Deserialize<'de> for Inner {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let body = serde_json::Value::deserialize(deserializer)?.to_string();
            from_body::<Page>(body.as_bytes()).map(|_| Self).map_err(|error| D::Error::custom(error.message))
        }
    }
    let error = from_body::<Inner>(br#"{"count":"ten"}"#).unwrap_err();
    assert_eq!(field(&error), "count");
    assert!(error.message.starts_with("`count`: invalid type"), "{}", error.message);
}

#[test]
fn path_bytes_keep_what_is_not_text_and_strings_refuse_it() {
    #[derive(Debug, Deserialize)]
    struct Key {
        key: PathBytes,
    }
    #[derive(Debug, Deserialize)]
    struct Name {
        #[allow(dead_code)]
        key: String,
    }
    let values = vec![vec![0xFF, b'a']];
    assert_eq!(from_path::<Key>(&["key"], &values).unwrap().key.0, values[0]);
    assert_eq!(field(&from_path::<Name>(&["key"], &values).unwrap_err()), "key");
}

#[test]
fn body_errors_name_the_nested_field() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code)]
        items: Vec<Inner>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code)]
        ttl: u32,
        #[allow(dead_code)]
        order: Option<Order>,
    }
    let name = |body: &str| field(&from_body::<Outer>(body.as_bytes()).unwrap_err()).to_owned();
    assert_eq!(name(r#"{"items":[{"ttl":1},{"ttl":"x"}]}"#), "items[1].ttl");
    assert_eq!(name(r#"{"items":[{}]}"#), "items[0].ttl");
    assert_eq!(name(r#"{"items":[{"ttl":1,"tlt":1}]}"#), "items[0].tlt");
    assert_eq!(name(r#"{"items":[{"ttl":1,"order":7}]}"#), "items[0].order");
    assert_eq!(name(r#"{}"#), "items");
    assert_eq!(name(r#"{"items":"#), "body");
    assert_eq!(name(r#""#), "body");
    assert_eq!(name(r#"{"items":[]} x"#), "body");
    assert!(from_body::<Option<Outer>>(b"").unwrap().is_none());
    assert!(from_body::<Outer>("\u{FEFF}{\"items\":[]}".as_bytes()).unwrap().items.is_empty());
}
