//! Query parameters as postgres-meta reads them.

use super::{
    Reading,
    javascript::{number_of, whole},
    schema::{FALSE_IS_ABSENT, Kind, fields, kind, reads},
};
use serde_json::{Map, Value};

/// Reads the parameters that are fields of this schema.
///
/// # Errors
/// Says which one does not fit.
pub(super) fn read(pairs: &[(String, String)], schema: &Value, reading: Reading) -> Result<Value, String> {
    let mut parameters = Map::new();
    for (name, schema) in fields(schema) {
        let given: Vec<&str> =
            pairs.iter().filter(|(given, _)| given == name).map(|(_, text)| text.as_str()).collect();
        if given.is_empty() {
            continue;
        }
        let read =
            parameter(&given, schema, reading).map_err(|wanted| format!("`{name}`: must be {wanted}"))?;
        if let Some(read) = read {
            parameters.insert(name.clone(), read);
        }
    }
    Ok(parameters.into())
}

/// Nothing when it is as if it were not given.
fn parameter(given: &[&str], schema: &Value, reading: Reading) -> Result<Option<Value>, &'static str> {
    let read = match (reading, kind(schema), given) {
        (Reading::Checked, Kind::Boolean, ["true"]) => true.into(),
        (Reading::Checked, Kind::Boolean, ["false"]) => false.into(),
        (Reading::Checked, Kind::Boolean, _) => return Err("true or false"),
        (Reading::Plain, Kind::Boolean, given) => (given == ["true"]).into(),
        (Reading::Checked, Kind::Integer, [text]) if !text.is_empty() => {
            number_of(text).and_then(whole).map(Value::from).ok_or("a whole number")?
        }
        (Reading::Plain, Kind::Integer, [""]) => return Ok(None),
        // As PostgreSQL reads it.
        (Reading::Plain, Kind::Integer, [text]) => {
            text.trim().parse::<i64>().map(Value::from).map_err(|_| "a whole number")?
        }
        (_, Kind::Integer, _) => return Err("a whole number"),
        (_, Kind::List(_), [text]) => text.split(',').filter(|item| !item.is_empty()).collect(),
        (Reading::Plain, Kind::Text, [""]) if reads(schema) == FALSE_IS_ABSENT => return Ok(None),
        (Reading::Plain, Kind::Text, given) => given.join(",").into(),
        (_, _, [text]) => (*text).into(),
        _ => return Err("given once"),
    };
    Ok(Some(read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(text: &str, schema: Value, reading: Reading) -> Result<Option<Value>, String> {
        let schema = json!({"type": "object", "properties": {"x": schema}});
        let pairs = [("x".to_owned(), text.to_owned()), ("y".to_owned(), "1".to_owned())];
        read(&pairs, &schema, reading).map(|read| read.get("x").cloned())
    }

    #[test]
    fn validated_parameters_are_what_they_say() {
        let read = |text, kind: &str| read_one(text, json!({"type": [kind, "null"]}), Reading::Checked);
        assert_eq!(read("true", "boolean"), Ok(Some(json!(true))));
        for (text, number) in [("5", 5), ("1.0", 1), ("1e1", 10), (" 1", 1), ("0x2", 2)] {
            assert_eq!(read(text, "integer"), Ok(Some(json!(number))));
        }
        for text in ["", "1", "yes", "TRUE"] {
            assert!(read(text, "boolean").is_err(), "{text}");
        }
        for text in ["", "1.5", "x", "9223372036854775808"] {
            assert!(read(text, "integer").is_err(), "{text}");
        }
        assert_eq!(read("a,,b", "array"), Ok(Some(json!(["a", "b"]))));
    }

    #[test]
    fn of_all_others_only_true_is_true_and_nothing_is_no_number() {
        let read = |text, kind: &str| read_one(text, json!({"type": [kind, "null"]}), Reading::Plain);
        for text in ["", "1", "TRUE", "yes", "false"] {
            assert_eq!(read(text, "boolean"), Ok(Some(json!(false))));
        }
        assert_eq!(read("true", "boolean"), Ok(Some(json!(true))));
        assert_eq!(read("", "integer"), Ok(None));
        assert_eq!(read(" 1 ", "integer"), Ok(Some(json!(1))));
        assert!(read("1.0", "integer").is_err());
        assert_eq!(read("", "string"), Ok(Some(json!(""))));
        let version = json!({"type": "string", "x-reads": FALSE_IS_ABSENT});
        assert_eq!(read_one("", version, Reading::Plain), Ok(None));
    }

    #[test]
    fn what_is_given_twice_is_not_true_and_no_number() {
        let schema = json!({"properties": {"flag": {"type": "boolean"}, "limit": {"type": "integer"}}});
        let pairs = |name: &str| [(name.to_owned(), "true".to_owned()), (name.to_owned(), "true".to_owned())];
        assert_eq!(read(&pairs("flag"), &schema, Reading::Plain), Ok(json!({"flag": false})));
        assert!(read(&pairs("flag"), &schema, Reading::Checked).is_err());
        assert!(read(&pairs("limit"), &schema, Reading::Plain).is_err());
    }
}
