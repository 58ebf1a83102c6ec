//! Secret options: how the strings inside a connection's `options` are named when they are sealed.
//!
//! The field of an option's [`Place`](crate::secrets::Place) is `options.` and the path to it, joined by dots:
//! `options.sentinel.password`, `options.nodes.0.token`. A dot or a backslash in a key is escaped by a backslash, so that
//! two paths never have one name.

use serde_json::{Map, Value};

use super::RegistryError;

/// Reads the JSON object in column `options`.
pub(super) fn stored_options(text: &str) -> Result<Map<String, Value>, RegistryError> {
    serde_json::from_str(text).map_err(|_| RegistryError::corrupt("options"))
}

/// Called with a field name and a string; returns what to put in the string's place, if anything.
pub type Rewrite<'a, E> = dyn FnMut(&str, &str) -> Result<Option<String>, E> + 'a;

/// Shows every string in `options`, at any depth, to `rewrite` with its field name, and puts what it returns in its
/// place; `None` leaves it as it is. Sealing, opening and re-sealing of options all go through here.
///
/// # Errors
/// The first error of `rewrite`; strings before it are rewritten already.
pub fn rewrite_option_strings<E>(
    options: &mut Map<String, Value>,
    rewrite: &mut Rewrite<'_, E>,
) -> Result<(), E> {
    rewrite_members("options", options, rewrite)
}

/// The same for one value that is called `field`.
///
/// # Errors
/// As [`rewrite_option_strings`].
pub fn rewrite_options_below<E>(
    field: &str,
    value: &mut Value,
    rewrite: &mut Rewrite<'_, E>,
) -> Result<(), E> {
    match value {
        Value::String(text) => {
            if let Some(changed) = rewrite(field, text)? {
                *text = changed;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().enumerate().try_for_each(|(index, item)| {
            rewrite_options_below(&option_below(field, &index.to_string()), item, rewrite)
        }),
        Value::Object(members) => rewrite_members(field, members, rewrite),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn rewrite_members<E>(
    field: &str,
    members: &mut Map<String, Value>,
    rewrite: &mut Rewrite<'_, E>,
) -> Result<(), E> {
    members
        .iter_mut()
        .try_for_each(|(key, value)| rewrite_options_below(&option_below(field, key), value, rewrite))
}

/// The field name of what is below another, in an object by its key or in a list by its position.
pub fn option_below(field: &str, key: &str) -> String {
    format!("{field}.{}", key.replace('\\', r"\\").replace('.', r"\."))
}
