//! The only place that wires the parts together, for `serve.rs` and for the command line.

use crate::{
    addresses::AddressPolicy,
    audit::AuditTrail,
    budgets::{Budgets, ClientConnections, Times, raise_file_limit},
    cache::ReplyCache,
    config::{ConfigError, Settings},
    connections::sealed_string::ConnectionKey,
    directory::Directory,
    flow::{Flow, Tickets},
    identity::{Gate, JwksError, TokenVerifier},
    limits::{RateLimits, TakenNames},
    management::manager::ConnectionManager,
    plugins::{
        CompiledCache, Loader, SandboxSettings,
        catalog::{Catalog, CatalogError},
    },
    registry::{self, Registry, RegistryError},
    secrets::{KeyError, Keyring},
    sessions::Sessions,
    telemetry::Metrics,
};
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
use studio_plugin_api::DriverError;
use tokio::task::JoinHandle;

/// Tells why the parts can't be wired.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// The encryption key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No encryption key at all.
    #[error(
        "DATABASE_ENCRYPTION_KEY is not set: give 32 random bytes as 64 hex digits or base64 (`openssl rand -hex 32`)"
    )]
    NoKey,
    /// The key is another than the one that stored secrets were sealed under.
    #[error(
        "the registry holds secrets sealed under the key {0}, which is neither DATABASE_ENCRYPTION_KEY nor one of \
         DATABASE_ENCRYPTION_KEYS_RETIRED"
    )]
    UnknownKey(String),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The keys that tokens are verified with.
    #[error(transparent)]
    Jwks(#[from] JwksError),
    /// The plugins.
    #[error(transparent)]
    Plugins(#[from] CatalogError),
}

/// A gateway, wired.
pub struct Gateway {
    /// The path of driver requests.
    pub flow: Flow,
    /// The drivers.
    pub catalog: Arc<Catalog>,
    /// Authenticates callers and decides what they may do.
    pub gate: Arc<Gate>,
    /// The limits on how often callers may ask.
    pub rate_limits: Arc<RateLimits>,
    /// The registry's recent answers, and the registry.
    pub directory: Arc<Directory>,
    /// Seals and opens secrets.
    pub keyring: Arc<Keyring>,
    /// Replies that may be served again.
    pub cache: Arc<ReplyCache>,
    /// Open driver sessions.
    pub sessions: Sessions,
    /// The service that manages connections.
    pub connections: ConnectionManager,
    /// Names that callers found to be taken.
    pub taken_names: TakenNames,
    /// The rules on where connections may lead.
    pub addresses: AddressPolicy,
    /// The record of who changed what.
    pub audit: AuditTrail,
    /// The counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Set when the gateway was told to stop.
    pub draining: AtomicBool,
}

/// Reads the keys by which stored secrets are sealed and opened.
///
/// # Errors
/// [`StartError::NoKey`], [`StartError::Key`].
pub fn open_keyring(settings: &Settings) -> Result<Keyring, StartError> {
    let current = settings.registry.encryption_key.as_ref().ok_or(StartError::NoKey)?;
    let retired: Vec<&str> =
        settings.registry.encryption_keys_retired.iter().map(|key| key.expose_secret()).collect();
    Ok(Keyring::parse(current, &SecretString::from(retired.join(",")))?)
}

/// Opens and migrates the registry. Refuses one in which the gateway does not see every row, or whose secrets the
/// keyring can't open.
///
/// # Errors
/// [`StartError::Registry`], [`StartError::UnknownKey`].
pub async fn open_registry(settings: &Settings, keyring: &Keyring) -> Result<Arc<dyn Registry>, StartError> {
    let registry = registry::open(&settings.registry.url, &settings.quotas).await?;
    let survey = registry.survey().await?;
    survey.refuse()?;
    for problem in &survey.problems {
        tracing::warn!("{}", problem.text);
    }
    registry.migrate().await?;
    check_keys(&*registry, keyring).await?;
    Ok(registry)
}

/// Refuses a keyring without the keys that stored secrets need.
///
/// # Errors
/// [`StartError::Registry`], [`StartError::UnknownKey`].
pub async fn check_keys(registry: &dyn Registry, keyring: &Keyring) -> Result<(), StartError> {
    let unknown = registry.list_key_ids().await?.into_iter().find(|id| !keyring.knows(id));
    unknown.map_or(Ok(()), |id| Err(StartError::UnknownKey(id)))
}

/// Makes a loader of drivers whose name look-ups follow the address rules. `program` tries a driver before it is
/// loaded; with a keyring, compiled components are kept for the next start.
pub fn driver_loader(settings: &Settings, program: Option<PathBuf>, keyring: Option<Arc<Keyring>>) -> Loader {
    let addresses = address_policy(settings);
    let resolve = move |host: String, port: u16| {
        async move { addresses.resolve(&host, port).await.map_err(DriverError::from) }.boxed()
    };
    let cache = keyring.map(|keyring| CompiledCache::new(settings.plugins.compiled_folder.clone(), keyring));
    let sandbox = SandboxSettings {
        sessions: settings.sessions.max.get(),
        compile_time: *settings.plugins.compile_timeout,
        cache,
    };
    Loader::new(program, Arc::new(resolve), sandbox)
}

fn address_policy(settings: &Settings) -> AddressPolicy {
    AddressPolicy { allow_private: settings.addresses.allow_private }
}

/// Makes the budget of clients' connections. Half of the files that may be open is for them, the rest for databases,
/// the registry and drivers.
fn clients(settings: &Settings) -> Arc<ClientConnections> {
    let budgets = &settings.budgets;
    let room = raise_file_limit().and_then(|files| usize::try_from(files / 2).ok()).unwrap_or(usize::MAX);
    let most = budgets.connections.get().min(room.max(1));
    if most < budgets.connections.get() {
        tracing::warn!(most, "the limit on open files allows fewer connections than budgets.connections");
    }
    ClientConnections::new(most, budgets.connections_per_address.get(), Times::new(budgets))
}

/// The parts that connections are managed with, in a gateway and by the command line.
pub struct Parts {
    /// The registry's recent answers, and the registry.
    pub directory: Arc<Directory>,
    /// Open driver sessions.
    pub sessions: Sessions,
    /// Replies that may be served again.
    pub cache: Arc<ReplyCache>,
    /// The rules on where connections may lead.
    pub addresses: AddressPolicy,
    /// The service that manages connections.
    pub connections: ConnectionManager,
}

impl Parts {
    /// Wires the parts over a registry.
    pub fn wire(settings: &Settings, registry: &Arc<dyn Registry>, keyring: &Arc<Keyring>) -> Self {
        let addresses = address_policy(settings);
        let directory = Arc::new(Directory::new(registry.clone(), keyring.clone()));
        let sessions = Sessions::new(settings.sessions.clone(), registry.clone(), keyring.clone());
        let cache = Arc::new(ReplyCache::new(settings.cache.clone()));
        let connections = ConnectionManager::new(
            directory.clone(),
            keyring.clone(),
            sessions.clone(),
            cache.clone(),
            addresses,
        );
        Self { directory, sessions, cache, addresses, connections }
    }
}

impl Gateway {
    /// Wires a gateway. The returned task ends when the gateway is gone and the audit trail is written.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn wire(
        settings: &Settings,
        program: Option<PathBuf>,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StartError> {
        settings.check()?;
        let keyring = Arc::new(open_keyring(settings)?);
        let loader = driver_loader(settings, program, Some(keyring.clone()));
        let (registry, catalog) = tokio::join!(
            open_registry(settings, &keyring),
            Catalog::load(&settings.plugins.file, settings.plugins.on_plugin_error, loader)
        );
        let (registry, catalog) = (registry?, Arc::new(catalog?));
        let Parts { directory, sessions, cache, addresses, connections } =
            Parts::wire(settings, &registry, &keyring);
        let verifier = TokenVerifier::open(&settings.identity, directory.clone()).await?;
        let gate = Arc::new(Gate::new(verifier, directory.clone()));
        let (audit, audit_writer) = AuditTrail::start(registry);
        let metrics = Arc::new(Metrics::default());
        let rate_limits = RateLimits::start(&settings.rate_limit, metrics.clone());
        let flow = Flow {
            gate: gate.clone(),
            tickets: Tickets::default(),
            rate_limits: rate_limits.clone(),
            directory: directory.clone(),
            connection_key: settings
                .http
                .connection_key
                .clone()
                .map(|key| ConnectionKey::new((*key).clone())),
            cache: cache.clone(),
            sessions: sessions.clone(),
            limits: settings.limits.clone(),
            budgets: Arc::new(Budgets::new(settings.budgets.clone())),
            clients: clients(settings),
            audit: audit.clone(),
            metrics: metrics.clone(),
        };
        let draining = AtomicBool::new(false);
        let gateway = Self {
            flow,
            catalog,
            gate,
            rate_limits,
            directory,
            keyring,
            cache,
            sessions,
            connections,
            taken_names: TakenNames::new(&settings.quotas),
            addresses,
            audit,
            metrics,
            draining,
        };
        Ok((Arc::new(gateway), audit_writer))
    }
}
