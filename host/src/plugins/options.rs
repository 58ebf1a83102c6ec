//! Reads from the schema of a driver's options which of them are secret or decide where secrets go, at any depth.
//!
//! A schema is taken apart once, when its driver is loaded, into a graph of places; a `$ref` that leads back to where
//! it came from is an edge of it. Values are then walked together with the graph. Whether a value fits does not matter
//! here: each branch of `anyOf`, `if` and their like counts, and each pattern of `patternProperties` counts for every
//! name. A text that is sealed without need does no harm.

use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use studio_plugin_api::settings::SECRETS_ANEW;

/// The most places that a schema may have. Options have a hundred at the most.
const MOST_PLACES: usize = 2000;
/// Keywords whose schema is about the same value.
const SAME_VALUE: [&str; 4] = ["if", "then", "else", "not"];
/// Keywords whose schemas, in a list, are about the same value.
const SAME_VALUE_LISTS: [&str; 3] = ["anyOf", "oneOf", "allOf"];
/// Keywords whose schema is about each item of a list.
const ITEMS: [&str; 4] = ["items", "additionalItems", "unevaluatedItems", "contains"];
/// Keywords whose schema is about members that no other names.
const OTHER_MEMBERS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// One schema, with those that are about the same value.
#[derive(Debug, Default)]
struct Node {
    is_secret: bool,
    is_leading: bool,
    /// Others about the same value, directly.
    same: Vec<usize>,
    members: HashMap<String, usize>,
    /// About members of any name.
    any_member: Vec<usize>,
    /// About members that have none of `members`.
    other_members: Vec<usize>,
    items: Vec<usize>,
}

/// The options that are not like others: secret ones (`writeOnly`), and those that say to whom secrets are sent: marked
/// [`SECRETS_ANEW`], or about TLS by their name.
#[derive(Debug, Default)]
pub struct OptionRules {
    nodes: Vec<Node>,
    has_secrets: bool,
}

/// The place of a value in the schema.
#[derive(Debug, Clone)]
pub struct OptionPlace<'a> {
    rules: &'a OptionRules,
    /// Every schema that is about the value.
    nodes: BTreeSet<usize>,
    is_named_for_tls: bool,
}

impl OptionRules {
    /// Reads the rules from a JSON Schema.
    ///
    /// # Errors
    /// The part that can't be followed: nobody could tell what is secret in it.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let mut reading =
            Reading { root: schema, rules: Self::default(), known: HashMap::new(), unread: Vec::new() };
        reading.node(schema)?;
        // This is a loop and not a recursion, since a chain of references may be longer than a stack is deep.
        while let Some((number, schema)) = reading.unread.pop() {
            let node = reading.read(schema)?;
            if let Some(place) = reading.rules.nodes.get_mut(number) {
                *place = node;
            }
        }
        let mut rules = reading.rules;
        rules.call_lists_of_secrets_secret();
        rules.has_secrets = rules.nodes.iter().any(|node| node.is_secret);
        Ok(rules)
    }

    /// Gives the place of all options together.
    pub fn root(&self) -> OptionPlace<'_> {
        OptionPlace { rules: self, nodes: self.about([0]), is_named_for_tls: false }
    }

    /// Tells whether any option is secret.
    pub fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    /// Finds these nodes, and all that are about the same value as one of them.
    fn about(&self, nodes: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = nodes.into_iter().collect();
        while let Some(number) = open.pop() {
            if let Some(node) = self.nodes.get(number)
                && found.insert(number)
            {
                open.extend(&node.same);
            }
        }
        found
    }

    /// Marks each list whose items are secrets as one secret: without them, nothing is left of it.
    fn call_lists_of_secrets_secret(&mut self) {
        loop {
            let is_list_of_secrets = |node: &Node| {
                !node.is_secret
                    && self.about(node.items.iter().copied()).iter().any(|item| self.is_secret(*item))
            };
            let found: Vec<usize> = (0..self.nodes.len())
                .filter(|number| self.nodes.get(*number).is_some_and(is_list_of_secrets))
                .collect();
            if found.is_empty() {
                return;
            }
            for number in found {
                if let Some(node) = self.nodes.get_mut(number) {
                    node.is_secret = true;
                }
            }
        }
    }

    fn is_secret(&self, number: usize) -> bool {
        self.nodes.get(number).is_some_and(|node| node.is_secret)
    }
}

/// A schema being taken apart.
struct Reading<'a> {
    root: &'a Value,
    rules: OptionRules,
    /// The nodes of schemas seen, by the schemas' addresses in memory.
    known: HashMap<*const Value, usize>,
    /// Nodes that are still empty, and their schemas.
    unread: Vec<(usize, &'a Value)>,
}

impl<'a> Reading<'a> {
    /// Gives the node of a schema, which is made when the schema is seen first.
    fn node(&mut self, schema: &'a Value) -> Result<usize, String> {
        if let Some(number) = self.known.get(&std::ptr::from_ref(schema)) {
            return Ok(*number);
        }
        let number = self.rules.nodes.len();
        if number >= MOST_PLACES {
            return Err(format!("the schema of its options has more than {MOST_PLACES} parts"));
        }
        self.known.insert(schema, number);
        self.rules.nodes.push(Node::default());
        self.unread.push((number, schema));
        Ok(number)
    }

    fn read(&mut self, schema: &'a Value) -> Result<Node, String> {
        let mut node = Node::default();
        let Some(schema) = schema.as_object() else { return Ok(node) };
        let is_marked = |mark: &str| schema.get(mark) == Some(&Value::Bool(true));
        node.is_secret = is_marked("writeOnly");
        node.is_leading = is_marked(SECRETS_ANEW);
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = schema.get(keyword) {
                let target = self.find(reference)?;
                node.same.push(self.node(target)?);
            }
        }
        for keyword in SAME_VALUE {
            self.read_all(schema.get(keyword), &mut node.same)?;
        }
        for keyword in SAME_VALUE_LISTS {
            self.read_all(
                schema.get(keyword).and_then(Value::as_array).into_iter().flatten(),
                &mut node.same,
            )?;
        }
        // `dependencies` was its name before 2019; a list of names in it is no schema, and says nothing here.
        for keyword in ["dependentSchemas", "dependencies"] {
            let schemas = schema.get(keyword).and_then(Value::as_object).map(Map::values);
            self.read_all(schemas.into_iter().flatten(), &mut node.same)?;
        }
        for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let number = self.node(member)?;
            node.members.insert(name.clone(), number);
        }
        let patterns = schema.get("patternProperties").and_then(Value::as_object).map(Map::values);
        self.read_all(patterns.into_iter().flatten(), &mut node.any_member)?;
        for keyword in OTHER_MEMBERS {
            self.read_all(schema.get(keyword), &mut node.other_members)?;
        }
        self.read_all(
            schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten(),
            &mut node.items,
        )?;
        for keyword in ITEMS {
            // Before 2020, `items` could be a list of schemas, by position.
            match schema.get(keyword) {
                Some(Value::Array(schemas)) => self.read_all(schemas, &mut node.items)?,
                schema => self.read_all(schema, &mut node.items)?,
            }
        }
        Ok(node)
    }

    fn read_all<Schemas: IntoIterator<Item = &'a Value>>(
        &mut self,
        schemas: Schemas,
        into: &mut Vec<usize>,
    ) -> Result<(), String> {
        for schema in schemas {
            into.push(self.node(schema)?);
        }
        Ok(())
    }

    /// Finds the target of a reference, which must be in this schema: at a JSON pointer, or under an anchor.
    fn find(&self, reference: &Value) -> Result<&'a Value, String> {
        let text = reference.as_str().unwrap_or_default();
        let fragment = text
            .strip_prefix('#')
            .map(|fragment| percent_encoding::percent_decode_str(fragment).decode_utf8_lossy());
        let found = fragment.and_then(|fragment| match fragment.as_ref() {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => find_anchor(self.root, anchor),
        });
        found.ok_or_else(|| {
            let shown: String = text.chars().take(100).flat_map(char::escape_debug).collect();
            format!("the schema of its options refers to `{shown}`, which is not in it")
        })
    }
}

/// Finds the part of a schema that has this anchor. Manifests are read with a bound on depth.
fn find_anchor<'a>(schema: &'a Value, anchor: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(members) => {
            let is_called_so = |keyword| members.get(keyword).and_then(Value::as_str) == Some(anchor);
            if is_called_so("$anchor") || is_called_so("$dynamicAnchor") {
                return Some(schema);
            }
            members.values().find_map(|inner| find_anchor(inner, anchor))
        }
        Value::Array(items) => items.iter().find_map(|inner| find_anchor(inner, anchor)),
        _ => None,
    }
}

impl<'a> OptionPlace<'a> {
    /// Tells whether the whole value in this place is secret.
    pub fn is_secret(&self) -> bool {
        self.nodes.iter().any(|number| self.rules.is_secret(*number))
    }

    /// Tells whether the value in this place says to whom secrets are sent.
    pub fn is_leading(&self) -> bool {
        let is_marked = |number: &usize| self.rules.nodes.get(*number).is_some_and(|node| node.is_leading);
        self.is_named_for_tls || self.nodes.iter().any(is_marked)
    }

    /// Gives the place of an object's member.
    pub fn member(&self, name: &str) -> Self {
        let mut next = Vec::new();
        for node in self.schemas() {
            next.extend(&node.any_member);
            match node.members.get(name) {
                Some(number) => next.push(*number),
                None => next.extend(&node.other_members),
            }
        }
        Self {
            rules: self.rules,
            nodes: self.rules.about(next),
            is_named_for_tls: ["tls", "ssl"].iter().any(|about| name.starts_with(about)),
        }
    }

    /// Gives the place of a list's items, the same for all of them.
    pub fn item(&self) -> Self {
        let next = self.schemas().flat_map(|node| &node.items);
        Self { rules: self.rules, nodes: self.rules.about(next.copied()), is_named_for_tls: false }
    }

    fn schemas(&self) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter_map(|number| self.rules.nodes.get(*number))
    }
}

#[cfg(test)]
mod tests;
