//! What the audit trail says of a call that may write, however it ends.

use super::{authorized::Authorized, reply::Reply};
use crate::{audit::AuditTrail, registry::AuditRecord};
use studio_plugin_api::ErrorCode;

/// The beginning of an audit record. Dropped before [`Trail::finish`], when the caller left, it says so: the write may
/// have happened.
pub(super) struct Trail {
    audit: AuditTrail,
    /// Nothing for a call that can only read.
    record: Option<Box<AuditRecord>>,
}

impl Trail {
    pub(super) fn begin(audit: &AuditTrail, authorized: &Authorized) -> Self {
        let record = authorized.may_write().then(|| {
            let call = authorized.call();
            let label = call.label();
            let (method, path) = label.operation();
            Box::new(AuditRecord {
                at: jiff::Timestamp::now(),
                user_id: Some(authorized.principal().to_string()),
                action: format!("{}: {method} {path}", label.database_type()),
                project_ref: Some(call.reference.clone()),
                target: None,
                result: "cancelled".to_owned(),
                remote_address: call.facts.remote.map(|address| address.to_string()),
                request_id: Some(call.facts.request_id.clone()),
            })
        });
        Self { audit: audit.clone(), record }
    }

    /// Completes the record by how the call ended; a call that turned out to only read leaves none.
    pub(super) async fn finish(mut self, result: Result<&Reply, ErrorCode>) {
        let Some(mut record) = self.record.take() else { return };
        record.result = match result {
            Ok(reply) if reply.only_read() => return,
            Ok(reply) => {
                record.target = Some(reply.connection().to_string());
                "ok".to_owned()
            }
            Err(code) => code.as_str().to_owned(),
        };
        self.audit.record(*record).await;
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.audit.record_now(*record);
        }
    }
}
