//! What shows that whoever asks after a write was acknowledged never sees what was there before it: who wrote what and
//! when, how callers ask, and how random scripts of several callers are run at once.

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::Value;
use std::{
    ops::RangeInclusive,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use studio_gateway_tests::{Answer, Client, Gateway};
use tokio::{task::JoinSet, time::timeout};

/// What callers did to one number that only writes change, and when.
#[derive(Default)]
pub(super) struct History {
    clock: AtomicU64,
    writes: Mutex<Vec<Write>>,
}

#[derive(Clone, Copy)]
struct Write {
    /// What it adds, if it happens.
    change: i64,
    began: u64,
    /// When it was acknowledged, if it was.
    acknowledged: Option<u64>,
}

impl History {
    /// Of a number that is this one before anybody writes.
    pub(super) fn starting_at(number: i64) -> Self {
        let history = Self::default();
        history.acknowledge(history.begin(number));
        history
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes that a write begins; the result is its number.
    pub(super) fn begin(&self, change: i64) -> usize {
        let mut writes = self.writes.lock().unwrap();
        writes.push(Write { change, began: self.tick(), acknowledged: None });
        writes.len() - 1
    }

    /// Notes that its caller was told of a write.
    pub(super) fn acknowledge(&self, number: usize) {
        self.writes.lock().unwrap()[number].acknowledged = Some(self.tick());
    }

    /// What a read may see that began and ended then: all that was acknowledged before, and any part of the rest that
    /// had begun.
    fn visible(&self, began: u64, ended: u64) -> RangeInclusive<i64> {
        let (mut least, mut most) = (0, 0);
        for write in self.writes.lock().unwrap().iter().filter(|write| write.began < ended) {
            let certain = write.acknowledged.is_some_and(|acknowledged| acknowledged < began);
            least += if certain { write.change } else { write.change.min(0) };
            most += if certain { write.change } else { write.change.max(0) };
        }
        least..=most
    }

    /// Writes, and waits for the answer.
    pub(super) async fn write(&self, change: i64, request: impl Future<Output = Answer>, status: u16) {
        let number = self.begin(change);
        request.await.expect(status);
        self.acknowledge(number);
    }

    /// Writes, and leaves if there is no answer within so many milliseconds; whether there was.
    pub(super) async fn write_or_leave(
        &self,
        change: i64,
        request: impl Future<Output = Answer>,
        status: u16,
        patience: u64,
    ) -> bool {
        timeout(Duration::from_millis(patience), self.write(change, request, status)).await.is_ok()
    }

    /// Reads the number, and checks that it is one that may be seen.
    pub(super) async fn read(
        &self,
        client: &Client,
        path: &str,
        question: Question,
        remembered: &mut Remembered,
        number: impl Fn(&Value) -> i64,
    ) -> Result<(), TestCaseError> {
        let began = self.tick();
        let seen = ask(client, path, question, remembered, number).await?;
        let visible = self.visible(began, self.tick());
        prop_assert!(visible.contains(&seen), "{question:?} of {path} saw {seen} of {visible:?}");
        Ok(())
    }
}

/// How a caller asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Plain,
    /// With `If-None-Match` and the tag of the last answer.
    Conditional,
    /// With `Cache-Control: no-cache`.
    Insisting,
}

/// Whether all callers learn how their writes end. After a write of which nobody knows, nothing is kept for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Callers {
    Patient,
    Leaving,
}

impl Callers {
    /// How often they do what ends a write with an unknown outcome, by weight.
    pub(super) fn leaving(self) -> u32 {
        u32::from(self == Self::Leaving)
    }

    /// What the cache must have done often enough for the test to mean something.
    pub(super) fn results(self) -> &'static [&'static str] {
        match self {
            Self::Patient => &["hit", "miss", "bypass"],
            Self::Leaving => &["miss", "bypass"],
        }
    }
}

/// All of them, the plain one most often.
pub(super) fn question() -> impl Strategy<Value = Question> {
    prop_oneof![4 => Just(Question::Plain), 2 => Just(Question::Conditional), 1 => Just(Question::Insisting)]
}

/// The last answer of a place, as a browser keeps it.
#[derive(Default)]
pub(super) struct Remembered {
    tag: String,
    number: i64,
}

/// Reads a number in one of the ways.
async fn ask(
    client: &Client,
    path: &str,
    question: Question,
    remembered: &mut Remembered,
    number: impl Fn(&Value) -> i64,
) -> Result<i64, TestCaseError> {
    let request = client.request("GET", path);
    let answer = client
        .send(match question {
            Question::Plain => request,
            Question::Conditional => request.header("if-none-match", &remembered.tag),
            Question::Insisting => request.header("cache-control", "no-cache"),
        })
        .await;
    match answer.status {
        304 => prop_assert_eq!(answer.header("etag"), Some(remembered.tag.as_str())),
        404 => return Ok(0),
        200 => {
            let tag = answer.header("etag").unwrap_or_default().to_owned();
            *remembered = Remembered { tag, number: number(&answer.data()) };
        }
        _ => prop_assert!(false, "{}", answer),
    }
    Ok(remembered.number)
}

/// Runs the scripts of all callers at once, and says what the first failing one found.
pub(super) async fn run_all(callers: JoinSet<Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    callers.join_all().await.into_iter().collect()
}

/// Runs a test on so many random values; the runtime is that of whatever the values are tried on.
pub(super) fn run_cases<S: Strategy>(
    cases: u32,
    strategy: &S,
    runtime: &tokio::runtime::Runtime,
    case: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
    TestRunner::new(config).run(strategy, |value| runtime.block_on(case(value))).unwrap();
}

/// For a world that all cases share.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// That the cache was at work at all.
pub(super) fn assert_used(runtime: &tokio::runtime::Runtime, gateway: &Gateway, results: &[&str]) {
    let metrics = runtime.block_on(async { gateway.anonymous().get("/metrics").await.bytes });
    let metrics = String::from_utf8(metrics).unwrap();
    for result in results {
        let label = format!("result=\"{result}\"}}");
        let counts = metrics.lines().filter_map(|line| line.split_once(&label)?.1.trim().parse::<u64>().ok());
        assert!(counts.sum::<u64>() > 20, "few with {label}: {metrics}");
    }
}
