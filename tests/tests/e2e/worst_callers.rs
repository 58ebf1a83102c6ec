//! The worst that callers of one project can send, all at once, beside a caller of another project who notices nothing.

use super::sandbox_neighbours::Usage;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use studio_gateway_tests::{
    Gateway, GatewayOptions, MongoOptions, MongoServer, Plugin, Plugins, PostgresDatabase, Project,
    RedisServer, time::PATIENCE,
};
use tokio::task::JoinSet;

/// Says how many seconds it lasts, for measuring by hand.
const VARIABLE: &str = "TEST_WORST_SECONDS";
/// How long it lasts unless that is set.
const USUAL: Duration = Duration::from_secs(8);
const CALLERS: usize = 20;
/// The most memory that the gateway may have meanwhile, and more than before at the end, in KiB.
const MOST: usize = 600 * 1024;
const LEFT: usize = 64 * 1024;
const MEGABYTE: usize = 1_000_000;

/// A request that costs more than it looks like.
struct Attack {
    path: String,
    body: Arc<[u8]>,
    /// How long its sender waits before hanging up.
    patience: Duration,
    /// How long the sender keeps the answer without reading it.
    keeps: Option<Duration>,
}

fn attacks(project: &Project) -> Vec<Attack> {
    let attack = |database_type: &str, path: &str, body: String| Attack {
        path: project.path(database_type, path),
        body: body.into_bytes().into(),
        patience: *PATIENCE,
        keeps: None,
    };
    let command = |words: String| attack("redis", "/command", format!("{{\"command\":[{words}]}}"));
    let query = |text: String| attack("postgres", "/query", json!({ "query": text }).to_string());
    let filter = format!("{{\"filter\":{{\"$or\":[{}{{}}]}}}}", "{},".repeat(3_000_000));
    let ones = format!("select 1{}", ",1".repeat(500_000));
    vec![
        query(ones.clone()),
        Attack { patience: Duration::from_millis(60), ..query(ones.clone()) },
        Attack { path: project.path("pg-meta", "/query/parse"), ..query(ones) },
        query(format!("select {}1{}", "(".repeat(400_000), ")".repeat(400_000))),
        command(format!("\"MGET\"{}", ",\"megabyte\"".repeat(1_000))),
        command("\"SRANDMEMBER\",\"set\",\"-6000000\"".to_owned()),
        Attack { keeps: Some(Duration::from_secs(2)), ..command("\"GET\",\"large\"".to_owned()) },
        Attack { keeps: Some(Duration::from_secs(2)), ..command("\"GET\",\"large\"".to_owned()) },
        command(format!("\"EXISTS\"{}", ",1".repeat(4_900_000))),
        command(format!("\"DEL\"{}", ",1".repeat(4_900_000))),
        attack("mongodb", "/databases/shop/collections/things/documents/query", filter),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worst_that_twenty_viewers_send_costs_another_project_nothing() {
    let lasts = std::env::var(VARIABLE).map_or(USUAL, |text| Duration::from_secs(text.parse().unwrap()));
    let plugins = ["redis", "mongodb", "postgres"].map(Plugin::new);
    let options = GatewayOptions::default().plugins(Plugins::new(plugins)).set("GATEWAY_LOG", "error");
    let (mut gateway, theirs, ours, mongo, postgres) = tokio::join!(
        Gateway::start(options),
        RedisServer::plain(),
        RedisServer::plain(),
        MongoServer::start(MongoOptions::new()),
        PostgresDatabase::shared()
    );
    let (alpha, beta) =
        (Project::create_empty(&gateway, "alpha").await, Project::create_empty(&gateway, "beta").await);
    alpha.connect("redis", json!({"identifier": "redis", "connection_string": theirs.url()})).await;
    alpha.connect("mongodb", json!({"identifier": "mongodb", "connection_string": mongo.url()})).await;
    alpha.connect("postgres", json!({"identifier": "postgres", "connection_string": postgres.url})).await;
    beta.connect("redis", json!({"identifier": "main", "connection_string": ours.url()})).await;
    theirs.run(&["SET", "megabyte", &"m".repeat(MEGABYTE)]).await;
    theirs.run(&["SET", "large", &"l".repeat(40 * MEGABYTE)]).await;
    theirs.run(&["SADD", "set", &"s".repeat(100)]).await;
    ours.run(&["SET", "greeting", "hello"]).await;
    let path = beta.path("redis", "/keys/greeting");
    let quiet = ninety_nine_percent(&mut times(&beta, &path, lasts / 4, None).await);
    let before = Usage::of(&mut gateway).memory;

    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let attacks = Arc::new(attacks(&alpha));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (attacks, stop, sent) = (attacks.clone(), stop.clone(), sent.clone());
        let (base, token) = (format!("http://{}", gateway.address()), alpha.viewer.token().to_owned());
        callers.spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            for attack in attacks.iter().cycle().skip(number) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = client.post(format!("{base}{}", attack.path)).bearer_auth(&token);
                let request = request.header("content-type", "application/json").body(attack.body.to_vec());
                let answer = tokio::time::timeout(attack.patience, request.send()).await;
                sent.fetch_add(1, Ordering::Relaxed);
                if let (Ok(Ok(_answer)), Some(keeps)) = (answer, attack.keeps) {
                    tokio::time::sleep(keeps).await;
                }
            }
        });
    }
    let mut most = 0;
    let mut loud = times(&beta, &path, lasts, Some((&mut gateway, &mut most))).await;
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    let (count, loud) = (loud.len(), ninety_nine_percent(&mut loud));
    let ended = Instant::now();
    let mut after = Usage::of(&mut gateway).memory;
    while after > before + LEFT && ended.elapsed() < *PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        after = Usage::of(&mut gateway).memory;
    }
    println!(
        "{count} answers, 99 of 100 within {loud:?} instead of {quiet:?}, beside {} requests; \
         {before} KiB before, {most} at the most, {after} afterwards",
        sent.load(Ordering::Relaxed)
    );
    assert!(most <= MOST, "{most} KiB");
    assert!(after <= before + LEFT, "{after} KiB instead of {before}");
}

/// How long each answer took, all of which must be right.
async fn times(
    project: &Project,
    path: &str,
    lasts: Duration,
    mut watched: Option<(&mut Gateway, &mut usize)>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < lasts {
        let asked = Instant::now();
        project.viewer.get(path).await.expect(200);
        times.push(asked.elapsed());
        if let Some((gateway, most)) = &mut watched {
            **most = (**most).max(Usage::of(gateway).memory);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times
}

fn ninety_nine_percent(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}
