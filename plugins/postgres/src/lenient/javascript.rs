//! What JavaScript makes of values: numbers of texts, texts of numbers, truth of anything.

use serde_json::{Number, Value};

/// Numbers beyond this, and below its negative, JavaScript does not count one by one: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Up to this, and from the second on, it writes numbers without an exponent.
const LONGEST: f64 = 1e21;
const SMALLEST: f64 = 1e-6;

/// `Number(text)`; nothing for what is no number.
pub(crate) fn number_of(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|number| number as f64);
    match text.get(..2).unwrap_or_default() {
        _ if text.is_empty() => Some(0.0),
        "0x" | "0X" => digits(text.get(2..)?, 16),
        "0o" | "0O" => digits(text.get(2..)?, 8),
        "0b" | "0B" => digits(text.get(2..)?, 2),
        // Rust also reads `inf` and `nan`, which are none here.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}

/// A whole number that JavaScript counts exactly, if it is one.
pub(super) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// A number as JavaScript knows it, where `1.0` is `1`. Whole numbers beyond 2^53 stay as they were written.
pub(super) fn known(number: &Number) -> Number {
    match number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
        Some(whole) => whole.into(),
        None => number.clone(),
    }
}

/// `String(number)`.
pub(crate) fn text_of_number(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        None => number.to_string(),
        Some(0.0) => "0".to_owned(),
        Some(float) if float.abs() < SMALLEST || float.abs() >= LONGEST => {
            let text = format!("{float:e}");
            if text.contains("e-") { text } else { text.replace('e', "e+") }
        }
        Some(float) => float.to_string(),
    }
}

/// `String(value)`; nothing for objects, of whose texts nobody makes use.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Number(number) => Some(text_of_number(number)),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let texts =
                items.iter().map(|item| if item.is_null() { Some(String::new()) } else { text_of(item) });
            texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        Value::Object(_) => None,
    }
}

/// `Boolean(value)`.
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(boolean) => *boolean,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_from_texts_as_javascript_reads_them() {
        for (text, number) in
            [("5", 5.0), ("1.0", 1.0), ("1e3", 1000.0), (" 5 ", 5.0), ("0x10", 16.0), ("", 0.0), ("+1", 1.0)]
        {
            assert_eq!(number_of(text), Some(number), "{text}");
        }
        for text in ["x", "5s", "1,5", "NaN", "nan", "inf", "Infinity", "0x", "1 2", "0x-5", "true"] {
            assert_eq!(number_of(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (json, text) in [
            ("1.0", "1"),
            ("1e3", "1000"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1e-6", "0.000001"),
            ("1.5e-7", "1.5e-7"),
            ("9007199254740993", "9007199254740993"),
        ] {
            let number: Number = serde_json::from_str(json).unwrap();
            assert_eq!(text_of_number(&number), text, "{json}");
        }
    }

    #[test]
    fn only_nothing_is_false() {
        for value in [json!(null), json!(false), json!(0), json!(0.0), json!("")] {
            assert!(!truth(&value), "{value}");
        }
        for value in [json!(true), json!(1), json!("false"), json!("0"), json!([]), json!({})] {
            assert!(truth(&value), "{value}");
        }
    }

    #[test]
    fn lists_are_texts_with_commas() {
        assert_eq!(text_of(&json!(["a", [1.0, null], true])).unwrap(), "a,1,,true");
        assert_eq!(text_of(&json!([])).unwrap(), "");
        assert_eq!(text_of(&json!([{}])), None);
    }
}
