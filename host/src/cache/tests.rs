use super::*;
use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
};
use studio_plugin_api::ErrorCode;
use tokio::{sync::oneshot, task::JoinSet};
use uuid::Uuid;

const PATH: &str = "/info";
const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// A cache with a clock that the test moves.
struct Clocked {
    cache: Arc<ReplyCache>,
    now: Instant,
}

impl Clocked {
    fn new() -> Self {
        Self::with_bytes(1 << 20)
    }

    fn with_bytes(max_bytes: usize) -> Self {
        let settings = CacheSettings { enabled: true, max_bytes: NonZeroUsize::new(max_bytes).unwrap() };
        Self { cache: Arc::new(ReplyCache::new(settings)), now: Instant::now() }
    }

    fn begin_read(&self, parameter: &str) -> Reading {
        self.cache.begin_read(Key::made_up(connection(1), parameter), &PATH.into(), TIME_TO_LIVE, self.now)
    }

    async fn keep(&self, reading: &Reading, json: &str) -> ReplySource {
        self.cache.keep(reading, payload(json)).await.source
    }

    async fn find(&self, parameter: &str) -> Option<String> {
        let kept = self.cache.find(&self.begin_read(parameter), self.now).await?;
        Some(String::from_utf8(kept.json.to_vec()).unwrap())
    }

    fn write(&self, connection: ConnectionId) -> Write {
        self.cache.begin_write(connection, &[PATH.into()], self.now).unwrap()
    }

    /// Joins or begins a read that `call` answers.
    fn join<F>(&self, call: impl FnOnce() -> F) -> Flight<Result<Answer, DriverError>>
    where
        F: Future<Output = Result<Payload, DriverError>> + Send + 'static,
    {
        self.cache.join(&self.begin_read("a"), self.now + TIME_TO_LIVE, call)
    }
}

fn connection(number: u128) -> ConnectionId {
    ConnectionId(Uuid::from_u128(number))
}

fn payload(json: &str) -> Payload {
    Payload { outcome: Outcome::Ok, json: json.to_owned().into(), only_read: false }
}

fn json(answer: Result<Answer, DriverError>) -> String {
    String::from_utf8(answer.unwrap().reply.json.to_vec()).unwrap()
}

#[tokio::test]
async fn reply_counts_until_it_expires() {
    let mut clocked = Clocked::new();
    let reading = clocked.begin_read("a");
    assert_eq!(clocked.find("a").await, None);
    assert_eq!(clocked.keep(&reading, "1").await, ReplySource::DriverKept);
    clocked.now += TIME_TO_LIVE - Duration::from_millis(1);
    assert_eq!(clocked.find("a").await.as_deref(), Some("1"));
    assert_eq!(clocked.find("b").await, None, "other parameters");
    clocked.now += Duration::from_millis(1);
    assert_eq!(clocked.find("a").await, None);
}

#[tokio::test]
async fn acknowledged_write_makes_replies_of_its_connection_stale() {
    let clocked = Clocked::new();
    clocked.keep(&clocked.begin_read("a"), "1").await;
    clocked.write(connection(2)).end(Ending::Over, clocked.now);
    assert!(clocked.find("a").await.is_some(), "of another connection");
    clocked.write(connection(1)).end(Ending::Over, clocked.now);
    assert_eq!(clocked.find("a").await, None);
}

#[tokio::test]
async fn reply_from_before_a_writes_end_is_not_kept_after_it() {
    let clocked = Clocked::new();
    let (before, write) = (clocked.begin_read("a"), clocked.write(connection(1)));
    let during = clocked.begin_read("a");
    assert_eq!(clocked.keep(&during, "old").await, ReplySource::Driver);
    write.end(Ending::Over, clocked.now);
    assert_eq!(clocked.keep(&before, "old").await, ReplySource::Driver);
    assert_eq!(clocked.keep(&during, "old").await, ReplySource::Driver);
    assert_eq!(clocked.find("a").await, None);
}

#[tokio::test]
async fn oversized_reply_is_not_kept_and_the_total_stays_in_bounds() {
    let clocked = Clocked::with_bytes(64 * 1024);
    let fits = "x".repeat(8 * 1024);
    assert_eq!(clocked.keep(&clocked.begin_read("a"), &(fits.clone() + "x")).await, ReplySource::Driver);
    for number in 0..100 {
        let reading = clocked.begin_read(&number.to_string());
        assert_eq!(clocked.keep(&reading, &fits).await, ReplySource::DriverKept);
    }
    clocked.cache.entries.run_pending_tasks().await;
    let bytes = clocked.cache.bytes();
    assert!((32 * 1024..=64 * 1024).contains(&bytes), "{bytes}");
    assert!(clocked.find("99").await.is_some(), "the last one stays");
    assert_eq!(clocked.find("0").await, None, "the first one went");
}

#[tokio::test]
async fn reply_of_another_kind_than_ok_is_not_kept() {
    let clocked = Clocked::new();
    let payload = Payload { outcome: Outcome::NoContent, json: Bytes::new(), only_read: false };
    let answer = clocked.cache.keep(&clocked.begin_read("a"), payload).await;
    assert_eq!(answer.source, ReplySource::Driver);
}

#[tokio::test]
async fn connection_that_is_gone_leaves_nothing() {
    let clocked = Clocked::new();
    clocked.keep(&clocked.begin_read("a"), "1").await;
    clocked.cache.forget([connection(2)]);
    assert!(clocked.find("a").await.is_some());
    clocked.cache.forget([connection(1)]);
    assert_eq!(clocked.find("a").await, None);
    clocked.cache.entries.run_pending_tasks().await;
    assert_eq!(clocked.cache.bytes(), 0);
}

#[tokio::test]
async fn many_who_miss_at_once_make_one_call() {
    let clocked = Clocked::new();
    let (calls, (release, released)) = (Arc::new(AtomicUsize::new(0)), oneshot::channel());
    let mut released = Some(released);
    let mut callers = JoinSet::new();
    for number in 0..50 {
        let flight = clocked.join(|| {
            let (calls, released) = (calls.clone(), released.take().unwrap());
            async move {
                calls.fetch_add(1, Ordering::Relaxed);
                released.await.unwrap();
                Ok(payload("1"))
            }
        });
        assert_eq!(flight.joined, number > 0);
        callers.spawn(flight.work);
    }
    release.send(()).unwrap();
    for answer in callers.join_all().await {
        assert_eq!(json(answer), "1");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(clocked.find("a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn shared_call_ends_only_when_its_last_caller_has_left() {
    let clocked = Clocked::new();
    let (release, released) = oneshot::channel::<()>();
    let call = || async move {
        released.await.unwrap();
        Ok(payload("1"))
    };
    let first = clocked.join(call);
    let second = clocked.join(|| async { unreachable!("there is one under way") });
    assert!(futures_util::poll!(first.work.clone()).is_pending());
    drop(first);
    release.send(()).unwrap();
    assert_eq!(json(second.work.await), "1");

    let (release, released) = oneshot::channel::<()>();
    let clocked = Clocked::new();
    let call = || async move {
        released.await.unwrap();
        Ok(payload("1"))
    };
    let only = clocked.join(call);
    assert!(futures_util::poll!(only.work.clone()).is_pending());
    drop(only);
    assert!(release.is_closed(), "nobody waits, and the call goes on");
    assert!(!clocked.join(|| async { Ok(payload("2")) }).joined);
}

#[tokio::test]
async fn who_asks_after_a_write_joins_no_call_from_before_it() {
    let clocked = Clocked::new();
    let before = clocked.join(std::future::pending);
    let write = clocked.write(connection(1));
    let during = clocked.join(|| async { unreachable!("there is one under way") });
    assert!(!before.joined && during.joined, "nothing is acknowledged yet");
    write.end(Ending::Over, clocked.now);
    let after = clocked.join(|| async { Ok(payload("new")) });
    assert!(!after.joined);
    assert_eq!(json(after.work.await), "new");
    assert_eq!(clocked.find("a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn error_goes_to_those_who_wait_and_is_not_kept() {
    let clocked = Clocked::new();
    let failing = || async { Err(DriverError::new(ErrorCode::QueryError, "no")) };
    let (first, second) = (clocked.join(failing), clocked.join(failing));
    assert!(second.joined);
    for work in [first.work, second.work] {
        assert_eq!(work.await.unwrap_err().code, ErrorCode::QueryError);
    }
    assert_eq!(json(clocked.join(|| async { Ok(payload("1")) }).work.await), "1");
}

#[tokio::test]
async fn call_is_not_made_when_its_reply_came_to_be_kept_meanwhile() {
    let clocked = Clocked::new();
    clocked.keep(&clocked.begin_read("a"), "1").await;
    let answer = clocked.join(|| async { unreachable!("the reply is kept") }).work.await;
    assert_eq!(answer.as_ref().unwrap().source, ReplySource::Cache);
    assert_eq!(json(answer), "1");
}
