//! The third step: it checks that the caller does not ask too often. Before that, nothing is read or opened for the
//! request.

use super::{FlowError, authorized::Authorized, request::Request, ticket::Stub};
use crate::{
    identity::Authorization,
    limits::{Class, RateLimitHeaders, RateLimitRequest, RateLimits},
};

/// A request within its caller's limits. Only [`admit`] makes one.
pub(super) struct Admitted(Authorized);

/// Counts the request, and lets it through or refuses it. Tells what is left of the limits that apply to it.
pub(super) fn admit(
    limits: &RateLimits,
    authorized: Authorized,
) -> Result<(Admitted, Option<RateLimitHeaders>), FlowError> {
    let request = authorized.request();
    let headers = limits.admit(&RateLimitRequest {
        principal: authorized.principal(),
        role: Some(authorized.role()),
        database_type: Some(&request.operation.database_type),
        project: Some(&request.reference),
        class: Class::of_operation(request.operation.access),
    })?;
    Ok((Admitted(authorized), headers))
}

impl Admitted {
    pub(super) fn authorized(&self) -> &Authorized {
        &self.0
    }

    /// Gives the request, the caller's rights, and the ticket.
    pub(super) fn into_parts(self) -> (Box<Request>, Authorization, Stub) {
        self.0.into_parts()
    }
}
