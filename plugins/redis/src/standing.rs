//! Whether a connection still leads to where it did when it was opened.

use crate::{
    errors,
    options::{Target, Topology},
    wire,
};
use redis::Value;
use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use studio_plugin_api::{DriverError, sync::lock, time::Instant};

/// So long after the opening the role is asked for first, and so long it is believed.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const BELIEVED: Duration = Duration::from_secs(5);

/// What is known of the server's place.
pub(crate) struct Standing {
    known: Mutex<Known>,
    lost: AtomicBool,
}

struct Known {
    /// When to ask for the role next; `None`: never, since the server does not tell this user.
    next_look: Option<Instant>,
    role: Option<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Primary,
    /// From the start: that is what the connection's owner wants.
    Replica,
}

impl Standing {
    pub(crate) fn new(target: &Target) -> Self {
        let role = matches!(target.topology, Topology::Sentinel { .. }).then_some(Role::Primary);
        let known = Known { next_look: Some(Instant::now() + FIRST_LOOK), role };
        Self { known: Mutex::new(known), lost: AtomicBool::new(false) }
    }

    /// Whether the connection is of no more use.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Gives the connection up where one of these answers tells that it leads elsewhere than it should. The flag goes
    /// up before the caller learns of it, so that its next call finds a new session.
    pub(crate) fn watch(&self, answers: &[Value]) {
        let mut displaced = answers.iter().filter(|answer| errors::displaces(answer)).peekable();
        if displaced.peek().is_some() && !(self.is_replica() && displaced.all(errors::is_readonly)) {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Whether it is time to ask for the role. One caller is told so, the others go on.
    pub(crate) fn is_due(&self) -> bool {
        // Every command comes by here: the clock is read once, and not while the lock is held.
        let now = Instant::now();
        let mut known = self.known();
        let is_due = known.next_look.is_some_and(|time| time <= now);
        if is_due {
            known.next_look = Some(now + BELIEVED);
        }
        is_due
    }

    /// Takes the answer to `ROLE`. A server that does not tell is believed to be what it was, and where it is this user
    /// who may not ask, it is not asked again: it logs each refusal, and a call waits for it.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` where a primary has become a replica.
    pub(crate) fn note(&self, answer: Value) -> Result<(), DriverError> {
        if matches!(&answer, Value::ServerError(error) if errors::refuses_command(error)) {
            self.known().next_look = None;
            return Ok(());
        }
        let role = wire::items(answer).and_then(|parts| parts.into_iter().next()).and_then(wire::text);
        let role = match role.as_deref() {
            Some("master") => Role::Primary,
            Some("slave") => Role::Replica,
            _ => return Ok(()),
        };
        let before = self.known().role.replace(role);
        if (before, role) == (Some(Role::Primary), Role::Replica) {
            self.lost.store(true, Ordering::Release);
            return Err(errors::unavailable("the server that was the primary is a replica now"));
        }
        Ok(())
    }

    fn is_replica(&self) -> bool {
        self.known().role == Some(Role::Replica)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(topology: Topology) -> Standing {
        Standing::new(&Target { topology, tls: None, login: redis::RedisConnectionInfo::default() })
    }

    fn single() -> Standing {
        standing(Topology::Single(crate::options::Address { host: "h".into(), port: 1 }))
    }

    fn role(name: &str) -> Value {
        Value::Array(vec![Value::BulkString(name.as_bytes().to_vec()), Value::Int(0)])
    }

    fn error(code: &str) -> Value {
        redis::parse_redis_value(format!("-{code} x\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_primary_that_is_a_replica_now_is_given_up() {
        let standing = standing(Topology::Sentinel { master: "m".into(), sentinels: Vec::new() });
        assert!(standing.note(role("master")).is_ok() && !standing.is_lost());
        assert!(standing.note(error("NOPERM")).is_ok() && !standing.is_lost());
        assert!(standing.note(role("slave")).is_err() && standing.is_lost());
    }

    #[test]
    fn a_replica_from_the_start_is_kept_though_it_takes_no_writes() {
        let replica = single();
        assert!(replica.note(role("slave")).is_ok());
        replica.watch(&[Value::Okay, error("READONLY")]);
        assert!(!replica.is_lost());
        replica.watch(&[error("READONLY"), error("LOADING")]);
        assert!(replica.is_lost());
        let unknown = single();
        unknown.watch(&[Value::Okay, error("WRONGTYPE")]);
        assert!(!unknown.is_lost());
        unknown.watch(&[Value::Okay, error("READONLY")]);
        assert!(unknown.is_lost());
    }

    #[test]
    fn the_role_is_not_asked_for_with_every_call() {
        let standing = single();
        assert!(!standing.is_due());
        standing.known().next_look = Some(Instant::now());
        assert!(standing.is_due() && !standing.is_due());
    }

    #[test]
    fn who_may_not_ask_for_the_role_does_not_ask_again() {
        let standing = single();
        let refusal = b"-NOPERM User app has no permissions to run the 'role' command\r\n";
        assert!(standing.note(redis::parse_redis_value(refusal).unwrap()).is_ok());
        assert_eq!(standing.known().next_look, None);
        assert!(!standing.is_due() && !standing.is_lost());
    }
}
