//! One walk over every key of a document, at every depth.

use super::keys;
use bson::{Bson, Document};
use std::fmt;
use studio_plugin_api::prelude::*;

/// The most levels of documents and arrays inside each other, the outermost being the first: MongoDB's own limit.
const MAX_LEVELS: usize = 100;
/// The longest key shown in an error, in characters.
const MAX_SHOWN: usize = 60;

/// Operators that run JavaScript on the server.
const JAVASCRIPT: [&str; 4] = ["$where", "$function", "$accumulator", "$eval"];
/// How MongoDB's operators for its own use begin; some run JavaScript (`$_internalJsEmit`), none is documented.
const INTERNAL: &str = "$_internal";
/// Stages that write.
pub(super) const WRITES: [&str; 2] = ["$out", "$merge"];

/// Which operators the walk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// None: below `$literal`. Depth and NUL are looked at all the same.
    Nothing,
    /// JavaScript, and MongoDB's internal ones.
    JavaScript,
    /// These, and the stages that write.
    JavaScriptAndWrites,
}

/// Where in a request something stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    Field(&'a str),
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn level(&self) -> usize {
        match self {
            Self::Field(_) => 1,
            Self::Key(parent, _) | Self::Item(parent, _) => parent.level() + 1,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => formatter.write_str(field),
            Self::Key(parent, key) => match key.char_indices().nth(MAX_SHOWN) {
                Some((end, _)) => write!(formatter, "{parent}.{}…", key.get(..end).unwrap_or_default()),
                None => write!(formatter, "{parent}.{key}"),
            },
            Self::Item(parent, place) => write!(formatter, "{parent}[{place}]"),
        }
    }
}

/// Looks at every key of a document.
///
/// # Errors
/// `FORBIDDEN` for a watched operator; `VALIDATION_ERROR` for more than 100 levels or NUL in a key.
pub(super) fn check_document(document: &Document, path: &Path<'_>, watch: Watch) -> Result<(), DriverError> {
    check_level(path)?;
    // Alone in its document it is the operator, whose contents the server does not read. Beside others it is no
    // operator, and the server refuses it.
    let literal = document.len() == 1 && document.contains_key("$literal");
    for (key, value) in document {
        let path = Path::Key(path, key);
        if key.contains('\0') {
            let message = format!("`{}`: a key must not contain NUL", path);
            return Err(DriverError::validation(&path.to_string(), message));
        }
        if watch != Watch::Nothing {
            keys::each_operator(key, |operator| check_operator(operator, &path, watch))?;
        }
        check_value(value, &path, if literal { Watch::Nothing } else { watch })?;
    }
    Ok(())
}

/// Looks at every key in an array, as [`check_document`].
pub(super) fn check_array(items: &[Bson], path: &Path<'_>, watch: Watch) -> Result<(), DriverError> {
    check_level(path)?;
    items.iter().enumerate().try_for_each(|(place, item)| check_value(item, &Path::Item(path, place), watch))
}

fn check_value(value: &Bson, path: &Path<'_>, watch: Watch) -> Result<(), DriverError> {
    match value {
        Bson::Document(document) => check_document(document, path, watch),
        Bson::Array(items) => check_array(items, path, watch),
        Bson::JavaScriptCodeWithScope(code) => check_document(&code.scope, path, watch),
        _ => Ok(()),
    }
}

/// Bounds the walk's own recursion too.
fn check_level(path: &Path<'_>) -> Result<(), DriverError> {
    if path.level() <= MAX_LEVELS {
        return Ok(());
    }
    let mut root = path;
    while let Path::Key(parent, _) | Path::Item(parent, _) = root {
        root = parent;
    }
    let field = root.to_string();
    let message =
        format!("`{field}`: must have at most {MAX_LEVELS} levels of objects and arrays inside each other");
    Err(DriverError::validation(&field, message))
}

fn check_operator(operator: &str, path: &Path<'_>, watch: Watch) -> Result<(), DriverError> {
    let among =
        |names: &[&'static str]| names.iter().find(|name| name.eq_ignore_ascii_case(operator)).copied();
    if let Some(name) = among(&JAVASCRIPT) {
        return Err(refuse(name, path, "it runs JavaScript on the server, which is not allowed here"));
    }
    if operator.get(..INTERNAL.len()).is_some_and(|start| start.eq_ignore_ascii_case(INTERNAL)) {
        return Err(refuse(operator, path, "MongoDB's internal operators are not allowed here"));
    }
    match among(&WRITES) {
        Some(name) if watch == Watch::JavaScriptAndWrites => {
            Err(refuse(name, path, "it writes, which viewers, views and updates may not"))
        }
        _ => Ok(()),
    }
}

/// `FORBIDDEN` that names the operator and its place.
pub(super) fn refuse(operator: &str, path: &Path<'_>, reason: &str) -> DriverError {
    let operator: String = operator.chars().take(MAX_SHOWN).collect();
    DriverError::forbidden(format!("`{path}`: {operator}: {reason}"))
        .with("operator", operator)
        .with("field", path.to_string())
}
