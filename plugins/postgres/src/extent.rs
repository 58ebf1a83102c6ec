//! How far JSON extends, looked at before anything is made of it: a value takes up to a hundred times its text.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};
use serde_json::value::RawValue;

/// How many values what may be anything is made of at the most.
const MOST_VALUES: usize = 100_000;

/// How far JSON extends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How deep it nests.
    pub(crate) depth: usize,
    /// How many values are in it, at the most.
    pub(crate) values: usize,
}

impl Extent {
    /// Of a text that is JSON.
    pub(crate) fn of(json: &str) -> Self {
        let mut extent = Self { depth: 0, values: 1 };
        let mut depth = 0_usize;
        let (mut quoted, mut escaped) = (false, false);
        for byte in json.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => {
                    depth += 1;
                    extent.depth = extent.depth.max(depth);
                    extent.values += 1;
                }
                b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
                b',' if !quoted => extent.values += 1,
                _ => {}
            }
        }
        extent
    }
}

/// Reads a part of a body that may be anything.
///
/// # Errors
/// For what is made of too many values, and what is not what it should be.
pub(crate) fn bounded<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let json = Box::<RawValue>::deserialize(deserializer)?;
    if Extent::of(json.get()).values > MOST_VALUES {
        return Err(D::Error::custom(format!("made of more than {MOST_VALUES} values")));
    }
    serde_json::from_str(json.get()).map_err(|error| {
        // The line and column are those of the part.
        let message = error.to_string();
        D::Error::custom(message.split(" at line ").next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_levels_are_counted_outside_of_texts() {
        let extent = |json: &str| (Extent::of(json).depth, Extent::of(json).values);
        assert_eq!(extent("1"), (0, 1));
        assert_eq!(extent(r#"[1,{"a":[2]},"[,\"{["]"#), (3, 6));
        let read =
            |json: &str| bounded::<_, serde_json::Value>(&mut serde_json::Deserializer::from_str(json));
        assert!(read(&format!("[{}1]", "{},".repeat(40_000))).is_ok());
        assert!(read(&format!("[{}1]", "1,".repeat(100_000))).is_err());
    }
}
