//! The request that a driver's log records belong to.
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
};

thread_local! {
    /// The id of the request that this thread works for; `None` when it works for none.
    static CURRENT: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// While it lives, records of this thread carry the request's id.
pub(crate) struct Scope {
    previous: Option<Arc<str>>,
}

impl Scope {
    pub(crate) fn enter(request_id: Option<Arc<str>>) -> Self {
        Self { previous: CURRENT.with(|current| current.replace(request_id)) }
    }

    /// Ends the scope and gives its id back.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn leave(self) -> Option<Arc<str>> {
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
    CURRENT.with(|current| read(current.borrow().as_deref().unwrap_or_default()))
}

fn current() -> Option<Arc<str>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Makes a future whose records carry the id of the request that this thread now works for, wherever it is polled: for
/// `tokio::spawn`.
pub fn carry<F: Future>(future: F) -> Carried<F> {
    Carried { request_id: current(), future: Box::pin(future) }
}

/// Makes a function whose records carry the id of the request that this thread now works for, wherever it is called:
/// for `spawn_blocking`.
pub fn carry_into<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let request_id = current();
    move || {
        let _scope = Scope::enter(request_id);
        run()
    }
}

/// The future that [`carry`] makes.
#[derive(Debug)]
pub struct Carried<F> {
    request_id: Option<Arc<str>>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _scope = Scope::enter(self.request_id.clone());
        self.future.as_mut().poll(context)
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn request_is_carried_into_tasks_and_threads_and_ends_with_them() {
        let read = || with_current_id(str::to_owned);
        let scope = Scope::enter(Some("outer".into()));
        let (task, run) = (carry(async move { read() }), carry_into(read));
        drop(scope);
        assert_eq!(read(), "");
        let elsewhere = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            (runtime.block_on(task), run(), read())
        });
        assert_eq!(elsewhere.join().unwrap(), ("outer".to_owned(), "outer".to_owned(), String::new()));
    }
}
