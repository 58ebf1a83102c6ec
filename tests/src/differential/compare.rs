//! The differences between two answers.

use super::{Normal, Reply};
use serde_json::{Map, Value};
use std::fmt::Write;

/// How many requests a report shows, and how much of each answer.
const SHOWN_REQUESTS: usize = 40;
const SHOWN_ANSWER: usize = 1_500;
const SHOWN_VALUE: usize = 600;
/// How many differences of one request it names.
const SHOWN_PLACES: usize = 5;

/// A difference that is known, with the reason for it; `docs/postgres-meta.md` has it too.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// The beginning of the names of the requests that show it: `GET /tables`.
    pub request: &'static str,
    /// The end of its place in the answer's JSON: `.status`, `.body.error`.
    pub place: &'static str,
    /// The reason for it.
    pub reason: &'static str,
}

/// All comparisons, and their differences.
#[derive(Debug)]
pub struct Comparison {
    accepted: &'static [Accepted],
    occurred: Vec<bool>,
    reports: Vec<String>,
    requests: usize,
}

/// One place where answers differ.
#[derive(Debug, PartialEq)]
struct Difference {
    place: String,
    first: String,
    second: String,
}

impl Comparison {
    /// Makes a comparison with these known differences.
    pub fn new(accepted: &'static [Accepted]) -> Self {
        Self { accepted, occurred: vec![false; accepted.len()], reports: Vec::new(), requests: 0 }
    }

    /// Compares two answers to a request; the request's name is its method and path, and anything else that tells it
    /// from others.
    pub fn compare(&mut self, request: &str, body: &str, normal: &Normal, first: &Reply, second: &Reply) {
        self.requests += 1;
        let mut differences = Vec::new();
        if !normal.takes_for_one(first.status, second.status) {
            find(".status", &first.status.into(), &second.status.into(), &mut differences);
            find(".body", &normal.apply(&first.body), &normal.apply(&second.body), &mut differences);
        }
        if first.status == second.status {
            let media_types = [first, second].map(|reply| reply.media_type.as_str().into());
            find(".media_type", &media_types[0], &media_types[1], &mut differences);
        }
        differences.retain(|difference| {
            let known = self.accepted.iter().position(|accepted| {
                request.starts_with(accepted.request) && difference.place.ends_with(accepted.place)
            });
            if let Some(known) = known {
                self.occurred[known] = true;
            }
            known.is_none()
        });
        if !differences.is_empty() {
            self.reports.push(report(request, body, first, second, &differences));
        }
    }

    /// Fails when something differed, or an accepted difference did not occur.
    #[track_caller]
    pub fn finish(self) {
        assert!(self.requests > 0, "nothing was compared");
        let count = self.reports.len();
        let shown = self.reports.iter().take(SHOWN_REQUESTS).cloned().collect::<Vec<_>>().join("\n");
        assert!(count == 0, "{count} of {} requests are answered differently:\n{shown}", self.requests);
        let unused = self.accepted.iter().zip(&self.occurred).filter(|(_, occurred)| !**occurred);
        let unused: Vec<&Accepted> = unused.map(|(accepted, _)| accepted).collect();
        assert!(unused.is_empty(), "accepted differences that there are not: {unused:#?}");
    }
}

/// Adds the differences below `place`. The order of fields counts: a user sees it in a table of rows.
fn find(place: &str, first: &Value, second: &Value, differences: &mut Vec<Difference>) {
    match (first, second) {
        (Value::Object(one), Value::Object(other)) => find_in_fields(place, one, other, differences),
        (Value::Array(one), Value::Array(other)) => {
            if one.len() != other.len() {
                let only = |items: &[Value], others: &[Value]| {
                    let missing: Vec<String> =
                        items.iter().filter(|item| !others.contains(item)).map(Value::to_string).collect();
                    format!("{} items, of which only here: {}", items.len(), missing.join(", "))
                };
                differences.push(Difference {
                    place: format!("{place}.length"),
                    first: only(one, other),
                    second: only(other, one),
                });
                return;
            }
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                find(&format!("{place}[{index}]"), one, other, differences);
            }
        }
        (Value::String(one), Value::String(other)) if one != other && one.contains('\n') => {
            let number = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
            let around = |text: &str| -> String {
                text.lines().skip(number.saturating_sub(1)).take(4).collect::<Vec<_>>().join("\n          ")
            };
            differences.push(Difference {
                place: format!("{place} (line {})", number + 1),
                first: around(one),
                second: around(other),
            });
        }
        _ if same(first, second) => {}
        _ => differences.push(Difference {
            place: place.to_owned(),
            first: first.to_string(),
            second: second.to_string(),
        }),
    }
}

fn find_in_fields(
    place: &str,
    one: &Map<String, Value>,
    other: &Map<String, Value>,
    differences: &mut Vec<Difference>,
) {
    let names = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>().join(", ");
    let both = |map: &Map<String, Value>, others: &Map<String, Value>| {
        map.keys().filter(|name| others.contains_key(*name)).cloned().collect::<Vec<_>>()
    };
    if both(one, other) != both(other, one) {
        let place = format!("{place} (order of fields)");
        differences.push(Difference { place, first: names(one), second: names(other) });
    }
    for (name, value) in one {
        let place = format!("{place}.{name}");
        match other.get(name) {
            Some(second) => find(&place, value, second, differences),
            None => {
                differences.push(Difference {
                    place,
                    first: value.to_string(),
                    second: "(absent)".to_owned(),
                });
            }
        }
    }
    for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
        let place = format!("{place}.{name}");
        differences.push(Difference { place, first: "(absent)".to_owned(), second: value.to_string() });
    }
}

/// Compares numbers as JavaScript reads them: `1.0` is `1`, and the last digits of long ones do not count.
fn same(first: &Value, second: &Value) -> bool {
    match (first.as_f64(), second.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= f64::EPSILON * one.abs(),
        _ => first == second,
    }
}

fn report(request: &str, body: &str, first: &Reply, second: &Reply, differences: &[Difference]) -> String {
    let mut text = format!("\n=== {request}\n");
    if !body.is_empty() {
        writeln!(text, "    with {}", shorten(body, SHOWN_ANSWER)).unwrap();
    }
    for reply in [first, second] {
        let body = shorten(&reply.body.to_string(), SHOWN_ANSWER);
        writeln!(text, "  {} answered {} {body}", reply.side, reply.status).unwrap();
    }
    for difference in differences.iter().take(SHOWN_PLACES) {
        writeln!(text, "  at {}", difference.place).unwrap();
        for (reply, value) in [(first, &difference.first), (second, &difference.second)] {
            writeln!(text, "    {}: {}", reply.side, shorten(value, SHOWN_VALUE)).unwrap();
        }
    }
    if differences.len() > SHOWN_PLACES {
        writeln!(text, "  and at {} more places", differences.len() - SHOWN_PLACES).unwrap();
    }
    text
}

fn shorten(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(first: Value, second: Value) -> Vec<String> {
        let mut differences = Vec::new();
        find("", &first, &second, &mut differences);
        differences.into_iter().map(|difference| difference.place).collect()
    }

    #[test]
    fn every_difference_is_found_at_its_place() {
        assert!(places(json!({"a": [1, {"b": 2.0}]}), json!({"a": [1.0, {"b": 2}]})).is_empty());
        assert_eq!(places(json!({"a": [1, {"b": 2}]}), json!({"a": [1, {"b": 3}]})), [".a[1].b"]);
        assert_eq!(places(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})), [" (order of fields)"]);
        assert_eq!(places(json!({"a": null}), json!({"b": null})), [".a", ".b"]);
        assert_eq!(places(json!([1]), json!([1, 2])), [".length"]);
        assert_eq!(places(json!("x\ny\nz"), json!("x\ny\nw")), [" (line 3)"]);
        assert_eq!(places(json!("1"), json!(1)), [""]);
    }
}
