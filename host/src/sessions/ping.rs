//! Pings idle sessions, so that one whose database is gone is closed before a caller gets it.

use super::{entry::Entry, pool::Ended, session::Session};
use futures_util::{StreamExt, stream};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, manifest::Concurrency};

/// How long a session has to answer a ping.
pub(super) const PING_TIME: Duration = Duration::from_secs(1);
/// Pings under way at once.
const AT_ONCE: usize = 32;

/// Pings all sessions that have been idle since `limit` or longer, and closes those that do not answer.
pub(super) async fn ping_idle(entries: Vec<Arc<Entry>>, limit: Instant) {
    // An entry's sessions are borrowed only when its turn comes: until then callers can use them.
    let checks = stream::iter(entries).flat_map(|entry| {
        let check = |session| Check { entry: entry.clone(), session, is_alive: false };
        stream::iter(entry.borrow_idle(limit).into_iter().map(check).collect::<Vec<_>>())
    });
    checks.for_each_concurrent(AT_ONCE, Check::run).await;
}

/// Pings a session.
///
/// # Errors
/// The driver's; `TIMEOUT` after [`PING_TIME`].
pub(super) async fn ping(entry: &Entry, session: &Session) -> Result<(), DriverError> {
    let ping = session.driver_session.ping();
    let containment = entry.target.driver.containment();
    let answer = containment.run(containment.ping(), Instant::now() + PING_TIME, ping).await;
    if let Err(error) = &answer {
        tracing::warn!(connection = %entry.target.connection.id, %error, "session given up: it does not answer");
    }
    answer.map(drop)
}

/// A borrowed session, given back or given up in the end.
struct Check {
    entry: Arc<Entry>,
    session: Arc<Session>,
    is_alive: bool,
}

impl Check {
    async fn run(mut self) {
        self.is_alive = ping(&self.entry, &self.session).await.is_ok();
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        match self.entry.target.driver.instance().concurrency() {
            Concurrency::Shared if !self.is_alive => self.entry.give_up(&self.session),
            Concurrency::Shared => {}
            Concurrency::Exclusive => {
                let session = self.is_alive.then(|| self.session.clone());
                self.entry.give_back(session, Ended::Unknown, Instant::now());
            }
        }
    }
}
