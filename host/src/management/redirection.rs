//! Changes of a connection that would send its secrets elsewhere.

use super::{input::InvalidField, options::leading_and_secret};
use crate::{plugins::Driver, registry::Connection, secrets::Sealed};

/// Refuses a change that would send a secret elsewhere than where it was given for: to another host or port, or to a server
/// that is checked in another way. Who may change a connection may not read its secrets.
///
/// # Errors
/// Names the secret that is needed anew.
pub(super) fn refuse(before: &Connection, after: &Connection, driver: &Driver) -> Result<(), InvalidField> {
    let [leading_before, secret_before] = leading_and_secret(driver.options(), &before.options);
    let [leading_after, secret_after] = leading_and_secret(driver.options(), &after.options);
    let leads_as_before = before.host == after.host
        && before.port == after.port
        && before.connection_string == after.connection_string
        && leading_before == leading_after;
    if leads_as_before {
        return Ok(());
    }
    // What was given anew is sealed anew, and never the same.
    let is_kept = |before: &Option<Sealed>, after: &Option<Sealed>| before.is_some() && before == after;
    let field = if is_kept(&before.password, &after.password) {
        "password"
    } else if is_kept(&before.connection_string, &after.connection_string) {
        "connection_string"
    } else if secret_before.iter().any(|(field, kept)| secret_after.get(field) == Some(kept)) {
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
