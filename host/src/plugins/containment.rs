//! Keeps a native driver that blocks from taking the gateway's threads with it.
//!
//! A driver's future is polled in place, on the gateway's own worker threads, which makes a call cheap. A driver that
//! blocks inside a poll therefore keeps a worker. Three rules bound the damage. A poll that would occupy the last free
//! worker first hands that worker's other tasks to a fresh thread. While a poll is under way, a watching thread
//! ([`Watch`]) nudges the runtime from outside: a worker that blocks may be the one that waited for I/O on behalf of
//! all, and the others would sleep on without it. And a driver with too many polls that do not return gets no new ones.
//! Together with the task that each call runs in ([`Containment::run`]), every caller gets its answer by its deadline,
//! and other callers hardly notice. The watching thread also logs which driver blocks, and in which call.

use super::{
    DriverSession,
    operation::Operation,
    watch::{Task, Watch},
};
use crate::count_guard::CountGuard;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use serde_json::{Map, Value};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use studio_plugin_api::{Call, DriverError, ErrorCode, reply::Payload};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::AbortHandle,
};

/// Polls of one driver under way at once, beyond which it counts as stuck. A poll takes microseconds, and there are
/// no more workers than cores plus a few, so a sound driver never comes near.
const STUCK: usize = 32;

/// How long a future that is cut at its deadline has to come to its end, before its driver counts as blocking.
const GRACE: Duration = Duration::from_millis(50);

/// The detail of an error that is `false` when a call that passed its deadline goes on.
const CANCELLED: &str = "cancelled";

/// Polls of any driver under way on the gateway's workers, except for those that handed their worker over.
static POLLING: AtomicUsize = AtomicUsize::new(0);

/// The containment of one driver: counts its polls under way.
pub struct Containment {
    polling: AtomicUsize,
    /// Workers that driver polls may occupy together without handing over; `None` where there are no workers.
    workers: Option<usize>,
    watch: Arc<Watch>,
    driver: Arc<str>,
    connect: Arc<str>,
    ping: Arc<str>,
    close: Arc<Task>,
}

impl Containment {
    /// Makes the containment of a driver whose calls run on the current runtime.
    pub(super) fn new(watch: Arc<Watch>, database_type: &str) -> Arc<Self> {
        let runtime =
            Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let driver: Arc<str> = database_type.into();
        Arc::new(Self {
            polling: AtomicUsize::new(0),
            workers: runtime.map(|runtime| runtime.metrics().num_workers()),
            watch,
            connect: "connect".into(),
            ping: "ping".into(),
            close: Task::new(&driver, &"closing a session".into(), ""),
            driver,
        })
    }

    /// Names a call of an operation, for [`run`](Self::run).
    pub fn call(&self, operation: &Operation, request_id: &Arc<str>) -> Arc<Task> {
        Task::new(&self.driver, &operation.name, request_id.clone())
    }

    /// Names the opening of a session, for [`run`](Self::run).
    pub fn connect(&self) -> Arc<Task> {
        Task::new(&self.driver, &self.connect, "")
    }

    /// Names a ping, for [`run`](Self::run).
    pub fn ping(&self) -> Arc<Task> {
        Task::new(&self.driver, &self.ping, "")
    }

    /// Runs a driver's future in its own task until it ends or `deadline` passes, whichever is first. Dropping
    /// the returned future cancels the driver's.
    ///
    /// # Errors
    /// The driver's own; `TIMEOUT` at the deadline, which says whether the driver's future was cancelled
    /// ([`goes_on`]); `DRIVER_ERROR` when the driver is stuck.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        task: Arc<Task>,
        deadline: Instant,
        future: F,
    ) -> Result<T, DriverError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        if self.polling.load(Ordering::Relaxed) >= STUCK {
            return Err(DriverError::new(
                ErrorCode::DriverError,
                "the driver blocks: its earlier calls do not return",
            ));
        }
        let future = Some(Box::pin(future));
        let mut running = tokio::spawn(Contained { future, task: task.clone(), containment: self.clone() });
        let cancel = AbortOnDrop(running.abort_handle());
        if let Ok(ended) = tokio::time::timeout_at(deadline.into(), &mut running).await {
            return ended.unwrap_or_else(|_| Err(no_answer()));
        }
        drop(cancel);
        // The aborted future is dropped between two polls; in a driver that keeps to the rules, no poll takes long.
        match tokio::time::timeout(GRACE, running).await {
            // A call that came to its end was not cancelled.
            Ok(Ok(result)) => result,
            Ok(Err(ended)) if ended.is_panic() => Err(no_answer()),
            Err(_) if task.has_thread() => Err(DriverError::new(
                ErrorCode::Timeout,
                "the operation passed its deadline and could not be cancelled: the driver blocks, and it goes on",
            )
            .with(CANCELLED, false)),
            _ => Err(DriverError::new(
                ErrorCode::Timeout,
                "the operation passed its deadline and was cancelled",
            )),
        }
    }

    /// Wraps a session, so that its driver is held to the same rules when the session is closed.
    pub fn hold(self: &Arc<Self>, session: Box<dyn DriverSession>) -> Box<dyn DriverSession> {
        Box::new(ContainedSession { session: Some(session), containment: self.clone() })
    }

    /// Gives this thread to the driver, which may block.
    fn lend<T>(&self, task: &Arc<Task>, run: impl FnOnce() -> T) -> T {
        let _driver = CountGuard::enter(&self.polling);
        let _noted = self.watch.note(task);
        let worker = CountGuard::enter(&POLLING);
        if self.workers.is_some_and(|workers| worker.before + 1 >= workers) {
            // From here on, this code holds no worker any more: a fresh thread does the worker's tasks.
            drop(worker);
            tokio::task::block_in_place(run)
        } else {
            run()
        }
    }
}

/// Tells whether a call that passed its deadline goes on, because its driver blocks.
pub fn goes_on(error: &DriverError) -> bool {
    error.details.get(CANCELLED).and_then(Value::as_bool) == Some(false)
}

fn no_answer() -> DriverError {
    DriverError::new(ErrorCode::DriverError, "the driver's call ended without an answer")
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Contained<F> {
    /// `None` once it ended.
    future: Option<Pin<Box<F>>>,
    task: Arc<Task>,
    containment: Arc<Containment>,
}

impl<T, F: Future<Output = Result<T, DriverError>>> Future for Contained<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, task, containment } = &mut *self;
        containment.lend(task, || {
            let Some(running) = future else { return Poll::Ready(Err(no_answer())) };
            let polled = running.as_mut().poll(context);
            if polled.is_ready() {
                *future = None;
            }
            polled
        })
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            // The driver's own code runs when its future is dropped.
            self.containment.lend(&self.task, || drop(future));
        }
    }
}

/// A session that runs the driver's code in its containment also when it is closed. Closing is not a future.
struct ContainedSession {
    /// Taken only when dropped.
    session: Option<Box<dyn DriverSession>>,
    containment: Arc<Containment>,
}

impl DriverSession for ContainedSession {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Payload, DriverError>> {
        self.session.as_ref().map_or_else(|| ready(Err(no_answer())).boxed(), |session| session.call(call))
    }

    fn ping(&self) -> BoxFuture<'static, Result<Map<String, Value>, DriverError>> {
        self.session.as_ref().map_or_else(|| ready(Err(no_answer())).boxed(), |session| session.ping())
    }

    fn is_open(&self) -> bool {
        // This is asked twice a call, and the driver answers from what it knows.
        self.session.as_ref().is_some_and(|session| session.is_open())
    }
}

impl Drop for ContainedSession {
    fn drop(&mut self) {
        let session = self.session.take();
        self.containment.lend(&self.containment.close, || drop(session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containment() -> Arc<Containment> {
        Containment::new(Watch::start(), "thing")
    }

    #[test]
    fn blocked_polls_leave_a_worker_free_and_callers_their_deadline() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        runtime.block_on(async {
            let containment = containment();
            let blocked: Vec<_> = (0..8)
                .map(|_| {
                    let (containment, released) = (containment.clone(), released.clone());
                    tokio::spawn(async move {
                        let deadline = Instant::now() + Duration::from_millis(100);
                        let blocking = async move {
                            let _ = released.lock().unwrap().recv();
                            Ok(())
                        };
                        containment.run(containment.ping(), deadline, blocking).await
                    })
                })
                .collect();
            for call in blocked {
                let error = call.await.unwrap().unwrap_err();
                assert_eq!(error.code, ErrorCode::Timeout);
                assert!(goes_on(&error), "{error}");
            }
            let in_time = Instant::now() + Duration::from_millis(10);
            let waiting =
                containment.run(containment.ping(), in_time, std::future::pending::<Result<(), _>>());
            let error = waiting.await.unwrap_err();
            assert!(!goes_on(&error) && error.message.ends_with("was cancelled"), "{error}");
            let next = containment
                .run(containment.ping(), Instant::now() + Duration::from_secs(10), async { Ok(7) })
                .await;
            assert_eq!(next.unwrap(), 7);
            drop(release);
        });
    }
}
