//! The connections of a session: opened when needed, cleaned between two callers, stopped when a caller leaves.
//!
//! What cleans a connection (`DISCARD ALL`) is sent along with the query that may have made it dirty, so that it waits
//! for no round trip of its own. Its answer is read by who comes next, before they send anything: it has long come by
//! then, since connections are used in turn.

use crate::{
    dial,
    errors::Failure,
    options::Target,
    wire::{Encodings, Wire},
};
use bytes::BytesMut;
use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts},
};
use postgres_protocol::message::{backend::Message, frontend};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use studio_plugin_api::{DriverError, ErrorCode, Network};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Handle,
    time::timeout,
};

/// How long an abandoned statement may take to stop, once the server was told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long cleaning may take.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(5);
/// The part of a caller's time that is kept for saying that there was no connection.
const RESERVED: Duration = Duration::from_millis(50);

/// Where connections lead, and by which way.
struct Way {
    target: Target,
    network: Network,
    /// Of the driver: what goes on after a caller has left runs there.
    runtime: Handle,
}

/// Opens connections, and looks at each before it is used again.
struct Manager(Arc<Way>);

impl managed::Manager for Manager {
    type Type = Wire;
    type Error = DriverError;

    async fn create(&self) -> Result<Wire, DriverError> {
        Wire::open(&self.0.target, &self.0.network).await
    }

    async fn recycle(&self, wire: &mut Wire, _: &Metrics) -> RecycleResult<DriverError> {
        match timeout(CLEAN_TIMEOUT, finish_cleaning(wire)).await {
            Ok(Ok(true)) if wire.is_alive().await => Ok(()),
            _ => Err(RecycleError::message("the connection is closed, or could not be cleaned")),
        }
    }
}

/// Reads what is still to come. Whether the connection is clean after it: the last thing sent worked and removed what may
/// have been left, and no transaction is open.
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
    Ok(!failed && !wire.is_dirty() && wire.is_outside_transactions())
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
        let way = Arc::new(Way { target, network, runtime: Handle::current() });
        let pool = Pool::builder(Manager(way.clone())).max_size(size).queue_mode(QueueMode::Fifo);
        let pool = pool.runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|error| DriverError::new(ErrorCode::DriverError, error.to_string()))?;
        let connections = Self { pool, way, prepares };
        connections.borrow(Duration::MAX).await?;
        Ok(connections)
    }

    /// A clean connection, for as long as the caller has it. Callers are served in the order in which they came.
    pub(crate) async fn borrow(&self, time_left: Duration) -> Result<Borrowed, DriverError> {
        // Only the wait for one that others use: what the server takes to answer is the caller's deadline to bound.
        let wait = Timeouts { wait: Some(time_left.saturating_sub(RESERVED)), ..Timeouts::default() };
        match self.pool.timeout_get(&wait).await {
            Ok(wire) => Ok(Borrowed {
                wire: Some(wire),
                way: self.way.clone(),
                is_busy: false,
                application_name: None,
            }),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(_)) => {
                let size = self.pool.status().max_size;
                let message = format!("all {size} connections to the PostgreSQL server are in use");
                let error = DriverError::connection("pool_exhausted", message);
                Err(DriverError { retry_after: Some(Duration::from_secs(1)), ..error })
            }
            Err(_) => Err(DriverError::connection("closed", "the session with PostgreSQL has ended")),
        }
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
    way: Arc<Way>,
    is_busy: bool,
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
            Err(Failure::Told(_)) => {}
            Err(Failure::Broken(_) | Failure::Ended(_)) => {
                self.is_busy = false;
                drop(self.wire.take().map(Object::take));
            }
        }
        result
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(wire) = self.wire.take() else { return };
        if self.is_busy {
            let way = self.way.clone();
            self.way.runtime.spawn(async move { abandon(wire, &way).await });
        }
    }
}

/// Stops what runs in a connection, and gives it back when it has stopped.
async fn abandon(mut wire: Object<Manager>, way: &Way) {
    let stopped = timeout(STOP_TIMEOUT, async {
        cancel(&wire, way).await?;
        finish_cleaning(&mut wire).await
    });
    match stopped.await {
        Ok(Ok(true)) => tracing::debug!("an abandoned statement was stopped"),
        Ok(Ok(false)) => drop(Object::take(wire)),
        Ok(Err(failure)) => {
            tracing::warn!(error = %failure.into_error(false), "an abandoned statement's connection is given up");
            drop(Object::take(wire));
        }
        Err(_) => {
            tracing::warn!("an abandoned statement did not stop in time; its connection is given up");
            drop(Object::take(wire));
        }
    }
}

/// Asks the server to stop what runs in a connection (PostgreSQL's manual, 55.2.8), by a connection of its own. It has
/// done so when it closes that.
async fn cancel(wire: &Wire, way: &Way) -> Result<(), Failure> {
    let mut stream = dial::dial_again(&way.target, &way.network, &wire.address, wire.peer).await?;
    let mut request = BytesMut::new();
    frontend::cancel_request(wire.process_id, wire.secret_key, &mut request);
    stream.write_all(&request).await?;
    stream.flush().await?;
    // The server says nothing; how it closes does not matter.
    let _ = stream.read(&mut [0]).await;
    Ok(())
}
