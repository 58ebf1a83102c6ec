//! Finds the faults of a manifest that loads, but does less than its author thinks.

use super::{
    Fault, Schema,
    read::{HELD, NOTES, UNHELD, escape, shorten},
};
use serde_json::{Map, Value};
use studio_plugin_api::parameters::path_names;

/// The fields of a manifest, of an alias and of an operation.
const MANIFEST: [&str; 12] = [
    "api_version",
    "type",
    "name",
    "version",
    "default_port",
    "connection_string_schemes",
    "concurrency",
    "aliases",
    "project_database",
    "checked_by",
    "options",
    "operations",
];
const ALIAS: [&str; 6] = ["prefix", "envelope", "statuses", "lenient", "headers", "connection_headers"];
const OPERATION: [&str; 12] = [
    "method",
    "path",
    "alias",
    "access",
    "summary",
    "cache_seconds",
    "invalidates",
    "path_parameters",
    "query",
    "body",
    "reply",
    "media_type",
];
/// The most faults that are listed: as many as anyone reads.
const MOST: usize = 100;

/// Lists the faults of a manifest, each as `<JSON pointer>: <reason>`.
pub(in crate::plugins) fn find_faults(manifest: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let none = Map::new();
    let members = manifest.as_object().unwrap_or(&none);
    find_unknown(members, &MANIFEST, "", &mut faults);
    let list = |name: &str| members.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
    for (number, alias) in list("aliases") {
        find_unknown(alias.as_object().unwrap_or(&none), &ALIAS, &format!("/aliases/{number}"), &mut faults);
    }
    if let Some(options) = members.get("options") {
        find_in_schema(options, "/options", &mut faults);
        for (index, name) in required(options) {
            let reason = format!(
                "requires `{name}`, which plugins.toml's settings and a project's own database do not give: give it a default"
            );
            push(&mut faults, &format!("/options/required/{index}"), reason);
        }
    }
    for (number, operation) in list("operations") {
        let place = format!("/operations/{number}");
        let operation = operation.as_object().unwrap_or(&none);
        find_unknown(operation, &OPERATION, &place, &mut faults);
        for name in ["path_parameters", "query", "body", "reply"] {
            if let Some(schema) = operation.get(name).filter(|schema| !schema.is_null()) {
                find_in_schema(schema, &format!("{place}/{name}"), &mut faults);
            }
        }
        find_in_path(operation, &place, &mut faults);
    }
    faults
}

fn push(faults: &mut Vec<String>, place: &str, reason: impl AsRef<str>) {
    match faults.len() {
        MOST => faults.push("and more".to_owned()),
        count if count > MOST => {}
        _ => faults.push(format!("{place}: {}", reason.as_ref())),
    }
}

fn find_unknown(members: &Map<String, Value>, known: &[&str], place: &str, faults: &mut Vec<String>) {
    for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
        push(faults, &format!("{place}/{}", escape(name)), "is no field of a manifest: nobody reads it");
    }
}

fn required(schema: &Value) -> impl Iterator<Item = (usize, &str)> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.enumerate().filter_map(|(index, name)| Some((index, name.as_str()?)))
}

/// Finds the parts that are no schemas, and the keywords that would be overlooked.
fn find_in_schema(schema: &Value, place: &str, faults: &mut Vec<String>) {
    for Fault { place: within, reason } in Schema::compile(schema).err().unwrap_or_default() {
        push(faults, &format!("{place}{within}"), reason);
    }
    find_overlooked(schema, place, faults);
}

/// Finds the keywords, in all parts of a schema, that are unknown or that the gateway does not check. Manifests are
/// read with a bound on depth.
fn find_overlooked(schema: &Value, place: &str, faults: &mut Vec<String>) {
    let Some(members) = schema.as_object() else { return };
    for (keyword, value) in members {
        let at = format!("{place}/{}", escape(keyword));
        match keyword.as_str() {
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    find_overlooked(schema, &format!("{at}/{}", escape(name)), faults);
                }
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
                    find_overlooked(schema, &format!("{at}/{index}"), faults);
                }
            }
            "items"
            | "contains"
            | "additionalProperties"
            | "propertyNames"
            | "not"
            | "if"
            | "then"
            | "else" => {
                find_overlooked(value, &at, faults);
            }
            _ if HELD.contains(&keyword.as_str()) || NOTES.contains(&keyword.as_str()) => {}
            _ if keyword.starts_with("x-") => {}
            _ if UNHELD.contains(&keyword.as_str()) => {
                push(faults, &at, "is a keyword that the gateway holds nobody to");
            }
            _ => push(faults, &at, "is no keyword of JSON Schema: nobody reads it"),
        }
    }
}

/// Finds names of the path's template that its schema does not have, and the other way round.
fn find_in_path(operation: &Map<String, Value>, place: &str, faults: &mut Vec<String>) {
    let (Some(path), Some(schema)) = (
        operation.get("path").and_then(Value::as_str),
        operation.get("path_parameters").filter(|schema| !schema.is_null()),
    ) else {
        return;
    };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let names: Vec<&str> = path_names(path).collect();
    for name in names.iter().filter(|name| !properties.contains_key(**name)) {
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        let known = shorten(&Value::from(known.join("`, `")));
        push(faults, &format!("{place}/path"), format!("names `{name}`, and the handler reads `{known}`"));
    }
    for name in properties.keys().filter(|name| !names.contains(&name.as_str())) {
        let at = format!("{place}/path_parameters/properties/{}", escape(name));
        push(faults, &at, format!("is no parameter of the path `{path}`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use studio_plugin_api::{Alias, ErrorCode, manifest::Manifest};

    /// Compares the lists with the fields that serde knows, all of them given.
    #[test]
    fn fields_that_are_known_are_those_that_are_read() {
        let alias =
            Alias::bare("old").status(ErrorCode::Timeout, 408).lenient().header("a").connection_header("b");
        let names = |value: &Value| {
            let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names
        };
        let known = |fields: &[&str]| {
            let mut names: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        let operation = json!({
            "method": "GET", "path": "/a", "alias": "old", "access": "read", "summary": "x", "cache_seconds": 1,
            "invalidates": ["/a"], "path_parameters": {}, "query": {}, "body": {}, "reply": {}, "media_type": "a/b",
        });
        let manifest = json!({
            "api_version": "0.1.0", "type": "thing", "name": "Thing", "version": "1", "default_port": 1,
            "connection_string_schemes": ["a"], "concurrency": "shared", "aliases": [alias], "project_database": true,
            "checked_by": "host", "options": {}, "operations": [operation],
        });
        let read = serde_json::to_value(serde_json::from_value::<Manifest>(manifest).unwrap()).unwrap();
        assert_eq!(names(&read), known(&MANIFEST));
        assert_eq!(names(&read["aliases"][0]), known(&ALIAS));
        assert_eq!(names(&read["operations"][0]), known(&OPERATION));
        assert_eq!(find_faults(&read), Vec::<String>::new());
    }

    #[test]
    fn faults_are_named_with_their_places() {
        let manifest = json!({
            "api_version": "0.1.0", "type": "thing", "name": "Thing", "version": "1", "conection_string_schemes": [],
            "aliases": [{"prefix": "old", "lenint": true}],
            "options": {"type": "object", "required": ["url"], "properties": {
                "url": {"type": "string", "maxLenght": 3}, "tls": {"type": "boolen"}}},
            "operations": [
                {"method": "GET", "path": "/k/{key}", "access": "read", "cahe_seconds": 3,
                 "path_parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
                {"method": "POST", "path": "/k", "access": "write", "query": {"properties": []},
                 "body": {"$ref": "https://example.com/schema", "pattern": "(?=x)"}},
            ],
        });
        let faults = find_faults(&manifest);
        for place in [
            "/conection_string_schemes: is no field",
            "/aliases/0/lenint: is no field",
            "/options/required/0: requires `url`",
            "/options/properties/tls/type: `boolen` is no type",
            "/options/properties/url/maxLenght: is no keyword",
            "/operations/0/cahe_seconds: is no field",
            "/operations/0/path: names `key`, and the handler reads `name`",
            "/operations/0/path_parameters/properties/name: is no parameter",
            "/operations/1/query/properties: is no object",
            "/operations/1/body/$ref: leads to no part",
            "/operations/1/body/pattern: is no pattern",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(place)), "{place} in {faults:#?}");
        }
        assert_eq!(faults.len(), 11, "{faults:#?}");
    }
}
