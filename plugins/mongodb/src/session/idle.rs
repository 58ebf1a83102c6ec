//! Server sessions that wait for their next call.
//!
//! The client library spends a task on each session that begins, and wakes it when the session ends. So a session whose
//! call came to a good end is kept for a later one. It carries nothing from one caller to the next: it is no snapshot's,
//! no call begins a transaction, and it is not causally consistent, so that no read waits for another caller's write.
//! Numbers of retried writes only rise, as in the client library's own pool.

use mongodb::{Client, ClientSession, error::Error};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};
use studio_plugin_api::sync::lock;

/// The most that are kept; more end as the client library has it.
const MOST: usize = 32;
/// How long one is kept, where the server keeps it for longer.
const LONGEST: Duration = Duration::from_secs(300);
/// How long before its end on the server a session is no longer used.
const MARGIN: Duration = Duration::from_secs(60);

/// Server sessions that no call uses, each with the time when its last call began.
#[derive(Default)]
pub(crate) struct IdleSessions(Mutex<Vec<(Instant, ClientSession)>>);

impl IdleSessions {
    /// Takes one out, or begins one. `lifetime` is how long the server keeps a session that it hears nothing of.
    ///
    /// # Errors
    /// The client library's.
    pub(super) async fn take(&self, client: &Client, lifetime: Duration) -> Result<ClientSession, Error> {
        match self.take_kept(lifetime) {
            Some(session) => Ok(session),
            None => client.start_session().causal_consistency(false).await,
        }
    }

    fn take_kept(&self, lifetime: Duration) -> Option<ClientSession> {
        let mut sessions = lock(&self.0);
        let (used, session) = sessions.pop()?;
        if used.elapsed() < lifetime.saturating_sub(MARGIN).min(LONGEST) {
            return Some(session);
        }
        // Those below it have waited for longer.
        let old = std::mem::take(&mut *sessions);
        drop(sessions);
        drop(old);
        None
    }

    /// Keeps one whose last call began at `used`.
    pub(super) fn put(&self, used: Instant, session: ClientSession) {
        let mut sessions = lock(&self.0);
        if sessions.len() < MOST {
            sessions.push((used, session));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const LIFETIME: Duration = Duration::from_secs(1800);

    async fn client() -> Client {
        // Nobody is asked for a session.
        Client::with_uri_str("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1").await.unwrap()
    }

    fn id(session: &ClientSession) -> String {
        session.id().to_string()
    }

    #[tokio::test]
    async fn session_serves_one_call_at_a_time_and_later_ones() {
        let (client, idle) = (client().await, IdleSessions::default());
        let (one, other) =
            (idle.take(&client, LIFETIME).await.unwrap(), idle.take(&client, LIFETIME).await.unwrap());
        let (first, second) = (id(&one), id(&other));
        assert_ne!(first, second);
        idle.put(Instant::now(), one);
        assert_eq!(id(&idle.take(&client, LIFETIME).await.unwrap()), first);
        assert_ne!(id(&idle.take(&client, LIFETIME).await.unwrap()), first, "it was not put back");
        drop(other);
    }

    #[tokio::test]
    async fn session_near_its_end_on_the_server_is_not_used_again() {
        let (client, idle) = (client().await, IdleSessions::default());
        for (age, lifetime, is_used) in [
            (Duration::ZERO, LIFETIME, true),
            (Duration::from_secs(290), LIFETIME, true),
            (Duration::from_secs(310), LIFETIME, false),
            (Duration::from_secs(50), Duration::from_secs(120), true),
            (Duration::from_secs(70), Duration::from_secs(120), false),
            (Duration::ZERO, MARGIN, false),
        ] {
            let session = client.start_session().await.unwrap();
            idle.put(Instant::now().checked_sub(age).unwrap(), session);
            assert_eq!(idle.take_kept(lifetime).is_some(), is_used, "{age:?} of {lifetime:?}");
            assert!(lock(&idle.0).is_empty());
        }
    }

    #[tokio::test]
    async fn no_more_sessions_are_kept_than_some() {
        let (client, idle) = (client().await, IdleSessions::default());
        let mut ids = BTreeSet::new();
        let mut sessions = Vec::new();
        for _ in 0..MOST + 5 {
            let session = idle.take(&client, LIFETIME).await.unwrap();
            ids.insert(id(&session));
            sessions.push(session);
        }
        assert_eq!(ids.len(), MOST + 5);
        sessions.into_iter().for_each(|session| idle.put(Instant::now(), session));
        assert_eq!(lock(&idle.0).len(), MOST);
    }
}
