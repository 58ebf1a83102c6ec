//! What the sandbox costs: a call on a live instance (budget ≤ 5 µs), a fresh session, and a driver's start from the
//! cache of compiled code (budget ≤ 5 ms).
//!
//! Needs the echo driver's component: `cargo xtask bench` sees to it.

#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::expect_used)]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use std::sync::Arc;
use studio_gateway::{
    config::OnPluginError,
    gateway::{driver_loader, open_keyring},
    plugins::{DriverSession, catalog::Catalog},
};
use support::{ECHO, call, on_worker, session, wire};
use tokio::runtime::Runtime;

fn sandbox(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let wired = Arc::new(runtime.block_on(wire(ECHO)));
    let mut group = criterion.benchmark_group("sandbox");

    let live: Arc<dyn DriverSession> = runtime.block_on(session(&wired.gateway, ECHO)).into();
    group.bench_function("call on a live instance", |bencher| {
        let live = live.clone();
        on_worker(bencher, &runtime, move || {
            let live = live.clone();
            async move { drop(live.call(call()).await.expect("a payload")) }
        });
    });

    group.bench_function("fresh session and its first call", |bencher| {
        let wired = wired.clone();
        on_worker(bencher, &runtime, move || {
            let wired = wired.clone();
            async move {
                let fresh = session(&wired.gateway, ECHO).await;
                drop(fresh.call(call()).await.expect("a payload"));
            }
        });
    });

    let keyring = Arc::new(open_keyring(&wired.settings).expect("a key"));
    group.bench_function("start of a gateway's drivers from the cache", |bencher| {
        let (wired, keyring) = (wired.clone(), keyring.clone());
        on_worker(bencher, &runtime, move || {
            let (wired, keyring) = (wired.clone(), keyring.clone());
            async move {
                let loader = driver_loader(&wired.settings, None, Some(keyring));
                let file = &wired.settings.plugins.file;
                drop(Catalog::load(file, OnPluginError::Fail, loader).await.expect("the driver"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, sandbox);
criterion_main!(benches);
