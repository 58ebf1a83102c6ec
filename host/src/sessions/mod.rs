//! Open driver sessions. Each connection has one entry, with one session for all callers or several for one caller
//! each. Sessions are opened when callers wait, closed when idle, and counted against caps; a failing database is left
//! alone for a while.

mod breaker;
mod calls;
mod entry;
mod lease;
mod opening;
mod permits;
mod ping;
mod pool;
mod session;
mod shared;
mod wait_estimate;

use crate::{
    config::SessionSettings,
    connections::target::Target,
    registry::{ConnectionId, Registry},
    secrets::Keyring,
};
use calls::Projects;
use entry::{LeaseOutcome, QueueSpot};
use permits::{LOOK_AGAIN, Permits};
use ping::ping_idle;
use serde_json::{Map, Value};
use shared::Shared;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, ErrorCode, sync::lock};
use tokio::runtime::Handle;
use wait_estimate::too_many_waiting;

pub use entry::Count;
pub use lease::Lease;

/// All open sessions.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

impl Sessions {
    /// Starts without sessions. A task pings idle ones, and closes them in the end; it ends with the last clone.
    pub fn new(settings: SessionSettings, registry: Arc<dyn Registry>, keyring: Arc<Keyring>) -> Self {
        let (permits, projects) = (Permits::new(&settings), Projects::new(&settings));
        let sweep_interval =
            (*settings.idle_timeout / 5).clamp(Duration::from_millis(100), Duration::from_secs(60));
        let shared = Arc::new(Shared {
            settings,
            registry,
            keyring,
            permits,
            projects,
            runtime: Handle::current(),
            entries: Mutex::default(),
        });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(sweep_interval);
            loop {
                ticks.tick().await;
                let Some(shared) = weak.upgrade() else { break };
                shared.sweep();
                let Some(limit) = Instant::now().checked_sub(sweep_interval) else { continue };
                let entries = shared.all_entries();
                drop(shared);
                ping_idle(entries, limit).await;
            }
        });
        Self { shared }
    }

    /// Lends a session for the target, with a place among its project's calls. If none is free, the caller waits, in
    /// order of arrival.
    ///
    /// # Errors
    /// The driver's error when it can't connect; `CONNECTION_ERROR` with reason `circuit_open` for a while after the
    /// database failed, `too_many_sessions` when the caps leave no room in time, `too_many_waiting` when the connection
    /// or its project has as many calls under way as allowed, and the line is full or too slow; `TIMEOUT` at the
    /// deadline.
    pub async fn lease(&self, target: &Target, deadline: Instant) -> Result<Lease, DriverError> {
        let turn_after = |now| deadline.min(now + *self.shared.settings.wait);
        let now = Instant::now();
        let turn_by = turn_after(now);
        let (lease, turn_by) = match self.shared.entry(target).ask(now, (turn_by, deadline))? {
            LeaseOutcome::Now(lease) => (lease, turn_by),
            // The project's is a second line, so its wait is counted anew: waiting for a session has its own limit.
            LeaseOutcome::Later(spot) => (wait(spot, turn_by, deadline).await?, turn_after(Instant::now())),
        };
        lease.enter(turn_by, deadline).await
    }

    /// Opens a separate session, asks the server for its facts, and closes it.
    ///
    /// # Errors
    /// As for [`Sessions::lease`].
    pub async fn test(&self, target: &Target) -> Result<Map<String, Value>, DriverError> {
        let result = self.shared.connect_and_ping(target).await;
        self.shared.report_opening(target, result.as_ref().map(drop));
        if result.is_ok() {
            // The database works, so callers are let through again.
            self.shared.entry(target).close_circuit();
        }
        result
    }

    /// Forgets a connection's sessions: running calls finish on them, new ones open others.
    pub fn close(&self, connection: ConnectionId) {
        let removed = lock(&self.shared.entries).remove(&connection);
        if let Some(entry) = removed {
            entry.retire();
        }
    }

    /// Counts sessions and callers, by project id and database type.
    pub fn count(&self) -> HashMap<(String, String), Count> {
        let mut counts: HashMap<_, Count> = HashMap::new();
        for entry in self.shared.all_entries() {
            let connection = &entry.target.connection;
            let one = entry.count();
            if one != Count::default() {
                let owner = (connection.project_id.clone(), connection.database_type.clone());
                let count = counts.entry(owner).or_default();
                count.open += one.open;
                count.running += one.running;
                count.waiting += one.waiting;
                count.open_circuits += one.open_circuits;
            }
        }
        counts
    }
}

/// Waits in line: until `turn_by` behind other callers, until `deadline` while a session is being opened.
async fn wait(mut spot: QueueSpot, turn_by: Instant, deadline: Instant) -> Result<Lease, DriverError> {
    let mut until = turn_by;
    loop {
        match tokio::time::timeout_at(until.into(), spot.wait()).await {
            Ok(answer) => return answer,
            Err(_) if spot.is_behind_others() => return Err(too_many_waiting(Duration::ZERO)),
            Err(_) if until < deadline => until = deadline.min(Instant::now() + LOOK_AGAIN),
            Err(_) => {
                let message = "the database did not accept a session in time";
                return Err(DriverError::new(ErrorCode::Timeout, message));
            }
        }
    }
}
