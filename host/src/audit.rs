//! The audit trail records who changed what, when, from where, and how it ended. It never records a value.
//!
//! A change of the registry is written together with its record, see `registry/`. This module writes all other records:
//! calls that may write to a database, tests of connections, refusals. They wait in a queue for one task that gathers
//! them for a moment and writes them in batches, since each batch waits for the disk. Adding a record never waits and
//! never fails, so that a call whose caller left is recorded too. A call that may write waits before it begins while
//! the queue is full. Records in the queue are written before the gateway ends, but are lost by a kill.

use crate::registry::{AuditRecord, Registry, RegistryError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{
        Notify,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
    task::JoinHandle,
};

/// Records that may wait to be written; at this number, calls that would add to them wait.
const QUEUE: usize = 10_000;
/// The most records written at once.
const BATCH: usize = 500;
/// How long the first record of a batch waits for others.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// Tries of a batch that the registry refuses, or that it can't take while the gateway ends.
const TRIES: u32 = 5;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// A handle that adds records to the audit trail.
#[derive(Clone)]
pub struct AuditTrail {
    queue: UnboundedSender<AuditRecord>,
    backlog: Arc<Backlog>,
}

/// The number of records that are not written yet.
#[derive(Default)]
struct Backlog {
    count: AtomicUsize,
    shrank: Notify,
}

impl AuditTrail {
    /// Starts the writing task, which ends when the last `AuditTrail` is gone and everything is written.
    pub fn start(registry: Arc<dyn Registry>) -> (Self, JoinHandle<()>) {
        let (queue, records) = mpsc::unbounded_channel();
        let backlog = Arc::<Backlog>::default();
        let writer = tokio::spawn(Writer { registry, records, backlog: backlog.clone() }.run());
        (Self { queue, backlog }, writer)
    }

    /// Waits until there is room for more records. Call it before beginning anything that leaves a record.
    pub async fn room(&self) {
        loop {
            let shrank = self.backlog.shrank.notified();
            if self.backlog.count.load(Ordering::Relaxed) < QUEUE {
                return;
            }
            shrank.await;
        }
    }

    /// Adds a record.
    pub fn record(&self, record: AuditRecord) {
        self.backlog.count.fetch_add(1, Ordering::Relaxed);
        // The receiver lives as long as any sender.
        let _ = self.queue.send(record);
    }

    /// Begins a record of something under way, which says `cancelled` unless it is told how that ended. The record is
    /// made of its beginning only when it is added.
    pub fn begin<B: Into<AuditRecord>>(&self, beginning: B) -> Begun<'_, B> {
        Begun { trail: self, beginning: Some(beginning) }
    }
}

/// The record of something under way. If it is dropped before its end, because the caller left, it is added all the
/// same: the change may have happened.
pub struct Begun<'t, B: Into<AuditRecord>> {
    trail: &'t AuditTrail,
    /// `None` once the record was added or left out.
    beginning: Option<B>,
}

impl<B: Into<AuditRecord>> Begun<'_, B> {
    /// Completes the record with what is known at the end, and adds it.
    pub fn end(mut self, complete: impl FnOnce(&mut AuditRecord)) {
        self.add(complete);
    }

    /// Leaves the record out, when there is nothing to record.
    pub fn forget(mut self) {
        self.beginning = None;
    }

    fn add(&mut self, complete: impl FnOnce(&mut AuditRecord)) {
        if let Some(beginning) = self.beginning.take() {
            let mut record = beginning.into();
            complete(&mut record);
            self.trail.record(record);
        }
    }
}

impl<B: Into<AuditRecord>> Drop for Begun<'_, B> {
    fn drop(&mut self) {
        self.add(|record| "cancelled".clone_into(&mut record.result));
    }
}

/// Takes records from the queue to the registry.
struct Writer {
    registry: Arc<dyn Registry>,
    records: UnboundedReceiver<AuditRecord>,
    backlog: Arc<Backlog>,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.records.recv_many(&mut batch, BATCH).await > 0 {
            if batch.len() < BATCH {
                tokio::time::sleep(GATHER_TIME).await;
                while batch.len() < BATCH
                    && let Ok(record) = self.records.try_recv()
                {
                    batch.push(record);
                }
            }
            self.write(&batch).await;
            self.backlog.count.fetch_sub(batch.len(), Ordering::Relaxed);
            self.backlog.shrank.notify_waiters();
            batch.clear();
        }
    }

    /// Tries until the registry takes the batch. A batch that it refuses, or that it can't take while the gateway ends,
    /// goes to the log after [`TRIES`] tries.
    async fn write(&self, batch: &[AuditRecord]) {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(error) = self.registry.append_audit(batch).await else { return };
            tracing::error!(%error, attempt, records = batch.len(), "audit records not written");
            let may_last = matches!(error, RegistryError::Unavailable(_)) && !self.is_last();
            if attempt >= TRIES && !may_last {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for record in batch {
            tracing::error!(?record, "audit record given up");
        }
    }

    /// Tells whether the gateway is ending, so that nothing adds records any more.
    fn is_last(&self) -> bool {
        self.records.sender_strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::QuotaSettings, registry};
    use sqlx::{Connection, Row, SqliteConnection};

    #[tokio::test(flavor = "multi_thread")]
    async fn audit_records_wait_for_the_registry_and_writes_wait_for_room() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        let registry = registry::open(&url.clone().into(), &QuotaSettings::default()).await.unwrap();
        registry.migrate().await.unwrap();
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();

        let (trail, writer) = AuditTrail::start(registry);
        let record = AuditRecord {
            at: jiff::Timestamp::now(),
            user_id: None,
            action: "write".to_owned(),
            project_ref: None,
            target: None,
            result: "ok".to_owned(),
            remote_address: None,
            request_id: None,
        };
        trail.room().await;
        let count = QUEUE + 1;
        for number in 0..count {
            // Half of them are dropped before their end.
            let begun = trail.begin(record.clone());
            if number % 2 == 0 {
                begun.end(|record| "ok".clone_into(&mut record.result));
            }
        }
        assert!(tokio::time::timeout(Duration::from_millis(100), trail.room()).await.is_err());

        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), trail.room()).await.unwrap();
        drop(trail);
        writer.await.unwrap();
        let rows =
            sqlx::query("SELECT result, COUNT(*) FROM gateway_audit_logs GROUP BY result ORDER BY result")
                .fetch_all(&mut other)
                .await
                .unwrap();
        let found: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let half = i64::try_from(count / 2).unwrap();
        assert_eq!(found, [("cancelled".to_owned(), half), ("ok".to_owned(), half + 1)]);
    }
}
