//! A connection's options, and what they and its address come to together.

use crate::authorities;
use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use std::fmt;
use studio_plugin_api::{connection_string, prelude::*, settings::choose_tls};

/// The highest database number that the contract allows.
const MAX_DATABASE: u8 = 15;
/// The most addresses of Sentinels, or of a cluster's nodes, that a connection names.
const MAX_SEEDS: usize = 64;

/// The options of a Redis connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisOptions {
    /// The database's number.
    #[schemars(range(max = 15))]
    db: Option<u8>,
    /// Whether to speak TLS. A `rediss://` connection string does anyway.
    tls: Option<bool>,
    /// Certificates of the authorities to trust instead of the system's, in PEM.
    tls_ca: Option<String>,
    /// Accept any certificate. For tests; anyone on the way can read and change what is sent.
    #[serde(default)]
    tls_insecure: bool,
    /// The address is one node of a Redis Cluster.
    #[serde(default)]
    cluster: bool,
    /// Further nodes of the cluster, for when the one at the connection's own address is down.
    #[serde(default)]
    #[schemars(extend("x-secrets-anew" = true), length(max = MAX_SEEDS))]
    cluster_nodes: Vec<ClusterAddress>,
    /// Ask Sentinels where the master is.
    #[schemars(extend("x-secrets-anew" = true))]
    sentinel: Option<SentinelOptions>,
    /// The ACL user; the same as the connection's `username`.
    username: Option<String>,
}

/// One node of a cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterAddress {
    /// Host name or address.
    host: String,
    /// TCP port.
    #[serde(default = "server_port")]
    port: u16,
}

/// Where to ask for the master.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentinelOptions {
    /// The name under which the Sentinels watch it.
    master: String,
    /// The Sentinels, asked all at once. None: the connection's own host and port is one.
    #[serde(default)]
    #[schemars(length(max = MAX_SEEDS))]
    sentinels: Vec<SentinelAddress>,
}

/// One Sentinel.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentinelAddress {
    /// Host name or address.
    host: String,
    /// TCP port.
    #[serde(default = "sentinel_port")]
    port: u16,
}

fn sentinel_port() -> u16 {
    26379
}

fn server_port() -> u16 {
    6379
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    Single(Address),
    /// A cluster, by some of its nodes.
    Cluster(Vec<Address>),
    /// The master that Sentinels name.
    Sentinel { master: String, sentinels: Vec<Address> },
}

/// How to speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Authorities in PEM; none: the system's.
    pub(crate) authorities: Option<String>,
    /// Accept any certificate.
    pub(crate) insecure: bool,
}

/// Everything needed to open a session.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the host knows the way"))]
    pub(crate) topology: Topology,
    pub(crate) tls: Option<Tls>,
    /// User, password, database and protocol, as the client library takes them. Its `Debug` hides the password.
    pub(crate) login: RedisConnectionInfo,
}

/// The endpoint alone, before the options have their say.
struct Place {
    address: Address,
    tls: bool,
    insecure: bool,
    database: Option<u8>,
    username: Option<String>,
    password: Option<Secret>,
    protocol: ProtocolVersion,
}

impl Place {
    fn new(endpoint: &Endpoint) -> Result<Self, DriverError> {
        Ok(match endpoint {
            Endpoint::Parts { host, port, database_name, username, password } => Self {
                address: Address { host: bare_host(host), port: *port },
                tls: false,
                insecure: false,
                database: database_name.as_deref().map(database_number).transpose()?,
                username: username.clone(),
                password: password.clone(),
                protocol: ProtocolVersion::RESP2,
            },
            Endpoint::ConnectionString(text) => parse_connection_string(text)?,
        })
    }
}

impl Target {
    /// Puts address and options together.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field, for what does not parse or does not go together.
    pub(crate) fn new(settings: &ConnectionSettings<RedisOptions>) -> Result<Self, DriverError> {
        let options = &settings.options;
        let place = Place::new(&settings.endpoint)?;
        let database = agree("options.db", place.database, options.db)?.unwrap_or(0);
        if database > MAX_DATABASE {
            return Err(DriverError::field("options.db", "must be from 0 to 15"));
        }
        let username = agree("options.username", place.username, options.username.clone())?;
        let tls = read_tls(options, place.tls, place.insecure)?;
        if options.cluster && database != 0 {
            return Err(DriverError::field("options.db", "a cluster has database 0 only"));
        }
        let topology = choose_topology(options, place.address)?;
        if cfg!(target_family = "wasm") {
            refuse_in_sandbox(&topology, place.insecure && !options.tls_insecure)?;
        }

        let mut login =
            RedisConnectionInfo::default().set_db(i64::from(database)).set_protocol(place.protocol);
        // The library's CLIENT SETINFO is unknown to servers before 7.2 and useless here.
        login = login.set_skip_set_lib_name();
        if let Some(password) = &place.password {
            login = login.set_password(password.expose());
        } else if username.is_some() {
            // The library logs in only with a password; a user without one is `nopass`, for whom any will do.
            login = login.set_password("");
        }
        if let Some(username) = username {
            login = login.set_username(username);
        }
        Ok(Self { topology, tls, login })
    }
}

/// A component has streams to the connection's own address and no other, and the TLS on them is the host's, by the
/// options alone.
fn refuse_in_sandbox(topology: &Topology, insecure_by_url: bool) -> Result<(), DriverError> {
    const REFUSAL: &str = "the sandboxed (WASM) build of this driver can't do it, the native one can";
    match topology {
        Topology::Cluster(_) => Err(DriverError::field("options.cluster", REFUSAL)),
        Topology::Sentinel { .. } => Err(DriverError::field("options.sentinel", REFUSAL)),
        Topology::Single(_) if insecure_by_url => {
            let message = format!("`#insecure`: {REFUSAL}; say `options.tls_insecure` instead");
            Err(DriverError::field("connection_string", message))
        }
        Topology::Single(_) => Ok(()),
    }
}

fn read_tls(options: &RedisOptions, by_scheme: bool, insecure: bool) -> Result<Option<Tls>, DriverError> {
    let insecure = insecure || options.tls_insecure;
    let only_with_tls =
        [("options.tls_ca", options.tls_ca.is_some()), ("options.tls_insecure", options.tls_insecure)];
    if !choose_tls(options.tls, by_scheme.then_some("`rediss://`"), &only_with_tls)? {
        return Ok(None);
    }
    if let Some(pem) = &options.tls_ca {
        authorities::check(pem)?;
    }
    Ok(Some(Tls { authorities: options.tls_ca.clone(), insecure }))
}

fn choose_topology(options: &RedisOptions, address: Address) -> Result<Topology, DriverError> {
    if !options.cluster && !options.cluster_nodes.is_empty() {
        return Err(DriverError::field("options.cluster_nodes", "means nothing without `cluster`"));
    }
    if options.cluster_nodes.len() > MAX_SEEDS {
        return Err(DriverError::field("options.cluster_nodes", format!("may have {MAX_SEEDS}")));
    }
    let Some(sentinel) = &options.sentinel else {
        if !options.cluster {
            return Ok(Topology::Single(address));
        }
        let further = options.cluster_nodes.iter();
        let further = further.map(|node| Address { host: bare_host(&node.host), port: node.port });
        return Ok(Topology::Cluster([address].into_iter().chain(further).collect()));
    };
    if options.cluster {
        return Err(DriverError::field("options.sentinel", "does not go together with `cluster`"));
    }
    if sentinel.master.is_empty() {
        return Err(DriverError::field("options.sentinel.master", "must not be empty"));
    }
    if sentinel.sentinels.len() > MAX_SEEDS {
        return Err(DriverError::field("options.sentinel.sentinels", format!("may have {MAX_SEEDS}")));
    }
    let named = sentinel.sentinels.iter();
    let mut sentinels: Vec<_> =
        named.map(|place| Address { host: bare_host(&place.host), port: place.port }).collect();
    if sentinels.is_empty() {
        sentinels.push(address);
    }
    Ok(Topology::Sentinel { master: sentinel.master.clone(), sentinels })
}

/// No message here repeats any part of the text: it may hold a password in an unexpected place.
fn parse_connection_string(text: &Secret) -> Result<Place, DriverError> {
    const FIELD: &str = "connection_string";
    let text =
        connection_string::read(text.expose()).map_err(|message| DriverError::field(FIELD, message))?;
    let mut url = redis::parse_redis_url(text).ok_or_else(|| {
        DriverError::field(
            FIELD,
            "is not a URL like redis://[user:password@]host[:port][/database] or rediss://…",
        )
    })?;
    if url.scheme().contains("unix") {
        return Err(DriverError::field(
            FIELD,
            "Unix sockets are not supported: the gateway reaches databases over TCP",
        ));
    }
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| name != "protocol") {
        let known = name.len() < 40 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let name = if known { format!(" `{name}`") } else { String::new() };
        return Err(DriverError::field(
            FIELD,
            format!("unknown parameter{name}; `protocol` is the only one"),
        ));
    }
    // The library itself reads what says TLS only where it is built to speak it.
    let tls = matches!(url.scheme(), "rediss" | "valkeys");
    let insecure = match url.fragment() {
        Some("insecure") => tls,
        Some(_) if tls => return Err(DriverError::field(FIELD, "only `#insecure` may stand after `#`")),
        _ => false,
    };
    url.set_scheme("redis").map_err(|()| DriverError::field(FIELD, "has no scheme"))?;
    let port = url.port();
    let database = url.path().trim_matches('/').to_owned();
    let info = url.into_connection_info().map_err(|error| {
        // The category is a fixed text of the library.
        DriverError::field(FIELD, format!("is not a usable Redis URL ({})", error.category()))
    })?;
    let ConnectionAddr::Tcp(host, server_port) = info.addr() else {
        return Err(DriverError::field(FIELD, "names no host"));
    };
    let address = Address { host: host.clone(), port: *server_port };
    if port == Some(0) {
        return Err(DriverError::field(FIELD, "port 0 can't be reached"));
    }
    let login = info.redis_settings();
    Ok(Place {
        address,
        tls,
        insecure,
        database: if database.is_empty() { None } else { Some(database_number(&database)?) },
        username: login.username().map(str::to_owned),
        password: login.password().map(|password| Secret::from(password.to_owned())),
        protocol: login.protocol(),
    })
}

/// `[::1]` is how people write `::1`.
fn bare_host(host: &str) -> String {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned()
}

fn database_number(text: &str) -> Result<u8, DriverError> {
    text.parse()
        .ok()
        .filter(|number| *number <= MAX_DATABASE)
        .ok_or_else(|| DriverError::field("database_name", "a Redis database is a number from 0 to 15"))
}

fn agree<T: PartialEq>(field: &str, first: Option<T>, second: Option<T>) -> Result<Option<T>, DriverError> {
    match (first, second) {
        (Some(first), Some(second)) if first != second => {
            Err(DriverError::field(field, "differs from what the connection itself says"))
        }
        (first, second) => Ok(first.or(second)),
    }
}

#[cfg(test)]
mod tests;
