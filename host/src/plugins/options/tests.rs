use super::*;
use serde_json::json;

/// Lists the secret and the leading options of a value, by their paths.
fn marked(schema: &Value, options: &Value) -> [Vec<String>; 2] {
    fn walk(value: &Value, place: &OptionPlace<'_>, path: &str, found: &mut [Vec<String>; 2]) {
        let [secret, leading] = found;
        if place.is_secret() {
            secret.push(path.to_owned());
            return;
        }
        if place.is_leading() {
            leading.push(path.to_owned());
        }
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| {
                    walk(value, &place.member(name), &format!("{path}/{name}"), found)
                });
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(at, item)| walk(item, &place.item(), &format!("{path}/{at}"), found));
            }
            _ => {}
        }
    }
    let rules = OptionRules::of(schema).unwrap();
    let mut found = [Vec::new(), Vec::new()];
    walk(options, &rules.root(), "", &mut found);
    found.each_mut().map(|paths| {
        paths.sort();
        std::mem::take(paths)
    })
}

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
    let options = json!({"a": 1, "b": 2, "c": {"d": 3, "e": 4}, "tls_key": 5, "tls_insecure": 6, "ssl_mode": 7, "through": {"e": 8}});
    let [secret, leading] = marked(&schema, &options);
    assert_eq!(secret, ["/b", "/c/d", "/through/e", "/tls_key"]);
    assert_eq!(leading, ["/ssl_mode", "/through", "/tls_insecure"]);
}

#[test]
fn secrets_are_found_behind_every_keyword_that_leads_to_them() {
    let secret = json!({"properties": {"s": {"writeOnly": true}, "x": {}}});
    let value = json!({"s": 1, "x": 2});
    for (schema, options, expected) in [
        (
            json!({"properties": {"a": {"items": secret}}}),
            json!({"a": [value, value]}),
            vec!["/a/0/s", "/a/1/s"],
        ),
        (json!({"properties": {"a": {"items": [secret]}}}), json!({"a": [value]}), vec!["/a/0/s"]),
        (
            json!({"properties": {"a": {"prefixItems": [{}, secret]}}}),
            json!({"a": [0, value]}),
            vec!["/a/1/s"],
        ),
        (json!({"properties": {"a": {"contains": secret}}}), json!({"a": [value]}), vec!["/a/0/s"]),
        (
            json!({"properties": {"a": {"items": {"items": secret}}}}),
            json!({"a": [[value]]}),
            vec!["/a/0/0/s"],
        ),
        (json!({"additionalProperties": secret}), json!({"any": value}), vec!["/any/s"]),
        (json!({"unevaluatedProperties": secret}), json!({"any": value}), vec!["/any/s"]),
        (json!({"patternProperties": {"^x-": secret}}), json!({"x-a": value}), vec!["/x-a/s"]),
        (
            json!({"properties": {"x-a": {}}, "patternProperties": {"^x-": secret}}),
            json!({"x-a": value}),
            vec!["/x-a/s"],
        ),
        (json!({"additionalProperties": {"writeOnly": true}}), json!({"any": "text"}), vec!["/any"]),
        (json!({"oneOf": [{}, {"allOf": [secret]}]}), value.clone(), vec!["/s"]),
        (json!({"if": {}, "then": secret}), value.clone(), vec!["/s"]),
        (json!({"if": {}, "else": secret}), value.clone(), vec!["/s"]),
        (json!({"dependentSchemas": {"x": secret}}), value.clone(), vec!["/s"]),
        (json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": secret}}), value.clone(), vec!["/s"]),
        (
            json!({"$ref": "#there", "$defs": {"a": {"$anchor": "there", "properties": {"s": {"writeOnly": true}}}}}),
            value.clone(),
            vec!["/s"],
        ),
        // A marked object is secret as a whole, and so is a list of nothing but secrets.
        (
            json!({"properties": {"a": {"writeOnly": true, "properties": {}}}}),
            json!({"a": value}),
            vec!["/a"],
        ),
        (json!({"properties": {"a": {"items": {"writeOnly": true}}}}), json!({"a": ["b"]}), vec!["/a"]),
        (
            json!({"properties": {"a": {"items": {"items": {"$ref": "#/$defs/s"}}}}, "$defs": {"s": {"writeOnly": true}}}),
            json!({"a": [["b"]]}),
            vec!["/a"],
        ),
    ] {
        assert_eq!(marked(&schema, &options)[0], expected, "{schema}");
    }
}

#[test]
fn schemas_that_lead_back_to_themselves_end() {
    let tree = json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "properties": {"s": {"writeOnly": true}, "children": {"items": {"$ref": "#/$defs/node"}}},
            "anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/node"}],
        }},
    });
    let mut options = json!({"s": 1});
    for _ in 0..50 {
        options = json!({"s": 1, "children": [options]});
    }
    assert_eq!(marked(&tree, &options)[0].len(), 51);
    assert_eq!(marked(&json!({"$ref": "#"}), &json!({"a": 1}))[0], [""; 0]);
}

#[test]
fn schemas_that_cannot_be_followed_are_refused() {
    let refused = |schema: Value| OptionRules::of(&schema).unwrap_err();
    for reference in ["#/$defs/nowhere", "https://example.com/schema.json", "other.json#/a", "#nowhere", ""] {
        let error = refused(json!({"properties": {"a": {"items": {"$ref": reference}}}}));
        assert!(error.contains("which is not in it"), "{error}");
    }
    // The longest chain of references that is allowed is followed without recursion.
    let links =
        (0..MOST_PLACES - 4).map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)})));
    let mut chain = json!({"$ref": "#/$defs/d0", "$defs": links.collect::<Map<_, _>>()});
    chain["$defs"][format!("d{}", MOST_PLACES - 4)] = json!({"properties": {"s": {"writeOnly": true}}});
    assert_eq!(marked(&chain, &json!({"s": 1}))[0], ["/s"]);
    let many: Vec<Value> = (0..MOST_PLACES).map(|_| json!({})).collect();
    assert!(refused(json!({"anyOf": many})).contains("more than"));
}
