//! What one project or one database costs all others: hardly anything, however it behaves.

use super::{
    exclusive_sessions::gauge,
    sandbox_neighbours::{Usage, slowest_but_one_percent},
    session_caps::at,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use studio_gateway_tests::{
    Client, Gateway, GatewayOptions, Plugin, Plugins, Project, RedisOptions, RedisServer, World, time::within,
};
use tokio::task::JoinSet;

/// Differences below this are the machine's.
const NOISE: Duration = Duration::from_millis(5);
/// How long a database does not answer at all.
const PAUSE: Duration = Duration::from_secs(30);
/// How often a comparison is made, at the most: other programs run on this machine too.
const ATTEMPTS: usize = 5;

/// Callers who ask again and again, when they are told to, until they are told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
    callers: JoinSet<Duration>,
}

impl Flood {
    fn start(client: &Client, path: &str, callers: usize) -> Self {
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut flood = Self { stop, refused, callers: JoinSet::new() };
        for number in 0..callers {
            let (client, path) = (client.clone(), path.to_owned());
            let (stop, refused) = (flood.stop.clone(), flood.refused.clone());
            flood.callers.spawn(async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let answer = client.get(&path).await;
                    longest = longest.max(begin.elapsed());
                    match (answer.status, answer.error_code().as_str()) {
                        (200 | 204, _) => {}
                        (503, "CONNECTION_ERROR") | (504, "TIMEOUT") => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            let wait = answer.header("retry-after").map_or(1, |wait| wait.parse().unwrap());
                            // Not all of them in the same moment.
                            let apart = Duration::from_millis(5 * number as u64);
                            tokio::time::sleep(Duration::from_secs(wait) + apart).await;
                        }
                        _ => panic!("{answer}"),
                    }
                }
                longest
            });
        }
        flood
    }

    /// How many were refused, and the longest that one waited for an answer.
    async fn stop(self) -> (usize, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.callers.join_all().await.into_iter().max().unwrap();
        (self.refused.load(Ordering::Relaxed), longest)
    }
}

/// Whether `loud` is within twice of `quiet`.
fn is_near(quiet: Duration, loud: Duration) -> bool {
    println!("99 of 100 within {quiet:?} while it is quiet, and within {loud:?} beside the flood");
    loud <= (quiet * 2).max(NOISE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn project_that_floods_ten_times_its_share_delays_nobody_else() {
    let probe = Plugin::new("probe").line("limits = { calls = 10, waiting = 50 }");
    let options = GatewayOptions::default().plugins(Plugins::new([probe])).set("GATEWAY_LOG", "warn");
    let gateway = Gateway::start(options).await;
    let (alpha, beta) =
        (Project::create_empty(&gateway, "alpha").await, Project::create_empty(&gateway, "beta").await);
    for project in [&alpha, &beta] {
        project.connect_probe("one", json!({})).await;
    }
    let path = at(&beta, "/nothing", "one");
    let mut near = false;
    for _ in 0..ATTEMPTS {
        let quiet = slowest_but_one_percent(&beta.viewer, &path).await;
        let flood = Flood::start(&alpha.viewer, &at(&alpha, "/wait?milliseconds=500", "one"), 100);
        within(Duration::from_secs(10), "it is a flood", async || {
            gauge(&gateway, "waiting_callers").await == 50
        })
        .await;
        let loud = slowest_but_one_percent(&beta.viewer, &path).await;
        let (refused, _) = flood.stop().await;
        assert!(refused > 0, "the flood found room");
        near = is_near(quiet, loud);
        if near {
            break;
        }
    }
    assert!(near, "delayed each time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_database_delays_only_its_callers_and_costs_no_memory() {
    let options = GatewayOptions::default()
        .set("GATEWAY_REQUEST_TIMEOUT", "2s")
        .set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "1s")
        .set("GATEWAY_SESSIONS_WAIT", "1s")
        .set("GATEWAY_LOG", "warn");
    let mut world = World::start_with(options, RedisOptions::new()).await;
    let other = RedisServer::plain().await;
    let body = json!({"identifier": "other", "host": "127.0.0.1", "port": other.port});
    world.beta.connect("redis", body.clone()).await;
    world.alpha.connect("redis", body).await;
    let own = world.alpha.path("redis", "/keys?connection=main");
    // Of another project, and of the same.
    let others = [
        (world.beta.viewer.clone(), world.beta.path("redis", "/keys?connection=other")),
        (world.alpha.viewer.clone(), world.alpha.path("redis", "/keys?connection=other")),
    ];
    let mut quiet = Vec::new();
    for (client, path) in &others {
        client.get(path).await.expect(200);
        quiet.push(slowest_but_one_percent(client, path).await);
    }
    world.alpha.viewer.get(&own).await.expect(200);

    world.redis.freeze();
    let paused = Instant::now();
    let flood = Flood::start(&world.alpha.viewer, &own, 200);
    // Until all that the flood can take is taken.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = Usage::of(&mut world.gateway);
    let mut near = false;
    for _ in 0..ATTEMPTS {
        let mut loud = Vec::new();
        for (client, path) in &others {
            loud.push(slowest_but_one_percent(client, path).await);
        }
        near = quiet.iter().zip(loud).all(|(quiet, loud)| is_near(*quiet, loud));
        if near {
            break;
        }
    }
    assert!(near, "delayed each time");
    tokio::time::sleep(PAUSE.saturating_sub(paused.elapsed())).await;
    let after = Usage::of(&mut world.gateway);
    assert!(after.memory < before.memory + 8 * 1024, "memory grows: {before:?}, {after:?}");

    world.redis.thaw();
    let limit = Duration::from_secs(2);
    let recovery =
        within(limit, "it works again", async || world.alpha.viewer.get(&own).await.status == 200).await;
    let (refused, longest) = flood.stop().await;
    println!(
        "{refused} refused, the longest after {longest:?}; back after {recovery:?}; {before:?}, {after:?}"
    );
    assert!(refused > 100 && longest < Duration::from_secs(4), "an answer after {longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_connections_of_ten_thousand_are_used_under_the_caps() {
    const CAP: usize = 40;
    let options = GatewayOptions::default()
        .set("GATEWAY_SESSIONS_MAX_PER_PROJECT", &CAP.to_string())
        .set("GATEWAY_LOG", "warn");
    let mut world = World::start_with(options, RedisOptions::new()).await;
    let statement = "
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
        INSERT INTO database_connections (id, project_id, database_type, identifier, host, port)
        SELECT format('00000000-0000-4000-8000-%012d', n), project_id, 'redis', format('c%d', n), '127.0.0.1', PORT
        FROM database_connections, numbers WHERE id = 'MAIN'";
    let statement =
        statement.replace("PORT", &world.redis.port.to_string()).replace("MAIN", &world.alpha.connection);
    assert_eq!(world.gateway.database.execute(&statement).await, 10_000);
    let before = Usage::of(&mut world.gateway);
    let (mut most, mut most_clients, mut most_open) = (before, 0, 0);
    let begin = Instant::now();
    for number in 1..=1000 {
        let path = world.alpha.path("redis", &format!("/keys?connection=c{}", number * 10));
        world.alpha.viewer.get(&path).await.expect(200);
        if number % 25 == 0 {
            let usage = Usage::of(&mut world.gateway);
            most.memory = most.memory.max(usage.memory);
            most.files = most.files.max(usage.files);
            most_clients = most_clients.max(world.redis.clients().await);
            most_open = most_open.max(gauge(&world.gateway, "open_sessions").await);
        }
    }
    println!(
        "1000 of 10,000 in {:?}: {before:?} before, {most:?} at most, {most_open} sessions, {most_clients} clients",
        begin.elapsed()
    );
    assert_eq!(most_open, CAP);
    // A connection that is being closed may still be there.
    assert!(most_clients <= CAP + 2, "{most_clients} connections to the database");
    assert!(most.files <= before.files + CAP + 10, "{} files, {} before", most.files, before.files);
    assert!(most.memory <= before.memory + 32 * 1024, "{} KiB, {} before", most.memory, before.memory);
}
