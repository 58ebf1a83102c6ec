//! Settings: their sources and their rules.
//!
//! They come from `gateway.toml`; every one of them has an environment variable too, which wins. Reading is strict: an
//! unknown key or a value of the wrong form refuses the start, naming the setting and its file and line (or the
//! variable). The one leniency is unknown `GATEWAY_*` variables, since Kubernetes sets `GATEWAY_PORT` and its like for
//! a service named `gateway`; [`Settings::unknown_variables`] lists them for a warning.

mod budgets;
mod environment;
mod http;
mod load;
mod quotas;
mod rates;
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

pub use self::budgets::BudgetSettings;
pub use self::environment::{ENVIRONMENT, Variable};
pub use self::http::HttpSettings;
#[cfg(test)]
pub(crate) use self::load::CONFIG_VARIABLE;
pub use self::load::ConfigError;
pub use self::quotas::QuotaSettings;
pub use self::rates::{ADDRESS_RATE, CLASS_RATE, Rate, RateLimitSettings, RequestLimit, RequestLimits};
pub use self::values::{
    CorsHeader, ForwardedHeader, JwksAlgorithm, JwksSource, LogFilter, LogFormat, OnPluginError, Origin,
    Period, Secret,
};

/// All settings, one struct per section of `gateway.toml`. `Debug` and `Serialize` show no secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[http]`: listening and the shape of the HTTP service.
    pub http: HttpSettings,
    /// `[registry]`: the platform database and the key that seals secrets in it.
    pub registry: RegistrySettings,
    /// `[identity]`: how callers' tokens are verified.
    pub identity: IdentitySettings,
    /// `[sessions]`: open driver sessions.
    pub sessions: SessionSettings,
    /// `[limits]`: what one request may use.
    pub limits: LimitSettings,
    /// `[budgets]`: what all callers together may hold of the gateway, and for how long.
    pub budgets: BudgetSettings,
    /// `[cache]`: replies that are served again.
    pub cache: CacheSettings,
    /// `[rate_limit]`: how often callers may ask.
    pub rate_limit: RateLimitSettings,
    /// `[quotas]`: how much there may be of what callers create.
    pub quotas: QuotaSettings,
    /// `[addresses]`: where connections may lead.
    pub addresses: AddressSettings,
    /// `[plugins]`: the drivers.
    pub plugins: PluginSettings,
    /// `[log]`: what is logged, and how.
    pub log: LogSettings,
    /// Variables named `GATEWAY_*` that mean nothing to the gateway, for a warning. Not a setting.
    #[serde(skip)]
    pub unknown_variables: Vec<String>,
}

/// `[registry]`: the platform database and the key that seals secrets in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// `sqlite:` or `postgres:` URL of the platform database; secret, since it may hold a password. A relative
    /// `sqlite:` path is relative to the working directory. Default `sqlite:data/platform.db`.
    pub url: Secret,
    /// The key that seals new secrets: 32 bytes as 64 hex digits or base64. `secrets` parses it.
    pub encryption_key: Option<Secret>,
    /// A file to read `encryption_key` from. [`Settings::load`] does; nothing else needs this.
    pub encryption_key_file: Option<PathBuf>,
    /// Former keys, which still open what they sealed.
    #[serde(deserialize_with = "values::secret_list")]
    pub encryption_keys_retired: Vec<Secret>,
}

/// The shortest secret that HS256 tokens are signed or verified with: the length of the hash (RFC 7518 §3.2).
pub const MINIMUM_SECRET_BYTES: usize = 32;

/// `[identity]`: how callers' tokens are verified.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// The shared secret of HS256 tokens, at least [`MINIMUM_SECRET_BYTES`].
    pub jwt_secret: Option<Secret>,
    /// A file to read `jwt_secret` from. [`Settings::load`] does; nothing else needs this.
    pub jwt_secret_file: Option<PathBuf>,
    /// Where the public keys of asymmetrically signed tokens are.
    pub jwks_url: Option<JwksSource>,
    /// The algorithms that keys of the JWKS may be used with. Default all three.
    pub jwks_algorithms: Vec<JwksAlgorithm>,
    /// The audience that a token's `aud` must be or contain (RFC 7519 §4.1.3). Default `authenticated`.
    pub audience: String,
    /// The issuer that a token's `iss` must name (RFC 7519 §4.1.1). Absent: not checked.
    pub issuer: Option<String>,
}

/// `[sessions]`: open driver sessions.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// How long opening a session may take. Default 5 s.
    pub connect_timeout: Period,
    /// A session unused for this long is closed. Default 5 min.
    pub idle_timeout: Period,
    /// How long a request waits for a place under the caps of sessions, for a session that others use, or for a place
    /// among its project's calls. Default 5 s; zero: not at all.
    pub wait: Period,
    /// Sessions open at once, in all. Default 1000.
    pub max: NonZeroUsize,
    /// Sessions open at once for one project. Default 50.
    pub max_per_project: NonZeroUsize,
    /// Calls under way at once on one connection whose session takes many. Default 100.
    pub max_calls: NonZeroUsize,
    /// Calls under way at once for one project. Default 400.
    pub max_calls_per_project: NonZeroUsize,
    /// Requests that may wait for one connection, or for one project's calls. Default 1000.
    pub max_waiting: NonZeroUsize,
}

/// `[limits]`: what one request may use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// How long a request may take, its database's work included. Default 30 s.
    pub request_timeout: Period,
    /// The longest request body, in bytes. Default 10 MiB.
    pub max_body_bytes: NonZeroUsize,
    /// How deep a request's JSON body may nest, in levels. Default 127, which is what drivers read at the most.
    pub max_nesting: NonZeroUsize,
    /// The longest reply of a driver, in bytes. Default 64 MiB.
    pub max_reply_bytes: NonZeroUsize,
}

/// `[cache]`: replies that are served again.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// Whether any reply is kept. Default true. `plugins.toml` says it for each driver and operation.
    pub enabled: bool,
    /// The bytes that all kept replies may take together; one of them, an eighth of it. Default 64 MiB.
    pub max_bytes: NonZeroUsize,
}

/// `[addresses]`: where connections may lead.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddressSettings {
    /// Whether connections may lead to private and loopback addresses. Default false.
    pub allow_private: bool,
}

/// `[plugins]`: the drivers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginSettings {
    /// The list of drivers to load. Default `plugins.toml` in the working directory.
    pub file: PathBuf,
    /// The consequence of a driver that does not load. Default `fail`.
    pub on_plugin_error: OnPluginError,
    /// The folder that keeps the compiled code of WebAssembly components. Default `data/compiled`.
    pub compiled_folder: PathBuf,
    /// How long compiling one component may take. Default 60 s.
    pub compile_timeout: Period,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Directives of `EnvFilter`. Default `info`.
    pub filter: LogFilter,
    /// JSON for machines (the default) or text for people.
    pub format: LogFormat,
}

/// Converts mebibytes to bytes.
const fn mebibytes(count: usize) -> NonZeroUsize {
    at_least_one(count * 1024 * 1024)
}

/// Converts `count` to a number that is not zero (no default is zero).
const fn at_least_one(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            url: Secret::from("sqlite:data/platform.db".to_owned()),
            encryption_key: None,
            encryption_key_file: None,
            encryption_keys_retired: Vec::new(),
        }
    }
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_secret_file: None,
            jwks_url: None,
            jwks_algorithms: vec![JwksAlgorithm::RS256, JwksAlgorithm::ES256, JwksAlgorithm::EdDSA],
            audience: "authenticated".to_owned(),
            issuer: None,
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Period::from_seconds(5),
            idle_timeout: Period::from_seconds(300),
            wait: Period::from_seconds(5),
            max: at_least_one(1000),
            max_per_project: at_least_one(50),
            max_calls: at_least_one(100),
            max_calls_per_project: at_least_one(400),
            max_waiting: at_least_one(1000),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            request_timeout: Period::from_seconds(30),
            max_body_bytes: mebibytes(10),
            max_nesting: at_least_one(127),
            max_reply_bytes: mebibytes(64),
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { enabled: true, max_bytes: mebibytes(64) }
    }
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            file: "plugins.toml".into(),
            on_plugin_error: OnPluginError::Fail,
            compiled_folder: "data/compiled".into(),
            compile_timeout: Period::from_seconds(60),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: LogFilter::default(), format: LogFormat::Json }
    }
}

impl Settings {
    /// Checks whether these settings are enough to serve with, where that takes more than one value. Commands such as
    /// `migrate`, which verify no tokens, need no such check.
    ///
    /// # Errors
    /// [`ConfigError::Insufficient`] with one sentence a problem, all of them at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let identity = &self.identity;
        let mut problems = Vec::new();
        if self.registry.encryption_key.is_none() {
            problems.push(
                "registry.encryption_key is not set: set DATABASE_ENCRYPTION_KEY to 32 random bytes as 64 hex digits \
                 or base64 (`openssl rand -hex 32`), or DATABASE_ENCRYPTION_KEY_FILE to a file with them"
                    .to_owned(),
            );
        }
        if identity.jwt_secret.is_none() && identity.jwks_url.is_none() {
            problems.push(
                "nothing to verify tokens with: set GATEWAY_JWT_SECRET (identity.jwt_secret), GATEWAY_JWKS_URL \
                 (identity.jwks_url), or both"
                    .to_owned(),
            );
        }
        let minimum = MINIMUM_SECRET_BYTES;
        if identity.jwt_secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < minimum) {
            problems.push(format!("identity.jwt_secret is too short: HS256 needs at least {minimum} bytes"));
        }
        if identity.jwks_url.is_some() && identity.jwks_algorithms.is_empty() {
            problems
                .push("identity.jwks_algorithms is empty: no token could be verified by the JWKS".to_owned());
        }
        if identity.audience.is_empty() {
            problems.push("identity.audience is empty: name the audience of your tokens".to_owned());
        }
        for (setting, period) in [
            ("limits.request_timeout", self.limits.request_timeout),
            ("sessions.connect_timeout", self.sessions.connect_timeout),
            ("sessions.idle_timeout", self.sessions.idle_timeout),
        ] {
            if period.is_zero() {
                problems.push(format!("{setting} is zero: it must be longer"));
            }
        }
        problems.extend(self.budgets.problems(self.limits.max_body_bytes, self.limits.max_reply_bytes));
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Insufficient { problems }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sufficient() -> Settings {
        let mut settings = Settings::default();
        settings.registry.encryption_key = Some("00".repeat(32).into());
        settings.identity.jwt_secret = Some("s".repeat(32).into());
        settings
    }

    fn problems(settings: &Settings) -> Vec<String> {
        match settings.check() {
            Ok(()) => Vec::new(),
            Err(ConfigError::Insufficient { problems }) => problems,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn sufficient_settings_pass() {
        assert_eq!(problems(&sufficient()), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let found = problems(&Settings::default());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("DATABASE_ENCRYPTION_KEY"));
        assert!(found[1].contains("GATEWAY_JWT_SECRET") && found[1].contains("GATEWAY_JWKS_URL"));
    }

    #[test]
    fn short_shared_secret_is_refused_without_being_shown() {
        let mut settings = sufficient();
        settings.identity.jwt_secret = Some("hunter2".repeat(4).into());
        let found = problems(&settings);
        assert!(found[0].contains("at least 32 bytes") && !found[0].contains("hunter2"), "{found:?}");
    }

    #[test]
    fn jwks_alone_is_enough_to_verify_tokens() {
        let mut settings = sufficient();
        settings.identity.jwt_secret = None;
        settings.identity.jwks_url = Some(JwksSource::File("jwks.json".into()));
        assert_eq!(problems(&settings), Vec::<String>::new());
        settings.identity.jwks_algorithms.clear();
        assert!(problems(&settings)[0].contains("jwks_algorithms"));
    }

    #[test]
    fn timeouts_that_would_refuse_everything_are_refused() {
        let mut settings = sufficient();
        settings.limits.request_timeout = Period::from_seconds(0);
        settings.sessions.wait = Period::from_seconds(0);
        assert_eq!(problems(&settings), ["limits.request_timeout is zero: it must be longer"]);
    }
}
