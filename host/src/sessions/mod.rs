//! Open driver sessions: one entry for each connection, opened once for everyone who waits, closed when idle,
//! counted against caps, and left alone for a while when opening fails.

mod entry;
mod permits;

use crate::{
    config::SessionSettings,
    connections::settings::{SettingsError, open_settings},
    plugins::catalog::Driver,
    registry::{Connection, ConnectionId, ConnectionStatus, Registry},
    secrets::Keyring,
};
use entry::{Entry, Session, State};
use futures_util::FutureExt;
use permits::{Cap, Permits, TOO_MANY};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use studio_plugin_api::{Call, DriverError, ErrorCode, reply::Payload};

/// The shortest and the longest pause after a failure to open. The longest keeps recovery within two seconds of a
/// database's return, and costs a dead one no more than one attempt a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How long a session whose call timed out has to answer a ping before it is given up.
const DOUBT_TIME: Duration = Duration::from_secs(1);

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
    entries: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
}

impl Sessions {
    /// No sessions yet. Idle ones are closed by a task that ends with the last clone.
    pub fn new(settings: SessionSettings, registry: Arc<dyn Registry>, keyring: Arc<Keyring>) -> Self {
        let permits = Permits::new(&settings);
        let sweep_interval =
            (*settings.idle_timeout / 5).clamp(Duration::from_millis(100), Duration::from_secs(60));
        let shared = Arc::new(Shared { settings, registry, keyring, permits, entries: Mutex::default() });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(sweep_interval);
            loop {
                ticks.tick().await;
                match weak.upgrade() {
                    Some(shared) => shared.sweep(),
                    None => break,
                }
            }
        });
        Self { shared }
    }

    /// An open session for the target: the one there is, or a new one, opened once however many wait for it.
    ///
    /// # Errors
    /// What the driver says when it can't connect; `CONNECTION_ERROR` with reason `circuit_open` for a while after
    /// that, `too_many_sessions` when the caps leave no room in time; `TIMEOUT` at the deadline.
    pub async fn lease(&self, target: &Target, deadline: Instant) -> Result<Lease, DriverError> {
        let entry = self.shared.entry(target);
        let opening = match entry.look() {
            State::Open(session) => return Ok(Lease { entry, session }),
            State::Opening(opening) => opening,
            State::Paused { until, ref error } if until > Instant::now() => {
                return Err(circuit_open(until, error));
            }
            State::Closed | State::Paused { .. } => entry.begin_opening(|| {
                let (shared, opened) = (self.shared.clone(), entry.clone());
                // A task of its own, so that the first caller's leaving does not end it for the others.
                let task = tokio::spawn(async move { shared.open(&opened).await });
                let entry = entry.clone();
                let opening = async move {
                    task.await.unwrap_or_else(|_| {
                        // The task is gone without a word; the next caller must not wait for it for ever.
                        let error = DriverError::connection("closed", "opening the session was cut short");
                        entry.pause(PAUSE, error.clone());
                        Err(error)
                    })
                };
                opening.boxed().shared()
            }),
        };
        match tokio::time::timeout_at(deadline.into(), opening).await {
            Ok(Ok(session)) => Ok(Lease { entry, session }),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Err(DriverError::new(ErrorCode::Timeout, "the database did not accept a session in time"))
            }
        }
    }

    /// Opens a session apart from all others, asks the server who it is, and closes it.
    ///
    /// # Errors
    /// As for [`Sessions::lease`].
    pub async fn test(&self, target: &Target) -> Result<Map<String, Value>, DriverError> {
        let result = self.shared.connect_and_ping(target).await;
        self.shared.report(target, &result);
        if result.is_ok() {
            // What is known to work need not stay paused.
            self.shared.entry(target).end_pause();
        }
        result
    }

    /// Forgets a connection's session: running calls finish on it, new ones open another.
    pub fn close(&self, connection: ConnectionId) {
        lock(&self.shared.entries).remove(&connection);
    }

    /// Sessions open now, by project id and database type.
    pub fn count(&self) -> HashMap<(String, String), u64> {
        let mut count = HashMap::new();
        for entry in lock(&self.shared.entries).values() {
            if let State::Open(_) = entry.look() {
                let connection = &entry.target.connection;
                let place = (connection.project_id.clone(), connection.database_type.clone());
                *count.entry(place).or_default() += 1;
            }
        }
        count
    }
}

/// A session in use.
pub struct Lease {
    entry: Arc<Entry>,
    session: Arc<Session>,
}

impl Lease {
    /// Runs one operation by its deadline. Dropping the future cancels it.
    ///
    /// # Errors
    /// The driver's; `TIMEOUT` at the deadline.
    pub async fn call(&self, call: Call) -> Result<Payload, DriverError> {
        let deadline = call.deadline;
        let running = self.session.driver_session.call(call);
        let result = self.entry.target.driver.containment().run(deadline, running).await;
        self.session.touch();
        if let Err(DriverError { code: ErrorCode::Timeout, .. }) = &result {
            self.doubt();
        }
        result
    }

    /// A call that timed out may mean a slow query, or a connection that is dead without knowing it. A ping tells
    /// them apart; a session that does not answer is given up, so that the next caller gets a new one.
    fn doubt(&self) {
        let Some(doubt) = self.session.begin_doubt() else { return };
        let (entry, session) = (self.entry.clone(), self.session.clone());
        tokio::spawn(async move {
            let ping = session.driver_session.ping();
            let answer = entry.target.driver.containment().run(Instant::now() + DOUBT_TIME, ping).await;
            if let Err(error) = answer {
                tracing::warn!(connection = %entry.target.connection.id, %error, "session given up: it does not answer");
                entry.give_up(&session);
            }
            drop(doubt);
        });
    }
}

impl Shared {
    /// The entry for the target. One of another version is replaced; whoever holds its session finishes on it.
    fn entry(&self, target: &Target) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        match entries.get(&target.connection.id) {
            Some(entry) if entry.target.version() == target.version() => entry.clone(),
            // A caller that looked the connection up before it changed must not bring the old version back.
            Some(entry) if entry.target.version() > target.version() => Arc::new(Entry::new(target.clone())),
            _ => {
                let entry = Arc::new(Entry::new(target.clone()));
                entries.insert(target.connection.id, entry.clone());
                entry
            }
        }
    }

    async fn open(&self, entry: &Arc<Entry>) -> Result<Arc<Session>, DriverError> {
        let target = &entry.target;
        let result = self.connect(target).await;
        self.report(target, &result);
        match result {
            Ok(session) => {
                let session = Arc::new(session);
                entry.finish_opening(session.clone());
                Ok(session)
            }
            Err(error) => {
                tracing::warn!(connection = %target.connection.id, %error, "no session");
                if is_want_of_room(&error) {
                    entry.abandon_opening();
                } else {
                    entry.pause(PAUSE, error.clone());
                }
                Err(error)
            }
        }
    }

    async fn connect(&self, target: &Target) -> Result<Session, DriverError> {
        let permit = self.permits.acquire(target, |cap| self.evict_idle(target, cap)).await?;
        let settings = open_settings(&self.keyring, target).map_err(unopened)?;
        let instance = target.driver.instance().clone();
        let connecting = async move { instance.connect(settings).await };
        let deadline = Instant::now() + *self.settings.connect_timeout;
        match target.driver.containment().run(deadline, connecting).await {
            Ok(driver_session) => Ok(Session::new(driver_session, permit)),
            Err(error) if error.code == ErrorCode::Timeout => {
                Err(DriverError::connection("timeout", "the database did not accept a session in time"))
            }
            Err(error) => Err(error),
        }
    }

    async fn connect_and_ping(&self, target: &Target) -> Result<Map<String, Value>, DriverError> {
        let session = self.connect(target).await?;
        let deadline = Instant::now() + *self.settings.connect_timeout;
        target.driver.containment().run(deadline, session.driver_session.ping()).await
    }

    /// Lets the registry's `status` follow what was seen, without a write when it says so already.
    fn report<T>(&self, target: &Target, result: &Result<T, DriverError>) {
        let status = match result {
            Ok(_) => ConnectionStatus::Active,
            Err(error) if is_want_of_room(error) => return,
            Err(_) => ConnectionStatus::Error,
        };
        let (registry, connection) = (self.registry.clone(), target.connection.clone());
        tokio::spawn(async move {
            let version = connection.settings_version;
            if let Err(error) = registry.set_connection_status(connection.id, version, status).await {
                tracing::warn!(connection = %connection.id, %error, "the connection's status could not be written");
            }
        });
    }

    /// Closes the session that has been idle longest, among those that count against the cap that is full.
    fn evict_idle(&self, target: &Target, cap: Cap) {
        let candidates: Vec<_> = lock(&self.entries).values().cloned().collect();
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
            entry.close_if_idle_since(Instant::now());
        }
    }

    fn sweep(&self) {
        let Some(limit) = Instant::now().checked_sub(*self.settings.idle_timeout) else { return };
        let entries: Vec<_> = lock(&self.entries).values().cloned().collect();
        // Outside the lock: closing a session is the driver's code.
        entries.iter().for_each(|entry| entry.close_if_idle_since(limit));
        drop(entries);
        lock(&self.entries).retain(|_, entry| Arc::strong_count(entry) > 1 || !entry.is_forgettable());
        self.permits.forget_unused();
    }
}

fn circuit_open(until: Instant, error: &DriverError) -> DriverError {
    let wait = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
    let mut open = DriverError::connection(
        "circuit_open",
        format!("the database could not be reached a moment ago: {}", error.message),
    );
    if let Some(reason) = error.details.get("reason") {
        open = open.with("cause", reason.clone());
    }
    open.retry_after = Some(wait);
    open
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
