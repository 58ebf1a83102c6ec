//! Keeps a driver that blocks from taking the gateway's threads with it.
//!
//! A driver's future is polled on the gateway's own worker threads, which makes a call cheap. A native driver that
//! blocks inside a poll therefore keeps a worker. Three rules bound the damage. A poll that would occupy the last free
//! worker first hands that worker's other tasks to a fresh thread. While a poll is under way, a watching thread
//! ([`Watch`]) nudges the runtime from outside: a worker that blocks may be the one that waited for I/O on behalf of
//! all, and the others would sleep on without it. And a driver with too many polls that do not return gets no new ones.
//! Together with the task that each call runs in ([`Containment::run`]), every caller gets its answer by its deadline,
//! and other callers hardly notice. The watching thread also logs which driver blocks, and in which call.
//!
//! A sandboxed driver is stopped from outside after a moment, so no poll of it lasts: its calls are polled in the task
//! of their caller, and only the first rule is for them.

use super::{
    DriverSession, Payload,
    operation::Operation,
    timers::Timers,
    watch::{Task, Watch},
};
use crate::count_guard::CountGuard;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use pin_project_lite::pin_project;
use serde_json::{Map, Value};
use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use studio_plugin_api::{Call, DriverError, ErrorCode};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinError, JoinHandle},
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
    /// Whether no poll of the driver lasts.
    is_preempted: bool,
    timers: Timers,
    watch: Arc<Watch>,
    driver: Arc<str>,
    connect: Named,
    ping: Named,
    close: Arc<Task>,
}

/// A request to a driver, as the log names it.
#[derive(Clone)]
pub struct Named {
    /// `GET /keys`, `connect`.
    name: Arc<str>,
    request_id: Arc<str>,
}

impl Containment {
    /// Makes the containment of a driver whose calls run on the current runtime.
    pub(super) fn new(watch: Arc<Watch>, database_type: &str, is_preempted: bool) -> Arc<Self> {
        let runtime =
            Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let driver: Arc<str> = database_type.into();
        let of_no_request = |name: &str| Named { name: name.into(), request_id: "".into() };
        Arc::new(Self {
            polling: AtomicUsize::new(0),
            workers: runtime.map(|runtime| runtime.metrics().num_workers()),
            is_preempted,
            timers: Timers::default(),
            watch,
            connect: of_no_request("connect"),
            ping: of_no_request("ping"),
            close: Task::new(&driver, &"closing a session".into(), ""),
            driver,
        })
    }

    /// Names a call of an operation, for [`run`](Self::run).
    pub fn call(&self, operation: &Operation, request_id: &Arc<str>) -> Named {
        Named { name: operation.name.clone(), request_id: request_id.clone() }
    }

    /// Names the opening of a session, for [`run`](Self::run).
    pub fn connect(&self) -> Named {
        self.connect.clone()
    }

    /// Names a ping, for [`run`](Self::run).
    pub fn ping(&self) -> Named {
        self.ping.clone()
    }

    /// Runs a driver's future until it ends or `deadline` passes, whichever is first; in its own task, unless no poll
    /// of it lasts. Dropping the returned future cancels the driver's.
    ///
    /// # Errors
    /// The driver's own; `TIMEOUT` at the deadline, which says whether the driver's future was cancelled
    /// ([`goes_on`]); `DRIVER_ERROR` when the driver is stuck.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        named: Named,
        deadline: Instant,
        future: F,
    ) -> Result<T, DriverError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        if self.is_preempted {
            return self.run_in_place(deadline, future).await;
        }
        if self.polling.load(Ordering::Relaxed) >= STUCK {
            return Err(DriverError::new(
                ErrorCode::DriverError,
                "the driver blocks: its earlier calls do not return",
            ));
        }
        let task = Task::new(&self.driver, &named.name, named.request_id);
        let future = Some(future);
        let contained = Contained { future, task: task.clone(), containment: self.clone() };
        let mut running = Running(tokio::spawn(contained));
        if let Some(ended) = self.timers.within(deadline, &mut running).await {
            return ended.unwrap_or_else(|_| Err(no_answer()));
        }
        running.0.abort();
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
            _ => Err(was_cancelled()),
        }
    }

    /// Runs the future of a driver that keeps no thread for long in the task that this is called in.
    async fn run_in_place<T>(
        &self,
        deadline: Instant,
        future: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, DriverError> {
        let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
        let polled = poll_fn(|context| self.occupy(|| future.as_mut().poll(context)));
        match self.timers.within(deadline, polled).await {
            Some(ended) => ended.unwrap_or_else(|_| Err(no_answer())),
            None => Err(was_cancelled()),
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
        self.occupy(run)
    }

    /// Gives this worker to the driver. Other tasks than this one go on, even if no other worker is free.
    fn occupy<T>(&self, run: impl FnOnce() -> T) -> T {
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

fn was_cancelled() -> DriverError {
    DriverError::new(ErrorCode::Timeout, "the operation passed its deadline and was cancelled")
}

/// A task that ends when this is dropped.
struct Running<T>(JoinHandle<T>);

impl<T> Future for Running<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pin_project! {
    struct Contained<F> {
        // `None` once it ended.
        #[pin]
        future: Option<F>,
        task: Arc<Task>,
        containment: Arc<Containment>,
    }

    impl<F> PinnedDrop for Contained<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                // The driver's own code runs when its future is dropped.
                this.containment.lend(this.task, || this.future.set(None));
            }
        }
    }
}

impl<T, F: Future<Output = Result<T, DriverError>>> Future for Contained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.containment.lend(this.task, || {
            let Some(running) = this.future.as_mut().as_pin_mut() else {
                return Poll::Ready(Err(no_answer()));
            };
            let polled = running.poll(context);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        })
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
        Containment::new(Watch::start(), "thing", false)
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn calls_of_a_preempted_driver_run_in_their_callers_task() {
        struct Ends(Arc<AtomicUsize>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let preempted = Containment::new(Watch::start(), "thing", true);
        let calling = preempted.clone();
        let (caller, called) = tokio::spawn(async move {
            let far = Instant::now() + Duration::from_secs(60);
            let called = calling.run(calling.ping(), far, async { Ok(tokio::task::id()) }).await;
            (tokio::task::id(), called.unwrap())
        })
        .await
        .unwrap();
        assert_eq!(caller, called);

        let ended = Arc::new(AtomicUsize::new(0));
        let waiting = |time| {
            let (ends, deadline) = (Ends(ended.clone()), Instant::now() + Duration::from_millis(time));
            let forever = async move {
                let _ends = ends;
                std::future::pending::<Result<(), DriverError>>().await
            };
            preempted.run(preempted.ping(), deadline, forever)
        };
        let error = waiting(20).await.unwrap_err();
        assert!(error.code == ErrorCode::Timeout && !goes_on(&error), "{error}");
        assert_eq!(ended.load(Ordering::SeqCst), 1, "it was cancelled before its caller was told");
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting(60_000)).await.is_err());
        assert_eq!(ended.load(Ordering::SeqCst), 2, "a caller that leaves cancels it");

        let panicking = async {
            if ended.load(Ordering::SeqCst) == 2 { panic!("a fault of the sandbox") } else { Ok(()) }
        };
        let error = preempted.run_in_place(Instant::now() + Duration::from_secs(60), panicking).await;
        assert_eq!(error.unwrap_err().code, ErrorCode::DriverError);
    }
}
