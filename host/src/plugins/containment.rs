//! Keeps a native driver that blocks from taking the gateway's threads with it.
//!
//! A driver's future is polled in place, on the gateway's own worker threads: that is what makes a call cheap. A
//! driver that blocks inside a poll therefore keeps a worker. Three rules bound the damage. A poll that would occupy
//! the last free worker first hands that worker's other tasks to a fresh thread. While a poll is under way, a watching
//! thread nudges the runtime from outside: a worker that blocks may be the one that waited for I/O on behalf of all,
//! and the others would sleep on without it. And a driver with too many polls that do not return gets no new ones.
//! Together with the task that each call runs in ([`Containment::run`]), every caller gets its answer by its deadline,
//! and everyone else hardly notices.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, ErrorCode};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::AbortHandle,
};

/// Polls of one driver under way at once, beyond which it counts as stuck. A poll takes microseconds, and there are
/// no more workers than cores plus a few, so a sound driver never comes near.
const STUCK: usize = 32;

/// How often the watching thread looks.
const NUDGE: Duration = Duration::from_millis(20);

/// Polls of any driver under way on the gateway's workers, but for those that handed their worker over.
static POLLING: AtomicUsize = AtomicUsize::new(0);

/// The containment of one driver: counts its polls under way.
#[derive(Debug)]
pub struct Containment {
    polling: AtomicUsize,
    /// Workers that driver polls may occupy together without handing over; `None` where there are no workers.
    workers: Option<usize>,
}

impl Containment {
    /// For a driver whose calls run on the current runtime.
    pub fn new() -> Arc<Self> {
        let runtime =
            Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let workers = runtime.as_ref().map(|runtime| runtime.metrics().num_workers());
        let containment = Arc::new(Self { polling: AtomicUsize::new(0), workers });
        if let Some(runtime) = runtime {
            watch(runtime, Arc::downgrade(&containment));
        }
        containment
    }

    /// Runs a driver's future in a task of its own until it ends or `deadline` passes, whichever is first. Dropping
    /// the returned future cancels the driver's.
    ///
    /// # Errors
    /// The driver's own; `TIMEOUT` at the deadline; `DRIVER_ERROR` when the driver is stuck.
    pub async fn run<T, F>(self: &Arc<Self>, deadline: Instant, future: F) -> Result<T, DriverError>
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
        let task = tokio::spawn(Contained { future: Box::pin(future), containment: self.clone() });
        let _cancel = AbortOnDrop(task.abort_handle());
        match tokio::time::timeout_at(deadline.into(), task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                Err(DriverError::new(ErrorCode::DriverError, "the driver's call ended without an answer"))
            }
            Err(_) => Err(DriverError::new(
                ErrorCode::Timeout,
                "the operation passed its deadline and was cancelled",
            )),
        }
    }
}

/// Starts the watching thread, which ends with the driver.
fn watch(runtime: Handle, containment: Weak<Containment>) {
    let watching = move || {
        while let Some(containment) = containment.upgrade() {
            if containment.polling.load(Ordering::Relaxed) > 0 {
                // Any task will do: the worker that wakes for it looks after I/O when it is done.
                runtime.spawn(async {});
            }
            drop(containment);
            std::thread::sleep(NUDGE);
        }
    };
    let started =
        std::thread::Builder::new().name("driver-watch".to_owned()).stack_size(128 * 1024).spawn(watching);
    if let Err(error) = started {
        tracing::warn!(%error, "no thread to watch a driver: one that blocks may delay others");
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Contained<F> {
    future: Pin<Box<F>>,
    containment: Arc<Containment>,
}

impl<F: Future> Future for Contained<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _driver = Counted::enter(&this.containment.polling);
        let worker = Counted::enter(&POLLING);
        if this.containment.workers.is_some_and(|workers| worker.total >= workers) {
            // What runs from here on holds no worker any more: a fresh thread does its work.
            drop(worker);
            tokio::task::block_in_place(|| this.future.as_mut().poll(context))
        } else {
            this.future.as_mut().poll(context)
        }
    }
}

/// Counts a poll while it lasts, also when it panics.
struct Counted<'a> {
    counter: &'a AtomicUsize,
    total: usize,
}

impl<'a> Counted<'a> {
    fn enter(counter: &'a AtomicUsize) -> Self {
        Self { counter, total: counter.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_polls_leave_a_worker_for_everyone_else_and_callers_get_their_deadline() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        runtime.block_on(async {
            let containment = Containment::new();
            let blocked: Vec<_> = (0..8)
                .map(|_| {
                    let (containment, released) = (containment.clone(), released.clone());
                    tokio::spawn(async move {
                        let deadline = Instant::now() + Duration::from_millis(100);
                        let blocking = async move {
                            let _ = released.lock().unwrap().recv();
                            Ok(())
                        };
                        containment.run(deadline, blocking).await
                    })
                })
                .collect();
            for call in blocked {
                let error = call.await.unwrap().unwrap_err();
                assert_eq!(error.code, ErrorCode::Timeout);
            }
            let next = containment.run(Instant::now() + Duration::from_secs(10), async { Ok(7) }).await;
            assert_eq!(next.unwrap(), 7);
            drop(release);
        });
    }
}
