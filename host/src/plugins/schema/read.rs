//! Compiles a schema into its parts.

use super::{Bounds, Dependent, Fault, LARGEST_PATTERN, MOST_PARTS, Node, types};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Keywords that no value is held to: notes, and names for other parts.
pub(super) const NOTES: [&str; 18] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];

/// Keywords that would need more than a walk from the top, or belong to other drafts.
pub(super) const UNHELD: [&str; 8] = [
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "additionalItems",
    "dependencies",
];

/// Keywords that values are held to.
pub(super) const HELD: [&str; 36] = [
    "$ref",
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "dependentRequired",
    "dependentSchemas",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
];

/// A schema being compiled.
pub(super) struct Reading<'a> {
    root: &'a Value,
    nodes: Vec<Node>,
    /// Parts seen, by where they are in memory.
    known: HashMap<*const Value, usize>,
    /// Parts that are still to be read, with their places.
    unread: Vec<(usize, &'a Value, String)>,
    faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, nodes: Vec::new(), known: HashMap::new(), unread: Vec::new(), faults: Vec::new() }
    }

    /// Compiles all parts, the whole first; or lists the faults of those that are no schemas.
    pub(super) fn run(mut self) -> Result<Vec<Node>, Vec<Fault>> {
        self.node(self.root, String::new());
        // This is a loop and not a recursion, since a chain of references may be longer than a stack is deep.
        while let Some((number, schema, place)) = self.unread.pop() {
            let node = self.read(schema, &place);
            if let Some(slot) = self.nodes.get_mut(number) {
                *slot = node;
            }
        }
        self.faults.sort_by(|one, other| one.place.cmp(&other.place));
        if self.faults.is_empty() { Ok(self.nodes) } else { Err(self.faults) }
    }

    fn fault(&mut self, place: &str, reason: impl Into<String>) {
        self.faults.push(Fault { place: place.to_owned(), reason: reason.into() });
    }

    /// Gives the part at a place, which is made when it is seen first.
    fn node(&mut self, schema: &'a Value, place: String) -> usize {
        if let Some(number) = self.known.get(&std::ptr::from_ref(schema)) {
            return *number;
        }
        let number = self.nodes.len();
        if number >= MOST_PARTS {
            if number == MOST_PARTS {
                self.nodes.push(Node::default());
                self.fault(&place, format!("is one of more than {MOST_PARTS} parts"));
            }
            return number;
        }
        self.known.insert(schema, number);
        self.nodes.push(Node::default());
        self.unread.push((number, schema, place));
        number
    }

    fn read(&mut self, schema: &'a Value, place: &str) -> Node {
        let mut node = Node::default();
        let members = match schema {
            Value::Bool(fits) => {
                node.is_never = !fits;
                return node;
            }
            Value::Object(members) => members,
            _ => {
                self.fault(place, "is no schema: neither an object nor true or false");
                return node;
            }
        };
        let at = |keyword: &str| format!("{place}/{keyword}");
        if let Some(reference) = members.get("$ref") {
            match self.find(reference) {
                Some(target) => {
                    let number = self.node(target, at("$ref"));
                    node.all.push(number);
                }
                None => self.fault(&at("$ref"), "leads to no part of this schema"),
            }
        }
        node.types = members.get("type").map(|named| self.types(named, &at("type")));
        node.one_of_values = match (members.get("enum"), members.get("const")) {
            (_, Some(constant)) => Some(vec![constant.clone()]),
            (Some(Value::Array(values)), None) => Some(values.clone()),
            (Some(_), None) => {
                self.fault(&at("enum"), "is no list");
                None
            }
            (None, None) => None,
        };
        self.read_numbers(members, place, &mut node);
        self.read_lengths(members, place, &mut node);
        node.pattern = members.get("pattern").and_then(|pattern| self.pattern(pattern, &at("pattern")));
        self.read_items(members, place, &mut node);
        self.read_members(members, place, &mut node);
        node.all.extend(self.list(members, place, "allOf"));
        node.any = self.list(members, place, "anyOf");
        node.one = self.list(members, place, "oneOf");
        node.not = self.part(members, place, "not");
        node.condition = self.part(members, place, "if");
        node.then = self.part(members, place, "then");
        node.otherwise = self.part(members, place, "else");
        // Parts that nothing leads to are read as well, so that their faults are found.
        for keyword in ["$defs", "definitions"] {
            self.parts_by_name(members, place, keyword);
        }
        node
    }

    fn types(&mut self, named: &Value, place: &str) -> u8 {
        let names = match named {
            Value::Array(names) => names.iter().collect(),
            name => vec![name],
        };
        let mut found = 0;
        for name in names {
            match types::ALL.iter().find(|(_, known, _)| name.as_str() == Some(known)) {
                Some((bit, ..)) => found |= bit,
                None => self.fault(place, format!("`{}` is no type of JSON", shorten(name))),
            }
        }
        found
    }

    fn read_numbers(&mut self, members: &Map<String, Value>, place: &str, node: &mut Node) {
        let numbers = &mut node.numbers;
        for (keyword, bound) in [
            ("minimum", &mut numbers.least),
            ("maximum", &mut numbers.most),
            ("exclusiveMinimum", &mut numbers.above),
            ("exclusiveMaximum", &mut numbers.below),
            ("multipleOf", &mut numbers.multiple_of),
        ] {
            let Some(value) = members.get(keyword) else { continue };
            match value.as_f64().filter(|number| keyword != "multipleOf" || *number > 0.0) {
                Some(number) => *bound = Some(number),
                None => self.fault(&format!("{place}/{keyword}"), "is no number that it could be"),
            }
        }
    }

    fn read_lengths(&mut self, members: &Map<String, Value>, place: &str, node: &mut Node) {
        let lengths = &mut node.lengths;
        for (least, most, bounds) in [
            ("minLength", "maxLength", &mut lengths.text),
            ("minItems", "maxItems", &mut lengths.items),
            ("minContains", "maxContains", &mut lengths.contained),
            ("minProperties", "maxProperties", &mut lengths.members),
        ] {
            let mut count = |keyword: &str| {
                let value = members.get(keyword)?;
                let count = value
                    .as_u64()
                    .or_else(|| value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64));
                if count.is_none() {
                    self.faults.push(Fault {
                        place: format!("{place}/{keyword}"),
                        reason: "is no whole number, 0 or more".to_owned(),
                    });
                }
                count
            };
            *bounds = Bounds { least: count(least), most: count(most) };
        }
    }

    fn read_items(&mut self, members: &'a Map<String, Value>, place: &str, node: &mut Node) {
        node.prefix = self.list(members, place, "prefixItems");
        // A list of schemas, by position, which `items` could be before 2020, is a fault.
        node.items = self.part(members, place, "items");
        node.contains = self.part(members, place, "contains");
        node.are_unique = match members.get("uniqueItems") {
            None => false,
            Some(Value::Bool(unique)) => *unique,
            Some(_) => {
                self.fault(&format!("{place}/uniqueItems"), "is neither true nor false");
                false
            }
        };
    }

    fn read_members(&mut self, members: &'a Map<String, Value>, place: &str, node: &mut Node) {
        node.members = self.parts_by_name(members, place, "properties").into_iter().collect();
        for (pattern, number) in self.parts_by_name(members, place, "patternProperties") {
            let at = format!("{place}/patternProperties/{}", escape(&pattern));
            if let Some(pattern) = self.compile(&pattern, &at) {
                node.patterned.push((pattern, number));
            }
        }
        node.other_members = self.part(members, place, "additionalProperties");
        node.names = self.part(members, place, "propertyNames");
        if let Some(required) = members.get("required") {
            node.required = self.names(required, &format!("{place}/required"));
        }
        for (name, number) in self.parts_by_name(members, place, "dependentSchemas") {
            node.dependent.push((name, Dependent::Schema(number)));
        }
        let Some(dependent) = members.get("dependentRequired") else { return };
        let at = format!("{place}/dependentRequired");
        let Some(dependent) = dependent.as_object() else { return self.fault(&at, "is no object") };
        for (name, others) in dependent {
            let names = self.names(others, &format!("{at}/{}", escape(name)));
            node.dependent.push((name.clone(), Dependent::Names(names)));
        }
    }

    fn names(&mut self, value: &Value, place: &str) -> Vec<String> {
        let names = value.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)));
        match names.and_then(Iterator::collect) {
            Some(names) => names,
            None => {
                self.fault(place, "is no list of names");
                Vec::new()
            }
        }
    }

    fn part(&mut self, members: &'a Map<String, Value>, place: &str, keyword: &str) -> Option<usize> {
        members.get(keyword).map(|schema| self.node(schema, format!("{place}/{keyword}")))
    }

    fn list(&mut self, members: &'a Map<String, Value>, place: &str, keyword: &str) -> Vec<usize> {
        match members.get(keyword) {
            None => Vec::new(),
            Some(Value::Array(schemas)) => {
                let numbered = schemas.iter().enumerate();
                numbered
                    .map(|(index, schema)| self.node(schema, format!("{place}/{keyword}/{index}")))
                    .collect()
            }
            Some(_) => {
                self.fault(&format!("{place}/{keyword}"), "is no list of schemas");
                Vec::new()
            }
        }
    }

    fn parts_by_name(
        &mut self,
        members: &'a Map<String, Value>,
        place: &str,
        keyword: &str,
    ) -> Vec<(String, usize)> {
        match members.get(keyword) {
            None => Vec::new(),
            Some(Value::Object(schemas)) => {
                let at = |name: &str| format!("{place}/{keyword}/{}", escape(name));
                schemas.iter().map(|(name, schema)| (name.clone(), self.node(schema, at(name)))).collect()
            }
            Some(_) => {
                self.fault(&format!("{place}/{keyword}"), "is no object of schemas");
                Vec::new()
            }
        }
    }

    fn pattern(&mut self, pattern: &Value, place: &str) -> Option<Regex> {
        match pattern.as_str() {
            Some(pattern) => self.compile(pattern, place),
            None => {
                self.fault(place, "is no text");
                None
            }
        }
    }

    fn compile(&mut self, pattern: &str, place: &str) -> Option<Regex> {
        match RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).build() {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let reason = error.to_string();
                let reason =
                    reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.fault(place, format!("is no pattern that can be matched in linear time: {reason}"));
                None
            }
        }
    }

    /// Finds the target of a reference, which must be in this schema: at a JSON pointer, or under an anchor.
    fn find(&self, reference: &Value) -> Option<&'a Value> {
        let fragment = reference.as_str()?.strip_prefix('#')?;
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        match fragment.as_ref() {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => find_anchor(self.root, anchor),
        }
    }
}

/// Finds the part of a schema that has this anchor. Manifests are read with a bound on depth.
fn find_anchor<'a>(schema: &'a Value, anchor: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(members) if members.get("$anchor").and_then(Value::as_str) == Some(anchor) => {
            Some(schema)
        }
        Value::Object(members) => members.values().find_map(|inner| find_anchor(inner, anchor)),
        Value::Array(items) => items.iter().find_map(|inner| find_anchor(inner, anchor)),
        _ => None,
    }
}

/// Escapes a name for a JSON pointer.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Makes a value that an author wrote fit for one line.
pub(super) fn shorten(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
