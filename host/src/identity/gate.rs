//! The one way from a request's headers to what its caller may do.

use super::{Access, Principal, TokenError, TokenVerifier};
use crate::{directory::Directory, registry::RegistryError, role::Role};
use http::{HeaderMap, header::AUTHORIZATION};
use std::sync::Arc;

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No such project, for this caller: it may well be there.
    #[error("there is no project `{0}`, or you are no member of it")]
    NoProject(String),
    /// The role is too low.
    #[error("this needs the role {needed}, and yours on this project is {role}", role = role.as_str())]
    RoleTooLow {
        /// What would do.
        needed: &'static str,
        /// What the caller has.
        role: Role,
    },
    /// Not for this kind of caller.
    #[error("this needs {0}")]
    NotForYou(&'static str),
    /// The registry could not say.
    #[error(transparent)]
    Registry(#[from] Arc<RegistryError>),
}

/// Tells who is calling and what they may do.
pub struct Gate {
    verifier: TokenVerifier,
    directory: Arc<Directory>,
}

/// A caller who was let through to a project.
#[derive(Debug, Clone)]
pub struct Authorization {
    principal: Arc<Principal>,
    role: Role,
}

impl Authorization {
    /// Who.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }
    /// Their role on the project.
    pub fn role(&self) -> Role {
        self.role
    }
    /// The most that they may do.
    pub fn granted(&self) -> Access {
        self.role.access()
    }
}

impl Gate {
    /// With these keys and this registry.
    pub fn new(verifier: TokenVerifier, directory: Arc<Directory>) -> Self {
        Self { verifier, directory }
    }

    /// Who is calling. `project` is the one that the request is about, if it is about one.
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

    /// Lets a caller through to a project for what needs `needed`. Membership is looked at every time.
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

    /// Lets only an owner through.
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

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1).
fn bearer_token(headers: &HeaderMap) -> Result<&str, TokenError> {
    let header = headers.get(AUTHORIZATION).ok_or(TokenError::Missing)?;
    let text = header.to_str().map_err(|_| TokenError::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenError::Missing),
    }
}
