//! The error that a caller gets when the registry fails.

use super::{ApiError, internal};
use crate::registry::RegistryError;
use studio_plugin_api::ErrorCode;

/// The reason given while the platform database can't be reached.
pub(in crate::http) const REGISTRY_UNREACHABLE: &str = "registry_unreachable";

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Duplicate { ref field } => {
                let field = field.clone();
                Self::new(ErrorCode::Conflict, error.to_string()).with("field", field)
            }
            RegistryError::NotFound { .. } => Self::new(ErrorCode::NotFound, error.to_string()),
            RegistryError::Full { most, .. } => {
                Self::new(ErrorCode::Conflict, error.to_string()).with("limit", most)
            }
            RegistryError::StillReferenced { .. } | RegistryError::Refused(_) | RegistryError::Changed => {
                Self::new(ErrorCode::Conflict, error.to_string())
            }
            RegistryError::Unacceptable { ref field, .. } => {
                let field = field.clone();
                Self::new(ErrorCode::ValidationError, error.to_string()).with("field", field)
            }
            RegistryError::Constraint { .. } => Self::new(ErrorCode::ValidationError, error.to_string()),
            RegistryError::Unavailable(_) => registry_away(&error),
            RegistryError::Unanswered => registry_away(&error).with("outcome", "unknown"),
            RegistryError::Url(_)
            | RegistryError::Corrupt { .. }
            | RegistryError::Migration(_)
            | RegistryError::Unfit(_)
            | RegistryError::Failed(_) => internal(&error),
        }
    }
}

/// Makes the error for a platform database that fails. The cause goes to the log only, and another try may work.
fn registry_away(error: &RegistryError) -> ApiError {
    tracing::error!(%error, "the platform database is away");
    ApiError::unavailable("the gateway's own database does not answer; try again in a moment")
        .with("reason", REGISTRY_UNREACHABLE)
}
