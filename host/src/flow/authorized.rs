//! The second step: whether its caller may make the call. Membership is looked at on every request.

use super::{FlowError, call::Call};
use crate::{
    identity::{Access, Authorization, Gate, Principal},
    role::Role,
};

/// A call whose caller may make it. Only [`authorize`] makes one.
pub(super) struct Authorized {
    call: Call,
    authorization: Authorization,
}

/// Lets the call through, or not.
pub(super) async fn authorize(gate: &Gate, call: Call) -> Result<Authorized, FlowError> {
    let operation = call.driver.operation(call.operation).ok_or(FlowError::UnknownPath)?;
    let authorization = gate.authorize(&call.headers, &call.reference, operation.access.minimum()).await?;
    Ok(Authorized { call, authorization })
}

impl Authorized {
    /// The call, and the most that it may do.
    pub(super) fn into_parts(self) -> (Call, Access) {
        (self.call, self.authorization.granted())
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn role(&self) -> Role {
        self.authorization.role()
    }

    pub(super) fn principal(&self) -> &Principal {
        self.authorization.principal()
    }

    /// Whether the call may change something, as far as its operation and its caller's role tell.
    pub(super) fn may_write(&self) -> bool {
        self.call.driver.may_write(self.call.operation, self.authorization.granted())
    }
}
