//! A real server for a test. The test goes on while the server starts and stops.

use crate::time::{PATIENCE, within};
use std::{
    io,
    ops::{Deref, DerefMut},
};
use studio_test_servers::{Program, Server};

/// The contents that a server has before a test gets it.
#[allow(async_fn_in_trait, reason = "whoever starts one knows its kind")]
pub trait Contents: Program + Sized {
    /// Puts them in.
    async fn fill(_server: &mut TestServer<Self>) {}
}

/// A server. Dropping it ends it.
pub struct TestServer<P: Program>(Server<P>);

impl<P: Contents> TestServer<P> {
    /// Starts one and waits until it answers.
    pub async fn start(options: P) -> Self {
        let mut server = Self(told(Server::new(options)));
        server.start_again().await;
        P::fill(&mut server).await;
        server
    }

    /// Starts one without options.
    pub async fn plain() -> Self
    where
        P: Default,
    {
        Self::start(P::default()).await
    }
}

impl<P: Program> TestServer<P> {
    /// Starts it on the same port after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub async fn start_again(&mut self) {
        told(self.0.spawn());
        within(*PATIENCE, &format!("{} answers", P::NAME), async || told(self.0.is_ready())).await;
    }

    /// Ends it in order.
    pub async fn stop(&mut self) {
        self.end_by(P::STOP).await;
    }

    /// Ends it as a crash does.
    pub async fn kill(&mut self) {
        self.end_by(P::CRASH).await;
    }

    async fn end_by(&mut self, signal: &str) {
        told(self.0.order_end(signal));
        within(*PATIENCE, &format!("{} ends", P::NAME), async || told(self.0.has_ended())).await;
    }

    /// Does [`stop`](Self::stop) and starts it again, on the same port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Freezes it and all that serves its clients: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        told(self.0.freeze());
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        told(self.0.thaw());
    }
}

impl<P: Program> Deref for TestServer<P> {
    type Target = Server<P>;

    fn deref(&self) -> &Server<P> {
        &self.0
    }
}

impl<P: Program> DerefMut for TestServer<P> {
    fn deref_mut(&mut self) -> &mut Server<P> {
        &mut self.0
    }
}

/// Returns the value, or panics with the error's own text.
#[track_caller]
pub(crate) fn told<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
