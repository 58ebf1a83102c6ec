//! A connection's settings: what is offered, and where they lead.

use schemars::JsonSchema;
use serde::Deserialize;
use std::{num::NonZeroU16, time::Duration};
use studio_plugin_api::{ConnectionSettings, DriverError, Endpoint, Secret, connection_string};
use tokio_postgres::config::{ChannelBinding, Config, Host, SslMode as UrlSslMode};

const DEFAULT_PORT: u16 = 5432;
/// The contract's most: ten database connections a session.
const MOST_CONNECTIONS: u8 = 10;
const DEFAULT_NAME: &str = "studio-gateway";
/// The parameters of a connection string that are read here, since the library does not know them.
const URL_SSL_MODES: [&str; 2] = ["verify-ca", "verify-full"];

/// How TLS is used, in libpq's words (PostgreSQL's manual, 34.19).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(crate = "studio_plugin_api::schemars")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Where the server offers it; no certificate is checked.
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
    pub(crate) tls_ca: Option<String>,
    /// Certificate and key.
    pub(crate) identity: Option<(String, Secret)>,
    pub(crate) pool_size: u8,
    pub(crate) prepares: bool,
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
            studio_tls::read_authorities(pem).map_err(|error| {
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
        target.prepares = options.prepared_statements.unwrap_or(true);
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
            tls_ca: None,
            identity: None,
            pool_size: MOST_CONNECTIONS,
            prepares: true,
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
        let (url, mode) = take_ssl_mode(url);
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
        if config.get_channel_binding() == ChannelBinding::Require {
            return refuse("`channel_binding=require` is not supported");
        }
        let password = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned().into());
        let database = config.get_dbname().unwrap_or(user).to_owned();
        let mut target = Self::of(addresses, database, user.to_owned(), password);
        target.ssl_mode = mode.unwrap_or(match config.get_ssl_mode() {
            UrlSslMode::Disable => SslMode::Disable,
            UrlSslMode::Require => SslMode::Require,
            _ => SslMode::Prefer,
        });
        if let Some(time) = config.get_connect_timeout().filter(|time| !time.is_zero()) {
            target.connect_timeout = *time;
        }
        target.set("application_name", config.get_application_name().map(str::to_owned));
        target.set("options", config.get_options().map(str::to_owned));
        Ok(target)
    }
}

/// Takes the modes that check certificates out of a connection string.
fn take_ssl_mode(url: &str) -> (String, Option<SslMode>) {
    let Some((place, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut found = None;
    let others: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.strip_prefix("sslmode=").filter(|mode| URL_SSL_MODES.contains(mode)) {
            Some(mode) => {
                found = Some(if mode == "verify-ca" { SslMode::VerifyCa } else { SslMode::VerifyFull });
                false
            }
            None => true,
        })
        .collect();
    (format!("{place}?{}", others.join("&")), found)
}

#[cfg(test)]
mod tests;
