//! One running instance of a component, and a session made of it.

use super::{
    Shared,
    bindings::{Driver, exports::studio::driver::guest::Guest, studio::driver::types::Error},
    broken, convert,
    network::Egress,
    scheduler::{LaneState, SHARE, run_in_line},
    settings::OpenSettings,
    state::State,
};
use crate::plugins::{DriverSession, Payload};
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};
use studio_plugin_api::{Call, DriverError, sync::lock};
use tokio::runtime::Handle;
use wasmtime::{Store, Trap};

/// How long an instance may take to say goodbye to its server.
const GOODBYE: Duration = Duration::from_secs(1);
/// The most bytes of the server's facts that are read.
const LONGEST_FACTS: usize = 1 << 20;

/// A running instance.
pub(super) struct Instance {
    driver: Driver,
    store: Store<State>,
    sandbox: Arc<super::Sandbox>,
}

impl Instance {
    /// Starts an instance, which runs its start function.
    pub(super) async fn start(shared: &Shared, egress: Egress) -> Result<Self, DriverError> {
        let compiled = &shared.compiled;
        let sandbox = compiled.sandbox.clone();
        let mut store = Store::new(&sandbox.engine, State::new(shared, egress));
        store.limiter(|state| &mut state.meter);
        // One host call may take so much out of the guest's memory, which can't hold more.
        store.set_hostcall_fuel(shared.limits.memory_bytes());
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().schedule.again()));
        let lane_state = begin_share(&mut store);
        let running = sandbox.scheduler.run();
        let started = run_in_line(lane_state, compiled.component.instantiate_async(&mut store)).await;
        drop(running);
        match started {
            Ok(driver) => Ok(Self { driver, store, sandbox }),
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
                let message = "too many instances of sandboxed drivers are running";
                let mut full = DriverError::connection("too_many_sessions", message);
                full.retry_after = Some(Duration::from_secs(1));
                Err(full)
            }
            Err(error) => Err(trapped(&store, &error)),
        }
    }

    /// Runs one of the guest's functions. When it fails, the instance is of no more use.
    async fn run<T>(
        &mut self,
        run: impl AsyncFnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, DriverError> {
        let lane_state = begin_share(&mut self.store);
        let running = self.sandbox.scheduler.run();
        let result = run_in_line(lane_state, run(self.driver.studio_driver_guest(), &mut self.store)).await;
        drop(running);
        result.map_err(|error| trapped(&self.store, &error))
    }

    pub(super) async fn manifest(&mut self) -> Result<String, DriverError> {
        self.run(async |guest, store| guest.call_manifest(store).await).await
    }

    pub(super) async fn check(&mut self, settings: OpenSettings) -> Result<Result<(), Error>, DriverError> {
        self.run(async |guest, store| guest.call_check(store, &settings.settings).await).await
    }

    pub(super) async fn open(&mut self, settings: OpenSettings) -> Result<Result<(), Error>, DriverError> {
        self.run(async |guest, store| guest.call_open(store, &settings.settings).await).await
    }
}

/// Gives the guest its first share of a call.
fn begin_share(store: &mut Store<State>) -> Arc<Mutex<LaneState>> {
    store.set_epoch_deadline(SHARE);
    store.data_mut().schedule.begin()
}

/// Makes the error of an instance that trapped, for the caller; the log has more.
fn trapped(store: &Store<State>, error: &wasmtime::Error) -> DriverError {
    let refused = store.data().meter.refused();
    let message = match error.downcast_ref::<Trap>() {
        _ if refused.is_some() => {
            format!("the driver gave up: {}", refused.unwrap_or_default())
        }
        Some(Trap::StackOverflow) => "the driver ran out of stack".to_owned(),
        Some(Trap::UnreachableCodeReached) => "the driver panicked; the gateway's log says where".to_owned(),
        Some(trap) => format!("the driver trapped: {trap}"),
        None => "the driver broke the contract; the gateway's log says how".to_owned(),
    };
    let text: String = format!("{error:#}").chars().take(2000).collect();
    store.data().journal.report(&text, &message);
    broken(message)
}

/// A session: an opened instance, or none any more.
pub(super) struct WasmSession {
    /// Taken out for the time of a call. A call that traps or is cut does not bring it back.
    instance: Arc<Mutex<Option<Instance>>>,
    runtime: Handle,
}

impl WasmSession {
    pub(super) fn new(instance: Instance) -> Self {
        Self { instance: Arc::new(Mutex::new(Some(instance))), runtime: Handle::current() }
    }

    /// Lends the instance to `run`, which says whether the session goes on.
    fn lend<T: Send + 'static, F>(
        &self,
        run: impl FnOnce(Instance) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<T, DriverError>>
    where
        F: Future<Output = (Option<Instance>, Result<T, DriverError>)> + Send,
    {
        let slot = self.instance.clone();
        async move {
            let taken = lock(&slot).take();
            let Some(instance) = taken else {
                return Err(broken("the session is closed, or serves another call"));
            };
            let (instance, result) = run(instance).await;
            *lock(&slot) = instance;
            result
        }
        .boxed()
    }
}

impl DriverSession for WasmSession {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Payload, DriverError>> {
        self.lend(async move |mut instance: Instance| {
            instance.store.data().journal.set_request(&call.request_id);
            let most = call.max_reply_bytes.min(instance.store.data().meter.reply_bytes());
            let request = convert::request(Call { max_reply_bytes: most, ..call });
            match instance.run(async |guest, store| guest.call_call(store, &request).await).await {
                Ok(Ok(payload)) => (Some(instance), Ok(convert::read_payload(payload))),
                Ok(Err(error)) => {
                    let (error, lost) = convert::read_error(error, &instance.store.data().journal);
                    ((!lost).then_some(instance), Err(error))
                }
                Err(trapped) => (None, Err(trapped)),
            }
        })
    }

    fn ping(&self) -> BoxFuture<'static, Result<serde_json::Map<String, serde_json::Value>, DriverError>> {
        self.lend(async move |mut instance: Instance| {
            instance.store.data().journal.set_request("");
            match instance.run(async |guest, store| guest.call_ping(store).await).await {
                Ok(Ok(text)) => (Some(instance), read_facts(&text)),
                Ok(Err(error)) => {
                    let (error, lost) = convert::read_error(error, &instance.store.data().journal);
                    ((!lost).then_some(instance), Err(error))
                }
                Err(trapped) => (None, Err(trapped)),
            }
        })
    }

    fn is_open(&self) -> bool {
        lock(&self.instance).as_mut().is_some_and(|instance| instance.store.data_mut().streams.are_open())
    }
}

pub(super) fn read_facts(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, DriverError> {
    let facts = if text.len() > LONGEST_FACTS { None } else { serde_json::from_str(text).ok() };
    facts.ok_or_else(|| broken("the driver's facts are not a JSON object of a sensible size"))
}

impl Drop for WasmSession {
    fn drop(&mut self) {
        let Some(mut instance) = lock(&self.instance).take() else { return };
        self.runtime.spawn(async move {
            let goodbye = instance.run(async |guest, store| guest.call_close(store).await);
            // A guest that does not come to an end is cut short. Its answer is not used.
            let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        });
    }
}
