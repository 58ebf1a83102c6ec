//! What is read of key sets, for fuzz targets.

use super::jwks::read_keys;
use crate::config::IdentitySettings;
use jsonwebtoken::Validation;
use serde_json::Value;

/// Reads a key set, and tells how many of its keys can be used and how many verify this token.
///
/// # Errors
/// What is wrong with the set, in words.
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
