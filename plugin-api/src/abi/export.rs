//! The driver's side of the border: its runtime, its guarded futures, its entry points.

use super::{
    AbiCall, AbiError, AbiPayload, DriverModule, DriverModuleRef, HostObject, Session, Session_TO,
    SessionObject, TD_Opaque,
    log::{level_filter, write},
    own_threads::OnOwnThreads,
};
use crate::{
    Call, ConnectionSettings, Driver, DriverError, ErrorCode, Network, Outcome,
    log_bridge::{LogBridge, LogRecord},
    manifest,
    operations::Operation,
    parameters,
    reply::Payload,
    request::{Request, Scope},
};
use abi_stable::{
    library::RootModuleResult,
    prefix_type::PrefixTypeTrait,
    std_types::{RResult, RString},
};
use async_ffi::{FfiFuture, FutureExt};
use pin_project_lite::pin_project;
use secrecy::zeroize::Zeroize;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};
use tokio::runtime::Runtime;

/// Each library links its own copy of this crate, so these belong to one driver.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// The same runtime, where it runs whole calls.
static RUNTIME_OF_CALLS: OnceLock<&Runtime> = OnceLock::new();
static HOST: OnceLock<Arc<HostObject>> = OnceLock::new();

/// Makes the entry points of a driver, for [`export_driver!`](crate::export_driver).
pub fn root_module<D: Driver>() -> DriverModuleRef {
    DriverModule { manifest: describe::<D>, start: start::<D>, check: check::<D>, connect: connect::<D> }
        .leak_into_prefix()
}

/// Loads the root module for the exported header's constructor; a panic in it becomes an error.
#[doc(hidden)]
pub fn load_root_module<D: Driver>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(root_module::<D>)
}

extern "C" fn describe<D: Driver>() -> RResult<RString, AbiError> {
    guard(|| {
        let manifest = serde_json::to_string(&manifest::derive::<D>());
        manifest.map(RString::from).map_err(|error| broken(format!("the manifest has no JSON form: {error}")))
    })
}

extern "C" fn start<D: Driver>(host: HostObject, log_level: u8) -> RResult<(), AbiError> {
    guard(|| {
        if RUNTIME.get().is_some() {
            return Err(broken("started twice"));
        }
        let description = D::describe();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(description.threads)
            .thread_name(format!("driver-{}", description.database_type))
            .enable_all()
            .build()
            .map_err(|error| broken(format!("no thread for the driver: {error}")))?;
        let host = Arc::new(host);
        let log = host.clone();
        LogBridge { level: level_filter(log_level), write: move |record: LogRecord<'_>| write(&log, record) }
            .set();
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        let _ = HOST.set(host);
        let runtime = RUNTIME.get_or_init(|| runtime);
        if description.calls_on_own_threads {
            let _ = RUNTIME_OF_CALLS.set(runtime);
        }
        Ok(())
    })
}

extern "C" fn check<D: Driver>(settings: RString) -> RResult<(), AbiError> {
    guard(|| D::check(&read_settings::<D>(settings)?))
}

extern "C" fn connect<D: Driver>(settings: RString) -> FfiFuture<RResult<SessionObject, AbiError>> {
    let settings = match guard(|| read_settings::<D>(settings)) {
        RResult::ROk(settings) => settings,
        RResult::RErr(error) => return std::future::ready(RResult::RErr(error)).into_ffi(),
    };
    let opening = async move {
        let session = Arc::new(D::connect(settings, network()).await?);
        let operations = D::operations().into_rows().into();
        let shell = Shell { session: Some(session), operations };
        Ok(Session_TO::from_value(shell, TD_Opaque))
    };
    Guarded::new(None, opening).into_ffi()
}

fn read_settings<D: Driver>(text: RString) -> Result<ConnectionSettings<D::Options>, DriverError> {
    let mut text = String::from(text);
    let read = serde_json::from_str::<ConnectionSettings<serde_json::Value>>(&text);
    text.zeroize();
    let ConnectionSettings { endpoint, options } =
        read.map_err(|_| broken("the host sent settings that do not read"))?;
    Ok(ConnectionSettings { endpoint, options: parameters::options_from_json(options)? })
}

fn network() -> Network {
    Network::new(|name, port| async move {
        let host = HOST.get().ok_or_else(|| broken("not started"))?;
        let addresses = host.resolve(name.into(), port).await.into_result().map_err(DriverError::from)?;
        addresses
            .iter()
            .map(|address| address.parse().map_err(|_| broken("the host sent an address that does not read")))
            .collect()
    })
}

/// A session with its route table, as the host holds it.
struct Shell<D> {
    /// Taken only when dropped.
    session: Option<Arc<D>>,
    operations: Arc<[Operation<D>]>,
}

impl<D: Driver> Session for Shell<D> {
    fn call(&self, call: AbiCall) -> FfiFuture<RResult<AbiPayload, AbiError>> {
        let call = Call::from(call);
        let request = Some(Request { id: call.request_id.clone(), deadline: call.deadline });
        let session = self.session.clone();
        let operations = self.operations.clone();
        let running = async move {
            let session = session.ok_or_else(|| broken("the session is closed"))?;
            let operation = operations
                .get(call.operation as usize)
                .ok_or_else(|| broken("the host called an operation that is not in the manifest"))?;
            let Payload { outcome, json, only_read } = (operation.handler)(session, call).await?;
            let outcome = match outcome {
                Outcome::Ok => 0,
                Outcome::Created => 1,
                Outcome::NoContent => 2,
            };
            Ok(AbiPayload { outcome, json: json.into(), only_read })
        };
        let running = Guarded::new(request.clone(), running);
        match RUNTIME_OF_CALLS.get() {
            Some(runtime) => OnOwnThreads::new(runtime, request, Box::pin(running)).into_ffi(),
            None => running.into_ffi(),
        }
    }

    fn ping(&self) -> FfiFuture<RResult<RString, AbiError>> {
        let session = self.session.clone();
        let asking = async move {
            let session = session.ok_or_else(|| broken("the session is closed"))?;
            let facts = session.ping().await?;
            serde_json::to_string(&facts)
                .map(RString::from)
                .map_err(|error| broken(format!("the server's facts have no JSON form: {error}")))
        };
        Guarded::new(None, asking).into_ffi()
    }

    fn is_open(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.session.as_ref().is_some_and(|session| session.is_open())))
            .unwrap_or(false)
    }
}

impl<D> Drop for Shell<D> {
    fn drop(&mut self) {
        let _runtime = RUNTIME.get().map(Runtime::enter);
        let session = self.session.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(session)));
    }
}

pin_project! {
    /// A driver's future as it is polled, by the host or on the driver's own threads: each poll, and its drop, run
    /// inside the driver's runtime and request scope, with panics caught.
    struct Guarded<F> {
        // `None` after it ended, panicked or was dropped.
        #[pin]
        future: Option<F>,
        // Taken while the future is polled.
        request: Option<Request>,
    }

    impl<F> PinnedDrop for Guarded<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _runtime = RUNTIME.get().map(Runtime::enter);
                // A handler that is cancelled may spawn a task that puts things right, and may log it.
                let _scope = Scope::enter(this.request.take());
                let _ = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
            }
        }
    }
}

impl<F> Guarded<F> {
    fn new(request: Option<Request>, future: F) -> Self {
        Self { future: Some(future), request }
    }
}

impl<T, F: Future<Output = Result<T, DriverError>>> Future for Guarded<F> {
    type Output = RResult<T, AbiError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Ready(RResult::RErr(broken("polled after its end").into()));
        };
        let _runtime = RUNTIME.get().map(Runtime::enter);
        let scope = Scope::enter(this.request.take());
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(context)));
        if !matches!(polled, Ok(Poll::Pending)) {
            // A panic in here does not change the answer.
            let _ = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
        }
        *this.request = scope.leave();
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(AbiError::from).into()),
            Err(panic) => Poll::Ready(RResult::RErr(panicked(&*panic).into())),
        }
    }
}

fn guard<T>(run: impl FnOnce() -> Result<T, DriverError>) -> RResult<T, AbiError> {
    let _runtime = RUNTIME.get().map(Runtime::enter);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(AbiError::from).into(),
        Err(panic) => RResult::RErr(panicked(&*panic).into()),
    }
}

fn broken(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorCode::DriverError, message)
}

/// Makes the error of a panic. Its message may hold anything, even a password, so it goes to the log (by the hook) and
/// not to the caller.
fn panicked(_: &(dyn Any + Send)) -> DriverError {
    broken("the driver panicked; the gateway's log says where")
}
