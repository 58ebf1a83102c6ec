//! Runs a call on the driver's own threads, for a driver that asks for it.

use super::AbiError;
use crate::{
    DriverError, ErrorCode,
    request::{Request, Scope},
    sync::lock,
};
use abi_stable::std_types::RResult;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinHandle};

/// How long one poll may keep a thread before the log tells of it: as long as on the host's threads.
const BLOCKS_AFTER: Duration = Duration::from_secs(1);

/// A future that a task of the driver's runtime polls, and the host awaits.
///
/// Dropping it drops the future at once, on the thread that drops it, as with one that is polled there. While a poll is
/// under way, that thread waits for its end: so the host finds out that a driver blocks, as it would by the poll itself.
pub(super) struct OnOwnThreads<F: Future> {
    runtime: &'static Runtime,
    request: Option<Request>,
    /// `None` from its end on.
    future: Arc<Mutex<Option<F>>>,
    /// `None` until the host polls: a call that nobody awaits does not begin.
    task: Option<JoinHandle<F::Output>>,
}

impl<F: Future> OnOwnThreads<F> {
    /// Makes one that begins with its first poll.
    pub(super) fn new(runtime: &'static Runtime, request: Option<Request>, future: F) -> Self {
        Self { runtime, request, future: Arc::new(Mutex::new(Some(future))), task: None }
    }
}

impl<T, F> Future for OnOwnThreads<F>
where
    T: Send + 'static,
    F: Future<Output = RResult<T, AbiError>> + Send + Unpin + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { runtime, request, future, task } = &mut *self;
        let task = task.get_or_insert_with(|| {
            let (future, request) = (future.clone(), request.take());
            runtime.spawn(poll_fn(move |context| {
                let begun = Instant::now();
                let polled = poll_shared(&future, context);
                if begun.elapsed() >= BLOCKS_AFTER {
                    let _scope = Scope::enter(request.clone());
                    let seconds = begun.elapsed().as_secs_f64();
                    tracing::warn!(
                        "driver blocked: a call kept one of the driver's threads for {seconds:.1} s"
                    );
                }
                polled
            }))
        });
        Pin::new(task).poll(context).map(|ended| {
            let broken = |_| DriverError::new(ErrorCode::DriverError, "the driver's runtime ended the call");
            ended.map_err(broken).unwrap_or_else(|error| RResult::RErr(error.into()))
        })
    }
}

impl<F: Future> Drop for OnOwnThreads<F> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        let future = lock(&self.future).take();
        drop(future);
    }
}

fn poll_shared<F: Future + Unpin>(future: &Mutex<Option<F>>, context: &mut Context<'_>) -> Poll<F::Output> {
    let mut future = lock(future);
    // Dropped meanwhile: the task's end is on its way.
    let Some(running) = &mut *future else { return Poll::Pending };
    let polled = Pin::new(running).poll(context);
    if polled.is_ready() {
        *future = None;
    }
    polled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc,
        thread::{self, ThreadId},
    };

    fn runtime() -> &'static Runtime {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Box::leak(Box::new(runtime.unwrap()))
    }

    /// Tells the thread that drops it.
    struct Tells(mpsc::Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    type Answer = RResult<ThreadId, AbiError>;

    #[test]
    fn call_runs_elsewhere_and_only_when_it_is_awaited() {
        let (runtime, (begun, begins)) = (runtime(), mpsc::channel());
        let call = Box::pin(async move {
            begun.send(()).unwrap();
            Answer::ROk(thread::current().id())
        });
        let call = OnOwnThreads::new(runtime, None, call);
        assert!(begins.recv_timeout(Duration::from_millis(50)).is_err(), "nobody awaits it");
        let awaited = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(call);
        begins.recv().unwrap();
        assert_ne!(awaited.into_result().unwrap(), thread::current().id());
    }

    #[test]
    fn drop_ends_a_call_at_once_and_waits_for_a_poll() {
        let (runtime, (dropped, drops)) = (runtime(), mpsc::channel());
        for blocks in [false, true] {
            let (tells, (begun, begins)) = (Tells(dropped.clone()), mpsc::channel());
            let call = Box::pin(async move {
                let _tells = tells;
                begun.send(()).unwrap();
                if blocks {
                    thread::sleep(Duration::from_millis(200));
                }
                std::future::pending::<Answer>().await
            });
            let mut call = Box::pin(OnOwnThreads::new(runtime, None, call));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(call.as_mut().poll(&mut context).is_pending());
            begins.recv().unwrap();
            drop(call);
            // It is gone when the drop returns, as one that is polled here.
            assert_eq!(drops.try_recv().unwrap(), thread::current().id());
        }
    }
}
