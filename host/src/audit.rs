//! The audit trail: who changed what, when, from where, and how it ended. Never a value.
//!
//! Records go through a bounded queue to one task that gathers them for a moment and writes them in batches, since each
//! batch waits for the disk. A full queue makes callers wait: nothing is dropped. What is in the queue is written before
//! the gateway ends, but is lost by a kill.

use crate::registry::{AuditRecord, Registry};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};

/// Records that may wait to be written.
const QUEUE: usize = 10_000;
/// Records written at once.
const BATCH: usize = 500;
/// How long a first record waits for others to be written with it.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// How often a batch that failed is tried, and how long between.
const RETRIES: (u32, Duration) = (5, Duration::from_secs(1));

/// The way into the audit trail.
#[derive(Clone)]
pub struct AuditTrail {
    queue: mpsc::Sender<AuditRecord>,
}

impl AuditTrail {
    /// Starts the writing task, which ends when the last `AuditTrail` is gone and everything is written.
    pub fn start(registry: Arc<dyn Registry>) -> (Self, JoinHandle<()>) {
        let (queue, mut records) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(async move {
            let mut batch = Vec::new();
            while records.recv_many(&mut batch, BATCH).await > 0 {
                if batch.len() < BATCH {
                    tokio::time::sleep(GATHER_TIME).await;
                    while batch.len() < BATCH
                        && let Ok(record) = records.try_recv()
                    {
                        batch.push(record);
                    }
                }
                write(&*registry, &batch).await;
                batch.clear();
            }
        });
        (Self { queue }, writer)
    }

    /// Adds a record; waits while the queue is full.
    pub async fn record(&self, record: AuditRecord) {
        // The other end lives as long as any sender.
        let _ = self.queue.send(record).await;
    }

    /// Adds a record where nobody can wait; when the queue is full, the log gets it.
    pub fn record_now(&self, record: AuditRecord) {
        if let Err(error) = self.queue.try_send(record) {
            tracing::error!(record = ?error.into_inner(), "audit record not queued");
        }
    }
}

async fn write(registry: &dyn Registry, batch: &[AuditRecord]) {
    let (tries, pause) = RETRIES;
    for attempt in 1..=tries {
        match registry.append_audit(batch).await {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(%error, attempt, records = batch.len(), "audit records not written")
            }
        }
        tokio::time::sleep(pause).await;
    }
    for record in batch {
        tracing::error!(?record, "audit record given up");
    }
}
