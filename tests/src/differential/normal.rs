//! The parts that are taken out of answers before they are compared.

use serde_json::Value;

/// postgres-meta's status for a request that does not fit its schemas.
const UNFIT: u16 = 500;
/// Its statuses for a request that the database refuses, and for one that does not fit.
const REFUSALS: [u16; 2] = [400, UNFIT];
/// The first id that a database gives to objects that its users make.
const FIRST_ID: u64 = 16_384;
/// Fields that differ from one moment to the next, or from one session to the next.
const RESTLESS: [&str; 1] = ["active_connections"];
/// Lists inside of answers that are sets. `args` are no set, but come from postgres-meta in the order of the server's
/// query plan.
const SETS: [&str; 8] =
    ["relationships", "privileges", "tables", "primary_keys", "roles", "events", "columns", "args"];
/// Objects inside of answers that are maps.
const MAPS: [&str; 3] = ["config", "config_params", "index_attributes"];

/// The parts that are taken out of one answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Normal {
    unordered: bool,
    without_ids: bool,
    only_length: bool,
    only_status: bool,
    refusals_alike: bool,
    lines_unordered: bool,
}

impl Normal {
    /// Declares that the answer is a list whose order nobody promises.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// Hides the ids of objects that users made: they are only known to be ids.
    pub fn without_ids(mut self) -> Self {
        self.without_ids = true;
        self
    }

    /// Keeps only the length of a list.
    pub fn only_length(mut self) -> Self {
        self.only_length = true;
        self
    }

    /// Keeps only the status.
    pub fn only_status(mut self) -> Self {
        self.only_status = true;
        self
    }

    /// Declares that the answer is a text in which nobody promises the order of some lines.
    pub fn lines_in_any_order(mut self) -> Self {
        self.lines_unordered = true;
        self
    }

    /// Takes the statuses 400 and 500 for the same refusal: each server chooses between them by itself.
    pub fn refusals_alike(mut self) -> Self {
        self.refusals_alike = true;
        self
    }

    /// Tells whether answers with these statuses count as the same, whatever else they say.
    pub(super) fn takes_for_one(self, first: u16, second: u16) -> bool {
        // Each server checks bodies and parameters by itself, so its words for one that does not fit are its own.
        (first, second) == (UNFIT, UNFIT)
            || self.refusals_alike && REFUSALS.contains(&first) && REFUSALS.contains(&second)
    }

    /// Takes the parts out of a body.
    pub fn apply(self, body: &Value) -> Value {
        if self.only_status {
            return Value::Null;
        }
        let mut body = body.clone();
        self.walk(&mut body);
        match &mut body {
            Value::Array(items) if self.unordered => sort(items),
            Value::Array(items) if self.only_length => return items.len().into(),
            Value::String(text) if self.lines_unordered => {
                let mut lines: Vec<_> = text.lines().collect();
                lines.sort_unstable();
                return lines.join("\n").into();
            }
            _ => {}
        }
        body
    }

    fn walk(self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.walk(field);
                    if RESTLESS.contains(&name.as_str()) {
                        *field = "(restless)".into();
                    }
                    match field {
                        Value::Array(items) if SETS.contains(&name.as_str()) => sort(items),
                        _ if MAPS.contains(&name.as_str()) => field.sort_all_objects(),
                        _ => {}
                    }
                    if self.without_ids && (name == "id" || name.ends_with("_id")) {
                        hide_id(field);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Replaces `16500` and `16500.2` by an id that is the same everywhere.
fn hide_id(field: &mut Value) {
    let text = match &*field {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return,
    };
    let (number, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    if number.parse::<u64>().is_ok_and(|number| number >= FIRST_ID) {
        *field = format!("(id){rest}").into();
    }
}

fn sort(items: &mut [Value]) {
    items.sort_by_cached_key(|item| match item {
        // Sorted by the fields that a reader knows it by, so that a difference in one does not look like one in all.
        Value::Object(fields) => {
            let key = ["schema", "table", "name", "constraint_name", "id", "column_id", "relation_id"];
            let known = key.map(|name| fields.get(name).map(Value::to_string).unwrap_or_default());
            format!("{known:?} {item}")
        }
        _ => item.to_string(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_and_open_orders_are_no_difference_and_the_rest_is() {
        let normal = Normal::default().unordered().without_ids();
        let one = json!([{"id": 16_390, "name": "b", "type_id": 23}, {"id": "17000.1", "name": "a"}]);
        let other = json!([{"id": "18000.1", "name": "a"}, {"id": 20_000, "name": "b", "type_id": 23}]);
        assert_eq!(normal.apply(&one), normal.apply(&other));
        let third = json!([{"id": "18000.2", "name": "a"}, {"id": 20_000, "name": "b", "type_id": 23}]);
        assert_ne!(normal.apply(&one), normal.apply(&third));
        assert_ne!(Normal::default().apply(&one), Normal::default().apply(&other));
    }
}
