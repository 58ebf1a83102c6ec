//! The second step: whether its caller may make the call. Membership is looked at on every request.

use super::{FlowError, call::Call, reply::Reply};
use crate::{
    identity::{Access, Authorization, Gate},
    registry::AuditRecord,
};
use studio_plugin_api::{ErrorCode, manifest::AccessManifest};

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

    /// What the audit trail will say of the call, should it be a write.
    pub(super) fn trail(&self) -> Trail {
        let access = self.call.driver.operation(self.call.operation).map(|operation| operation.access);
        let may_write = match access {
            Some(AccessManifest::Write | AccessManifest::Admin) => true,
            Some(AccessManifest::PerCall) => self.authorization.granted() > Access::Read,
            Some(AccessManifest::Read) | None => false,
        };
        if !may_write {
            return Trail(None);
        }
        let label = self.call.label();
        let (method, path) = label.operation();
        Trail(Some(Box::new(AuditRecord {
            at: jiff::Timestamp::now(),
            user_id: Some(self.authorization.principal().to_string()),
            action: format!("{}: {method} {path}", label.database_type()),
            project_ref: Some(self.call.reference.clone()),
            target: None,
            result: String::new(),
            remote_address: self.call.facts.remote.map(|address| address.to_string()),
            request_id: Some(self.call.facts.request_id.clone()),
        })))
    }
}

/// The beginning of an audit record; nothing for a call that only reads.
pub(super) struct Trail(Option<Box<AuditRecord>>);

impl Trail {
    /// The record, completed by how the call ended.
    pub(super) fn record(self, result: Result<&Reply, ErrorCode>) -> Option<AuditRecord> {
        let mut record = *self.0?;
        record.result = match result {
            Ok(reply) if reply.only_read() => return None,
            Ok(reply) => {
                record.target = Some(reply.connection().to_string());
                "ok".to_owned()
            }
            Err(code) => code.as_str().to_owned(),
        };
        Some(record)
    }
}
