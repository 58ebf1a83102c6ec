//! What the server tells of itself: `GET /stats`, and what the others are made of.

pub(crate) mod info;
pub(crate) mod slabs;

use crate::{Memcached, number::Whole};
use serde_json::{Map, Value};
use studio_plugin_api::prelude::*;

/// The lines of `stats` or of one of its sections, in their order.
#[derive(Debug, Default)]
pub(crate) struct Stats(Vec<(String, String)>);

impl Stats {
    /// Adds `STAT name value`; `None` for anything else.
    pub(crate) fn add(&mut self, line: &str) -> Option<()> {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ').unwrap_or((line.get(5..)?, ""));
        self.0.push((name.to_owned(), value.to_owned()));
        Some(())
    }

    pub(crate) fn find<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.parse().ok())
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.find(name).unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.find(name).unwrap_or_default()
    }

    /// Hits among all look-ups.
    pub(crate) fn hit_rate(&self) -> f64 {
        let (hits, misses) = (self.number("get_hits") as f64, self.number("get_misses") as f64);
        if hits + misses > 0.0 { hits / (hits + misses) } else { 0.0 }
    }

    /// As an object: numbers are numbers, and `1:chunk_size` is in an object `1`. A section that writes its own name
    /// before each of its lines has it left out.
    fn into_object(self, section: &str) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in self.0 {
            let name = name.strip_prefix(section).and_then(|name| name.strip_prefix(':')).unwrap_or(&name);
            match name.split_once(':') {
                None => object.insert(name.to_owned(), typed(&value)).map(drop),
                Some((group, name)) => {
                    let group = object.entry(group).or_insert_with(|| Value::Object(Map::new()));
                    group
                        .as_object_mut()
                        .and_then(|group| group.insert(name.to_owned(), typed(&value)))
                        .map(drop)
                }
            };
        }
        object
    }
}

/// Digits are a number; so are digits with a point among them. Anything else is text.
fn typed(text: &str) -> Value {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = if !is_number {
        None
    } else if let Ok(whole) = text.parse() {
        serde_json::to_value(Whole(whole)).ok()
    } else if let Ok(negative) = text.parse::<i64>() {
        Some(negative.into())
    } else {
        text.parse::<f64>().ok().map(Value::from)
    };
    number.unwrap_or_else(|| text.into())
}

/// Which part.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsQuery {
    /// By default `general`.
    #[serde(default)]
    section: Section,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Section {
    #[default]
    General,
    Settings,
    Items,
    Slabs,
    Sizes,
    Conns,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::General => "",
            Self::Settings => "settings",
            Self::Items => "items",
            Self::Slabs => "slabs",
            Self::Sizes => "sizes",
            Self::Conns => "conns",
        }
    }
}

/// `GET /stats`: the server's own names and numbers, now.
pub(crate) async fn stats(
    memcached: Context<Memcached>,
    query: Query<StatsQuery>,
) -> Result<Json<Map<String, Value>>, DriverError> {
    let section = query.section.name();
    let stats = memcached.connection.stats(section, memcached.max_reply_bytes()).await?;
    Ok(Json(stats.into_object(section)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(section: &str, lines: &[&str]) -> Value {
        let mut stats = Stats::default();
        for line in lines {
            stats.add(line).unwrap();
        }
        stats.into_object(section).into()
    }

    #[test]
    fn lines_become_typed_objects() {
        let lines =
            ["STAT pid 7", "STAT rusage_user 0.002830", "STAT version 1.6.18", "STAT inter ", "STAT odd -5"];
        let expected =
            json!({ "pid": 7, "rusage_user": 0.00283, "version": "1.6.18", "inter": "", "odd": -5 });
        assert_eq!(object("", &lines), expected);
        let lines = ["STAT items:1:number 4", "STAT items:1:age 9", "STAT items:12:number 1"];
        assert_eq!(object("items", &lines), json!({ "1": { "number": 4, "age": 9 }, "12": { "number": 1 } }));
        let lines = ["STAT 1:chunk_size 96", "STAT active_slabs 1"];
        assert_eq!(object("slabs", &lines), json!({ "1": { "chunk_size": 96 }, "active_slabs": 1 }));
        let lines = ["STAT 22:addr tcp:127.0.0.1:11211", "STAT stat_key_prefix :", "STAT no_value"];
        let expected =
            json!({ "22": { "addr": "tcp:127.0.0.1:11211" }, "stat_key_prefix": ":", "no_value": "" });
        assert_eq!(object("conns", &lines), expected);
        for text in ["nan", "inf", "1e5", "0x10", "-", ".5", "1.2.3"] {
            assert_eq!(typed(text), json!(text));
        }
        assert_eq!(typed("18446744073709551615"), json!("18446744073709551615"));
        assert!(Stats::default().add("END").is_none());
    }
}
