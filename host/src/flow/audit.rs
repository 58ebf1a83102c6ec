//! The audit trail's record of a call that may write, however it ends.

use super::{authorized::Authorized, reply::Reply};
use crate::{
    audit::{AuditTrail, Begun},
    registry::AuditRecord,
};
use studio_plugin_api::ContractCode;

/// The record of a call that may write; `None` for a call that can only read.
pub(super) struct CallRecord(Option<Begun>);

impl CallRecord {
    pub(super) fn begin(audit: &AuditTrail, authorized: &Authorized) -> Self {
        if !authorized.may_write() {
            return Self(None);
        }
        let request = authorized.request();
        Self(Some(audit.begin(AuditRecord {
            at: jiff::Timestamp::now(),
            user_id: Some(authorized.principal().to_string()),
            action: format!("{}: {}", request.operation.database_type, request.operation.name),
            project_ref: Some(request.reference.clone()),
            target: None,
            result: String::new(),
            remote_address: request.remote.map(|address| address.to_string()),
            request_id: Some(request.request_id.clone()),
        })))
    }

    /// Completes the record by how the call ended; a call that turned out to only read leaves none.
    pub(super) fn finish(self, result: Result<&Reply, ContractCode>) {
        let Some(begun) = self.0 else { return };
        match result {
            Ok(reply) if reply.only_read() => begun.forget(),
            Ok(reply) => begun.end(|record| {
                record.target = Some(reply.connection().to_string());
                "ok".clone_into(&mut record.result);
            }),
            Err(code) => begun.end(|record| code.as_str().clone_into(&mut record.result)),
        }
    }
}
