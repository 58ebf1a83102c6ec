//! The audit trail.

use async_trait::async_trait;
use serde_json::{Value, json};

use sqlx::{Any, Executor, Transaction};

use super::store::{Store, rfc3339};
use super::{AuditRecord, RegistryError};

/// The audit trail's operations.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Appends records: all of them or none.
    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), RegistryError>;
}

#[async_trait]
impl Audit for Store {
    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), RegistryError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write_records(&self.writer, records).await
    }
}

impl Store {
    /// Commits a change together with its record: neither is stored without the other.
    pub(super) async fn commit(
        &self,
        mut transaction: Transaction<'static, Any>,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        self.write_records(&mut *transaction, std::slice::from_ref(record)).await?;
        Ok(transaction.commit().await?)
    }

    async fn write_records<'e>(
        &self,
        connection: impl Executor<'e, Database = Any>,
        records: &[AuditRecord],
    ) -> Result<(), RegistryError> {
        let rows: Vec<_> = records.iter().map(row).collect();
        sqlx::query(self.sql(
            "INSERT INTO gateway_audit_logs (at, user_id, action, project_ref, target, result, remote_address, request_id)
             SELECT CAST(value ->> 'at' AS timestamptz), value ->> 'user_id', value ->> 'action',
                 value ->> 'project_ref', value ->> 'target', value ->> 'result', value ->> 'remote_address',
                 value ->> 'request_id'
             FROM jsonb_array_elements(CAST($1 AS jsonb))",
        ))
        .bind(Value::from(rows).to_string())
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Makes the JSON object of a record for the query above, which takes any number of records as one parameter.
fn row(record: &AuditRecord) -> Value {
    // PostgreSQL's text takes no zero byte; one would make it refuse the other records too.
    let text = |text: &Option<String>| text.as_ref().map(|text| text.replace('\0', "\u{FFFD}"));
    json!({
        "at": rfc3339(record.at),
        "user_id": text(&record.user_id),
        "action": record.action,
        "project_ref": record.project_ref,
        "target": text(&record.target),
        "result": record.result,
        "remote_address": record.remote_address,
        "request_id": text(&record.request_id),
    })
}
