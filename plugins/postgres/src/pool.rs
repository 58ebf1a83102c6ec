//! The connections of a session: opened when needed, cleaned between two callers, stopped when a caller leaves.
//!
//! What cleans a connection (`DISCARD ALL`) is sent along with the query that may have made it dirty, so that it waits
//! for no round trip of its own. Its answer is read by who comes next, before they send anything: it has long come by
//! then, since connections are used in turn.

use crate::{
    errors::{Failure, TOO_MANY},
    options::Target,
    stop::Stop,
    wire::{Encodings, Wire},
};
use deadpool::{
    Runtime,
    managed::{
        self, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts, WeakPool,
    },
};
use postgres_protocol::message::backend::Message;
use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, ErrorCode, Network, sync::lock};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// How long an abandoned statement may take to stop, once the server was told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long cleaning may take.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(5);
/// The part of a caller's time that is kept for saying that there was no connection.
const RESERVED: Duration = Duration::from_millis(50);
/// How long a server that takes no more connections is asked again, while this session has none, and how often.
const FULL_PATIENCE: Duration = Duration::from_secs(2);
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// How long a session does with fewer connections, after the server took no more.
const FEWER_FOR: Duration = Duration::from_secs(15);
/// How often a session looks at the connections that nobody uses.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// The pools of this process, since what a statement needs of a database may be in another session's way.
static POOLS: Mutex<Vec<WeakPool<Manager>>> = Mutex::new(Vec::new());

/// Where connections lead, and by which way.
struct Way {
    target: Target,
    network: Network,
    /// Of the driver: what goes on after a caller has left runs there.
    runtime: Handle,
    /// Connections of an earlier generation are not used again.
    generation: AtomicU64,
    /// A place for each connection that the server gives.
    places: Arc<Semaphore>,
    /// Places that are taken out, because the server gave fewer.
    missing: AtomicUsize,
}

impl Way {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes a place out for a while.
    fn do_with_fewer(self: &Arc<Self>, place: OwnedSemaphorePermit) {
        place.forget();
        self.missing.fetch_add(1, Ordering::Relaxed);
        let way = self.clone();
        self.runtime.spawn(async move {
            sleep(FEWER_FOR).await;
            way.missing.fetch_sub(1, Ordering::Relaxed);
            way.places.add_permits(1);
        });
    }
}

/// Opens connections, and looks at each before it is used again.
struct Manager(Arc<Way>);

impl managed::Manager for Manager {
    type Type = Wire;
    type Error = DriverError;

    async fn create(&self) -> Result<Wire, DriverError> {
        // Before the login, which is what reads how sessions begin.
        let generation = self.0.generation();
        let mut wire = Wire::open(&self.0.target, &self.0.network).await?;
        wire.generation = generation;
        Ok(wire)
    }

    async fn recycle(&self, wire: &mut Wire, metrics: &Metrics) -> RecycleResult<DriverError> {
        if metrics.age() >= self.0.target.max_age || wire.generation != self.0.generation() {
            return Err(RecycleError::message("the connection is too old"));
        }
        match timeout(CLEAN_TIMEOUT, finish_cleaning(wire)).await {
            Ok(Ok(true)) if wire.is_alive().await => Ok(()),
            _ => Err(RecycleError::message("the connection is closed, or could not be cleaned")),
        }
    }
}

/// Reads what is still to come. Whether the connection is clean after it: the last thing sent left nothing, or worked and
/// removed what may have been left, and no transaction is open.
async fn finish_cleaning(wire: &mut Wire) -> Result<bool, Failure> {
    let mut failed = false;
    while wire.unanswered() > 0 {
        failed = false;
        loop {
            match wire.receive().await? {
                Message::ErrorResponse(_) => failed = true,
                Message::ReadyForQuery(_) => break,
                // Nothing of ours copies; what a statement does that was abandoned is not waited for.
                Message::CopyInResponse(_) => return Ok(false),
                _ => {}
            }
        }
    }
    let is_clean = !failed || wire.leaves_nothing();
    Ok(is_clean && !wire.is_dirty() && wire.is_outside_transactions())
}

/// The connections of a session.
pub(crate) struct Connections {
    pool: Pool<Manager>,
    way: Arc<Way>,
    prepares: AtomicBool,
}

impl Connections {
    /// Opens the first one.
    pub(crate) async fn open(target: Target, network: Network) -> Result<Self, DriverError> {
        let size = usize::from(target.pool_size);
        let prepares = AtomicBool::new(target.prepares);
        let way = Arc::new(Way {
            target,
            network,
            runtime: Handle::current(),
            generation: AtomicU64::default(),
            places: Arc::new(Semaphore::new(size)),
            missing: AtomicUsize::default(),
        });
        let pool = Pool::builder(Manager(way.clone())).max_size(size).queue_mode(QueueMode::Fifo);
        let pool = pool.runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|error| DriverError::new(ErrorCode::DriverError, error.to_string()))?;
        let connections = Self { pool, way, prepares };
        connections.borrow(Duration::MAX).await?;
        connections.look_after();
        Ok(connections)
    }

    /// Has connections closed that nobody used for a while, and lets other sessions find these.
    fn look_after(&self) {
        let mut pools = lock(&POOLS);
        pools.retain(|pool| pool.upgrade().is_some());
        pools.push(self.pool.weak());
        let (pool, idle) = (self.pool.weak(), self.way.target.idle_timeout);
        self.way.runtime.spawn(async move {
            loop {
                sleep((idle / 4).clamp(LOOK.0, LOOK.1)).await;
                let Some(pool) = pool.upgrade() else { return };
                drop(pool.retain(|_, metrics| metrics.last_used() < idle));
            }
        });
    }

    /// Closes the connections that nobody uses, and those in use once they are given back: all of this session, and those
    /// of others to a database, or as a user, that the text names.
    pub(crate) fn replace_idle(&self, text: &str) {
        let pools: Vec<_> = {
            let pools = lock(&POOLS);
            pools.iter().filter_map(WeakPool::upgrade).collect()
        };
        for pool in pools {
            let way = &pool.manager().0;
            if Arc::ptr_eq(way, &self.way)
                || way.target.shares_a_port_with(&self.way.target) && way.target.is_named_in(text)
            {
                way.generation.fetch_add(1, Ordering::AcqRel);
                drop(pool.retain(|_, _| false));
            }
        }
    }

    /// The role that viewers' SQL is run as, where one is named.
    pub(crate) fn viewer_role(&self) -> Option<&str> {
        self.way.target.viewer_role.as_deref()
    }

    /// Whether a caller would have to wait for a connection.
    pub(crate) fn are_all_in_use(&self) -> bool {
        self.way.places.available_permits() == 0
    }

    /// Whether there is no connection at all, since nobody needed one lately.
    pub(crate) fn is_empty(&self) -> bool {
        self.pool.status().size == 0
    }

    /// A clean connection, for as long as the caller has it. Callers are served in the order in which they came.
    pub(crate) async fn borrow(&self, time_left: Duration) -> Result<Borrowed, DriverError> {
        let begun = Instant::now();
        loop {
            // Only the wait for one that others use: what the server takes to answer is the caller's deadline to bound.
            let left = time_left.saturating_sub(RESERVED).saturating_sub(begun.elapsed());
            let place = timeout(left, self.way.places.clone().acquire_owned()).await;
            let Ok(Ok(place)) = place else { return Err(self.exhausted()) };
            let error = match self.pool.timeout_get(&Timeouts::default()).await {
                Ok(wire) => {
                    return Ok(Borrowed {
                        wire: Some(wire),
                        place: Some(place),
                        way: self.way.clone(),
                        is_busy: false,
                        is_last_use: false,
                        application_name: None,
                    });
                }
                Err(PoolError::Backend(error)) => error,
                Err(_) => {
                    return Err(DriverError::connection("closed", "the session with PostgreSQL has ended"));
                }
            };
            if error.details.get("reason").is_none_or(|reason| reason != TOO_MANY) {
                return Err(error);
            }
            // One that there is will be free.
            if !self.is_empty() {
                self.way.do_with_fewer(place);
            } else if begun.elapsed() < FULL_PATIENCE && !left.is_zero() {
                sleep(FULL_PAUSE).await;
            } else {
                return Err(error);
            }
        }
    }

    fn exhausted(&self) -> DriverError {
        let size = usize::from(self.way.target.pool_size);
        let size = size.saturating_sub(self.way.missing.load(Ordering::Relaxed));
        let message = format!("all {size} connections to the PostgreSQL server are in use");
        let error = DriverError::connection("pool_exhausted", message);
        DriverError { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// Whether statements stay prepared.
    pub(crate) fn prepares(&self) -> bool {
        self.prepares.load(Ordering::Relaxed)
    }

    /// Prepares no more: there is a pooler in between, in whose connections statements come and go.
    pub(crate) fn stop_preparing(&self) {
        self.prepares.store(false, Ordering::Relaxed);
    }
}

/// A connection in use. Dropped while a statement runs in it, the statement is stopped on the server first.
pub(crate) struct Borrowed {
    /// There until it is dropped.
    wire: Option<Object<Manager>>,
    /// Its place among those of the session, which what runs in it keeps.
    place: Option<OwnedSemaphorePermit>,
    way: Arc<Way>,
    is_busy: bool,
    /// It is closed when it is given back.
    is_last_use: bool,
    /// What the server shall call it while it is borrowed; its own name without.
    application_name: Option<String>,
}

impl Borrowed {
    /// Has the server call it so while it is borrowed.
    pub(crate) fn named(mut self, application_name: Option<&str>) -> Self {
        self.application_name = application_name.map(str::to_owned);
        self
    }

    /// The server's version, as it told it at the start.
    pub(crate) fn version(&self) -> Option<&str> {
        self.wire.as_ref().map(|wire| wire.version.as_str())
    }

    /// In which encodings its texts are.
    pub(crate) fn encodings(&self) -> Option<&Encodings> {
        self.wire.as_ref().map(|wire| &wire.encodings)
    }

    /// Runs something with the connection. When that is left half done, or fails in a way that leaves answers unread,
    /// what runs in the connection is stopped.
    pub(crate) async fn run<T>(
        &mut self,
        exchange: impl AsyncFnOnce(&mut Wire) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(wire) = &mut self.wire else {
            return Err(DriverError::connection("closed", "the connection was given back").into());
        };
        self.is_busy = true;
        let result = match wire.put_application_name(self.application_name.as_deref()) {
            Ok(()) => exchange(wire).await,
            Err(failure) => Err(failure),
        };
        match &result {
            Ok(_) | Err(Failure::Refused(_)) => self.is_busy = false,
            Err(Failure::Left(_)) => {}
            // What was put in line may be there in part.
            Err(Failure::Told(_) | Failure::Broken(_) | Failure::Ended(_) | Failure::Unheard(_)) => {
                self.is_busy = false;
                drop(self.wire.take().map(Object::take));
            }
        }
        result
    }

    /// Closes it when it is given back, if so.
    pub(crate) fn last_use(&mut self, is_so: bool) {
        self.is_last_use |= is_so;
    }

    /// Waits until what was put in line after a caller's statement is done. Whether the connection can be used after it.
    pub(crate) async fn settle(&mut self) -> bool {
        let Some(wire) = &mut self.wire else { return false };
        self.is_busy = true;
        if let Ok(Ok(true)) = timeout(CLEAN_TIMEOUT, finish_cleaning(wire)).await {
            self.is_busy = false;
            return true;
        }
        self.is_busy = false;
        drop(self.wire.take().map(Object::take));
        false
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(wire) = self.wire.take() else { return };
        let is_last_use = self.is_last_use || wire.generation != self.way.generation();
        if self.is_busy {
            let (way, place) = (self.way.clone(), self.place.take());
            self.way.runtime.spawn(async move {
                abandon(wire, &way, is_last_use).await;
                drop(place);
            });
        } else if is_last_use {
            drop(Object::take(wire));
        }
    }
}

/// Stops what runs in a connection, and gives it back when it has stopped. A statement that does not stop, though the
/// server was told, keeps its place: else one after the other would pile up on the server.
async fn abandon(mut wire: Object<Manager>, way: &Way, is_last_use: bool) {
    let stop = Stop::of(&wire);
    let session = Object::pool(&wire).map(|pool| pool.weak());
    let ended = {
        let mut ended = pin!(finish_cleaning(&mut wire));
        let mut was_told = false;
        loop {
            let told = timeout(STOP_TIMEOUT, stop.send(&way.target, &way.network)).await;
            match told {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => break Err(failure),
                Err(_) => {
                    tracing::warn!("an abandoned statement could not be stopped; its connection is given up");
                    break Ok(false);
                }
            }
            if let Ok(ended) = timeout(STOP_TIMEOUT, &mut ended).await {
                break ended;
            }
            if session.as_ref().is_none_or(|session| session.upgrade().is_none()) {
                break Ok(false);
            }
            if !was_told {
                tracing::warn!("an abandoned statement did not stop in time; it is told again");
                was_told = true;
            }
        }
    };
    match ended {
        Ok(true) if !is_last_use => return tracing::debug!("an abandoned statement was stopped"),
        Ok(_) => {}
        Err(failure) => {
            tracing::warn!(error = %failure.into_error(false), "an abandoned statement's connection is given up");
        }
    }
    drop(Object::take(wire));
}
