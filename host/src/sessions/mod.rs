//! Open driver sessions: one entry for each connection, with one session for everyone or several for one caller each,
//! opened as callers wait, closed when idle, counted against caps, and left alone for a while when the database fails.

mod breaker;
mod calls;
mod entry;
mod lease;
mod pace;
mod permits;
mod ping;
mod pool;
mod session;

use crate::{
    config::SessionSettings,
    connections::settings::{SettingsError, open_settings},
    plugins::{catalog::Driver, containment::goes_on},
    registry::{Connection, ConnectionId, ConnectionStatus, Registry},
    secrets::Keyring,
};
use calls::Projects;
use entry::{Entry, Opening, Place, Turn};
use pace::too_many_waiting;
use permits::{Cap, LOOK_AGAIN, Permit, Permits, TOO_MANY};
use ping::ping_idle;
use serde_json::{Map, Value};
use session::Session;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, ErrorCode};
use tokio::runtime::Handle;

pub use lease::Lease;

/// What a session is opened for: a connection as stored, and the driver in service for its type.
#[derive(Clone)]
pub struct Target {
    /// The connection.
    pub connection: Arc<Connection>,
    /// Its driver.
    pub driver: Arc<Driver>,
}

impl Target {
    /// Sessions of another version are of other settings or of another driver.
    fn version(&self) -> (i64, u64) {
        (self.connection.settings_version, self.driver.generation())
    }
}

/// All open sessions.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    settings: SessionSettings,
    registry: Arc<dyn Registry>,
    keyring: Arc<Keyring>,
    permits: Permits,
    projects: Projects,
    /// Sessions are given back wherever a lease is dropped, and more may be opened then.
    runtime: Handle,
    entries: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
}

impl Sessions {
    /// No sessions yet. Idle ones are pinged, and closed in the end, by a task that ends with the last clone.
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

    /// A session for the target, and a place among its project's calls: free ones, or the next that there are, in order
    /// of arrival.
    ///
    /// # Errors
    /// What the driver says when it can't connect; `CONNECTION_ERROR` with reason `circuit_open` for a while after the
    /// database failed, `too_many_sessions` when the caps leave no room in time, `too_many_waiting` when the connection
    /// or its project has as many calls under way as may be, and the line is full or does not move on in time;
    /// `TIMEOUT` at the deadline.
    pub async fn lease(&self, target: &Target, deadline: Instant) -> Result<Lease, DriverError> {
        let turn_by = deadline.min(Instant::now() + *self.shared.settings.wait);
        let lease = match self.shared.entry(target).ask(turn_by, deadline)? {
            Turn::Now(lease) => lease,
            Turn::Later(place) => wait(place, turn_by, deadline).await?,
        };
        // Opening a session has bounds of its own: this is another line.
        lease.enter(deadline.min(Instant::now() + *self.shared.settings.wait), deadline).await
    }

    /// Opens a session apart from all others, asks the server who it is, and closes it.
    ///
    /// # Errors
    /// As for [`Sessions::lease`].
    pub async fn test(&self, target: &Target) -> Result<Map<String, Value>, DriverError> {
        let result = self.shared.connect_and_ping(target).await;
        self.shared.report_opening(target, result.as_ref().map(drop));
        if result.is_ok() {
            // What is known to work need not be left alone.
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

    /// What there is now, by project id and database type.
    pub fn count(&self) -> HashMap<(String, String), Count> {
        let mut counts: HashMap<_, Count> = HashMap::new();
        for entry in self.shared.all_entries() {
            let connection = &entry.target.connection;
            let one = entry.count();
            if one != Count::default() {
                let place = (connection.project_id.clone(), connection.database_type.clone());
                let count = counts.entry(place).or_default();
                count.open += one.open;
                count.running += one.running;
                count.waiting += one.waiting;
                count.open_circuits += one.open_circuits;
            }
        }
        counts
    }
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Open sessions.
    pub open: usize,
    /// Callers that have one.
    pub running: usize,
    /// Callers that wait for one, or for a place among their project's calls.
    pub waiting: usize,
    /// Connections that are left alone because their database fails.
    pub open_circuits: usize,
}

/// Waits in line, until `turn_by` where others are served first, until `deadline` where a session is being opened.
async fn wait(mut place: Place, turn_by: Instant, deadline: Instant) -> Result<Lease, DriverError> {
    let mut until = turn_by;
    loop {
        match tokio::time::timeout_at(until.into(), place.wait()).await {
            Ok(answer) => return answer,
            Err(_) if place.is_behind_others() => return Err(too_many_waiting(Duration::ZERO)),
            Err(_) if until < deadline => until = deadline.min(Instant::now() + LOOK_AGAIN),
            Err(_) => {
                let message = "the database did not accept a session in time";
                return Err(DriverError::new(ErrorCode::Timeout, message));
            }
        }
    }
}

impl Shared {
    /// The entry for the target. One of another version is replaced; whoever holds its sessions finishes on them.
    fn entry(self: &Arc<Self>, target: &Target) -> Arc<Entry> {
        let new = || {
            let project = self.projects.get(&target.connection.project_id);
            Arc::new(Entry::new(target.clone(), &self.settings, project, Arc::downgrade(self)))
        };
        let mut entries = lock(&self.entries);
        match entries.get(&target.connection.id) {
            Some(entry) if entry.target.version() == target.version() => entry.clone(),
            // A caller that looked the connection up before it changed must not bring the old version back.
            Some(entry) if entry.target.version() > target.version() => new(),
            _ => {
                let entry = new();
                let replaced = entries.insert(target.connection.id, entry.clone());
                drop(entries);
                if let Some(replaced) = replaced {
                    replaced.retire();
                }
                entry
            }
        }
    }

    fn all_entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.entries).values().cloned().collect()
    }

    /// Opens a session in a task of its own, so that the first caller's leaving does not end it for the others.
    fn start_opening(self: &Arc<Self>, opening: Opening) {
        let shared = self.clone();
        self.runtime.spawn(async move {
            let entry = opening.entry.clone();
            if let Some(until) = shared.open(opening).await {
                tokio::time::sleep_until(until.into()).await;
                entry.open_more();
            }
        });
    }

    /// Says when to try again, if those who wait have other sessions to wait for meanwhile.
    async fn open(&self, mut opening: Opening) -> Option<Instant> {
        let target = opening.entry.target.clone();
        let make_room = |cap| {
            if opening.is_needed() {
                self.evict_idle(&target, cap);
            }
        };
        let result = match self.permits.acquire(&target, make_room).await {
            Ok(permit) if opening.find_room() => self.connect(&target, permit).await,
            Ok(_) => return None,
            Err(error) => Err(error),
        };
        match result {
            Ok(session) => {
                if opening.finish(session) {
                    self.report_opening(&target, Ok(()));
                }
                None
            }
            Err(error) => {
                tracing::warn!(connection = %target.connection.id, %error, "no session");
                let until = opening.fail(&error);
                if until.is_none() {
                    self.report_opening(&target, Err(&error));
                }
                until
            }
        }
    }

    async fn connect(&self, target: &Target, permit: Permit) -> Result<Session, DriverError> {
        let Target { connection, driver } = target;
        let settings = open_settings(&self.keyring, connection.id, &connection.settings, driver);
        let settings = settings.map_err(unopened)?;
        let instance = target.driver.instance().clone();
        let connecting = async move { instance.connect(settings).await };
        let deadline = Instant::now() + *self.settings.connect_timeout;
        let containment = target.driver.containment();
        match containment.run(containment.connect(), deadline, connecting).await {
            Ok(driver_session) => Ok(Session::new(containment.hold(driver_session), permit)),
            Err(error) if goes_on(&error) => {
                let message =
                    "the driver blocks: it did not open a session in time, and could not be stopped";
                Err(DriverError::connection("timeout", message))
            }
            Err(error) if error.code == ErrorCode::Timeout => {
                Err(DriverError::connection("timeout", "the database did not accept a session in time"))
            }
            Err(error) => Err(error),
        }
    }

    async fn connect_and_ping(&self, target: &Target) -> Result<Map<String, Value>, DriverError> {
        let permit = self.permits.acquire(target, |cap| self.evict_idle(target, cap)).await?;
        let session = self.connect(target, permit).await?;
        let deadline = Instant::now() + *self.settings.connect_timeout;
        let containment = target.driver.containment();
        containment.run(containment.ping(), deadline, session.driver_session.ping()).await
    }

    fn report_opening(&self, target: &Target, result: Result<(), &DriverError>) {
        match result {
            Ok(()) => self.report(target, ConnectionStatus::Active),
            Err(error) if is_want_of_room(error) => {}
            Err(_) => self.report(target, ConnectionStatus::Error),
        }
    }

    /// Lets the registry's `status` follow what was seen, without a write when it says so already, or where it has none.
    fn report(&self, target: &Target, status: ConnectionStatus) {
        if target.connection.is_implicit {
            return;
        }
        let (registry, connection) = (self.registry.clone(), target.connection.clone());
        self.runtime.spawn(async move {
            let version = connection.settings_version;
            if let Err(error) = registry.set_connection_status(connection.id, version, status).await {
                tracing::warn!(connection = %connection.id, %error, "the connection's status could not be written");
            }
        });
    }

    /// Closes the session that has been idle longest, among those that count against the cap that is full.
    fn evict_idle(&self, target: &Target, cap: Cap) {
        let candidates = self.all_entries();
        let counts = |other: &Target| match cap {
            Cap::Driver => Arc::ptr_eq(&other.driver, &target.driver),
            Cap::Project => other.connection.project_id == target.connection.project_id,
            Cap::All => true,
        };
        let longest_idle = candidates
            .iter()
            .filter(|entry| counts(&entry.target))
            .filter_map(|entry| Some((entry.idle_since()?, entry)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, entry)) = longest_idle {
            entry.close_longest_idle();
        }
    }

    fn sweep(&self) {
        let Some(limit) = Instant::now().checked_sub(*self.settings.idle_timeout) else { return };
        let entries = self.all_entries();
        // Outside the lock: closing a session is the driver's code.
        entries.iter().for_each(|entry| entry.close_idle_since(limit));
        drop(entries);
        lock(&self.entries).retain(|_, entry| Arc::strong_count(entry) > 1 || !entry.is_forgettable());
        self.permits.forget_unused();
        self.projects.forget_unused();
    }
}

/// The caps are the gateway's own limit and say nothing of the database.
fn is_want_of_room(error: &DriverError) -> bool {
    error.details.get("reason").is_some_and(|reason| reason == TOO_MANY)
}

fn unopened(error: SettingsError) -> DriverError {
    tracing::error!(%error, "a connection's settings do not open");
    DriverError::connection("settings", "the connection's stored secrets can't be opened; save them again")
}

/// Nothing panics while it holds one of these locks for more than a map operation.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
