//! The secrets among a connection's options, at any depth: each is sealed where it stands, and not shown any more.
//!
//! The driver's schema tells which options are secret; see `plugins/options.rs`. `connections/settings.rs` opens them.

use super::input::InvalidField;
use crate::{
    plugins::{Driver, OptionPlace, OptionRules},
    registry::{Connection, option_below, rewrite_option_strings, rewrite_options_below},
    secrets::{Keyring, Sealed, SealedFor},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The field of a connection that they are in.
const OPTIONS: &str = "options";

/// Makes options of those that a client gave and those `before`, with every secret sealed for the connection `id`. A
/// client can't send back a secret that is never shown, so an absent one stays, and `null` removes it. In a list, a
/// secret stays with an item that is the same as before at the same place: any other may be another item.
///
/// # Errors
/// Names the field that must be given in another way.
pub(super) fn replace(
    rules: &OptionRules,
    (keyring, id): (&Keyring, &str),
    before: &Map<String, Value>,
    mut given: Map<String, Value>,
) -> Result<Map<String, Value>, InvalidField> {
    // The gateway would take such a text for one that it sealed itself.
    rewrite_option_strings(&mut given, &mut |_, text| match Sealed::is_sealed(text) {
        true => Err(InvalidField::new(
            OPTIONS,
            "holds a text in the form of a sealed value; give the secret itself",
        )),
        false => Ok(None),
    })?;
    if rules.has_secrets() {
        keep(&rules.root(), before, &mut given)?;
        drop_removed(&rules.root(), &mut given);
        for (name, value) in &mut given {
            seal(keyring, id, &rules.root().member(name), &option_below(OPTIONS, name), value)?;
        }
    }
    Ok(given)
}

/// Takes over the secrets of `before` that are absent.
fn keep(
    place: &OptionPlace<'_>,
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
) -> Result<(), InvalidField> {
    for (name, old) in before {
        let place = place.member(name);
        match after.get_mut(name) {
            None if place.is_secret() => {
                after.insert(name.clone(), old.clone());
            }
            Some(new) if !place.is_secret() => keep_within(&place, old, new)?,
            _ => {}
        }
    }
    Ok(())
}

fn keep_within(place: &OptionPlace<'_>, old: &Value, new: &mut Value) -> Result<(), InvalidField> {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => keep(place, before, after),
        (Value::Array(before), Value::Array(after)) => {
            let place = place.item();
            for (old, new) in before.iter().zip(after) {
                let mut kept = new.clone();
                keep_within(&place, old, &mut kept)?;
                if visible(Some(&place), old) == visible(Some(&place), new) {
                    *new = kept;
                } else if kept != *new {
                    return Err(InvalidField::new(
                        OPTIONS,
                        "has a list with an item that is another than before at its place: give its secrets again, \
                         or null where it has none",
                    ));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Takes away secrets that are null.
fn drop_removed(place: &OptionPlace<'_>, members: &mut Map<String, Value>) {
    members.retain(|name, value| !(value.is_null() && place.member(name).is_secret()));
    for (name, value) in members {
        drop_removed_within(&place.member(name), value);
    }
}

fn drop_removed_within(place: &OptionPlace<'_>, value: &mut Value) {
    match value {
        Value::Object(members) => drop_removed(place, members),
        Value::Array(items) => items.iter_mut().for_each(|item| drop_removed_within(&place.item(), item)),
        _ => {}
    }
}

/// Seals the secrets in `value`, which is at this place and called `field`.
fn seal(
    keyring: &Keyring,
    id: &str,
    place: &OptionPlace<'_>,
    field: &str,
    value: &mut Value,
) -> Result<(), InvalidField> {
    if place.is_secret() {
        if has_other_than_texts(value) {
            return Err(InvalidField::new(field.to_owned(), "must be text: it is secret"));
        }
        return rewrite_options_below(field, value, &mut |field, text| {
            let sealed = || keyring.seal(&SealedFor { record: id, field }, text).as_str().to_owned();
            Ok((!Sealed::is_sealed(text)).then(sealed))
        });
    }
    match value {
        Value::Object(members) => members.iter_mut().try_for_each(|(name, value)| {
            seal(keyring, id, &place.member(name), &option_below(field, name), value)
        }),
        Value::Array(items) => items.iter_mut().enumerate().try_for_each(|(at, item)| {
            seal(keyring, id, &place.item(), &option_below(field, &at.to_string()), item)
        }),
        _ => Ok(()),
    }
}

/// Tells whether a value holds numbers or truth values, which can't be sealed where they stand.
fn has_other_than_texts(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::Object(members) => members.values().any(has_other_than_texts),
        Value::Array(items) => items.iter().any(has_other_than_texts),
        Value::Null | Value::String(_) => false,
    }
}

/// Returns the options of a connection that may be shown: all but the secret ones. A sealed value stays hidden even if
/// its driver, whose schema marks it as secret, is not loaded.
pub fn visible_options(driver: Option<&Driver>, connection: &Connection) -> Map<String, Value> {
    let rules = driver.map(Driver::option_rules).filter(|rules| rules.has_secrets());
    visible_members(rules.map(OptionRules::root).as_ref(), &connection.settings.options)
}

fn visible_members(place: Option<&OptionPlace<'_>>, members: &Map<String, Value>) -> Map<String, Value> {
    let shown = members.iter().filter_map(|(name, value)| {
        let place = place.map(|place| place.member(name));
        Some((name.clone(), visible(place.as_ref(), value)?))
    });
    shown.collect()
}

fn visible(place: Option<&OptionPlace<'_>>, value: &Value) -> Option<Value> {
    if place.is_some_and(OptionPlace::is_secret) {
        return None;
    }
    match value {
        Value::String(text) if Sealed::is_sealed(text) => None,
        Value::Object(members) => Some(Value::Object(visible_members(place, members))),
        Value::Array(items) => {
            let place = place.map(OptionPlace::item);
            Some(items.iter().filter_map(|item| visible(place.as_ref(), item)).collect())
        }
        other => Some(other.clone()),
    }
}

/// The options of one kind, by field.
type Found = BTreeMap<String, Value>;

/// Finds the options that decide to whom secrets are sent, and the secrets as they are stored.
pub(super) fn leading_and_secret(rules: &OptionRules, options: &Map<String, Value>) -> [Found; 2] {
    let mut found = [Found::new(), Found::new()];
    for (name, value) in options {
        collect(&rules.root().member(name), &option_below(OPTIONS, name), value, &mut found);
    }
    found
}

fn collect(place: &OptionPlace<'_>, field: &str, value: &Value, found: &mut [Found; 2]) {
    let [leading, secret] = found;
    if value.is_null() {
        return;
    }
    if place.is_secret() {
        secret.insert(field.to_owned(), value.clone());
        return;
    }
    if place.is_leading() {
        // The secrets in it are left out: giving them anew does not change where they go.
        leading.insert(field.to_owned(), visible(Some(place), value).unwrap_or_default());
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                collect(&place.member(name), &option_below(field, name), value, found);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                collect(&place.item(), &option_below(field, &at.to_string()), item, found);
            }
        }
        _ => {}
    }
}
