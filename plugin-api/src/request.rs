//! The request that a thread of a driver works for: whose log records it writes, and until when it is waited for.
//!
//! A record that a handler logs has its request's id by itself. A task that the handler spawns, or a thread that it
//! hands work to, belongs to no request unless it is told:
//!
//! ```
//! # #[cfg(not(target_family = "wasm"))]
//! # async fn handler() {
//! use studio_plugin_api::request;
//!
//! tokio::spawn(request::carry(async { tracing::info!("in the background") }));
//! tokio::task::spawn_blocking(request::carry_into(|| tracing::info!("on a thread")));
//! # }
//! ```

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

thread_local! {
    /// The request that this thread works for; `None` when it works for none.
    static CURRENT: RefCell<Option<Request>> = const { RefCell::new(None) };
}

/// A request, as far as a thread that works for it must know it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: Arc<str>,
    pub(crate) deadline: Instant,
}

/// While it lives, its thread works for the request.
pub(crate) struct Scope {
    previous: Option<Request>,
}

impl Scope {
    pub(crate) fn enter(request: Option<Request>) -> Self {
        Self { previous: CURRENT.with(|current| current.replace(request)) }
    }

    /// Ends the scope and gives its request back.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn leave(self) -> Option<Request> {
        CURRENT.with(RefCell::take)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let previous = self.previous.take();
        CURRENT.with(|current| current.replace(previous));
    }
}

/// Reads the id of the request that this thread works for, or an empty text.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn with_current_id<T>(read: impl FnOnce(&str) -> T) -> T {
    CURRENT.with(|current| read(current.borrow().as_ref().map_or("", |request| &request.id)))
}

/// Returns the time left until the deadline of the request that this thread works for, zero when it has passed; `None`
/// when the thread works for no request. A wait that is longer than this would end in a `TIMEOUT`, which tells the
/// caller less than an error of the driver's.
///
/// A component's thread works for no request in this sense: [`Context::time_left`](crate::Context::time_left) tells it.
pub fn time_left() -> Option<Duration> {
    let deadline = CURRENT.with(|current| current.borrow().as_ref().map(|request| request.deadline))?;
    Some(deadline.saturating_duration_since(Instant::now()))
}

fn current() -> Option<Request> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Makes a future whose records carry the id of the request that this thread now works for, wherever it is polled: for
/// `tokio::spawn`.
pub fn carry<F: Future>(future: F) -> Carried<F> {
    Carried { request: current(), future: Box::pin(future) }
}

/// Makes a function whose records carry the id of the request that this thread now works for, wherever it is called:
/// for `spawn_blocking`.
pub fn carry_into<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let request = current();
    move || {
        let _scope = Scope::enter(request);
        run()
    }
}

/// The future that [`carry`] makes.
#[derive(Debug)]
pub struct Carried<F> {
    request: Option<Request>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _scope = Scope::enter(self.request.clone());
        self.future.as_mut().poll(context)
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn request_is_carried_into_tasks_and_threads_and_ends_with_them() {
        let read = || (with_current_id(str::to_owned), time_left().is_some());
        let deadline = Instant::now() + Duration::from_secs(5);
        let scope = Scope::enter(Some(Request { id: "outer".into(), deadline }));
        assert!(time_left().unwrap() <= Duration::from_secs(5));
        let (task, run) = (carry(async move { read() }), carry_into(read));
        drop(scope);
        let nobody = (String::new(), false);
        assert_eq!(read(), nobody);
        let elsewhere = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            (runtime.block_on(task), run(), read())
        });
        let outer = ("outer".to_owned(), true);
        assert_eq!(elsewhere.join().unwrap(), (outer.clone(), outer, nobody));
    }
}
