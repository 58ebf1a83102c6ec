//! A connection's options, and what they and its address come to together.

use percent_encoding::percent_decode_str;
use studio_plugin_api::{connection_string, prelude::*, settings::choose_tls};

/// The options of a memcached connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemcachedOptions {
    /// Whether to speak TLS. A `memcacheds://` connection string does anyway.
    tls: Option<bool>,
    /// Certificates of the authorities to trust instead of the system's, in PEM.
    tls_ca: Option<String>,
    /// Accept any certificate. For tests; anyone on the way can read and change what is sent.
    #[serde(default)]
    tls_insecure: bool,
}

/// Everything needed to open a session. Host and port are the gateway's own business.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    pub(crate) login: Option<Login>,
}

/// A user of the server's authentication file.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

/// The endpoint alone, before the options have their say.
struct Place {
    tls: bool,
    username: Option<String>,
    password: Option<Secret>,
}

impl Target {
    /// Puts address and options together.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field, for what does not parse or does not go together.
    pub(crate) fn new(settings: &ConnectionSettings<MemcachedOptions>) -> Result<Self, DriverError> {
        let place = match &settings.endpoint {
            Endpoint::Parts { database_name: Some(_), .. } => {
                return Err(DriverError::field("database_name", "memcached has no databases"));
            }
            Endpoint::Parts { username, password, .. } => {
                Place { tls: false, username: username.clone(), password: password.clone() }
            }
            Endpoint::ConnectionString(text) => parse_connection_string(text)?,
        };
        let tls = read_tls(&settings.options, place.tls)?;
        let login = match (place.username, place.password) {
            (None, None) => None,
            (Some(username), Some(password)) => {
                // The server splits the two at the first space.
                if username.is_empty() || username.contains(char::is_whitespace) {
                    return Err(DriverError::field("username", "must not be empty or have spaces"));
                }
                Some(Login { username, password })
            }
            (None, Some(_)) => return Err(DriverError::field("username", "is missing beside the password")),
            (Some(_), None) => return Err(DriverError::field("password", "is missing beside the username")),
        };
        Ok(Self { tls, login })
    }
}

fn read_tls(options: &MemcachedOptions, by_scheme: bool) -> Result<bool, DriverError> {
    let only_with_tls =
        [("options.tls_ca", options.tls_ca.is_some()), ("options.tls_insecure", options.tls_insecure)];
    let wanted = choose_tls(options.tls, by_scheme.then_some("`memcacheds://`"), &only_with_tls)?;
    // The host reads it; this much can be told here, before anything connects.
    if wanted && options.tls_ca.as_ref().is_some_and(|text| !text.contains("-----BEGIN CERTIFICATE-----")) {
        return Err(DriverError::field("options.tls_ca", "has no certificate in PEM"));
    }
    Ok(wanted)
}

/// No message here repeats any part of the text: it may hold a password in an unexpected place.
fn parse_connection_string(text: &Secret) -> Result<Place, DriverError> {
    const FIELD: &str = "connection_string";
    let form = "is not a URL like memcached://[user:password@]host[:port] or memcacheds://…";
    let wrong = || DriverError::field(FIELD, form);
    let text =
        connection_string::read(text.expose()).map_err(|message| DriverError::field(FIELD, message))?;
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "memcached" => false,
        "memcacheds" => true,
        _ => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(DriverError::field(
            FIELD,
            "has more than a host and a port; a `/`, `?` or `#` in a password is percent-encoded",
        ));
    }
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, rest),
    };
    check_address(address).ok_or_else(wrong)?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| wrong());
    let (username, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        None => (None, None),
        Some((username, "")) => (Some(decode(username)?), None),
        Some((username, password)) => (Some(decode(username)?), Some(Secret::from(decode(password)?))),
    };
    Ok(Place { tls, username, password })
}

/// `host`, `host:port`, `[::1]:port`.
fn check_address(address: &str) -> Option<()> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    (!host.is_empty() && !host.contains([' ', '[', ']', ',']) && port_fits).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use studio_plugin_api::testing;

    fn target(endpoint: Value, options: Value) -> Result<Target, DriverError> {
        Target::new(&serde_json::from_value(json!({ "endpoint": endpoint, "options": options })).unwrap())
    }

    fn url(text: &str) -> Value {
        json!({ "connection_string": text })
    }

    fn parts(more: Value) -> Value {
        let mut parts = json!({ "host": "h", "port": 11211 });
        parts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "parts": parts })
    }

    fn refused(endpoint: Value, options: Value) -> String {
        let error = target(endpoint, options).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{}", error.message);
        error.details["field"].as_str().unwrap().to_owned()
    }

    #[test]
    fn connection_strings_are_read_whole() {
        for (text, tls) in [
            ("memcached://us%40er:p%2F%20w@cache.test", false),
            ("memcacheds://us%40er:p%2F%20w@[::1]:11212/", true),
            ("MEMCACHED://us%40er:p%2F%20w@10.0.0.1:1", false),
        ] {
            let target = target(url(text), json!({})).unwrap();
            let login = target.login.as_ref().unwrap();
            assert_eq!((login.username.as_str(), login.password.expose()), ("us@er", "p/ w"), "{text}");
            assert_eq!(target.tls, tls, "{text}");
            assert!(!format!("{target:?}").contains("p/ w"));
        }
        assert!(target(url("memcached://cache.test:11211"), json!({})).unwrap().login.is_none());
    }

    #[test]
    fn parts_and_options_come_together() {
        let login = json!({ "username": "u", "password": "p" });
        let target = target(parts(login), json!({ "tls": true, "tls_insecure": true })).unwrap();
        assert_eq!((target.tls, target.login.unwrap().username.as_str()), (true, "u"));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_its_field() {
        for text in [
            "redis://hunter2@h",
            "memcached://",
            "memcached://hunter2:x@",
            "memcached://h:hunter2",
            "memcached://h:0",
            "memcached://h:65536",
            "memcached://h/hunter2",
            "memcached://h?timeout=hunter2",
            "memcached://[::1",
            "memcached://::1",
            "memcached://h1,h2",
            "memcached://%FF:hunter2@h",
            "hunter2",
        ] {
            assert_eq!(refused(url(text), json!({})), "connection_string", "{text}");
        }
        assert_eq!(refused(url("memcached://hunter2@h"), json!({})), "password");
        assert_eq!(refused(url("memcached://:hunter2@h"), json!({})), "username");
        assert_eq!(refused(url("memcached://a%20b:hunter2@h"), json!({})), "username");
        assert_eq!(refused(url("memcacheds://h"), json!({ "tls": false })), "options.tls");
        assert_eq!(refused(parts(json!({ "password": "hunter2" })), json!({})), "username");
        assert_eq!(refused(parts(json!({ "username": "u" })), json!({})), "password");
        assert_eq!(refused(parts(json!({ "database_name": "0" })), json!({})), "database_name");
        assert_eq!(refused(parts(json!({})), json!({ "tls_ca": "x" })), "options.tls_ca");
        assert_eq!(refused(parts(json!({})), json!({ "tls_insecure": true })), "options.tls_insecure");
        assert_eq!(refused(parts(json!({})), json!({ "tls": true, "tls_ca": "x" })), "options.tls_ca");
    }

    proptest! {
        /// The password is read as it is, or the string is refused and no part of it told.
        #[test]
        fn no_part_of_a_password_is_taken_for_something_else(
            password in testing::ODD_PASSWORDS,
            encoded: bool,
        ) {
            testing::check_password(&password, encoded, |written| {
                let target = target(url(&format!("memcached://app:{written}@host.invalid:7/\n")), json!({}))?;
                Ok(target.login.unwrap().password.expose().to_owned())
            });
        }
    }
}
