//! A connection's settings: what is offered, and where they lead.

mod parameters;

use crate::quote::identifier;
pub(crate) use parameters::{ChannelBinding, ServerState};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{num::NonZeroU16, time::Duration};
use studio_plugin_api::{ConnectionSettings, DriverError, Endpoint, Secret, connection_string};
use tokio_postgres::config::{Config, Host};

const DEFAULT_PORT: u16 = 5432;
/// The contract's most: ten database connections a session.
const MOST_CONNECTIONS: u8 = 10;
const DEFAULT_NAME: &str = "studio-gateway";

/// How TLS is used, in libpq's words (PostgreSQL's manual, 34.19).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(crate = "studio_plugin_api::schemars")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Where the server refuses the login without; no certificate is checked.
    Allow,
    /// Where the server offers it, and takes the login with it; no certificate is checked.
    #[default]
    Prefer,
    /// Always; no certificate is checked, unless `tls_ca` says by whom it must be signed.
    Require,
    /// Always; the certificate must be signed by `tls_ca`, or by an authority that the system trusts.
    VerifyCa,
    /// As `verify-ca`, and it must be for the host's name.
    VerifyFull,
}

/// The `options` of a PostgreSQL connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub struct PostgresOptions {
    /// How TLS is used. Default: `prefer`.
    pub ssl_mode: Option<SslMode>,
    /// The certificate authorities to trust, in PEM.
    pub tls_ca: Option<String>,
    /// The certificate to log in with, in PEM, with those between it and its authority.
    pub tls_cert: Option<String>,
    /// The private key of `tls_cert`, in PEM.
    pub tls_key: Option<Secret>,
    /// Database connections that a session may hold, 1 to 10. Default: 10.
    #[schemars(range(min = 1, max = 10))]
    pub pool_size: Option<u8>,
    /// Milliseconds that one statement may take on the server. Default: as the server has it.
    pub statement_timeout: Option<u32>,
    /// What `pg_stat_activity` calls the connection. Default: `studio-gateway`.
    pub application_name: Option<String>,
    /// The schemas in which names are looked up: `app, public`.
    pub search_path: Option<String>,
    /// Whether queries of the catalogs are prepared once and used again. Behind a pooler that does not follow prepared
    /// statements, such as PgBouncer before 1.21 in transaction mode, they are not, from the first one on that the pooler
    /// loses; switched off, none is left behind there. Default: true.
    pub prepared_statements: Option<bool>,
    /// The role of the database that viewers' SQL is run as (`SET LOCAL ROLE`). The connection's user must be a member of
    /// it. Default: the user's own.
    pub viewer_role: Option<String>,
    /// Seconds after which a database connection that nobody uses is closed, 1 to 86400. Default: 60.
    #[schemars(range(min = 1, max = 86_400))]
    pub connection_idle_timeout: Option<u32>,
    /// Seconds after which a database connection is replaced by another one, 1 to 86400. Default: 1800.
    #[schemars(range(min = 1, max = 86_400))]
    pub connection_max_age: Option<u32>,
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Where a connection leads, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Tried in this order.
    pub(crate) addresses: Vec<Address>,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) ssl_mode: SslMode,
    pub(crate) channel_binding: ChannelBinding,
    /// In which state a server must be.
    pub(crate) server_state: ServerState,
    /// Addresses are tried in any order instead.
    pub(crate) shuffles: bool,
    pub(crate) tls_ca: Option<String>,
    /// Certificate and key.
    pub(crate) identity: Option<(String, Secret)>,
    pub(crate) pool_size: u8,
    pub(crate) prepares: bool,
    pub(crate) viewer_role: Option<String>,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_age: Duration,
    /// How long one address may take to answer.
    pub(crate) connect_timeout: Duration,
    /// What the server is told at the start: the database, and settings that count for every statement.
    pub(crate) parameters: Vec<(&'static str, String)>,
}

impl Target {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    pub(crate) fn new(settings: &ConnectionSettings<PostgresOptions>) -> Result<Self, DriverError> {
        let options = &settings.options;
        let mut target = match &settings.endpoint {
            Endpoint::Parts { host, port, database_name, username, password } => {
                let user = username.clone().filter(|user| !user.is_empty()).ok_or_else(|| {
                    DriverError::validation(
                        "username",
                        "`username` is needed: PostgreSQL has no login without",
                    )
                })?;
                Self::of(
                    vec![Address { host: host.clone(), port: *port }],
                    database_name.clone().unwrap_or_else(|| user.clone()),
                    user,
                    password.clone(),
                )
            }
            Endpoint::ConnectionString(url) => Self::from_url(url)?,
        };
        if let Some(mode) = options.ssl_mode {
            target.ssl_mode = mode;
        }
        target.tls_ca.clone_from(&options.tls_ca);
        if let Some(pem) = &options.tls_ca {
            studio_net::read_authorities(pem).map_err(|error| {
                DriverError::validation("options.tls_ca", format!("`options.tls_ca` {error}"))
            })?;
        }
        target.identity = match (&options.tls_cert, &options.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                return Err(DriverError::validation(
                    "options.tls_key",
                    "`options.tls_key` is missing: it is the key of `tls_cert`",
                ));
            }
            (None, Some(_)) => {
                return Err(DriverError::validation(
                    "options.tls_cert",
                    "`options.tls_cert` is missing: it is the certificate for `tls_key`",
                ));
            }
        };
        if let Some(size) = options.pool_size {
            if !(1..=MOST_CONNECTIONS).contains(&size) {
                return Err(DriverError::validation(
                    "options.pool_size",
                    format!("`options.pool_size` must be from 1 to {MOST_CONNECTIONS}"),
                ));
            }
            target.pool_size = size;
        }
        target.prepares = options.prepared_statements.unwrap_or(target.prepares);
        target.read_uses(options)?;
        target.set("application_name", options.application_name.clone());
        target.set("search_path", options.search_path.clone());
        target.set("statement_timeout", options.statement_timeout.map(|time| time.to_string()));
        for (name, value) in &target.parameters {
            if value.contains('\0') {
                return Err(DriverError::validation(name, format!("`{name}` can't have a NUL in it")));
            }
        }
        Ok(target)
    }

    fn of(addresses: Vec<Address>, database: String, user: String, password: Option<Secret>) -> Self {
        Self {
            addresses,
            user,
            password,
            ssl_mode: SslMode::default(),
            channel_binding: ChannelBinding::default(),
            server_state: ServerState::default(),
            shuffles: false,
            tls_ca: None,
            identity: None,
            pool_size: MOST_CONNECTIONS,
            prepares: true,
            viewer_role: None,
            idle_timeout: Duration::from_secs(60),
            max_age: Duration::from_secs(1_800),
            connect_timeout: Duration::from_secs(5),
            parameters: vec![
                ("database", database),
                ("application_name", DEFAULT_NAME.to_owned()),
                ("client_encoding", "UTF8".to_owned()),
                // The guard reads a viewer's SQL so, and must not read another one than the server runs.
                ("standard_conforming_strings", "on".to_owned()),
            ],
        }
    }

    /// Reads as whom, and how long, connections are used.
    fn read_uses(&mut self, options: &PostgresOptions) -> Result<(), DriverError> {
        if let Some(role) = &options.viewer_role {
            // To PostgreSQL `none` is the user's own, however it is quoted.
            if role.is_empty() || role == "none" || role.contains('\0') {
                let message = "`options.viewer_role` must be the name of a role";
                return Err(DriverError::validation("options.viewer_role", message));
            }
            self.viewer_role = Some(role.clone());
        }
        let times = [
            ("connection_idle_timeout", options.connection_idle_timeout, &mut self.idle_timeout),
            ("connection_max_age", options.connection_max_age, &mut self.max_age),
        ];
        for (name, given, time) in times {
            let Some(seconds) = given else { continue };
            if !(1..=86_400).contains(&seconds) {
                let field = format!("options.{name}");
                let message = format!("`{field}` must be from 1 to 86400");
                return Err(DriverError::validation(&field, message));
            }
            *time = Duration::from_secs(seconds.into());
        }
        Ok(())
    }

    /// Whether both may lead to the same server, by the ports.
    pub(crate) fn shares_a_port_with(&self, other: &Self) -> bool {
        self.addresses.iter().any(|one| other.addresses.iter().any(|another| one.port == another.port))
    }

    /// Whether a text has the name of its database or its user.
    pub(crate) fn is_named_in(&self, text: &str) -> bool {
        let database = self.parameters.iter().find(|(name, _)| *name == "database");
        let names = database.map(|(_, value)| value).into_iter().chain([&self.user]);
        names
            .into_iter()
            .any(|name| text.contains(name.as_str()) || text.contains(&name.replace('"', "\"\"")))
    }

    fn set(&mut self, name: &'static str, value: Option<String>) {
        let Some(value) = value else { return };
        self.parameters.retain(|(other, _)| *other != name);
        self.parameters.push((name, value));
    }

    fn from_url(url: &Secret) -> Result<Self, DriverError> {
        let refuse = |message: &str| Err(DriverError::validation("connection_string", message));
        let url = connection_string::read(url.expose()).map_err(|message| {
            DriverError::validation("connection_string", format!("`connection_string` {message}"))
        })?;
        let (url, parameters) = parameters::take(url)?;
        let Ok(config) = url.parse::<Config>() else {
            // The library's own words may quote the string, and with it a password.
            return refuse(
                "`connection_string` must be like postgresql://user:password@host:5432/database?sslmode=require",
            );
        };
        let Some(user) = config.get_user() else { return refuse("`connection_string` names no user") };
        let mut addresses = Vec::new();
        for (index, host) in config.get_hosts().iter().enumerate() {
            let Host::Tcp(host) = host else {
                return refuse("`connection_string` must name a host: sockets of this machine are not used");
            };
            // libpq: one port for all hosts, or one for each.
            let ports = config.get_ports();
            let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT);
            let Some(port) = NonZeroU16::new(port) else { return refuse("a port can't be 0") };
            addresses.push(Address { host: host.clone(), port: port.get() });
        }
        if addresses.is_empty() {
            return refuse("`connection_string` names no host");
        }
        if !config.get_hostaddrs().is_empty() {
            return refuse("`hostaddr` is not supported: name the host, the gateway looks it up");
        }
        let password = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned().into());
        let database = config.get_dbname().unwrap_or(user).to_owned();
        let mut target = Self::of(addresses, database, user.to_owned(), password);
        target.ssl_mode = parameters.ssl_mode.unwrap_or_default();
        target.channel_binding = parameters.channel_binding;
        target.server_state = parameters.server_state;
        target.shuffles = parameters.shuffles;
        target.prepares = parameters.prepares.unwrap_or(target.prepares);
        target.pool_size = parameters.pool_size.unwrap_or(target.pool_size);
        if let Some(time) = config.get_connect_timeout().filter(|time| !time.is_zero()) {
            target.connect_timeout = *time;
        }
        target.set("application_name", config.get_application_name().map(str::to_owned));
        target.set("options", config.get_options().map(str::to_owned));
        target.set("search_path", parameters.search_path.as_deref().map(identifier));
        Ok(target)
    }
}

#[cfg(test)]
mod tests;
