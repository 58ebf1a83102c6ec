//! The audit trail.

use async_trait::async_trait;
use serde_json::json;
use sqlx::{Any, AssertSqlSafe, Transaction, any::AnyArguments, query::Query};
use uuid::{NoContext, Timestamp, Uuid};

use super::dialect::Dialect;
use super::store::{Store, rfc3339};
use super::{AuditRecord, RegistryError};

/// A row's columns, in the order of [`row`].
const COLUMNS: &str = "id, at, user_id, action, project_ref, target, result, remote_address, request_id";

/// The most rows in one statement of SQLite, as a power of two.
const MOST_ROWS: u32 = 6;

/// A statement with its parameters.
type Statement = Query<'static, Any, AnyArguments>;

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
        let (mut part, mut rest) = self.split(records);
        if rest.is_empty() {
            self.insert_records(part).execute(&self.writer).await?;
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        while !part.is_empty() {
            self.insert_records(part).execute(&mut *transaction).await?;
            (part, rest) = self.split(rest);
        }
        Ok(transaction.commit().await?)
    }
}

impl Store {
    /// Commits a change together with its record: neither is stored without the other.
    pub(super) async fn commit(
        &self,
        mut transaction: Transaction<'static, Any>,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        self.insert_records(std::slice::from_ref(record)).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Takes the records off that go into one statement. In SQLite their number is a power of two, so that few statements
    /// are ever prepared.
    fn split<'r>(&self, records: &'r [AuditRecord]) -> (&'r [AuditRecord], &'r [AuditRecord]) {
        match (self.dialect, records.len().checked_ilog2()) {
            (Dialect::Sqlite, Some(power)) => records.split_at(1 << power.min(MOST_ROWS)),
            _ => (records, &[]),
        }
    }

    fn insert_records(&self, records: &[AuditRecord]) -> Statement {
        match self.dialect {
            Dialect::Sqlite => insert_parameters(records),
            Dialect::Postgres => insert_json(records),
        }
    }
}

/// Makes a statement for SQLite, which reads parameters in half the time that it takes for JSON. They have no numbers:
/// sqlx would look for each number in the list of all.
fn insert_parameters(records: &[AuditRecord]) -> Statement {
    let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?)"; records.len()].join(", ");
    let insert = format!("INSERT INTO gateway_audit_logs ({COLUMNS}) VALUES {values}");
    records.iter().flat_map(row).fold(sqlx::query(AssertSqlSafe(insert)), Query::bind)
}

/// Makes a statement for PostgreSQL, which takes any number of rows as one parameter.
fn insert_json(records: &[AuditRecord]) -> Statement {
    let rows: Vec<_> = records.iter().map(row).collect();
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO gateway_audit_logs ({COLUMNS})
         SELECT CAST(value ->> 0 AS uuid), CAST(value ->> 1 AS timestamptz), value ->> 2, value ->> 3, value ->> 4,
             value ->> 5, value ->> 6, value ->> 7, value ->> 8
         FROM jsonb_array_elements(CAST($1 AS jsonb))"
    )))
    .bind(json!(rows).to_string())
}

/// Makes a record's values, in the order of the columns above.
fn row(record: &AuditRecord) -> [Option<String>; 9] {
    // PostgreSQL's text takes no zero byte; one would make it refuse the other records too.
    let text = |text: &Option<String>| text.as_ref().map(|text| text.replace('\0', "\u{FFFD}"));
    [
        Some(id_at(record.at).to_string()),
        Some(rfc3339(record.at)),
        text(&record.user_id),
        Some(record.action.clone()),
        text(&record.project_ref),
        text(&record.target),
        Some(record.result.clone()),
        record.remote_address.clone(),
        text(&record.request_id),
    ]
}

/// Makes the id of a new row. It begins with the time, so that new rows are beside each other in its index.
fn id_at(time: jiff::Timestamp) -> Uuid {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanoseconds))
}
