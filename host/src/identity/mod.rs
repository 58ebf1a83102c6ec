//! Authentication and authorization: a bearer token becomes a [`Principal`], a [`Principal`] has a
//! [`Role`](crate::role::Role) on a project, and a role gives [`Access`].

pub(crate) mod fuzzing;
mod gate;
mod issue;
mod jwks;
mod principal;
mod project_secrets;
#[cfg(test)]
mod test_keys;
mod token_cache;
mod tokens;

pub use self::gate::{Authorization, Gate, GateError, fingerprint};
pub use self::issue::{IssueError, NewToken, issue_token};
pub use self::jwks::JwksError;
pub use self::principal::{Grants, Principal};
pub use self::token_cache::Fingerprint;
pub use self::tokens::{ProjectSecrets, SecretUnavailable, TokenError, TokenVerifier};
pub use studio_plugin_api::Access;
