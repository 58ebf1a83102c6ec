//! Secret options: the names of the strings inside a connection's `options`, for sealing.
//!
//! The field of an option's [`SealedFor`](crate::secrets::SealedFor) is `options.` and the path to it, joined by dots:
//! `options.sentinel.password`, `options.nodes.0.token`. A dot or a backslash in a key is escaped by a backslash, so
//! two paths never have the same name.

use serde_json::{Map, Value};

use super::RegistryError;

/// Reads the JSON object in column `options`.
pub(super) fn stored_options(text: &str) -> Result<Map<String, Value>, RegistryError> {
    serde_json::from_str(text).map_err(|_| RegistryError::corrupt("options"))
}

/// A function that gets a field name and a string, and returns a replacement for the string, if any.
pub type Rewrite<'a, E> = dyn FnMut(&str, &str) -> Result<Option<String>, E> + 'a;

/// Passes every string in `options`, at any depth, to `rewrite` with its field name, and replaces it by the result;
/// `None` leaves it as it is. Options are sealed, opened and sealed again through this function.
///
/// # Errors
/// The first error of `rewrite`; the strings before it are rewritten already.
pub fn rewrite_option_strings<E>(
    options: &mut Map<String, Value>,
    rewrite: &mut Rewrite<'_, E>,
) -> Result<(), E> {
    rewrite_members("options", options, rewrite)
}

/// Does the same for one value with the name `field`.
///
/// # Errors
/// The errors of [`rewrite_option_strings`].
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

/// Gives the field name of a value inside another: in an object by its key, in a list by its position.
pub fn option_below(field: &str, key: &str) -> String {
    format!("{field}.{}", key.replace('\\', r"\\").replace('.', r"\."))
}
