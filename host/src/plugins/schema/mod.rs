//! JSON Schema (2020-12), as far as the gateway checks it: compiled once, and walked with a bound on the work.
//!
//! A schema comes from a driver that operators need not trust, and a value from a caller that nobody trusts. So
//! references lead into the schema itself and nowhere else, patterns are of a kind that takes linear time, and each
//! check has a budget of steps: schemas that refer to themselves many times over would otherwise take time that grows
//! without bound.

mod calls;
mod check;
mod faults;
pub(super) mod fuzzing;
mod read;
mod values;

use regex::Regex;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

pub(super) use calls::{OperationSchemas, OptionsSchema};
pub(super) use faults::find_faults;

/// The most parts of one schema.
const MOST_PARTS: usize = 10_000;
/// The most bytes that a compiled pattern may take.
const LARGEST_PATTERN: usize = 256 << 10;

/// A fault in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// A JSON pointer into the schema.
    pub(super) place: String,
    /// One clause: `is no type`.
    pub(super) reason: String,
}

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    nodes: Vec<Node>,
    /// The types that a value of each part may have, by all that is about the same value.
    types: Vec<u8>,
}

/// The types of JSON, as bits.
mod types {
    pub(super) const NULL: u8 = 1;
    pub(super) const BOOLEAN: u8 = 2;
    pub(super) const INTEGER: u8 = 4;
    pub(super) const NUMBER: u8 = 8;
    pub(super) const STRING: u8 = 16;
    pub(super) const ARRAY: u8 = 32;
    pub(super) const OBJECT: u8 = 64;

    /// Each type with its name in schemas and its words in messages.
    pub(super) const ALL: [(u8, &str, &str); 7] = [
        (NULL, "null", "null"),
        (BOOLEAN, "boolean", "true or false"),
        (INTEGER, "integer", "a whole number"),
        (NUMBER, "number", "a number"),
        (STRING, "string", "a string"),
        (ARRAY, "array", "a list"),
        (OBJECT, "object", "an object"),
    ];
}

/// One part of a schema. It refers to other parts by their numbers.
#[derive(Debug, Default)]
struct Node {
    /// Set for the schema `false`, which nothing fits.
    is_never: bool,
    types: Option<u8>,
    one_of_values: Option<Vec<Value>>,
    numbers: Numbers,
    lengths: Lengths,
    pattern: Option<Regex>,
    prefix: Vec<usize>,
    items: Option<usize>,
    contains: Option<usize>,
    are_unique: bool,
    members: HashMap<String, usize>,
    patterned: Vec<(Regex, usize)>,
    other_members: Option<usize>,
    names: Option<usize>,
    required: Vec<String>,
    /// Members that need others.
    dependent: Vec<(String, Dependent)>,
    all: Vec<usize>,
    any: Vec<usize>,
    one: Vec<usize>,
    not: Option<usize>,
    condition: Option<usize>,
    then: Option<usize>,
    otherwise: Option<usize>,
}

#[derive(Debug)]
enum Dependent {
    Names(Vec<String>),
    Schema(usize),
}

/// Bounds on a number.
#[derive(Debug, Default)]
struct Numbers {
    least: Option<f64>,
    most: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    multiple_of: Option<f64>,
}

/// Bounds on lengths and counts.
#[derive(Debug, Default)]
struct Lengths {
    text: Bounds,
    items: Bounds,
    contained: Bounds,
    members: Bounds,
}

#[derive(Debug, Default, Clone, Copy)]
struct Bounds {
    least: Option<u64>,
    most: Option<u64>,
}

impl Bounds {
    fn hold(self, count: usize) -> bool {
        let count = count as u64;
        self.least.is_none_or(|least| count >= least) && self.most.is_none_or(|most| count <= most)
    }

    fn tell(self, of: &str) -> String {
        match (self.least, self.most) {
            (Some(least), Some(most)) if least == most => format!("must have {least} {of}"),
            (Some(least), Some(most)) => format!("must have {least} to {most} {of}"),
            (Some(least), None) => format!("must have {least} {of} or more"),
            (None, most) => format!("must have at most {} {of}", most.unwrap_or(u64::MAX)),
        }
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Each part that is no schema.
    pub(super) fn compile(schema: &Value) -> Result<Self, Vec<Fault>> {
        read::Reading::new(schema).run().map(|nodes| Self { types: find_types(&nodes), nodes })
    }

    fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    /// Gives the types that a value of a part may have.
    fn types_of(&self, number: usize) -> u8 {
        self.types.get(number).copied().unwrap_or(EVERY_TYPE)
    }

    /// Lists a part, and the parts that all values of it must fit as well, up to a sensible number.
    fn same(&self, number: usize) -> Vec<&Node> {
        const MOST: usize = 100;
        let (mut found, mut open, mut seen) = (Vec::new(), vec![number], HashSet::new());
        while let Some(number) = open.pop().filter(|_| found.len() < MOST) {
            if let Some(node) = self.node(number).filter(|_| seen.insert(number)) {
                found.push(node);
                open.extend(node.all.iter().take(MOST));
            }
        }
        found
    }
}

/// Any type, known or not.
const EVERY_TYPE: u8 = u8::MAX;

/// Finds the types of each part. Parts may lead to each other in circles, so the search runs a few times, each time
/// with the types found before. At worst it finds too many types.
fn find_types(nodes: &[Node]) -> Vec<u8> {
    const TIMES: usize = 4;
    let mut found = vec![EVERY_TYPE; nodes.len()];
    for _ in 0..TIMES {
        let known = |number: &usize| found.get(*number).copied().unwrap_or(EVERY_TYPE);
        let of = |node: &Node| {
            let mut types = node.types.unwrap_or(EVERY_TYPE);
            if let (None, Some(values)) = (node.types, &node.one_of_values) {
                types &= values.iter().map(type_of).fold(0, |all, one| all | one);
            }
            types = node.all.iter().map(known).fold(types, |all, one| all & one);
            for choices in [&node.any, &node.one].into_iter().filter(|choices| !choices.is_empty()) {
                types &= choices.iter().map(known).fold(0, |all, one| all | one);
            }
            types
        };
        found = nodes.iter().map(of).collect();
    }
    found
}

/// Gives the types that a value has.
fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => types::NULL,
        Value::Bool(_) => types::BOOLEAN,
        Value::Number(number) if is_whole(number) => types::INTEGER | types::NUMBER,
        Value::Number(_) => types::NUMBER,
        Value::String(_) => types::STRING,
        Value::Array(_) => types::ARRAY,
        Value::Object(_) => types::OBJECT,
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

#[cfg(test)]
mod tests;
