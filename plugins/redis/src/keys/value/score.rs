//! Scores of sorted sets, as every server takes them.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

/// A longer number is written anew, with as many digits as a double has.
const LONGEST: usize = 32;

/// A score in the text that Redis takes.
#[derive(Debug, PartialEq)]
pub(super) struct Score(pub(super) String);

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        read(json.get()).map_err(D::Error::custom)
    }
}

/// Reads a score's JSON. A server refuses what is too large for a double, and too small for one but not zero.
fn read(json: &str) -> Result<Score, &'static str> {
    if let Some(text) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let text = text.to_ascii_lowercase();
        let (sign, name) = text.strip_prefix('-').map_or(("", text.as_str()), |name| ("-", name));
        let name = if sign.is_empty() { name.strip_prefix('+').unwrap_or(name) } else { name };
        return match name {
            "inf" | "infinity" => Ok(Score(format!("{sign}inf"))),
            _ => Err("`score` must be a number, \"inf\" or \"-inf\""),
        };
    }
    let number: f64 = json.parse().map_err(|_| "`score` must be a number, \"inf\" or \"-inf\"")?;
    let digits = json.split(['e', 'E']).next().unwrap_or_default();
    if number.is_infinite() {
        Err("`score` is too large for a double: write \"inf\" or \"-inf\"")
    } else if number == 0.0 && digits.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        Err("`score` is too small for a double: write 0")
    } else if json.len() > LONGEST {
        Ok(Score(format!("{number:e}")))
    } else {
        Ok(Score(json.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_a_double_or_infinite_with_one_sign() {
        for (json, text) in [
            ("1.50", "1.50"),
            ("-0", "-0"),
            ("0e999", "0e999"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("\"inf\"", "inf"),
            ("\"+Infinity\"", "inf"),
            ("\"-INF\"", "-inf"),
        ] {
            assert_eq!(read(json), Ok(Score(text.to_owned())));
        }
        let long = format!("0.{}1", "0".repeat(50));
        assert_eq!(read(&long), Ok(Score("1e-51".to_owned())));
        for json in [
            "\"--inf\"",
            "\"+-inf\"",
            "\"-+inf\"",
            "\"nan\"",
            "\"\"",
            "\"1\"",
            "\" inf\"",
            "null",
            "true",
            "[]",
            "\"",
        ] {
            assert!(read(json).unwrap_err().contains("must be a number"), "{json}");
        }
        for json in ["1e-400", "-1e-400", "0.0001e-330", "2e-324"] {
            assert!(read(json).unwrap_err().contains("too small"), "{json}");
        }
        for json in ["1e400", "-1.8e308"] {
            assert!(read(json).unwrap_err().contains("too large"), "{json}");
        }
    }
}
