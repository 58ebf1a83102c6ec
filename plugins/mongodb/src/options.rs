//! A connection's options, and what they and its address come to together.

use mongodb::options::{
    AuthMechanism, ConnectionString, Credential, HostInfo, ServerAddress, Tls, TlsOptions,
};
use std::time::Duration;
use studio_plugin_api::{connection_string, prelude::*, settings::choose_tls};

/// The most connections to one server that carry operations.
const MAX_POOL_SIZE: u32 = 10;
/// How long to look for a server before an operation fails, where nothing else is said.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one connection may take to open, at most: less than the host gives a session, so that the reason is told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// The most bytes of an application name (MongoDB's handshake specification).
const MAX_APP_NAME: usize = 128;
const APP_NAME: &str = "studio-gateway";

/// The options of a MongoDB connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MongoDbOptions {
    /// The replica set's name. With it, all of its members are found by the one given.
    replica_set: Option<String>,
    /// The database that holds the user. `admin` unless said; in a connection string the database of its path.
    auth_source: Option<String>,
    /// How to log in. SCRAM by what the server offers, unless said; with `tls_certificate_key` and no password, X.509.
    auth_mechanism: Option<Mechanism>,
    /// Whether to speak TLS. A `mongodb+srv://` connection string does unless told not to.
    tls: Option<bool>,
    /// Certificates of the authorities to trust instead of the well-known ones, in PEM.
    tls_ca: Option<String>,
    /// Accept any certificate. For tests; anyone on the way can read and change what is sent.
    #[serde(default)]
    tls_insecure: bool,
    /// The client's certificate and its private key, both in PEM.
    tls_certificate_key: Option<Secret>,
    /// How long to look for a server before an operation fails, in milliseconds. 5000 unless said.
    #[schemars(range(min = 1, max = 60_000))]
    server_selection_timeout: Option<u64>,
    /// Speak to the one server given, whatever replica set it belongs to. True for a single host without
    /// `replica_set`, unless said.
    direct_connection: Option<bool>,
    /// The name that the server's log shows. `studio-gateway` unless said.
    #[schemars(length(max = 128))]
    app_name: Option<String>,
}

/// How to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Mechanism {
    /// A password, hashed with SHA-1; of servers before 4.0.
    #[serde(rename = "SCRAM-SHA-1")]
    ScramSha1,
    /// A password, hashed with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The certificate of the TLS connection.
    #[serde(rename = "MONGODB-X509")]
    X509,
    /// A password in the clear, for LDAP. Use it with TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
}

impl From<Mechanism> for AuthMechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::ScramSha1 => Self::ScramSha1,
            Mechanism::ScramSha256 => Self::ScramSha256,
            Mechanism::X509 => Self::MongoDbX509,
            Mechanism::Plain => Self::Plain,
        }
    }
}

/// The certificates to speak TLS with.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// Authorities in PEM; none: the well-known ones.
    pub(crate) authorities: Option<String>,
    /// The client's certificate and key in PEM.
    pub(crate) certificate_key: Option<Secret>,
}

/// Everything needed to open a session. There is no `Debug`: the credential's password is in it.
pub(crate) struct Target {
    /// Servers, credential and settings, as the client library takes them.
    pub(crate) connection: ConnectionString,
    /// Present when TLS is spoken.
    pub(crate) certificates: Option<Certificates>,
}

impl Target {
    /// Puts address and options together.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field, for what does not parse or does not go together.
    pub(crate) fn new(settings: &ConnectionSettings<MongoDbOptions>) -> Result<Self, DriverError> {
        let options = &settings.options;
        let mut connection = match &settings.endpoint {
            Endpoint::Parts { host, port, username, password, .. } => {
                let mut connection = ConnectionString::default();
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                connection.host_info =
                    HostInfo::HostIdentifiers(vec![ServerAddress::Tcp { host, port: Some(*port) }]);
                connection.credential = credential(username.as_deref(), password.as_ref());
                connection
            }
            Endpoint::ConnectionString(text) => parse_connection_string(text)?,
        };
        set_credential(&mut connection, options)?;
        let certificates = set_tls(&mut connection, options)?;
        set_topology(&mut connection, options)?;
        set_bounds(&mut connection, options)?;
        Ok(Self { connection, certificates })
    }
}

fn parse_connection_string(text: &Secret) -> Result<ConnectionString, DriverError> {
    const FIELD: &str = "connection_string";
    let text =
        connection_string::read(text.expose()).map_err(|message| DriverError::field(FIELD, message))?;
    // What the library says of it may quote the password.
    let connection = ConnectionString::parse(text).map_err(|_| {
        DriverError::field(
            FIELD,
            "is no MongoDB connection string, `mongodb://user:password@host:port/?options`",
        )
    })?;
    if let HostInfo::HostIdentifiers(hosts) = &connection.host_info
        && hosts.iter().any(|host| !matches!(host, ServerAddress::Tcp { .. }))
    {
        return Err(DriverError::field(FIELD, "names a Unix socket; only TCP is possible"));
    }
    if connection.socks5_proxy.is_some() {
        return Err(DriverError::field(FIELD, "a proxy (`proxyHost`) can't be used"));
    }
    if let Some(Tls::Enabled(tls)) = &connection.tls {
        if tls.ca_file_path.is_some() {
            return Err(DriverError::field(FIELD, "`tlsCAFile` names a file; give `options.tls_ca` instead"));
        }
        if tls.cert_key_file_path.is_some() {
            let message = "`tlsCertificateKeyFile` names a file; give `options.tls_certificate_key` instead";
            return Err(DriverError::field(FIELD, message));
        }
    }
    #[allow(deprecated)]
    if connection.socket_timeout.is_some() {
        return Err(DriverError::field(
            FIELD,
            "`socketTimeoutMS` is unknown; operations end at the request's deadline",
        ));
    }
    let mechanism = connection.credential.as_ref().and_then(|credential| credential.mechanism.as_ref());
    match mechanism {
        None
        | Some(
            AuthMechanism::ScramSha1
            | AuthMechanism::ScramSha256
            | AuthMechanism::MongoDbX509
            | AuthMechanism::Plain,
        ) => Ok(connection),
        Some(_) => Err(DriverError::field(
            FIELD,
            "`authMechanism` must be SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509 or PLAIN",
        )),
    }
}

fn credential(username: Option<&str>, password: Option<&Secret>) -> Option<Credential> {
    (username.is_some() || password.is_some()).then(|| {
        let mut credential = Credential::default();
        credential.username = username.map(str::to_owned);
        credential.password = password.map(|password| password.expose().to_owned());
        credential
    })
}

fn set_credential(connection: &mut ConnectionString, options: &MongoDbOptions) -> Result<(), DriverError> {
    let by_certificate =
        connection.credential.as_ref().is_none_or(|credential| credential.password.is_none())
            && options.tls_certificate_key.is_some();
    let mechanism = options.auth_mechanism.or(by_certificate.then_some(Mechanism::X509));
    if let Some(mechanism) = mechanism {
        let credential = connection.credential.get_or_insert_default();
        if mechanism == Mechanism::X509 {
            if credential.password.is_some() {
                return Err(DriverError::field("options.auth_mechanism", "MONGODB-X509 takes no password"));
            }
            if options.tls_certificate_key.is_none() {
                return Err(DriverError::field(
                    "options.tls_certificate_key",
                    "MONGODB-X509 logs in with it",
                ));
            }
            credential.source = Some("$external".to_owned());
        }
        credential.mechanism = Some(mechanism.into());
    }
    match (&mut connection.credential, &options.auth_source) {
        (Some(credential), Some(source)) => {
            if credential.mechanism == Some(AuthMechanism::MongoDbX509) && source != "$external" {
                return Err(DriverError::field(
                    "options.auth_source",
                    "of MONGODB-X509 it is always `$external`",
                ));
            }
            credential.source = Some(source.clone());
        }
        (None, Some(_)) => {
            return Err(DriverError::field("options.auth_source", "means nothing without a username"));
        }
        (_, None) => {}
    }
    let Some(credential) = &connection.credential else { return Ok(()) };
    if credential.mechanism != Some(AuthMechanism::MongoDbX509) {
        if credential.username.is_none() {
            return Err(DriverError::field("username", "is needed where there is a password"));
        }
        if credential.password.is_none() {
            return Err(DriverError::field("password", "is needed where there is a username"));
        }
    }
    Ok(())
}

fn set_tls(
    connection: &mut ConnectionString,
    options: &MongoDbOptions,
) -> Result<Option<Certificates>, DriverError> {
    let by_string = match (&connection.tls, &connection.host_info) {
        (Some(tls), _) => Some(matches!(tls, Tls::Enabled(_))),
        (None, HostInfo::DnsRecord(_)) => Some(true),
        (None, _) => None,
    };
    if let (Some(false), Some(true)) = (by_string, options.tls) {
        return Err(DriverError::field("options.tls", "is true, but the connection string says `tls=false`"));
    }
    let only_with_tls = [
        ("options.tls_ca", options.tls_ca.is_some()),
        ("options.tls_insecure", options.tls_insecure),
        ("options.tls_certificate_key", options.tls_certificate_key.is_some()),
    ];
    let by_string = by_string.unwrap_or(false).then_some("to speak TLS");
    if !choose_tls(options.tls, by_string, &only_with_tls)? {
        connection.tls = Some(Tls::Disabled);
        return Ok(None);
    }
    if let Some(pem) = &options.tls_ca {
        studio_net::read_authorities(pem).map_err(|error| DriverError::field("options.tls_ca", error))?;
    }
    let mut tls = match connection.tls.take() {
        Some(Tls::Enabled(tls)) => tls,
        _ => TlsOptions::default(),
    };
    if options.tls_insecure {
        tls.allow_invalid_certificates = Some(true);
    }
    connection.tls = Some(Tls::Enabled(tls));
    Ok(Some(Certificates {
        authorities: options.tls_ca.clone(),
        certificate_key: options.tls_certificate_key.clone(),
    }))
}

fn set_topology(connection: &mut ConnectionString, options: &MongoDbOptions) -> Result<(), DriverError> {
    match (&connection.replica_set, &options.replica_set) {
        (Some(by_string), Some(by_options)) if by_string != by_options => {
            return Err(DriverError::field("options.replica_set", "is not the one in the connection string"));
        }
        (None, Some(name)) => connection.replica_set = Some(name.clone()),
        _ => {}
    }
    if let Some(direct) = options.direct_connection {
        connection.direct_connection = Some(direct);
    }
    let hosts = match &connection.host_info {
        HostInfo::HostIdentifiers(hosts) => hosts.len(),
        _ => 0,
    };
    match connection.direct_connection {
        Some(true) if hosts != 1 => Err(DriverError::field(
            "options.direct_connection",
            "is possible with one host only, and without `+srv`",
        )),
        Some(_) => Ok(()),
        None => {
            // As mongosh does: the members of a set are often known by names that mean nothing here.
            let alone =
                hosts == 1 && connection.replica_set.is_none() && connection.load_balanced != Some(true);
            connection.direct_connection = alone.then_some(true);
            Ok(())
        }
    }
}

fn set_bounds(connection: &mut ConnectionString, options: &MongoDbOptions) -> Result<(), DriverError> {
    if let Some(name) = &options.app_name {
        if name.len() > MAX_APP_NAME {
            return Err(DriverError::field(
                "options.app_name",
                format!("must have at most {MAX_APP_NAME} bytes"),
            ));
        }
        connection.app_name = Some(name.clone());
    }
    connection.app_name.get_or_insert_with(|| APP_NAME.to_owned());
    if let Some(milliseconds) = options.server_selection_timeout {
        if !(1..=60_000).contains(&milliseconds) {
            return Err(DriverError::field(
                "options.server_selection_timeout",
                "must be from 1 to 60000 milliseconds",
            ));
        }
        connection.server_selection_timeout = Some(Duration::from_millis(milliseconds));
    }
    connection.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
    let connect_timeout =
        connection.connect_timeout.filter(|time| !time.is_zero()).unwrap_or(CONNECT_TIMEOUT);
    connection.connect_timeout = Some(connect_timeout.min(CONNECT_TIMEOUT));
    // In a connection string 0 is "no bound".
    let size = connection.max_pool_size.filter(|size| *size > 0).unwrap_or(MAX_POOL_SIZE).min(MAX_POOL_SIZE);
    connection.max_pool_size = Some(size);
    connection.min_pool_size = connection.min_pool_size.map(|least| least.min(size));
    Ok(())
}

#[cfg(test)]
mod tests;
