//! Changes of a connection that would send its secrets elsewhere.

use super::{input::InvalidField, options::leading_and_secret};
use crate::{
    plugins::Driver,
    registry::{StoredEndpoint, StoredSettings},
};

/// Refuses a change that would send a secret to another place than the one it was given for: to another host or port,
/// or to a server that is checked in another way. A user that may change a connection may not read its secrets.
///
/// # Errors
/// Names the secret that is needed anew.
pub(super) fn refuse(
    before: &StoredSettings,
    after: &StoredSettings,
    driver: &Driver,
) -> Result<(), InvalidField> {
    let [leading_before, secret_before] = leading_and_secret(driver.option_rules(), &before.options);
    let [leading_after, secret_after] = leading_and_secret(driver.option_rules(), &after.options);
    // A secret that was given anew is sealed anew, and its sealed text is never the same.
    let (leads_as_before, kept) = match (&before.endpoint, &after.endpoint) {
        (StoredEndpoint::Parts(before), StoredEndpoint::Parts(after)) => (
            (&before.host, before.port) == (&after.host, after.port),
            (before.password.is_some() && before.password == after.password).then_some("password"),
        ),
        (StoredEndpoint::ConnectionString(before), StoredEndpoint::ConnectionString(after)) => {
            (before == after, (before == after).then_some("connection_string"))
        }
        _ => (false, None),
    };
    if leads_as_before && leading_before == leading_after {
        return Ok(());
    }
    let keeps_option = || secret_before.iter().any(|(field, kept)| secret_after.get(field) == Some(kept));
    let Some(field) = kept.or_else(|| keeps_option().then_some("options")) else { return Ok(()) };
    let secret = if field == "options" { "with every secret in it " } else { "" };
    Err(InvalidField::new(
        field,
        format!(
            "is needed again, {secret}since the connection will lead elsewhere, or trust another server: what is stored was \
             given for the old one"
        ),
    ))
}
