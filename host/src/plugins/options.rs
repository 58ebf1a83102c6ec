//! What the schema of a driver's options says of them.

use serde_json::Value;
use studio_plugin_api::settings::SECRETS_ANEW;

/// Options that are not like others, each as the path of names to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OptionRules {
    /// Secret ones: marked `writeOnly`.
    pub(super) secret: Vec<Vec<String>>,
    /// Those that say to whom secrets are sent: marked [`SECRETS_ANEW`], or about TLS by their name.
    pub(super) leading: Vec<Vec<String>>,
}

impl OptionRules {
    /// As this JSON Schema has them.
    pub(super) fn of(schema: &Value) -> Self {
        let mut rules = Self::default();
        rules.collect(schema, &mut Vec::new());
        rules
    }

    fn collect(&mut self, schema: &Value, path: &mut Vec<String>) {
        let is_marked = |mark: &str| schema.get(mark) == Some(&Value::Bool(true));
        if let Some(name) = path.last() {
            if is_marked("writeOnly") {
                self.secret.push(path.clone());
                return;
            }
            if is_marked(SECRETS_ANEW) || ["tls", "ssl"].iter().any(|about| name.starts_with(about)) {
                self.leading.push(path.clone());
            }
        }
        // An optional struct comes as `anyOf [struct, null]`.
        for form in ["anyOf", "oneOf", "allOf"] {
            for inner in schema.get(form).and_then(Value::as_array).into_iter().flatten() {
                self.collect(inner, path);
            }
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            path.push(name.clone());
            self.collect(property, path);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_with_rules_of_their_own_are_found_at_any_depth() {
        let schema = json!({"properties": {
            "a": {"type": "string"},
            "b": {"type": ["string", "null"], "writeOnly": true},
            "c": {"anyOf": [{"properties": {"d": {"writeOnly": true}}}, {"type": "null"}]},
            "tls_key": {"writeOnly": true},
            "tls_insecure": {"type": "boolean"},
            "ssl_mode": {"type": "string"},
            "through": {"x-secrets-anew": true, "properties": {"e": {"writeOnly": true}}},
        }});
        let rules = OptionRules::of(&schema);
        let [mut secret, mut leading] = [rules.secret, rules.leading];
        secret.sort();
        leading.sort();
        assert_eq!(secret, [vec!["b"], vec!["c", "d"], vec!["through", "e"], vec!["tls_key"]]);
        assert_eq!(leading, [["ssl_mode"], ["through"], ["tls_insecure"]]);
    }
}
