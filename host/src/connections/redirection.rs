//! Changes of a connection that would send its secrets elsewhere.

use super::input::InvalidField;
use crate::{plugins::catalog::Driver, registry::Connection, secrets::Sealed};
use serde_json::{Map, Value};

/// Refuses a change that would send a secret elsewhere than where it was given for: to another host or port, or to a server
/// that is checked in another way. Who may change a connection may not read its secrets.
///
/// # Errors
/// Names the secret that is needed anew.
pub(super) fn refuse(before: &Connection, after: &Connection, driver: &Driver) -> Result<(), InvalidField> {
    let trust = |connection: &Connection| -> Vec<Option<Value>> {
        driver.leading_options().iter().map(|path| option_at(&connection.options, path).cloned()).collect()
    };
    let leads_as_before = before.host == after.host
        && before.port == after.port
        && before.connection_string == after.connection_string
        && trust(before) == trust(after);
    if leads_as_before {
        return Ok(());
    }
    // What was given anew is sealed anew, and never the same.
    let is_kept = |before: &Option<Sealed>, after: &Option<Sealed>| before.is_some() && before == after;
    let field = if is_kept(&before.password, &after.password) {
        "password"
    } else if is_kept(&before.connection_string, &after.connection_string) {
        "connection_string"
    } else if driver.secret_options().iter().any(|path| {
        let kept = option_at(&before.options, path);
        kept.is_some() && kept == option_at(&after.options, path)
    }) {
        "options"
    } else {
        return Ok(());
    };
    let secret = if field == "options" { "with every secret in it " } else { "" };
    Err(InvalidField::new(
        field,
        format!(
            "is needed again, {secret}since the connection will lead elsewhere, or trust another server: what is stored was \
             given for the old one"
        ),
    ))
}

fn option_at<'a>(options: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(options.get(first)?, |value, name| value.get(name)).filter(|value| !value.is_null())
}
