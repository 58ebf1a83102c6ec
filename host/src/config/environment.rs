//! Settings from environment variables: one table, applied in order over the settings of `gateway.toml`.

use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::Settings;

/// One variable, the setting it sets, and how.
#[derive(Debug)]
pub struct Variable {
    /// The variable's name.
    pub name: &'static str,
    /// The setting's dotted key, as in `gateway.toml`.
    pub key: &'static str,
    /// Sets it from the variable's text, or says what would be right.
    apply: fn(&mut Settings, &str) -> Result<(), String>,
}

impl Variable {
    /// Sets this variable's setting.
    ///
    /// # Errors
    /// The fault in `text` and the form that would be right; a secret's text is not quoted.
    pub(super) fn apply(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        (self.apply)(settings, text)
    }
}

/// Makes a row of the table: the function that reads it (`word`, `optional`, `number`, `list`) follows from the field's
/// type.
macro_rules! variable {
    ($name:literal, $read:ident, $section:ident $(. $field:ident)+) => {
        Variable {
            name: $name,
            key: concat!(stringify!($section) $(, ".", stringify!($field))+),
            apply: |settings, text| {
                settings.$section$(.$field)+ = $read(text)?;
                Ok(())
            },
        }
    };
}

/// Every setting's variable. Later rows win: `GATEWAY_JWT_SECRET` over `SUPABASE_JWT_SECRET`. `PORT` counts only if
/// nothing else sets the address, the settings file included.
///
/// No name may begin with `GATEWAY_PORT` or `GATEWAY_SERVICE_`, which Kubernetes sets for a service named `gateway`.
pub const ENVIRONMENT: &[Variable] = &[
    // Platforms that run containers set `PORT`. Some reach containers by IPv6 alone; `[::]` takes IPv4 too.
    Variable {
        name: "PORT",
        key: "http.listen",
        apply: |settings, text| {
            let port = text.parse().map_err(|_| "expected a port: a number up to 65535".to_owned())?;
            settings.http.listen.get_or_insert((Ipv6Addr::UNSPECIFIED, port).into());
            Ok(())
        },
    },
    variable!("GATEWAY_LISTEN", optional, http.listen),
    variable!("GATEWAY_METRICS_LISTEN", optional, http.metrics_listen),
    variable!("GATEWAY_CORS_ORIGINS", list, http.cors_origins),
    variable!("GATEWAY_CORS_HEADERS", list, http.cors_headers),
    variable!("GATEWAY_TRUSTED_PROXIES", list, http.trusted_proxies),
    variable!("GATEWAY_FORWARDED_HEADER", word, http.forwarded_header),
    variable!("GATEWAY_DRAIN_TIMEOUT", word, http.drain_timeout),
    variable!("PG_META_CRYPTO_KEY", optional, http.connection_key),
    variable!("PG_META_CRYPTO_KEY_FILE", optional, http.connection_key_file),
    variable!("DATABASE_URL", word, registry.url),
    variable!("DATABASE_ENCRYPTION_KEY", optional, registry.encryption_key),
    variable!("DATABASE_ENCRYPTION_KEY_FILE", optional, registry.encryption_key_file),
    variable!("DATABASE_ENCRYPTION_KEYS_RETIRED", list, registry.encryption_keys_retired),
    variable!("SUPABASE_JWT_SECRET", optional, identity.jwt_secret),
    variable!("GATEWAY_JWT_SECRET", optional, identity.jwt_secret),
    variable!("GATEWAY_JWT_SECRET_FILE", optional, identity.jwt_secret_file),
    variable!("GATEWAY_JWKS_URL", optional, identity.jwks_url),
    variable!("GATEWAY_JWKS_ALGORITHMS", list, identity.jwks_algorithms),
    variable!("GATEWAY_JWT_AUDIENCE", word, identity.audience),
    variable!("GATEWAY_JWT_ISSUER", optional, identity.issuer),
    variable!("GATEWAY_SESSIONS_CONNECT_TIMEOUT", word, sessions.connect_timeout),
    variable!("GATEWAY_SESSIONS_IDLE_TIMEOUT", word, sessions.idle_timeout),
    variable!("GATEWAY_SESSIONS_WAIT", word, sessions.wait),
    variable!("GATEWAY_SESSIONS_MAX", number, sessions.max),
    variable!("GATEWAY_SESSIONS_MAX_PER_PROJECT", number, sessions.max_per_project),
    variable!("GATEWAY_SESSIONS_MAX_CALLS", number, sessions.max_calls),
    variable!("GATEWAY_SESSIONS_MAX_CALLS_PER_PROJECT", number, sessions.max_calls_per_project),
    variable!("GATEWAY_SESSIONS_MAX_WAITING", number, sessions.max_waiting),
    variable!("GATEWAY_REQUEST_TIMEOUT", word, limits.request_timeout),
    variable!("GATEWAY_MAX_BODY_BYTES", number, limits.max_body_bytes),
    variable!("GATEWAY_MAX_NESTING", number, limits.max_nesting),
    variable!("GATEWAY_MAX_REPLY_BYTES", number, limits.max_reply_bytes),
    variable!("GATEWAY_BUDGET_BODY_BYTES", number, budgets.body_bytes),
    variable!("GATEWAY_BUDGET_PROJECT_BODY_BYTES", number, budgets.project_body_bytes),
    variable!("GATEWAY_BUDGET_REPLY_BYTES", number, budgets.reply_bytes),
    variable!("GATEWAY_BUDGET_PROJECT_REPLY_BYTES", number, budgets.project_reply_bytes),
    variable!("GATEWAY_BUDGET_COMPRESSIONS", number, budgets.compressions),
    variable!("GATEWAY_BUDGET_CONNECTIONS", number, budgets.connections),
    variable!("GATEWAY_BUDGET_CONNECTIONS_PER_ADDRESS", number, budgets.connections_per_address),
    variable!("GATEWAY_BUDGET_FIRST_BYTE", word, budgets.first_byte),
    variable!("GATEWAY_BUDGET_HEAD", word, budgets.head),
    variable!("GATEWAY_BUDGET_BODY", word, budgets.body),
    variable!("GATEWAY_BUDGET_IDLE", word, budgets.idle),
    variable!("GATEWAY_BUDGET_NO_PROGRESS", word, budgets.no_progress),
    variable!("GATEWAY_BUDGET_LEAST_RATE", number, budgets.least_rate),
    variable!("GATEWAY_BUDGET_HEAD_BYTES", number, budgets.head_bytes),
    variable!("GATEWAY_BUDGET_HTTP2_STREAMS", number, budgets.http2_streams),
    variable!("GATEWAY_BUDGET_HTTP2_RESETS", number, budgets.http2_resets),
    variable!("GATEWAY_CACHE_ENABLED", boolean, cache.enabled),
    variable!("GATEWAY_CACHE_MAX_BYTES", number, cache.max_bytes),
    variable!("GATEWAY_RATE_LIMIT", optional, rate_limit.everyone.total),
    variable!("GATEWAY_RATE_LIMIT_READ", optional, rate_limit.everyone.read),
    variable!("GATEWAY_RATE_LIMIT_WRITE", optional, rate_limit.everyone.write),
    variable!("GATEWAY_RATE_LIMIT_ADMIN", optional, rate_limit.everyone.admin),
    variable!("GATEWAY_RATE_LIMIT_QUERY", optional, rate_limit.everyone.query),
    variable!("GATEWAY_RATE_LIMIT_ADDRESS", optional, rate_limit.address),
    variable!("GATEWAY_ORGANIZATIONS_PER_USER", number, quotas.organizations_per_user),
    variable!("GATEWAY_PROJECTS_PER_ORGANIZATION", number, quotas.projects_per_organization),
    variable!("GATEWAY_CONNECTIONS_PER_PROJECT", number, quotas.connections_per_project),
    variable!("GATEWAY_MEMBERS_PER_PROJECT", number, quotas.members_per_project),
    variable!("GATEWAY_TAKEN_NAMES_PER_HOUR", number, quotas.taken_names_per_hour),
    variable!("GATEWAY_ALLOW_PRIVATE_ADDRESSES", boolean, addresses.allow_private),
    variable!("GATEWAY_PLUGINS", word, plugins.file),
    variable!("GATEWAY_ON_PLUGIN_ERROR", word, plugins.on_plugin_error),
    variable!("GATEWAY_COMPILED_FOLDER", word, plugins.compiled_folder),
    variable!("GATEWAY_COMPILE_TIMEOUT", word, plugins.compile_timeout),
    variable!("GATEWAY_LOG", word, log.filter),
    variable!("GATEWAY_LOG_FORMAT", word, log.format),
];

/// Reads a value that `gateway.toml` writes as a string.
fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| error.to_string())
}

/// Does the same for a setting that may be absent.
fn optional<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Option<T>, String> {
    word(text).map(Some)
}

/// Reads strings between commas; spaces around them do not count.
fn list<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(word).collect()
}

/// Reads a whole number greater than zero.
fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number greater than zero".to_owned())
}

/// Reads `true` or `false`, or `1` or `0`, as shells often write them.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("expected `true` or `false`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Collects the dotted keys of every value that is no section.
    fn leaves(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    leaves(&key, value, found);
                }
            }
            _ => {
                found.insert(prefix.to_owned());
            }
        }
    }

    #[test]
    fn every_setting_has_a_variable_and_every_variable_a_setting() {
        let mut settings = BTreeSet::new();
        leaves("", &serde_json::to_value(Settings::default()).unwrap(), &mut settings);
        let variables: BTreeSet<String> =
            ENVIRONMENT.iter().map(|variable| variable.key.to_owned()).collect();
        assert_eq!(settings, variables);
    }

    #[test]
    fn no_variable_is_one_that_kubernetes_sets() {
        for variable in ENVIRONMENT {
            let name = variable.name;
            assert!(!name.starts_with("GATEWAY_PORT") && !name.starts_with("GATEWAY_SERVICE_"), "{name}");
        }
    }

    #[test]
    fn wrong_values_are_refused_with_what_would_be_right() {
        for (name, text, expected) in [
            ("PORT", "tcp://10.0.0.1:80", "expected a port"),
            ("PORT", "65536", "expected a port"),
            ("GATEWAY_LISTEN", "8787", "socket address"),
            ("GATEWAY_CORS_HEADERS", "apikey,not a header", "expected the name of a header"),
            ("GATEWAY_DRAIN_TIMEOUT", "soon", "length of time"),
            ("GATEWAY_SESSIONS_MAX", "0", "greater than zero"),
            ("GATEWAY_MAX_BODY_BYTES", "10MB", "whole number"),
            ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "yes", "`true` or `false`"),
            ("GATEWAY_LOG_FORMAT", "xml", "expected `json` or `pretty`"),
            ("GATEWAY_ON_PLUGIN_ERROR", "panic", "expected `fail` or `skip`"),
            ("GATEWAY_JWKS_ALGORITHMS", "RS256,HS256", "`RS256`, `ES256`, `EdDSA`"),
            ("GATEWAY_LOG", "info,=,", "expected a level"),
        ] {
            let variable = ENVIRONMENT.iter().find(|variable| variable.name == name).unwrap();
            let message = variable.apply(&mut Settings::default(), text).unwrap_err();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}
