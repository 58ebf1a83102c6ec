//! The only way from a request's headers to its caller's rights.

use super::{Access, Principal, TokenError, TokenVerifier};
use crate::{directory::Directory, registry::RegistryError, role::Role};
use http::{HeaderMap, header::AUTHORIZATION};
use std::sync::Arc;

/// Why a caller is refused.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The project does not exist for this caller, though it may exist.
    #[error("there is no project `{0}`, or you are no member of it")]
    NoProject(String),
    /// The role is too low.
    #[error("this needs the role {needed}, and yours on this project is {role}", role = role.as_str())]
    RoleTooLow {
        /// The lowest role that suffices.
        needed: &'static str,
        /// The caller's role.
        role: Role,
    },
    /// The route is not for this kind of caller.
    #[error("this needs {0}")]
    NotForYou(&'static str),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] Arc<RegistryError>),
}

/// Authenticates callers and authorizes them for projects.
pub struct Gate {
    verifier: TokenVerifier,
    directory: Arc<Directory>,
}

/// A caller with access to a project.
#[derive(Debug, Clone)]
pub struct Authorization {
    principal: Arc<Principal>,
    role: Role,
}

impl Authorization {
    /// Returns the caller.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }
    /// Returns the caller's role on the project.
    pub fn role(&self) -> Role {
        self.role
    }
    /// Returns the highest access that the role gives.
    pub fn granted(&self) -> Access {
        self.role.access()
    }
}

impl Gate {
    /// Makes a gate with these keys and this registry.
    pub fn new(verifier: TokenVerifier, directory: Arc<Directory>) -> Self {
        Self { verifier, directory }
    }

    /// Finds out the caller. `project` is the project that the request is about, if any.
    ///
    /// # Errors
    /// [`GateError::Token`].
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        project: Option<&str>,
    ) -> Result<Arc<Principal>, GateError> {
        Ok(self.verifier.verify(bearer_token(headers)?, project).await?)
    }

    /// Gives a caller access to a project for an action that needs `needed`. The membership is looked up every time.
    ///
    /// # Errors
    /// [`GateError`], all but `NotForYou`.
    pub async fn authorize(
        &self,
        headers: &HeaderMap,
        reference: &str,
        needed: Access,
    ) -> Result<Authorization, GateError> {
        let authorization = self.enter(headers, reference).await?;
        if authorization.granted() >= needed {
            return Ok(authorization);
        }
        let needed = match needed {
            Access::Read => Role::Viewer,
            Access::Write => Role::Developer,
            Access::Admin => Role::Admin,
        };
        Err(GateError::RoleTooLow { needed: needed.as_str(), role: authorization.role })
    }

    /// Gives access to owners only.
    ///
    /// # Errors
    /// As for [`Gate::authorize`].
    pub async fn authorize_owner(
        &self,
        headers: &HeaderMap,
        reference: &str,
    ) -> Result<Authorization, GateError> {
        let authorization = self.enter(headers, reference).await?;
        if authorization.role.owns_project() {
            Ok(authorization)
        } else {
            Err(GateError::RoleTooLow { needed: Role::Owner.as_str(), role: authorization.role })
        }
    }

    async fn enter(&self, headers: &HeaderMap, reference: &str) -> Result<Authorization, GateError> {
        let principal = self.authenticate(headers, Some(reference)).await?;
        let project = self.directory.access(reference, principal.user().unwrap_or_default()).await?;
        let role = project.and_then(|project| principal.role_on(reference, project.role));
        match role {
            Some(role) => Ok(Authorization { principal, role }),
            None => Err(GateError::NoProject(reference.to_owned())),
        }
    }
}

/// Reads the token of an `Authorization: Bearer` header (RFC 6750 §2.1).
fn bearer_token(headers: &HeaderMap) -> Result<&str, TokenError> {
    let header = headers.get(AUTHORIZATION).ok_or(TokenError::Missing)?;
    let text = header.to_str().map_err(|_| TokenError::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenError::Missing),
    }
}
