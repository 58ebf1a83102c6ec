//! The reader of key sets, for fuzz targets.

use super::jwks::read_keys;
use crate::config::IdentitySettings;
use jsonwebtoken::Validation;
use serde_json::Value;

/// Reads a key set; returns how many of its keys can be used, and how many of those verify this token.
///
/// # Errors
/// A text that says why the set can't be used.
pub fn count_keys(document: &[u8], token: &str) -> Result<(usize, usize), String> {
    let algorithms = IdentitySettings::default().jwks_algorithms;
    let keys = read_keys(document, &algorithms).map_err(|error| error.to_string())?;
    let verifies = |algorithm, key| {
        let mut validation = Validation::new(algorithm);
        validation.validate_aud = false;
        jsonwebtoken::decode::<Value>(token, key, &validation).is_ok()
    };
    let verifying = keys.iter().filter(|key| verifies(key.algorithm, &key.key));
    Ok((keys.len(), verifying.count()))
}
