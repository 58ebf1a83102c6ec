//! What the benchmarks share: a gateway wired with the drivers that `cargo xtask bench` has built for release.

use criterion::Bencher;
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use studio_gateway::{
    config::Settings,
    gateway::Gateway,
    identity::{NewToken, issue_token},
    management::input::CreateConnection,
    plugins::{
        DriverSession,
        settings::{DriverSettings, OpenOptions},
    },
    registry::{AuditRecord, NewOrganization, NewProject},
    role::Role,
};
use studio_plugin_api::{Access, Call, Endpoint};
use tokio::runtime::Runtime;

const SECRET: &str = "a secret of at least thirty-two bytes";

/// A call of the first operation, which does nothing.
pub fn call() -> Call {
    Call {
        operation: 0,
        granted: Access::Read,
        path: Vec::new(),
        query: Vec::new(),
        body: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(30),
        max_reply_bytes: 1 << 20,
        request_id: "0123456789abcdef0123456789abcdef".into(),
    }
}

/// A driver to measure with.
#[derive(Clone, Copy)]
pub struct Measured {
    pub database_type: &'static str,
    kind: &'static str,
    /// Below cargo's target folder.
    file: &'static str,
}

/// The probe, as `cargo build --release` leaves it.
pub const PROBE: Measured =
    Measured { database_type: "probe", kind: "dylib", file: "release/libstudio_driver_probe.so" };
/// The echo, as `cargo xtask build-plugins` leaves it.
pub const ECHO: Measured =
    Measured { database_type: "echo", kind: "wasm", file: "wasm/components/echo.wasm" };

impl Measured {
    /// Its file.
    fn path(self) -> PathBuf {
        let program = std::env::current_exe().expect("this program has a path");
        // target/release/deps/program
        program.ancestors().nth(3).expect("cargo's target folder").join(self.file)
    }

    /// Its lines in plugins.toml.
    fn entry(self) -> String {
        let Self { database_type, kind, .. } = self;
        format!("[[plugin]]\ntype = '{database_type}'\nkind = '{kind}'\npath = '{}'\n", self.path().display())
    }
}

/// A gateway with one project `p`, which has a connection of the measured driver.
pub struct Wired {
    pub gateway: Arc<Gateway>,
    pub settings: Settings,
    pub token: String,
    _folder: tempfile::TempDir,
}

/// Without limits on requests.
pub async fn wire(measured: Measured) -> Wired {
    wire_limited(measured, "0").await
}

/// With a limit on each user's requests, as `GATEWAY_RATE_LIMIT` takes it.
pub async fn wire_limited(measured: Measured, rate_limit: &str) -> Wired {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugins = folder.path().join("plugins.toml");
    std::fs::write(&plugins, measured.entry()).expect("plugins.toml");
    let environment = [
        ("DATABASE_URL", format!("sqlite:{}", folder.path().join("platform.db").display())),
        ("DATABASE_ENCRYPTION_KEY", "0".repeat(64)),
        ("GATEWAY_JWT_SECRET", SECRET.to_owned()),
        ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
        ("GATEWAY_RATE_LIMIT", rate_limit.to_owned()),
        ("GATEWAY_PLUGINS", plugins.display().to_string()),
        ("GATEWAY_COMPILED_FOLDER", folder.path().join("compiled").display().to_string()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    let settings = Settings::load(None, environment).expect("settings");
    let (gateway, _audit) = Gateway::wire(&settings, None).await.expect("a gateway");
    let registry = gateway.directory.registry();
    let record = AuditRecord {
        at: jiff::Timestamp::now(),
        user_id: None,
        action: "bench".into(),
        project_ref: None,
        target: None,
        result: "ok".into(),
        remote_address: None,
        request_id: None,
    };
    let organization =
        NewOrganization { name: "o".into(), slug: "o".into(), billing_email: None, owner: "owner".into() };
    let organization = registry.create_organization(organization, &record).await.expect("an organization");
    let project = NewProject {
        organization_id: organization.id,
        name: "p".into(),
        reference: "p".into(),
        database: None,
        database_password: None,
    };
    registry.create_project(project, &record).await.expect("a project");
    let driver = gateway.catalog.driver(measured.database_type).expect("the driver");
    let body: CreateConnection =
        serde_json::from_str(r#"{"identifier":"main","host":"127.0.0.1"}"#).expect("a connection's body");
    gateway.connections.create("p", &driver, body, record).await.expect("a connection");
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

pub async fn session(gateway: &Gateway, measured: Measured) -> Box<dyn DriverSession> {
    let driver = gateway.catalog.driver(measured.database_type).expect("the driver");
    let endpoint = Endpoint::Parts {
        host: "127.0.0.1".to_owned(),
        port: 7,
        database_name: None,
        username: None,
        password: None,
    };
    let settings = DriverSettings { endpoint, options: OpenOptions::new(serde_json::json!({})) };
    driver.instance().connect(settings).await.expect("a session")
}

/// Times `run` on a worker of the runtime, where requests run too: from outside, every wake would cross threads.
pub fn on_worker<R, F>(bencher: &mut Bencher<'_>, runtime: &Runtime, run: R)
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
