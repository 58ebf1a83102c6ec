//! What hostile components cost everyone else: nothing that stays, and little meanwhile.

use super::sandbox::{call, connect, hostile, logged, start, start_with, works_anew};
use serde_json::json;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use studio_gateway_tests::{
    Client, Gateway, GatewayOptions, Plugin, Project, RedisServer, eventually, time::within,
};
use tokio::task::JoinSet;

/// The time within which 99 of 100 requests are answered.
pub(crate) async fn slowest_but_one_percent(client: &Client, path: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        client.get(path).await.expect(200);
        times.push(begin.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100]
}

async fn connect_many(project: &Project, count: usize) {
    for number in 0..count {
        connect(project, &format!("c{number}"), 1, json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_loops_delay_nobody_else() {
    let plugin = Plugin::component("hostile").line("limits = { operation_timeout = 2 }");
    let options = GatewayOptions::default().set("GATEWAY_LOG", "warn");
    let (gateway, project) = start_with([plugin, Plugin::new("redis")], options).await;
    connect_many(&project, 20).await;
    let redis = RedisServer::plain().await;
    let other = Project::create_empty(&gateway, "beta").await;
    other.connect("redis", json!({"identifier": "main", "host": "127.0.0.1", "port": redis.port})).await;
    connect(&other, "sane", 1, json!({})).await;
    let native = other.path("redis", "/keys");
    let sandboxed = other.path("hostile", "/nothing");
    let quiet = [
        slowest_but_one_percent(&other.viewer, &native).await,
        slowest_but_one_percent(&other.viewer, &sandboxed).await,
    ];

    let stop = Arc::new(AtomicBool::new(false));
    let mut loops = JoinSet::new();
    for number in 0..20 {
        let (viewer, stop) = (project.viewer.clone(), stop.clone());
        let path = project.path("hostile", &format!("/loop?connection=c{number}"));
        loops.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                viewer.get(&path).await.refused(504, "TIMEOUT");
            }
        });
    }
    // They run, and some have ended and begun again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let loud = [
        slowest_but_one_percent(&other.viewer, &native).await,
        slowest_but_one_percent(&other.viewer, &sandboxed).await,
    ];
    stop.store(true, Ordering::Relaxed);
    loops.join_all().await;
    println!("99 of 100 within {quiet:?} while it is quiet, and within {loud:?} beside 20 endless loops");
    for (quiet, loud) in quiet.into_iter().zip(loud) {
        let bound = (quiet * 20).max(Duration::from_millis(250));
        assert!(loud < bound, "{loud:?} instead of {quiet:?}");
    }
}

/// Memory in KiB, files and threads of a gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// KiB, without the pages of the program's files, which the gateway forgets and has again when it uses them.
    pub(crate) memory: usize,
    pub(crate) files: usize,
    threads: usize,
}

impl Usage {
    pub(crate) fn of(gateway: &mut Gateway) -> Self {
        let id = gateway.process().id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
        let count = |name: &str| fs::read_dir(format!("/proc/{id}/{name}")).unwrap().count();
        Self { memory, files: count("fd"), threads: count("task") }
    }
}

/// A little of everything, by eight connections at once.
async fn storm(project: &Project, rounds: usize) {
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let (viewer, reference) = (project.viewer.clone(), project.path("hostile", ""));
        calls.spawn(async move {
            for _ in 0..rounds {
                for path in [
                    "/allocate?bytes=65536",
                    "/keep?bytes=40000000",
                    "/reply?bytes=50000000",
                    "/recurse?",
                    "/panic?",
                    "/error?bytes=20000000",
                    "/log?lines=300&bytes=100000",
                    "/streams?",
                    "/random?length=4294967295",
                ] {
                    let answer = viewer.get(&format!("{reference}{path}&connection=c{number}")).await;
                    assert!(matches!(answer.status, 200 | 204 | 400 | 502 | 503), "{path}: {answer}");
                }
                viewer.get(&format!("{reference}/loop?connection=c{number}")).await.refused(504, "TIMEOUT");
            }
        });
    }
    calls.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_leaves_nothing_behind() {
    let options =
        GatewayOptions::default().set("GATEWAY_SESSIONS_IDLE_TIMEOUT", "300ms").set("GATEWAY_LOG", "warn");
    // Eight at once on a busy machine take their time.
    let plugin = Plugin::component("hostile").line("limits = { operation_timeout = 4 }");
    let (mut gateway, project) = start_with([plugin], options).await;
    connect_many(&project, 8).await;
    // What is made once, for good, is made now.
    storm(&project, 1).await;
    let sessions = async |gateway: &Gateway| {
        let metrics = gateway.anonymous().request("GET", "/metrics");
        let text = gateway.platform_admin().send(metrics).await;
        String::from_utf8_lossy(&text.bytes)
            .lines()
            .any(|line| line.starts_with("studio_gateway_open_sessions{") && !line.ends_with(" 0"))
    };
    eventually("all sessions are closed", async || !sessions(&gateway).await).await;
    let before = Usage::of(&mut gateway);
    storm(&project, 3).await;
    let mut after = Usage::of(&mut gateway);
    within(Duration::from_secs(20), "files, threads and memory are as before", async || {
        after = Usage::of(&mut gateway);
        after.files <= before.files + 4
            && after.threads <= before.threads + 4
            && after.memory < before.memory + (64 << 10)
    })
    .await;
    println!("before {before:?}, after {after:?}");
    call(&project, "c0", "/nothing").await.expect(200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_records_is_thinned_out_and_hides_nothing() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    for path in ["/log?lines=100000000&bytes=50", "/log?lines=10000000&bytes=1000000"] {
        call(&project, "main", path).await.refused(504, "TIMEOUT");
        works_anew(&project, "main").await;
    }
    let answer = call(&project, "main", "/panic").await;
    answer.refused(502, "DRIVER_ERROR");
    // The gateway's own word on it is not drowned.
    logged(&gateway, &["hostile", "sandbox", "panicked", answer.header("x-request-id").unwrap()]).await;
    let log = gateway.whole_log().await;
    assert!(log.contains("records were dropped"));
    let floods: Vec<&str> = log.lines().filter(|line| line.contains("flood")).collect();
    assert!((10..2000).contains(&floods.len()), "{} lines", floods.len());
    for line in log.lines().filter(|line| !line.starts_with("listening")) {
        assert!(line.len() < 40_000, "a line of {} bytes", line.len());
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test]
async fn record_of_several_lines_is_one_line_for_people_too() {
    let options = GatewayOptions::default().set("GATEWAY_LOG_FORMAT", "pretty");
    let (gateway, project) = start_with([hostile()], options).await;
    connect(&project, "main", 1, json!({})).await;
    call(&project, "main", "/log?lines=1&bytes=30").await.expect(204);
    logged(&gateway, &["hostile", "flood"]).await;
    call(&project, "main", "/panic").await.refused(502, "DRIVER_ERROR");
    logged(&gateway, &["hostile", "sandbox", "panicked"]).await;
    for line in gateway.whole_log().await.lines().filter(|line| !line.starts_with("listening")) {
        assert!(line.contains("20") && line.contains('Z'), "not a record's beginning: {line}");
    }
}
