//! Holds a value to a schema.

use super::{Dependent, EVERY_TYPE, Node, Schema, type_of, types};
use serde_json::{Map, Value};
use std::{collections::HashSet, fmt::Write};

/// Steps that any check may take, and how many more for each byte of the value.
const STEPS: u64 = 10_000;
const STEPS_A_BYTE: u64 = 8;
/// How deep parts of a schema may lead to others, and values into others, in one check.
const DEEPEST: usize = 400;
/// The reason that is given for a required field that is missing.
pub(super) const IS_REQUIRED: &str = "is required";
/// The most characters of a field's name, which a caller chose, in a message.
const LONGEST_NAME: usize = 100;

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The field that does not fit, from the top of the value that was checked, and what would be right. The value
    /// itself is left out, since it may be a secret.
    Field {
        /// Such as `items[1].name`; empty for the whole value.
        field: String,
        /// Such as `must be a string`.
        reason: String,
    },
    /// The check takes too many steps.
    TooMuch,
}

/// A way to a value, for messages.
#[derive(Clone, Copy)]
pub(super) enum ValuePath<'a> {
    Top,
    Member(&'a ValuePath<'a>, &'a str),
    Item(&'a ValuePath<'a>, usize),
}

impl ValuePath<'_> {
    fn refuse(&self, reason: impl Into<String>) -> Misfit {
        let mut field = String::new();
        self.write(&mut field);
        Misfit::Field { field, reason: reason.into() }
    }

    fn write(&self, field: &mut String) {
        // Writing into a String cannot fail.
        let _ = match self {
            Self::Top => Ok(()),
            Self::Member(parent, name) => {
                parent.write(field);
                let dot = if field.is_empty() { "" } else { "." };
                let name: String = name.chars().take(LONGEST_NAME).collect();
                write!(field, "{dot}{name}")
            }
            Self::Item(parent, index) => {
                parent.write(field);
                write!(field, "[{index}]")
            }
        };
    }
}

impl Schema {
    /// Holds a value, which took so many bytes, to the whole schema.
    pub(super) fn check(&self, value: &Value, bytes: usize) -> Result<(), Misfit> {
        self.check_part(0, value, bytes)
    }

    /// Holds a value to one part of the schema.
    pub(super) fn check_part(&self, number: usize, value: &Value, bytes: usize) -> Result<(), Misfit> {
        let steps = STEPS.saturating_add(STEPS_A_BYTE.saturating_mul(bytes as u64));
        Walk { schema: self, steps, depth: 0 }.check(number, value, &ValuePath::Top)
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    /// The steps that are left.
    steps: u64,
    depth: usize,
}

impl Walk<'_> {
    fn spend(&mut self, steps: usize) -> Result<(), Misfit> {
        self.steps = self.steps.checked_sub(steps as u64).ok_or(Misfit::TooMuch)?;
        Ok(())
    }

    fn check(&mut self, number: usize, value: &Value, path: &ValuePath<'_>) -> Result<(), Misfit> {
        self.spend(1)?;
        let schema = self.schema;
        let Some(node) = schema.node(number) else { return Ok(()) };
        if self.depth >= DEEPEST {
            return Err(Misfit::TooMuch);
        }
        self.depth += 1;
        let checked = self.check_node(node, value, path);
        self.depth -= 1;
        checked
    }

    fn check_node(&mut self, node: &Node, value: &Value, path: &ValuePath<'_>) -> Result<(), Misfit> {
        if node.is_never {
            return Err(path.refuse("is not known here"));
        }
        if let Some(wanted) = node.types
            && type_of(value) & wanted == 0
        {
            return Err(path.refuse(format!("must be {}", name_types(wanted))));
        }
        if let Some(values) = &node.one_of_values {
            self.spend(values.len())?;
            if !values.iter().any(|known| is_same(known, value)) {
                return Err(path.refuse(tell_values(values)));
            }
        }
        match value {
            Value::Number(number) => check_number(node, number, path)?,
            Value::String(text) => self.check_text(node, text, path)?,
            Value::Array(items) => self.check_items(node, items, path)?,
            Value::Object(members) => self.check_members(node, members, path)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.check_others(node, value, path)
    }

    fn check_text(&mut self, node: &Node, text: &str, path: &ValuePath<'_>) -> Result<(), Misfit> {
        let bounds = node.lengths.text;
        if (bounds.least.is_some() || bounds.most.is_some()) && !bounds.hold(text.chars().count()) {
            return Err(path.refuse(bounds.tell("characters")));
        }
        if let Some(pattern) = &node.pattern {
            self.spend(text.len())?;
            if !pattern.is_match(text) {
                return Err(path.refuse(format!("must match `{}`", pattern.as_str())));
            }
        }
        Ok(())
    }

    fn check_items(&mut self, node: &Node, items: &[Value], path: &ValuePath<'_>) -> Result<(), Misfit> {
        if !node.lengths.items.hold(items.len()) {
            return Err(path.refuse(node.lengths.items.tell("items")));
        }
        for (index, item) in items.iter().enumerate() {
            if let Some(number) = node.prefix.get(index).copied().or(node.items) {
                self.check(number, item, &ValuePath::Item(path, index))?;
            }
        }
        if let Some(wanted) = node.contains {
            let mut found = 0;
            for item in items {
                found += usize::from(self.fits(wanted, item, path)?);
            }
            let contained = node.lengths.contained;
            if found < contained.least.unwrap_or(1) as usize
                || contained.most.is_some_and(|most| found as u64 > most)
            {
                return Err(path.refuse("does not have the items that it must"));
            }
        }
        if node.are_unique {
            let mut seen = HashSet::new();
            for item in items {
                let text = item.to_string();
                self.spend(text.len())?;
                if !seen.insert(text) {
                    return Err(path.refuse("must not have the same item twice"));
                }
            }
        }
        Ok(())
    }

    fn check_members(
        &mut self,
        node: &Node,
        members: &Map<String, Value>,
        path: &ValuePath<'_>,
    ) -> Result<(), Misfit> {
        if !node.lengths.members.hold(members.len()) {
            return Err(path.refuse(node.lengths.members.tell("fields")));
        }
        self.spend(node.required.len() + node.dependent.len())?;
        // An error about a misspelt name says more than one about the right name that is missing, so it comes first.
        for (name, value) in members {
            let path = ValuePath::Member(path, name);
            if let Some(number) = node.names {
                self.check(number, &Value::String(name.clone()), &path)?;
            }
            let mut is_known = false;
            if let Some(number) = node.members.get(name) {
                is_known = true;
                self.check(*number, value, &path)?;
            }
            for (pattern, number) in &node.patterned {
                self.spend(name.len())?;
                if pattern.is_match(name) {
                    is_known = true;
                    self.check(*number, value, &path)?;
                }
            }
            if let (false, Some(number)) = (is_known, node.other_members) {
                self.check(number, value, &path)?;
            }
        }
        if let Some(name) = node.required.iter().find(|name| !members.contains_key(*name)) {
            return Err(ValuePath::Member(path, name).refuse(IS_REQUIRED));
        }
        for (name, dependent) in node.dependent.iter().filter(|(name, _)| members.contains_key(name)) {
            if let Dependent::Names(others) = dependent
                && let Some(other) = others.iter().find(|other| !members.contains_key(*other))
            {
                return Err(ValuePath::Member(path, other).refuse(format!("is required beside `{name}`")));
            }
        }
        Ok(())
    }

    /// Holds the value to other parts that are about the same value.
    fn check_others(&mut self, node: &Node, value: &Value, path: &ValuePath<'_>) -> Result<(), Misfit> {
        for number in &node.all {
            self.check(*number, value, path)?;
        }
        for (name, dependent) in &node.dependent {
            if let Dependent::Schema(number) = dependent
                && value.get(name).is_some()
            {
                self.check(*number, value, path)?;
            }
        }
        if !node.any.is_empty() {
            self.check_choices(&node.any, value, path)?;
        }
        if !node.one.is_empty() {
            let first = self.check_choices(&node.one, value, path)?;
            for number in node.one.iter().skip(first + 1) {
                if self.fits(*number, value, path)? {
                    return Err(path.refuse("fits more than one of the forms of which it must be one"));
                }
            }
        }
        if let Some(number) = node.not
            && self.fits(number, value, path)?
        {
            return Err(path.refuse("is what it must not be"));
        }
        if let Some(condition) = node.condition {
            let next = if self.fits(condition, value, path)? { node.then } else { node.otherwise };
            if let Some(number) = next {
                self.check(number, value, path)?;
            }
        }
        Ok(())
    }

    /// Finds the first choice that the value fits. If it fits none, and only one choice has its type, gives the misfit
    /// of that choice; otherwise refuses it in general words.
    fn check_choices(
        &mut self,
        choices: &[usize],
        value: &Value,
        path: &ValuePath<'_>,
    ) -> Result<usize, Misfit> {
        let mut closest: Option<Misfit> = None;
        let mut is_alone = true;
        for (index, number) in choices.iter().enumerate() {
            let has_type = self.schema.types_of(*number) & type_of(value) != 0;
            match self.check(*number, value, path) {
                Ok(()) => return Ok(index),
                Err(Misfit::TooMuch) => return Err(Misfit::TooMuch),
                Err(misfit) if has_type => {
                    is_alone = closest.is_none();
                    closest = Some(misfit);
                }
                Err(_) => {}
            }
        }
        let wanted = choices.iter().fold(0, |all, number| all | self.schema.types_of(*number));
        Err(match closest {
            Some(misfit) if is_alone => misfit,
            None if wanted != EVERY_TYPE => path.refuse(format!("must be {}", name_types(wanted))),
            _ => path.refuse("fits none of the forms that it may have"),
        })
    }

    fn fits(&mut self, number: usize, value: &Value, path: &ValuePath<'_>) -> Result<bool, Misfit> {
        match self.check(number, value, path) {
            Ok(()) => Ok(true),
            Err(Misfit::TooMuch) => Err(Misfit::TooMuch),
            Err(Misfit::Field { .. }) => Ok(false),
        }
    }
}

fn check_number(node: &Node, number: &serde_json::Number, path: &ValuePath<'_>) -> Result<(), Misfit> {
    let Some(number) = number.as_f64() else { return Ok(()) };
    let bounds = &node.numbers;
    let misfit = [
        (bounds.least.filter(|least| number < *least), "or more"),
        (bounds.most.filter(|most| number > *most), "or less"),
    ];
    for (bound, words) in misfit {
        if let Some(bound) = bound {
            return Err(path.refuse(format!("must be {bound} {words}")));
        }
    }
    if let Some(bound) = bounds.above.filter(|above| number <= *above) {
        return Err(path.refuse(format!("must be more than {bound}")));
    }
    if let Some(bound) = bounds.below.filter(|below| number >= *below) {
        return Err(path.refuse(format!("must be less than {bound}")));
    }
    match bounds.multiple_of {
        Some(of) if ((number / of) - (number / of).round()).abs() > 1e-9 => {
            Err(path.refuse(format!("must be a multiple of {of}")))
        }
        _ => Ok(()),
    }
}

/// Tells whether two values are the same in JSON, where 1 and 1.0 are the same.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

fn name_types(wanted: u8) -> String {
    let is_number = wanted & types::NUMBER != 0;
    let names: Vec<&str> = types::ALL
        .iter()
        .filter(|(bit, ..)| wanted & bit != 0 && !(*bit == types::INTEGER && is_number))
        .map(|(.., words)| *words)
        .collect();
    names.join(" or ")
}

/// Names the values of the schema, which are no secrets; at most as many as anyone reads.
fn tell_values(values: &[Value]) -> String {
    const MOST: usize = 20;
    let shown: Vec<String> =
        values.iter().take(MOST).map(|value| format!("`{}`", super::read::shorten(value))).collect();
    let more = if values.len() > MOST { ", or another of the schema's" } else { "" };
    match shown.len() {
        1 => format!("must be {}", shown.concat()),
        _ => format!("must be one of {}{more}", shown.join(", ")),
    }
}
