//! The second step: it checks that the caller may make the request. Membership is checked on every request.

use super::{FlowError, request::Request};
use crate::{
    identity::{Access, Authorization, Gate, Principal},
    role::Role,
};
use std::sync::Arc;

/// A request whose caller may make it. Only [`authorize`] makes one.
pub(super) struct Authorized {
    request: Request,
    authorization: Authorization,
}

/// Lets the request through, or refuses it.
pub(super) async fn authorize(gate: &Gate, request: Request) -> Result<Authorized, FlowError> {
    let needed = request.operation.access.minimum();
    let authorization = gate.authorize(&request.headers, &request.reference, needed).await?;
    Ok(Authorized { request, authorization })
}

impl Authorized {
    /// Gives the request, and the most that it may do.
    pub(super) fn into_parts(self) -> (Request, Access) {
        (self.request, self.authorization.granted())
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    pub(super) fn role(&self) -> Role {
        self.authorization.role()
    }

    pub(super) fn principal(&self) -> &Arc<Principal> {
        self.authorization.principal()
    }

    /// Tells whether the request may change something, as far as its operation and its caller's role tell.
    pub(super) fn may_write(&self) -> bool {
        self.request.operation.may_write(self.authorization.granted())
    }
}
