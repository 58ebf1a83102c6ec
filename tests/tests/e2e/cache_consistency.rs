//! Whoever asks after a write was acknowledged never sees what was there before it, whatever is kept and shared.

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use studio_gateway_tests::{Answer, Client, Gateway, GatewayOptions, Project, Registry, World, eventually};
use tokio::{task::JoinSet, time::timeout};

/// What callers did to one number that only writes change, and when.
#[derive(Default)]
struct History {
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
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes that a write begins; the result is its number.
    fn begin(&self, change: i64) -> usize {
        let mut writes = self.writes.lock().unwrap();
        writes.push(Write { change, began: self.tick(), acknowledged: None });
        writes.len() - 1
    }

    fn acknowledge(&self, number: usize) {
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
}

/// How a caller asks.
#[derive(Debug, Clone, Copy)]
enum Question {
    Plain,
    /// With `If-None-Match` and the tag of the last answer.
    Conditional,
    /// With `Cache-Control: no-cache`.
    Insisting,
}

/// Whether all callers learn how their writes end. After a write of which nobody knows, nothing is kept for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Callers {
    Patient,
    Leaving,
}

impl Callers {
    /// How often they do what ends a write with an unknown outcome, by weight.
    fn leaving(self) -> u32 {
        u32::from(self == Self::Leaving)
    }

    /// What the cache must have done often enough for the test to mean something.
    fn results(self) -> &'static [&'static str] {
        match self {
            Self::Patient => &["hit", "miss", "bypass"],
            Self::Leaving => &["miss", "bypass"],
        }
    }
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![4 => Just(Question::Plain), 2 => Just(Question::Conditional), 1 => Just(Question::Insisting)]
}

/// The last answer of a place, as a browser keeps it.
#[derive(Default)]
struct Remembered {
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
async fn run_all(callers: JoinSet<Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    callers.join_all().await.into_iter().collect()
}

fn run_cases<S: Strategy>(
    cases: u32,
    strategy: &S,
    runtime: &tokio::runtime::Runtime,
    case: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
    TestRunner::new(config).run(strategy, |value| runtime.block_on(case(value))).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What one caller does to a Redis.
#[derive(Debug, Clone, Copy)]
enum RedisStep {
    Set,
    SetByCommand,
    SetBatch(u8),
    /// The caller leaves after so many milliseconds.
    SetAndLeave(u64),
    /// The last key that this caller set.
    Delete,
    Ask(Question),
    Wait(u64),
}

fn redis_step(callers: Callers) -> impl Strategy<Value = RedisStep> {
    prop_oneof![
        3 => Just(RedisStep::Set),
        2 => Just(RedisStep::SetByCommand),
        1 => (1..5u8).prop_map(RedisStep::SetBatch),
        callers.leaving() => (0..4u64).prop_map(RedisStep::SetAndLeave),
        2 => Just(RedisStep::Delete),
        9 => question().prop_map(RedisStep::Ask),
        1 => (0..5u64).prop_map(RedisStep::Wait),
    ]
}

/// A caller of one project's Redis, and what all callers do to that.
struct RedisCaller {
    client: Client,
    base: String,
    history: Arc<History>,
    database: &'static str,
    name: String,
}

impl RedisCaller {
    async fn run(self, steps: Vec<RedisStep>) -> Result<(), TestCaseError> {
        let (mut own, mut remembered, mut last) = (Vec::new(), Remembered::default(), 0);
        for step in steps {
            last += 1;
            let key = format!("{}-{last}", self.name);
            match step {
                RedisStep::Set => {
                    let path = self.path(&format!("/keys/{key}"));
                    self.write(1, self.client.post(&path, json!({"value": "v"})), 201).await;
                    own.push(key);
                }
                RedisStep::SetByCommand => {
                    let body = json!({"command": ["SET", key, "v"]});
                    self.write(1, self.client.post(&self.path("/command"), body), 200).await;
                    own.push(key);
                }
                RedisStep::SetBatch(count) => {
                    let set =
                        |number| json!({"action": "set", "key": format!("{key}-{number}"), "value": "v"});
                    let body = json!({"operations": (0..count).map(set).collect::<Vec<_>>()});
                    self.write(count.into(), self.client.post(&self.path("/keys/batch"), body), 200).await;
                }
                RedisStep::SetAndLeave(milliseconds) => {
                    let path = self.path(&format!("/keys/{key}"));
                    let number = self.history.begin(1);
                    let set = self.client.post(&path, json!({"value": "v"}));
                    if timeout(Duration::from_millis(milliseconds), set).await.is_ok() {
                        self.history.acknowledge(number);
                    }
                }
                RedisStep::Delete => {
                    if let Some(key) = own.pop() {
                        let path = self.path(&format!("/keys/{key}"));
                        self.write(-1, self.client.delete(&path), 204).await;
                    }
                }
                RedisStep::Ask(question) => {
                    let database = self.database;
                    let keys = |info: &Value| info["keyspace"][database]["keys"].as_i64().unwrap_or(0);
                    let began = self.history.tick();
                    let seen =
                        ask(&self.client, &self.path("/info"), question, &mut remembered, keys).await?;
                    let visible = self.history.visible(began, self.history.tick());
                    prop_assert!(visible.contains(&seen), "{} saw {seen} of {visible:?}", self.name);
                }
                RedisStep::Wait(milliseconds) => {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                }
            }
        }
        Ok(())
    }

    async fn write(&self, change: i64, request: impl Future<Output = Answer>, status: u16) {
        let number = self.history.begin(change);
        request.await.expect(status);
        self.history.acknowledge(number);
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.base)
    }
}

#[test]
fn redis_readers_never_see_what_was_before_an_acknowledged_write() {
    check_redis(Callers::Patient);
}

#[test]
fn redis_readers_never_see_what_was_before_an_acknowledged_write_when_callers_leave() {
    check_redis(Callers::Leaving);
}

fn check_redis(kind: Callers) {
    let runtime = runtime();
    let world = runtime.block_on(World::start(Registry::Sqlite));
    let histories = [Arc::new(History::default()), Arc::new(History::default())];
    let cases = AtomicU64::new(0);
    let callers = proptest::collection::vec(proptest::collection::vec(redis_step(kind), 1..25), 2..9);
    run_cases(30, &callers, &runtime, async |scripts| {
        let (case, mut callers) = (cases.fetch_add(1, Ordering::Relaxed), JoinSet::new());
        for (number, steps) in scripts.into_iter().enumerate() {
            let (project, database) = [(&world.alpha, "db0"), (&world.beta, "db1")][number % 2];
            let caller = RedisCaller {
                client: project.developer.clone(),
                base: project.path("redis", ""),
                history: histories[number % 2].clone(),
                database,
                name: format!("{case}-{number}"),
            };
            callers.spawn(caller.run(steps));
        }
        run_all(callers).await
    });
    assert_used(&runtime, &world.gateway, kind.results());
}

/// That the cache was at work at all.
fn assert_used(runtime: &tokio::runtime::Runtime, gateway: &Gateway, results: &[&str]) {
    let metrics = runtime.block_on(async { gateway.anonymous().get("/metrics").await.bytes });
    let metrics = String::from_utf8(metrics).unwrap();
    for result in results {
        let label = format!("result=\"{result}\"}}");
        let counts = metrics.lines().filter_map(|line| line.split_once(&label)?.1.trim().parse::<u64>().ok());
        assert!(counts.sum::<u64>() > 20, "few with {label}: {metrics}");
    }
}

/// What one caller does to a counter of the probe, whose every call may be slow around the moment it happens.
#[derive(Debug, Clone, Copy)]
enum CounterStep {
    Add {
        before: u64,
        after: u64,
    },
    AddAndLeave {
        before: u64,
        patience: u64,
    },
    AddAndFail(&'static str),
    Ask(Question),
    /// Slow, and so for callers to share.
    AskSlowly(Question),
    Wait(u64),
}

fn counter_step(callers: Callers) -> impl Strategy<Value = CounterStep> {
    let pause = || prop_oneof![2 => Just(0u64), 1 => 1..30u64];
    prop_oneof![
        3 => (pause(), pause()).prop_map(|(before, after)| CounterStep::Add { before, after }),
        1 => Just(CounterStep::AddAndFail("refuse")),
        callers.leaving() => Just(CounterStep::AddAndFail("panic")),
        callers.leaving() =>
            (pause(), 1..20u64).prop_map(|(before, patience)| CounterStep::AddAndLeave { before, patience }),
        5 => question().prop_map(CounterStep::Ask),
        5 => question().prop_map(CounterStep::AskSlowly),
        2 => (0..20u64).prop_map(CounterStep::Wait),
    ]
}

struct CounterCaller {
    client: Client,
    /// Ends in the counter's name.
    path: String,
    connection: &'static str,
    history: Arc<History>,
}

impl CounterCaller {
    async fn run(self, steps: Vec<CounterStep>) -> Result<(), TestCaseError> {
        let (mut quick, mut slow) = (Remembered::default(), Remembered::default());
        for step in steps {
            match step {
                CounterStep::Add { before, after } => {
                    let number = self.history.begin(1);
                    self.add(&format!("before={before}&after={after}")).await.expect(204);
                    self.history.acknowledge(number);
                }
                CounterStep::AddAndLeave { before, patience } => {
                    let number = self.history.begin(1);
                    let query = format!("before={before}");
                    if timeout(Duration::from_millis(patience), self.add(&query)).await.is_ok() {
                        self.history.acknowledge(number);
                    }
                }
                // It did happen before it failed, and its caller knows of it.
                CounterStep::AddAndFail(end) => {
                    let number = self.history.begin(1);
                    let answer = self.add(&format!("end={end}")).await;
                    assert!(matches!(answer.status, 400 | 502), "{answer}");
                    self.history.acknowledge(number);
                }
                CounterStep::Ask(question) => self.look("", question, &mut quick).await?,
                CounterStep::AskSlowly(question) => {
                    self.look("&before=10&after=25", question, &mut slow).await?;
                }
                CounterStep::Wait(milliseconds) => {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                }
            }
        }
        Ok(())
    }

    async fn add(&self, query: &str) -> Answer {
        let path = format!("{}?connection={}&{query}", self.path, self.connection);
        self.client.post(&path, json!(null)).await
    }

    async fn look(
        &self,
        query: &str,
        question: Question,
        remembered: &mut Remembered,
    ) -> Result<(), TestCaseError> {
        let path = format!("{}?connection={}{query}", self.path, self.connection);
        let began = self.history.tick();
        let value = |seen: &Value| seen["value"].as_i64().unwrap();
        let seen = ask(&self.client, &path, question, remembered, value).await?;
        let visible = self.history.visible(began, self.history.tick());
        prop_assert!(visible.contains(&seen), "{question:?} saw {seen} of {visible:?}");
        Ok(())
    }
}

#[test]
fn slow_readers_never_see_what_was_before_an_acknowledged_write() {
    check_counters(Callers::Patient);
}

#[test]
fn slow_readers_never_see_what_was_before_an_acknowledged_write_when_callers_leave() {
    check_counters(Callers::Leaving);
}

fn check_counters(kind: Callers) {
    let runtime = runtime();
    let (gateway, project) = runtime.block_on(start(GatewayOptions::default()));
    let cases = AtomicU64::new(0);
    let callers = proptest::collection::vec(proptest::collection::vec(counter_step(kind), 1..25), 2..9);
    run_cases(30, &callers, &runtime, async |scripts| {
        let (case, mut callers) = (cases.fetch_add(1, Ordering::Relaxed), JoinSet::new());
        let histories = [Arc::new(History::default()), Arc::new(History::default())];
        for (number, steps) in scripts.into_iter().enumerate() {
            let place = number % 2;
            let caller = CounterCaller {
                client: project.developer.clone(),
                path: project.path("probe", &format!("/counters/{case}")),
                connection: ["one", "two"][place],
                history: histories[place].clone(),
            };
            callers.spawn(caller.run(steps));
        }
        run_all(callers).await
    });
    assert_used(&runtime, &gateway, kind.results());
    assert_used(&runtime, &gateway, &["collapsed"]);
}

async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("one", json!({"store": "one"})).await;
    project.connect_probe("two", json!({"store": "two"})).await;
    (gateway, project)
}

const COUNTER: &str = "/counters/c";

async fn value(project: &Project, query: &str) -> u64 {
    let path = project.path("probe", &format!("{COUNTER}{query}"));
    project.viewer.get(&path).await.expect(200).data()["value"].as_u64().unwrap()
}

async fn reads(project: &Project) -> u64 {
    let path = project.path("probe", "/counters/c/reads");
    project.viewer.get(&path).await.expect(200).data().as_u64().unwrap()
}

async fn add(project: &Project, query: &str) -> Answer {
    let path = project.path("probe", &format!("{COUNTER}{query}"));
    project.developer.post(&path, json!(null)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_from_before_a_write_is_neither_kept_nor_shared_after_it() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let slow = "?after=2000";
    let path = project.path("probe", &format!("{COUNTER}{slow}"));
    let viewer = project.viewer.clone();
    let early = tokio::spawn(async move { viewer.get(&path).await.data()["value"].clone() });
    eventually("the early reader has read", async || reads(&project).await == 1).await;
    add(&project, "").await.expect(204);
    // While the early reader's call is under way, and when it is over.
    assert_eq!(value(&project, slow).await, 2);
    assert_eq!(early.await.unwrap(), 1);
    assert_eq!(value(&project, slow).await, 2);
    assert_eq!(reads(&project).await, 2, "what was read after the write is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_that_began_while_a_write_was_under_way_is_not_kept() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let path = project.path("probe", &format!("{COUNTER}?before=1000"));
    let developer = project.developer.clone();
    let writing = tokio::spawn(async move { developer.post(&path, json!(null)).await });
    // The write is told by what it does to the cache.
    eventually("the write is under way", async || {
        let answer =
            project.viewer.get(&project.path("probe", &format!("{COUNTER}?padding={}", rand()))).await;
        answer.header("cache-status").is_some_and(|status| !status.contains("stored"))
    })
    .await;
    assert_eq!(value(&project, "").await, 1);
    writing.await.unwrap().expect(204);
    assert_eq!(value(&project, "").await, 2);
}

/// Another number each time.
fn rand() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_of_unknown_outcome_counts_as_one_that_happened() {
    let (_gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "1s")).await;
    add(&project, "").await.expect(204);
    let mut expected = 1;
    // It is over its deadline; it panics; it says no; and each time it had happened before.
    for (query, status) in [("?after=5000", 504), ("?end=panic", 502), ("?end=refuse", 400)] {
        assert_eq!(value(&project, "").await, expected);
        add(&project, query).await.expect(status);
        expected += 1;
        assert_eq!(value(&project, "").await, expected, "after {query}");
    }
    // Its caller leaves.
    let left = timeout(Duration::from_millis(500), add(&project, "?after=5000")).await;
    assert!(left.is_err());
    eventually("the write counts", async || value(&project, "").await == expected + 1).await;
}
