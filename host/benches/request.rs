//! What the gateway itself costs: a call over the native border beside the same call made directly, and the whole
//! path of a warm request without a network (budget: design of the border ≤ 0.5 µs, of the path ≤ 10 µs).
//!
//! Needs the probe driver built for release: `cargo xtask bench` sees to it.

#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::expect_used)]

mod support;

use axum::{body::Body, extract::Request};
use criterion::{Criterion, criterion_group, criterion_main};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use studio_driver_probe::Probe;
use studio_gateway::{
    app::Gateway,
    cache::{Ending, Key},
    http::router,
    plugins::{DriverSession, Keeping, catalog::Driver as Loaded},
    registry::{Connection, ConnectionSelector},
};
use studio_plugin_api::{
    Call, ConnectionSettings, Driver, Network, Outcome, manifest::OperationManifest, reply::Payload, testing,
};
use support::{PROBE, Wired, call, on_worker, session, wire};
use tokio::runtime::Runtime;
use tower::ServiceExt;

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
                drop(driver.containment().run(call.deadline, session.call(call)).await.expect("a payload"));
            }
        });
    });
    group.finish();
}

fn path(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let wired = runtime.block_on(wire(PROBE));
    let service = router(wired.gateway.clone(), &wired.settings.http);
    let mut group = criterion.benchmark_group("path");
    let counter = "/api/platform/probe/p/counters/c";
    runtime.block_on(set_counter(&wired));
    for (name, path, directive) in [
        ("liveness, through every layer", "/healthz", ""),
        ("warm driver request, through every layer", "/api/platform/probe/p/nothing", ""),
        ("kept reply, through every layer", counter, ""),
        ("fresh reply that is kept, through every layer", counter, "no-cache"),
    ] {
        group.bench_function(name, |bencher| {
            let (service, token) = (service.clone(), wired.token.clone());
            on_worker(bencher, &runtime, move || {
                let request = Request::builder()
                    .uri(path)
                    .header("authorization", &token)
                    .header("cache-control", directive)
                    .body(Body::empty());
                let answering = service.clone().oneshot(request.expect("a request"));
                async move { assert!(answering.await.expect("an answer").status().is_success()) }
            });
        });
    }
    group.finish();
}

/// A cacheable operation on a connection.
struct Cacheable {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    driver: Arc<Loaded>,
    operation: u32,
}

impl Cacheable {
    async fn find(gateway: Arc<Gateway>) -> Self {
        let driver = gateway.catalog.driver("probe").expect("the probe driver");
        let found = gateway.directory.connection("p", "probe", &ConnectionSelector::Primary).await;
        let connection = found.expect("an answer").expect("the connection");
        let is_kept = |number: &u32| {
            driver.caching(*number).is_some_and(|caching| matches!(caching.keeping, Keeping::For(_)))
        };
        let operation = (0..1000).find(is_kept).expect("a cacheable operation");
        Self { gateway, connection, driver, operation }
    }

    /// What the cache adds to a request: looking for a reply; and where there is none, joining the calls under way, and
    /// keeping what comes.
    async fn look_up(&self) {
        let (cache, path) = (&self.gateway.cache, &self.driver.caching(self.operation).expect("it").path);
        let call = Call { operation: self.operation, path: vec![b"c".to_vec()], ..call() };
        let key = Key::new(&self.connection, &self.driver, &call);
        let now = Instant::now();
        let reading = cache.begin_read(key, path, Duration::from_secs(60), now);
        if cache.find(&reading, now).await.is_none() {
            let payload = Payload { outcome: Outcome::Ok, json: vec![b'1'; 1000], only_read: false };
            let flight = cache.join(&reading, call.deadline, || async move { Ok(payload) });
            drop(flight.work.await.expect("an answer"));
        }
    }

    /// What the cache adds to a write.
    fn write(&self) {
        let (cache, path) = (&self.gateway.cache, &self.driver.caching(self.operation).expect("it").path);
        let paths = std::slice::from_ref(path);
        let write = cache.begin_write(self.connection.id, paths, Instant::now()).expect("a path");
        write.end(Ending::Over, Instant::now());
    }
}

/// The cache's part of a request (budget: 2 µs).
fn cache(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let wired = runtime.block_on(wire(PROBE));
    let cacheable = Arc::new(runtime.block_on(Cacheable::find(wired.gateway.clone())));
    let mut group = criterion.benchmark_group("cache");
    for (name, writes) in [("hit", false), ("write, and miss that is kept", true)] {
        group.bench_function(name, |bencher| {
            let cacheable = cacheable.clone();
            on_worker(bencher, &runtime, move || {
                let cacheable = cacheable.clone();
                async move {
                    if writes {
                        cacheable.write();
                    }
                    cacheable.look_up().await;
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

criterion_group!(benches, border, path, cache);
criterion_main!(benches);
