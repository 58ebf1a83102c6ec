//! The audit trail.

use async_trait::async_trait;

use super::store::{Store, rfc3339};
use super::{AuditRecord, RegistryError};

/// What the registry does with the audit trail.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Appends records, all or none.
    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), RegistryError>;
}

#[async_trait]
impl Audit for Store {
    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), RegistryError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for record in records {
            sqlx::query(self.sql(
                "INSERT INTO audit_logs (at, user_id, action, project_ref, target, result, remote_address, request_id)
                 VALUES (CAST($1 AS timestamptz), $2, $3, $4, $5, $6, $7, $8)",
            ))
            .bind(rfc3339(record.at))
            .bind(record.user_id.as_deref())
            .bind(record.action.as_str())
            .bind(record.project_ref.as_deref())
            .bind(record.target.as_deref())
            .bind(record.result.as_str())
            .bind(record.remote_address.as_deref())
            .bind(record.request_id.as_deref())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }
}
