//! What the gateway itself costs: a call over the native border beside the same call made directly, and the whole
//! path of a warm request without a network (budget: design of the border ≤ 0.5 µs, of the path ≤ 10 µs).
//!
//! Needs the probe driver built for release: `cargo xtask bench` sees to it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use axum::{body::Body, extract::Request};
use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use studio_driver_probe::Probe;
use studio_gateway::{
    app::Gateway,
    config::Settings,
    connections::input::CreateConnection,
    http::router,
    identity::{NewToken, issue_token},
    plugins::DriverSession,
    registry::{NewOrganization, NewProject, Role},
};
use studio_plugin_api::{Access, Call, ConnectionSettings, Driver, Network, testing};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const SECRET: &str = "a secret of at least thirty-two bytes";

fn call() -> Call {
    Call {
        operation: 0,
        granted: Access::Read,
        path: Vec::new(),
        query: Vec::new(),
        body: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(30),
        max_reply_bytes: 1 << 20,
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
    }
}

/// The driver's library as `cargo build --release` leaves it, beside this program's folder.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let folder = program.ancestors().nth(2).expect("target/release");
    folder.join(format!(
        "{}studio_driver_probe{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ))
}

struct Wired {
    gateway: Arc<Gateway>,
    settings: Settings,
    token: String,
    _folder: tempfile::TempDir,
}

async fn wire() -> Wired {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugins = folder.path().join("plugins.toml");
    let entry = format!("[[plugin]]\ntype = 'probe'\nkind = 'dylib'\npath = '{}'\n", library().display());
    std::fs::write(&plugins, entry).expect("plugins.toml");
    let environment = [
        ("DATABASE_URL", format!("sqlite:{}", folder.path().join("platform.db").display())),
        ("DATABASE_ENCRYPTION_KEY", "0".repeat(64)),
        ("GATEWAY_JWT_SECRET", SECRET.to_owned()),
        ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
        ("GATEWAY_PLUGINS", plugins.display().to_string()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    let settings = Settings::load(None, environment).expect("settings");
    let (gateway, _audit) = Gateway::wire(&settings, None).await.expect("a gateway");
    let registry = gateway.directory.registry();
    let organization =
        NewOrganization { name: "o".into(), slug: "o".into(), billing_email: None, owner: "owner".into() };
    let organization = registry.create_organization(organization).await.expect("an organization");
    let project = NewProject {
        organization_id: organization.id,
        name: "p".into(),
        reference: "p".into(),
        database: None,
        database_password: None,
    };
    registry.create_project(project).await.expect("a project");
    let driver = gateway.catalog.driver("probe").expect("the probe driver");
    let body: CreateConnection =
        serde_json::from_str(r#"{"identifier":"main","host":"127.0.0.1"}"#).expect("a connection's body");
    gateway.connections.create("p", &driver, body).await.expect("a connection");
    let token = NewToken {
        subject: "viewer".into(),
        projects: BTreeMap::from([("p".into(), Role::Viewer)]),
        platform_admin: false,
        audience: settings.identity.audience.clone(),
        issuer: None,
        time_to_live: Duration::from_secs(3600),
    };
    let token = issue_token(&SecretString::from(SECRET), &token).expect("a token");
    let token = format!("Bearer {}", secrecy::ExposeSecret::expose_secret(&token));
    Wired { gateway, settings, token, _folder: folder }
}

async fn session(gateway: &Gateway) -> Box<dyn DriverSession> {
    let driver = gateway.catalog.driver("probe").expect("the probe driver");
    let settings = r#"{"endpoint":{"parts":{"host":"127.0.0.1","port":7}},"options":{}}"#;
    driver.instance().connect(SecretString::from(settings)).await.expect("a session")
}

/// Times `run` on a worker of the runtime, where requests run too: from outside, every wake would cross threads.
fn on_worker<R, F>(bencher: &mut Bencher<'_>, runtime: &Runtime, run: R)
where
    R: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    bencher.iter_custom(|rounds| {
        let run = run.clone();
        let timed = runtime.spawn(async move {
            let start = Instant::now();
            for _ in 0..rounds {
                run().await;
            }
            start.elapsed()
        });
        runtime.block_on(timed).expect("the timed task")
    });
}

fn border(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let wired = runtime.block_on(wire());
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

    let session: Arc<dyn DriverSession> = runtime.block_on(session(&wired.gateway)).into();
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
    let wired = runtime.block_on(wire());
    let service = router(wired.gateway.clone(), &wired.settings.http);
    let mut group = criterion.benchmark_group("path");
    for (name, path) in [
        ("liveness, through every layer", "/healthz"),
        ("warm driver request, through every layer", "/api/platform/probe/p/nothing"),
    ] {
        group.bench_function(name, |bencher| {
            let (service, token) = (service.clone(), wired.token.clone());
            on_worker(bencher, &runtime, move || {
                let request =
                    Request::builder().uri(path).header("authorization", &token).body(Body::empty());
                let answering = service.clone().oneshot(request.expect("a request"));
                async move { assert!(answering.await.expect("an answer").status().is_success()) }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, border, path);
criterion_main!(benches);
