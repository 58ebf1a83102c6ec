//! Who is calling, and what that lets them do: a bearer token becomes a [`Principal`], a [`Principal`] has a
//! [`Role`](crate::registry::Role) on a project, and a role gives [`Access`].

mod access;
pub(crate) mod fuzzing;
mod gate;
mod issue;
mod jwks;
mod principal;
mod remembered;
#[cfg(test)]
mod test_keys;
mod tokens;

pub use self::gate::{Authorization, Gate, GateError};
pub use self::issue::{IssueError, NewToken, issue_token};
pub use self::jwks::JwksError;
pub use self::principal::{Grants, Principal};
pub use self::tokens::{ProjectSecrets, SecretUnavailable, TokenError, TokenVerifier};
pub use studio_plugin_api::Access;

/// The shortest secret HS256 tokens are signed or verified with: the length of the hash (RFC 7518 §3.2).
pub const MINIMUM_SECRET_BYTES: usize = 32;
