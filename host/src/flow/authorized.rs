//! The second step: it checks that the caller may make the request. Membership is checked on every request.

use super::{
    FlowError,
    request::Request,
    ticket::{Stub, Tickets},
};
use crate::{
    identity::{Authorization, Gate, Principal},
    role::Role,
};
use std::sync::Arc;

/// A request whose caller may make it. Only [`authorize`] makes one.
pub(super) struct Authorized {
    /// Boxed, as it goes from step to step.
    request: Box<Request>,
    authorization: Authorization,
    stub: Stub,
}

/// Lets the request through, or refuses it.
pub(super) async fn authorize(
    gate: &Gate,
    tickets: &Tickets,
    request: Box<Request>,
) -> Result<Authorized, FlowError> {
    let needed = request.operation.access.minimum();
    let stub = tickets.find(&request, gate, request.began);
    let authorization = match stub.authorization() {
        Some(authorization) => authorization.clone().suffices(needed)?,
        // Boxed, as all that a warm request does not do: it would make every request's future larger.
        None => Box::pin(gate.authorize(&request.headers, &request.reference, needed)).await?,
    };
    Ok(Authorized { request, authorization, stub })
}

impl Authorized {
    /// Gives the request, the caller's rights, and the ticket.
    pub(super) fn into_parts(self) -> (Box<Request>, Authorization, Stub) {
        (self.request, self.authorization, self.stub)
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
