//! The audit trail's record of a call that may write, however it ends.

use super::{authorized::Authorized, reply::Reply};
use crate::{
    audit::{AuditTrail, Begun},
    identity::Principal,
    plugins::Operation,
    registry::AuditRecord,
};
use std::{net::IpAddr, sync::Arc};
use studio_plugin_api::ContractCode;

/// The record of a call that may write; `None` for a call that can only read.
pub(super) struct CallRecord<'t>(Option<Begun<'t, Beginning>>);

/// The facts of a call that are known as it begins. Most calls turn out to only read, so their words are made at the end.
struct Beginning {
    at: jiff::Timestamp,
    principal: Arc<Principal>,
    operation: Arc<Operation>,
    reference: String,
    remote: Option<IpAddr>,
    request_id: String,
}

impl From<Beginning> for AuditRecord {
    fn from(call: Beginning) -> Self {
        Self {
            at: call.at,
            user_id: Some(call.principal.to_string()),
            action: format!("{}: {}", call.operation.database_type, call.operation.name),
            project_ref: Some(call.reference),
            target: None,
            result: String::new(),
            remote_address: call.remote.map(|address| address.to_string()),
            request_id: Some(call.request_id),
        }
    }
}

impl<'t> CallRecord<'t> {
    pub(super) fn begin(audit: &'t AuditTrail, authorized: &Authorized) -> Self {
        if !authorized.may_write() {
            return Self(None);
        }
        let request = authorized.request();
        Self(Some(audit.begin(Beginning {
            at: jiff::Timestamp::now(),
            principal: Arc::clone(authorized.principal()),
            operation: Arc::clone(&request.operation),
            reference: request.reference.clone(),
            remote: request.remote,
            request_id: request.request_id.clone(),
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
