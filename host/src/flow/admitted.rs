//! The third step: whether its caller has not asked too often. Nothing was read or opened for the call before that.

use super::{FlowError, authorized::Authorized, call::Call};
use crate::{
    identity::Access,
    limits::{Asked, Class, RateLimits, Standing},
};

/// A call that its caller's limits have room for. Only [`admit`] makes one.
pub(super) struct Admitted {
    authorized: Authorized,
    standing: Option<Standing>,
}

/// Counts the call, and lets it through or not.
pub(super) fn admit(limits: &RateLimits, authorized: Authorized) -> Result<Admitted, FlowError> {
    let call = authorized.call();
    let operation = call.driver.operation(call.operation).ok_or(FlowError::UnknownPath)?;
    let standing = limits.admit(&Asked {
        principal: authorized.principal(),
        role: Some(authorized.role()),
        database_type: Some(&call.driver.manifest().database_type),
        project: Some(&call.reference),
        class: Class::of_operation(operation.access),
    })?;
    Ok(Admitted { authorized, standing })
}

impl Admitted {
    /// What is left of the limits that apply to the call.
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    pub(super) fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// The call, and the most that it may do.
    pub(super) fn into_parts(self) -> (Call, Access) {
        self.authorized.into_parts()
    }
}
