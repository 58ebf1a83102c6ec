//! What the gateway itself costs: a call over the native border beside the same call made directly, and the whole
//! path of a warm request without a network (budget: design of the border ≤ 0.5 µs, of the path ≤ 10 µs).
//!
//! Needs the probe driver built for release: `cargo xtask bench` sees to it.

#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::expect_used)]

mod support;

use axum::{body::Body, extract::Request};
use criterion::{Criterion, criterion_group, criterion_main};
use std::{net::Ipv4Addr, sync::Arc};
use studio_driver_probe::Probe;
use studio_gateway::{
    config::LogSettings,
    http::{Answer, Front},
    logging::start_logging_to,
    plugins::DriverSession,
};
use studio_plugin_api::{Call, ConnectionSettings, Driver, Network, manifest::OperationManifest, testing};
use support::{PROBE, Wired, call, on_worker, session, wire, wire_limited};
use tokio::runtime::Runtime;

fn border(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let wired = runtime.block_on(wire(PROBE));
    let mut group = criterion.benchmark_group("border");

    let options = serde_json::from_str("{}").expect("options");
    let endpoint = serde_json::from_str(r#"{"parts":{"host":"127.0.0.1","port":7}}"#).expect("an endpoint");
    let network = Network::new(|_, _| async { Ok(Vec::new()) });
    let direct = runtime.block_on(Probe::connect(ConnectionSettings { endpoint, options }, network));
    let direct = Arc::new(direct.expect("a session"));
    let operations = Arc::new(Probe::operations().into_rows());
    group.bench_function("direct call", |bencher| {
        let (direct, operations) = (direct.clone(), operations.clone());
        on_worker(bencher, &runtime, move || {
            let (direct, operations) = (direct.clone(), operations.clone());
            async move {
                let operation = operations.first().expect("an operation");
                drop(testing::run(operation, direct, call()).await.expect("a payload"));
            }
        });
    });

    let session: Arc<dyn DriverSession> = runtime.block_on(session(&wired.gateway, PROBE)).into();
    group.bench_function("call over the border", |bencher| {
        let session = session.clone();
        on_worker(bencher, &runtime, move || {
            let session = session.clone();
            async move { drop(session.call(call()).await.expect("a payload")) }
        });
    });

    let driver = wired.gateway.catalog.driver("probe").expect("the probe driver");
    group.bench_function("call over the border, contained in its task", |bencher| {
        let (session, driver) = (session.clone(), driver.clone());
        on_worker(bencher, &runtime, move || {
            let (session, driver) = (session.clone(), driver.clone());
            async move {
                let call = call();
                let containment = driver.containment();
                let operation = driver.operations().first().expect("an operation");
                let task = containment.call(operation, &call.request_id);
                drop(containment.run(task, call.deadline, session.call(call)).await.expect("a payload"));
            }
        });
    });
    group.finish();
}

/// The path as the benchmarks' own process has it, without a log, and then as production has it.
fn path(criterion: &mut Criterion) {
    paths(criterion, "path");
    let _logging = start_logging_to(std::io::sink(), &LogSettings::default()).expect("a log");
    paths(criterion, "logged path");
}

fn paths(criterion: &mut Criterion, group: &str) {
    let runtime = Runtime::new().expect("a runtime");
    let unlimited = runtime.block_on(wire(PROBE));
    let limited = runtime.block_on(wire_limited(PROBE, "4000000000"));
    let exhausted = runtime.block_on(wire_limited(PROBE, "1"));
    runtime.block_on(set_counter(&unlimited));
    let (nothing, counter) = ("/api/platform/probe/p/nothing", "/api/platform/probe/p/counters/c");
    let mut group = criterion.benchmark_group(group);
    for (name, wired, path, directive) in [
        ("liveness, through every layer", &unlimited, "/healthz", ""),
        ("warm driver request, through every layer", &unlimited, nothing, ""),
        ("warm driver request, counted", &limited, nothing, ""),
        ("driver request refused by a limit", &exhausted, nothing, ""),
        ("kept reply, through every layer", &unlimited, counter, ""),
        ("fresh reply that is kept, through every layer", &unlimited, counter, "no-cache"),
    ] {
        let front = Front::new(wired.gateway.clone(), &wired.settings.http);
        let refused = std::ptr::eq(wired, &exhausted);
        group.bench_function(name, |bencher| {
            let (front, token) = (front.clone(), wired.token.clone());
            on_worker(bencher, &runtime, move || {
                let request = Request::builder()
                    .uri(path)
                    .header("authorization", &token)
                    .header("cache-control", directive)
                    .body(Body::empty());
                let answering = front.clone().answer(request.expect("a request"), Ipv4Addr::LOCALHOST.into());
                async move {
                    let status = answering.await.status();
                    assert!(refused || status.is_success());
                }
            });
        });
    }
    group.finish();
}

/// A counter that was never moved on has no reply.
async fn set_counter(wired: &Wired) {
    let session = session(&wired.gateway, PROBE).await;
    let driver = wired.gateway.catalog.driver("probe").expect("the probe driver");
    let adds = |row: &OperationManifest| row.method.as_str() == "POST" && row.path == "/counters/{name}";
    let operation = driver.manifest().operations.iter().position(adds).expect("an operation") as u32;
    let call = Call { operation, path: vec![b"c".to_vec()], ..call() };
    drop(session.call(call).await.expect("it adds"));
}

criterion_group!(benches, border, path);
criterion_main!(benches);
