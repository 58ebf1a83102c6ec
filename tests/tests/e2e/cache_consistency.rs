//! Whoever asks after a write was acknowledged never sees what was there before it, whatever is kept and shared.

use super::cache_history::{
    Callers, History, Question, Remembered, assert_used, question, run_all, run_cases, runtime,
};
use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use studio_gateway_tests::{Answer, Client, Gateway, GatewayOptions, Project, RedisDriver, World};
use tokio::task::JoinSet;

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
                    self.history.write(1, self.client.post(&path, json!({"value": "v"})), 201).await;
                    own.push(key);
                }
                RedisStep::SetByCommand => {
                    let body = json!({"command": ["SET", key, "v"]});
                    self.history.write(1, self.client.post(&self.path("/command"), body), 200).await;
                    own.push(key);
                }
                RedisStep::SetBatch(count) => {
                    let set =
                        |number| json!({"action": "set", "key": format!("{key}-{number}"), "value": "v"});
                    let body = json!({"operations": (0..count).map(set).collect::<Vec<_>>()});
                    self.history
                        .write(count.into(), self.client.post(&self.path("/keys/batch"), body), 200)
                        .await;
                }
                RedisStep::SetAndLeave(milliseconds) => {
                    let path = self.path(&format!("/keys/{key}"));
                    let set = self.client.post(&path, json!({"value": "v"}));
                    self.history.write_or_leave(1, set, 201, milliseconds).await;
                }
                RedisStep::Delete => {
                    if let Some(key) = own.pop() {
                        let path = self.path(&format!("/keys/{key}"));
                        self.history.write(-1, self.client.delete(&path), 204).await;
                    }
                }
                RedisStep::Ask(question) => {
                    let database = self.database;
                    let keys = |info: &Value| info["keyspace"][database]["keys"].as_i64().unwrap_or(0);
                    let path = self.path("/info");
                    self.history.read(&self.client, &path, question, &mut remembered, keys).await?;
                }
                RedisStep::Wait(milliseconds) => {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                }
            }
        }
        Ok(())
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.base)
    }
}

#[test]
fn redis_readers_always_see_acknowledged_writes() {
    check_redis(RedisDriver::Library, Callers::Patient);
}

#[test]
fn redis_component_never_shows_what_was_before_a_write() {
    check_redis(RedisDriver::Component, Callers::Patient);
}

#[test]
fn redis_readers_see_acknowledged_writes_when_callers_leave() {
    check_redis(RedisDriver::Library, Callers::Leaving);
}

#[test]
fn redis_component_shows_no_old_value_when_callers_leave() {
    check_redis(RedisDriver::Component, Callers::Leaving);
}

fn check_redis(driver: RedisDriver, kind: Callers) {
    let runtime = runtime();
    let world = runtime.block_on(World::start(driver));
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
                    let query = format!("before={before}&after={after}");
                    self.history.write(1, self.add(&query), 204).await;
                }
                CounterStep::AddAndLeave { before, patience } => {
                    let query = format!("before={before}");
                    self.history.write_or_leave(1, self.add(&query), 204, patience).await;
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
        let value = |seen: &Value| seen["value"].as_i64().unwrap();
        self.history.read(&self.client, &path, question, remembered, value).await
    }
}

#[test]
fn slow_readers_always_see_acknowledged_writes() {
    check_counters(Callers::Patient);
}

#[test]
fn slow_readers_see_acknowledged_writes_when_callers_leave() {
    check_counters(Callers::Leaving);
}

fn check_counters(kind: Callers) {
    let runtime = runtime();
    let (gateway, project) = runtime.block_on(start());
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

async fn start() -> (Gateway, Project) {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("one", json!({"store": "one"})).await;
    project.connect_probe("two", json!({"store": "two"})).await;
    (gateway, project)
}
