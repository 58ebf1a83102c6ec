//! What two steps of a request's path cost by themselves: counting it by its caller's limits, and looking for a reply that
//! was kept (budget: 2 µs each).
//!
//! Needs the probe driver built for release: `cargo xtask bench` sees to it.

#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::expect_used)]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderMap;
use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use studio_gateway::{
    cache::{Ending, Key},
    config::{RateLimitSettings, RequestLimit},
    gateway::Gateway,
    identity::{Grants, Principal},
    limits::{Class, RateLimitRequest, RateLimits},
    plugins::{Caching, Driver, Operation, Payload},
    registry::{Connection, ConnectionSelector},
    telemetry::Metrics,
};
use studio_plugin_api::{Call, Outcome};
use support::{PROBE, call, on_worker, wire};
use tokio::runtime::Runtime;

/// The step that counts a user's request: one limit, two, and one request too many.
fn limits(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let principal = Principal::User { subject: "someone".into(), grants: Grants::default() };
    let (database_type, project) = (Some("probe"), Some("p"));
    let request =
        RateLimitRequest { principal: &principal, role: None, database_type, project, class: Class::Read };
    let rate = |text: &str| Some(text.parse::<RequestLimit>().expect("a limit"));
    let mut group = criterion.benchmark_group("limits");
    for (name, read, total) in [
        ("let through by one limit", rate("4000000000"), None),
        ("let through by two limits", rate("4000000000"), rate("4000000000")),
        ("refused", rate("1"), None),
    ] {
        let mut settings = RateLimitSettings::default();
        (settings.everyone.read, settings.everyone.total) = (read, total);
        let limits = runtime.block_on(async { RateLimits::start(&settings, Arc::new(Metrics::default())) });
        let refused = rate("1") == read;
        // The first is let through in any case.
        drop(limits.admit(&request));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let counted = limits.admit(black_box(&request));
                assert_eq!(counted.is_err(), refused);
                let mut headers = HeaderMap::new();
                if let Some(rate_limit_headers) = counted.unwrap_or_else(|refusal| refusal.headers) {
                    rate_limit_headers.write(&mut headers);
                }
                headers
            });
        });
    }
    group.finish();
}

/// A cacheable operation on a connection.
struct Cacheable {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    driver: Arc<Driver>,
    operation: Arc<Operation>,
}

impl Cacheable {
    async fn find(gateway: Arc<Gateway>) -> Self {
        let driver = gateway.catalog.driver("probe").expect("the probe driver");
        let found = gateway.directory.connection("p", driver.manifest(), &ConnectionSelector::Primary).await;
        let connection = found.expect("an answer").found.expect("the connection");
        let is_kept = |operation: &&Arc<Operation>| matches!(operation.caching, Some(Caching::For(_)));
        let operation = driver.operations().iter().find(is_kept).expect("a cacheable operation").clone();
        Self { gateway, connection, driver, operation }
    }

    /// What the cache adds to a request: looking for a reply; and where there is none, joining the calls under way, and
    /// keeping what comes.
    async fn look_up(&self, item: u64) {
        let (cache, path) = (&self.gateway.cache, &self.operation.path);
        let call =
            Call { operation: self.operation.number, path: vec![item.to_le_bytes().to_vec()], ..call() };
        let key = Key::new(&self.connection, &self.driver, &call);
        let now = Instant::now();
        let reading = cache.begin_read(key, path, Duration::from_secs(60), now);
        if cache.find(&reading, now).await.is_none() {
            let payload = Payload { outcome: Outcome::Ok, json: vec![b'1'; 1000].into(), only_read: false };
            let flight = cache.join(&reading, call.deadline, || async move { Ok(payload) });
            drop(flight.work.await.expect("an answer"));
        }
    }

    /// What the cache adds to a write.
    fn write(&self) {
        let (cache, path) = (&self.gateway.cache, &self.operation.path);
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
    group.bench_function("hit", |bencher| {
        let cacheable = cacheable.clone();
        on_worker(bencher, &runtime, move || {
            let cacheable = cacheable.clone();
            async move { cacheable.look_up(0).await }
        });
    });
    // What a write made stale: the write's own part is measured below.
    group.bench_function("write, and miss that is kept", |bencher| {
        let cacheable = cacheable.clone();
        on_worker(bencher, &runtime, move || {
            let cacheable = cacheable.clone();
            async move {
                cacheable.write();
                cacheable.look_up(0).await;
            }
        });
    });
    // What nobody asked for before, when the cache is full: each reply that is kept drives out an older one.
    let item = Arc::new(AtomicU64::new(1));
    group.bench_function("miss of something new", |bencher| {
        let (cacheable, item) = (cacheable.clone(), item.clone());
        on_worker(bencher, &runtime, move || {
            let (cacheable, item) = (cacheable.clone(), item.fetch_add(1, Ordering::Relaxed));
            async move { cacheable.look_up(item).await }
        });
    });
    group.bench_function("write", |bencher| bencher.iter(|| cacheable.write()));
    group.finish();
}

criterion_group!(benches, limits, cache);
criterion_main!(benches);
