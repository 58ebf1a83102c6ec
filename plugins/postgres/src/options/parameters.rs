//! The parameters of a connection string: those of libpq (PostgreSQL's manual, 34.1.2), and of other clients whose strings
//! people have at hand. The library that reads the rest of a string knows fewer.

use super::SslMode;
use percent_encoding::percent_decode_str;
use studio_plugin_api::DriverError;

/// Read by the library.
const OF_LIBRARY: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
];

/// Of no meaning here: it is so anyway, or there is nothing to change by it.
const OVERLOOKED: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "krbsrvname",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
    // Of Prisma, node-postgres and Vercel.
    "pool_timeout",
    "socket_timeout",
    "supa",
    "uselibpqcompat",
];

/// What a file would be named for; the same is given as text.
const FILES: &[(&str, &str)] = &[
    ("sslrootcert", "`options.tls_ca`"),
    ("sslcert", "`options.tls_cert`"),
    ("sslkey", "`options.tls_key`"),
    ("passfile", "the password"),
];

/// Whether a login is bound to the TLS connection that it is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

/// In which state a server must be to be connected to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ServerState {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby if there is one, and else any.
    PreferStandby,
}

/// What the parameters say that the library does not read.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) server_state: ServerState,
    /// Hosts are tried in any order.
    pub(super) shuffles: bool,
    pub(super) prepares: Option<bool>,
    pub(super) pool_size: Option<u8>,
    pub(super) search_path: Option<String>,
}

/// Takes parameters out of a connection string; what is left of it is the library's to read.
///
/// # Errors
/// `VALIDATION_ERROR` that names the parameter, and never a value.
pub(super) fn take(url: &str) -> Result<(String, Parameters), DriverError> {
    // What is before the first one may have question marks of its own.
    let host = url.find('@').map_or(0, |at| at + 1);
    let Some(mark) = url.get(host..).and_then(|rest| rest.find('?')).map(|mark| host + mark) else {
        return Ok((url.to_owned(), Parameters::default()));
    };
    let (place, query) = (url.get(..mark).unwrap_or_default(), url.get(mark + 1..).unwrap_or_default());
    // A password that was not escaped may look like a parameter.
    let may_hold_a_secret = query.contains("password") || query.contains('@') || host == 0;
    let mut parameters = Parameters::default();
    let mut left = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if OF_LIBRARY.contains(&name) {
            left.push(pair);
        } else if !OVERLOOKED.contains(&name) {
            let value = percent_decode_str(value).decode_utf8_lossy();
            parameters.set(name, &value, may_hold_a_secret)?;
        }
    }
    Ok((format!("{place}?{}", left.join("&")), parameters))
}

fn refuse(message: impl Into<String>) -> DriverError {
    DriverError::validation("connection_string", message)
}

fn must_be(name: &str, what: &str) -> DriverError {
    refuse(format!("the parameter `{name}` of `connection_string` must be {what}"))
}

impl Parameters {
    fn set(&mut self, name: &str, value: &str, may_hold_a_secret: bool) -> Result<(), DriverError> {
        match name {
            "sslmode" => self.ssl_mode = Some(ssl_mode(value)?),
            "ssl" => {
                let mode = if boolean(name, value)? { SslMode::Require } else { SslMode::Disable };
                self.ssl_mode.get_or_insert(mode);
            }
            "sslnegotiation" if value == "postgres" => {}
            "sslnegotiation" => return Err(must_be(name, "postgres: the other way is not supported")),
            "sslrootcert" if value == "system" => self.ssl_mode = Some(SslMode::VerifyFull),
            "channel_binding" => {
                self.channel_binding = match value {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(must_be(name, "disable, prefer or require")),
                };
            }
            "target_session_attrs" => {
                self.server_state = match value {
                    "any" => ServerState::Any,
                    "read-write" => ServerState::ReadWrite,
                    "read-only" => ServerState::ReadOnly,
                    "primary" => ServerState::Primary,
                    "standby" => ServerState::Standby,
                    "prefer-standby" => ServerState::PreferStandby,
                    _ => {
                        let states = "any, read-write, read-only, primary, standby or prefer-standby";
                        return Err(must_be(name, states));
                    }
                };
            }
            "load_balance_hosts" => {
                self.shuffles = match value {
                    "disable" => false,
                    "random" => true,
                    _ => return Err(must_be(name, "disable or random")),
                };
            }
            // Passwords and certificates are all there is here.
            "gssencmode" if matches!(value, "disable" | "prefer") => {}
            "gssencmode" => return Err(must_be(name, "disable or prefer: GSSAPI is not supported")),
            "require_auth" if value.is_empty() => {}
            "pgbouncer" => self.prepares = if boolean(name, value)? { Some(false) } else { self.prepares },
            "statement_cache_size" => self.prepares = if value == "0" { Some(false) } else { self.prepares },
            "schema" | "currentSchema" => self.search_path = Some(value.to_owned()),
            "connection_limit" => {
                let size: u32 = value.parse().map_err(|_| must_be(name, "a number"))?;
                self.pool_size =
                    Some(u8::try_from(size).unwrap_or(u8::MAX).clamp(1, super::MOST_CONNECTIONS));
            }
            _ => {
                if let Some((file, instead)) = FILES.iter().find(|(file, _)| *file == name) {
                    let message = "of `connection_string` names a file, and none is read here: give";
                    return Err(refuse(format!("the parameter `{file}` {message} {instead} itself")));
                }
                let is_name = (2..=40).contains(&name.len())
                    && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
                return Err(match is_name && !may_hold_a_secret {
                    true => {
                        refuse(format!("`connection_string` has a parameter that is not known: `{name}`"))
                    }
                    false => refuse(
                        "`connection_string` has a parameter that is not known; is what has a `?`, `@` or `&` in it \
                         percent-encoded?",
                    ),
                });
            }
        }
        Ok(())
    }
}

fn ssl_mode(value: &str) -> Result<SslMode, DriverError> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        // node-postgres calls it `no-verify`.
        "require" | "no-verify" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err(must_be("sslmode", "disable, allow, prefer, require, verify-ca or verify-full")),
    })
}

fn boolean(name: &str, value: &str) -> Result<bool, DriverError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(must_be(name, "true or false")),
    }
}
