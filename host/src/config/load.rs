//! Reading settings: `gateway.toml`, then the environment, then the files that hold secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroize;

use super::environment::ENVIRONMENT;
use super::{JwksSource, Secret, Settings};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "gateway.toml";
/// The variables that are not settings of the file: this one names it.
pub(crate) const CONFIG_VARIABLE: &str = "GATEWAY_CONFIG";

/// Why settings can't be used. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The settings file was named, or is there, and can't be read.
    #[error("can't read the settings file {}: {cause}", file.display())]
    Unreadable {
        /// The settings file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A value in the settings file is not one that its setting can have.
    #[error("{}:{line}: {setting}: {problem}", file.display())]
    InFile {
        /// The settings file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The dotted key, as far as it is known.
        setting: String,
        /// The fault, and the form that would be right.
        problem: String,
    },
    /// An environment variable's value is not one that its setting can have.
    #[error("{variable}: {problem}")]
    InEnvironment {
        /// The variable.
        variable: String,
        /// The fault, and the form that would be right.
        problem: String,
    },
    /// A secret is given both as a value and as a file.
    #[error("both {value} and {file} are set: keep one of them")]
    GivenTwice {
        /// The setting or variable with the value.
        value: String,
        /// The setting or variable with the file's path.
        file: String,
    },
    /// A file that should hold a secret can't be read.
    #[error("{setting}: can't read {}: {cause}", path.display())]
    SecretFile {
        /// The setting or variable that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Each value is right, but together they are not enough to serve with.
    #[error("the settings are not enough to serve with:\n- {}", problems.join("\n- "))]
    Insufficient {
        /// One sentence for each problem.
        problems: Vec<String>,
    },
}

/// A secret that may be given as a value or as a file: the names of its two settings, and their fields.
struct FileSecret {
    keys: [&'static str; 2],
    variables: [&'static str; 2],
    fields: fn(&mut Settings) -> (&mut Option<Secret>, &mut Option<PathBuf>),
}

const FILE_SECRETS: [FileSecret; 3] = [
    FileSecret {
        keys: ["http.connection_key", "http.connection_key_file"],
        variables: ["PG_META_CRYPTO_KEY", "PG_META_CRYPTO_KEY_FILE"],
        fields: |settings| (&mut settings.http.connection_key, &mut settings.http.connection_key_file),
    },
    FileSecret {
        keys: ["registry.encryption_key", "registry.encryption_key_file"],
        variables: ["DATABASE_ENCRYPTION_KEY", "DATABASE_ENCRYPTION_KEY_FILE"],
        fields: |settings| {
            (&mut settings.registry.encryption_key, &mut settings.registry.encryption_key_file)
        },
    },
    FileSecret {
        keys: ["identity.jwt_secret", "identity.jwt_secret_file"],
        variables: ["GATEWAY_JWT_SECRET", "GATEWAY_JWT_SECRET_FILE"],
        fields: |settings| (&mut settings.identity.jwt_secret, &mut settings.identity.jwt_secret_file),
    },
];

impl Settings {
    /// Reads the settings: defaults, under the settings file, under the environment.
    ///
    /// The file is `config_path` (`--config`), else `GATEWAY_CONFIG`, else `gateway.toml` in the working directory if
    /// it is there. Relative paths in it are relative to it; those in variables, and the defaults, to the working
    /// directory. A variable that is set to nothing counts as not set. Take the environment from `std::env::vars_os`,
    /// without variables that are not Unicode: `std::env::vars` panics on those.
    ///
    /// # Errors
    /// [`ConfigError`], naming the setting and its line or variable. Checks that take more than one value are left to
    /// [`Settings::check`].
    pub fn load(
        config_path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> =
            environment.filter(|(_, text)| !text.is_empty()).collect();
        let named = config_path.or_else(|| environment.get(CONFIG_VARIABLE).map(Path::new));
        let file = named.unwrap_or(Path::new(DEFAULT_FILE));
        let mut settings = match std::fs::read_to_string(file) {
            Ok(text) => from_file(file, &text)?,
            Err(cause) if named.is_none() && cause.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(cause) => return Err(ConfigError::Unreadable { file: file.to_owned(), cause }),
        };
        apply_environment(&mut settings, &environment)?;
        Ok(settings)
    }
}

/// Reads settings from a file's text, resolves its relative paths and reads its secret files.
fn from_file(file: &Path, text: &str) -> Result<Settings, ConfigError> {
    // The parser's own `Display` quotes the line, which may hold a secret: only its message and place are used.
    let in_file = |setting: String, error: &toml::de::Error| ConfigError::InFile {
        file: file.to_owned(),
        line: 1 + text
            .bytes()
            .take(error.span().map_or(0, |span| span.start))
            .filter(|byte| *byte == b'\n')
            .count(),
        setting,
        problem: error.message().to_owned(),
    };
    let syntax = |error| in_file("not TOML".to_owned(), &error);
    let given: toml::Table = text.parse().map_err(syntax)?;
    let deserializer = toml::Deserializer::parse(text).map_err(syntax)?;
    let mut settings: Settings = serde_path_to_error::deserialize(deserializer)
        .map_err(|error| in_file(error.path().to_string(), error.inner()))?;

    let directory = file.parent().unwrap_or(Path::new(""));
    if let Some(JwksSource::File(path)) = &mut settings.identity.jwks_url {
        *path = directory.join(&path);
    }
    // Only a path that the file gives is relative to it; the default is not.
    if given.get("plugins").is_some_and(|plugins| plugins.get("file").is_some()) {
        settings.plugins.file = directory.join(&settings.plugins.file);
    }
    for secret in FILE_SECRETS {
        let (value, path) = (secret.fields)(&mut settings);
        if let Some(path) = path {
            if value.is_some() {
                let [value, file] = secret.keys.map(str::to_owned);
                return Err(ConfigError::GivenTwice { value, file });
            }
            *path = directory.join(&path);
            *value = Some(read_secret(secret.keys[1], path)?);
        }
    }
    Ok(settings)
}

/// Applies the settings that the environment gives.
fn apply_environment(
    settings: &mut Settings,
    environment: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for variable in ENVIRONMENT {
        if let Some(text) = environment.get(variable.name) {
            variable.apply(settings, text).map_err(|problem| ConfigError::InEnvironment {
                variable: variable.name.to_owned(),
                problem,
            })?;
        }
    }
    for secret in FILE_SECRETS {
        let [value_given, file_given] = secret.variables.map(|name| environment.contains_key(name));
        if value_given && file_given {
            let [value, file] = secret.variables.map(str::to_owned);
            return Err(ConfigError::GivenTwice { value, file });
        }
        let (value, path) = (secret.fields)(settings);
        if file_given && let Some(path) = path {
            *value = Some(read_secret(secret.variables[1], path)?);
        }
    }
    settings.unknown_variables = environment
        .keys()
        .filter(|name| name.starts_with("GATEWAY_") && *name != CONFIG_VARIABLE)
        .filter(|name| ENVIRONMENT.iter().all(|variable| variable.name != *name))
        .cloned()
        .collect();
    Ok(())
}

/// Reads the secret in a file, without the newline that editors and `echo` leave at its end.
fn read_secret(setting: &str, path: &Path) -> Result<Secret, ConfigError> {
    let mut text = std::fs::read_to_string(path).map_err(|cause| ConfigError::SecretFile {
        setting: setting.to_owned(),
        path: path.to_owned(),
        cause,
    })?;
    let secret = Secret::from(text.trim_end_matches(['\r', '\n']).to_owned());
    text.zeroize();
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::{LogFormat, Period};

    /// Makes a folder with a `gateway.toml` in it.
    fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let (_folder, file) = folder(text);
        Settings::load(Some(&file), variables(environment))
    }

    fn variables(environment: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        environment.iter().map(|(name, text)| (name.to_string(), text.to_string()))
    }

    fn message(text: &str, environment: &[(&str, &str)]) -> String {
        load(text, environment).unwrap_err().to_string()
    }

    #[test]
    fn file_sets_what_it_names_and_leaves_the_rest() {
        let settings = load(
            "[http]\nlisten = '0.0.0.0:80'\ndrain_timeout = '1m'\n[sessions]\nwait = 7\nmax = 3\n[log]\nformat = 'pretty'\n",
            &[],
        )
        .unwrap();
        assert_eq!(settings.http.listen, Some("0.0.0.0:80".parse().unwrap()));
        assert_eq!(settings.http.drain_timeout, Period::from_seconds(60));
        assert_eq!(settings.sessions.wait, Period::from_seconds(7));
        assert_eq!(settings.sessions.max.get(), 3);
        assert_eq!(settings.sessions.max_per_project.get(), 50);
        assert_eq!(settings.log.format, LogFormat::Pretty);
        assert_eq!(settings.plugins.file, Path::new("plugins.toml"), "a default is not relative to the file");
    }

    #[test]
    fn environment_wins_over_the_file() {
        let settings = load(
            "[http]\nlisten = '0.0.0.0:80'\n[log]\nfilter = 'debug'\n",
            &[("GATEWAY_LISTEN", "127.0.0.1:0"), ("GATEWAY_LOG", "")],
        )
        .unwrap();
        assert_eq!(settings.http.listen, Some("127.0.0.1:0".parse().unwrap()));
        assert_eq!(settings.log.filter.as_str(), "debug", "a variable set to nothing is not set");
    }

    #[test]
    fn hosts_port_variable_counts_when_no_listen_address_is_set() {
        let listen = |text: &str, environment: &[(&str, &str)]| {
            load(text, environment).unwrap().http.listen.map(|address| address.to_string())
        };
        let file = "[http]\nlisten = '127.0.0.1:80'\n";
        assert_eq!(listen("", &[]), None);
        assert_eq!(listen("", &[("PORT", "3000")]).as_deref(), Some("[::]:3000"));
        assert_eq!(listen(file, &[("PORT", "3000")]).as_deref(), Some("127.0.0.1:80"));
        for text in ["", file] {
            let both = [("GATEWAY_LISTEN", "10.0.0.1:8787"), ("PORT", "3000")];
            assert_eq!(listen(text, &both).as_deref(), Some("10.0.0.1:8787"));
        }
        assert!(message("", &[("PORT", "http")]).starts_with("PORT: expected a port"));
    }

    #[test]
    fn error_in_the_file_names_file_line_and_setting() {
        let found = message("[http]\n\nlisten = 'here'\n", &[]);
        assert!(found.contains("gateway.toml:3: http.listen: invalid socket address"), "{found}");
        let found = message("[sessions]\nmax = 0\n", &[]);
        assert!(found.contains("gateway.toml:2: sessions.max: ") && found.contains("nonzero"), "{found}");
        let found = message("[identity]\njwt_secert = 'x'\n", &[]);
        assert!(found.contains("gateway.toml:2: identity"), "{found}");
        assert!(found.contains("`jwt_secert`") && found.contains("`jwt_secret`"), "{found}");
        let found = message("[http]\nlisten = \n", &[]);
        assert!(found.contains("gateway.toml:2: not TOML"), "{found}");
    }

    #[test]
    fn error_in_the_environment_names_the_variable() {
        let found = message("", &[("GATEWAY_REQUEST_TIMEOUT", "soon")]);
        assert!(found.starts_with("GATEWAY_REQUEST_TIMEOUT: expected a length of time"), "{found}");
    }

    #[test]
    fn no_error_quotes_a_secret() {
        for text in [
            "[identity]\njwt_secret = 8237462\n",
            "[identity]\njwt_secret = [8237462]\n",
            "[identity]\njwt_secret = 8237462-x\n",
            "[identity]\njwt_secret = '8237462\n",
            "[registry]\nencryption_key = 8237462\n",
            "[registry]\nencryption_keys_retired = [8237462]\n",
            "[registry]\nencryption_keys_retired = '8237462'\n",
            "[registry]\nurl = 8237462\n",
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("8237462"), "{error}");
        }
    }

    #[test]
    fn named_file_that_is_missing_is_an_error() {
        let missing = Path::new("/nonexistent/gateway.toml");
        assert!(matches!(
            Settings::load(Some(missing), std::iter::empty()),
            Err(ConfigError::Unreadable { .. })
        ));
        let named = variables(&[("GATEWAY_CONFIG", "/nonexistent/gateway.toml")]);
        assert!(matches!(Settings::load(None, named), Err(ConfigError::Unreadable { .. })));
    }

    #[test]
    fn secret_file_is_relative_to_settings_and_loses_its_newline() {
        let (folder, file) = folder("[identity]\njwt_secret_file = 'secret'\njwks_url = 'keys.json'\n");
        std::fs::write(folder.path().join("secret"), "swordfish\n").unwrap();
        let settings = Settings::load(Some(&file), std::iter::empty()).unwrap();
        assert_eq!(settings.identity.jwt_secret.unwrap().expose_secret(), "swordfish");
        assert_eq!(settings.identity.jwks_url, Some(JwksSource::File(folder.path().join("keys.json"))));

        let absolute = folder.path().join("secret").display().to_string();
        let settings = load("", &[("DATABASE_ENCRYPTION_KEY_FILE", &absolute)]).unwrap();
        assert_eq!(settings.registry.encryption_key.unwrap().expose_secret(), "swordfish");
        let found = message("", &[("DATABASE_ENCRYPTION_KEY_FILE", "/nonexistent/key")]);
        assert!(found.starts_with("DATABASE_ENCRYPTION_KEY_FILE: can't read /nonexistent/key"), "{found}");
    }

    #[test]
    fn environments_secret_wins_and_two_in_one_place_are_an_error() {
        let found = message("[identity]\njwt_secret = 'a'\njwt_secret_file = 'b'\n", &[]);
        assert_eq!(found, "both identity.jwt_secret and identity.jwt_secret_file are set: keep one of them");
        let found = message("", &[("GATEWAY_JWT_SECRET", "a"), ("GATEWAY_JWT_SECRET_FILE", "b")]);
        assert!(found.contains("both GATEWAY_JWT_SECRET and GATEWAY_JWT_SECRET_FILE"), "{found}");
        let settings = load("[identity]\njwt_secret = 'a'\n", &[("GATEWAY_JWT_SECRET", "b")]).unwrap();
        assert_eq!(settings.identity.jwt_secret.unwrap().expose_secret(), "b");
    }

    #[test]
    fn gateway_secret_wins_over_the_supabase_one() {
        let both = [("GATEWAY_JWT_SECRET", "ours"), ("SUPABASE_JWT_SECRET", "theirs")];
        assert_eq!(load("", &both).unwrap().identity.jwt_secret.unwrap().expose_secret(), "ours");
        assert_eq!(load("", &both[1..]).unwrap().identity.jwt_secret.unwrap().expose_secret(), "theirs");
    }

    #[test]
    fn unknown_gateway_variables_are_listed_not_refused() {
        let given = [("GATEWAY_PORT", "tcp://10.0.0.1:80"), ("GATEWAY_LISTEM", "x"), ("HOME", "/root")];
        assert_eq!(load("", &given).unwrap().unknown_variables, ["GATEWAY_LISTEM", "GATEWAY_PORT"]);
    }
}
