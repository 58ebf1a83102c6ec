//! The types of single settings: each reads itself from one word, or else names the form that would be right.
//!
//! All of them take the same text from `gateway.toml` and from an environment variable.

use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer, de};

/// A length of time: a whole number of seconds (`30`) or a number with a unit (`"250ms"`, `"5m"`, `"1h 30m"`).
///
/// Never negative; zero is a value (a setting that can't be zero is refused by [`Settings::check`](super::Settings::check)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// Makes a period of whole seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse() {
            return Ok(Self::from_seconds(seconds));
        }
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .map(Self)
            .ok_or_else(|| PERIOD_EXPECTED.to_owned())
    }
}

/// The form of a period, for error messages.
const PERIOD_EXPECTED: &str =
    "expected a length of time: whole seconds (30) or a number with a unit (\"250ms\", \"5m\", \"1h\")";

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PeriodVisitor;

        impl de::Visitor<'_> for PeriodVisitor {
            type Value = Period;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a length of time: whole seconds (30) or a number with a unit (\"5m\")")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Period, E> {
                Ok(Period::from_seconds(seconds))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Period, E> {
                u64::try_from(seconds).map(Period::from_seconds).map_err(|_| E::custom(PERIOD_EXPECTED))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(PeriodVisitor)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

/// A setting that must not be shown: a [`SecretString`] that can be read from a settings file.
///
/// `Debug` and `Serialize` write a placeholder. [`secrecy::ExposeSecret`] works on it through [`Deref`].
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl Deref for Secret {
    type Target = SecretString;

    fn deref(&self) -> &SecretString {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `String::deserialize`: its error for a value of another type quotes that value.
        match toml::Value::deserialize(deserializer) {
            Ok(toml::Value::String(text)) => Ok(Self::from(text)),
            _ => Err(de::Error::custom("expected a string in quotes")),
        }
    }
}

/// Reads a list of secrets; for the same reason it does not use `Vec`'s `Deserialize`.
///
/// # Errors
/// When the value is not a list of strings; the value is not quoted.
pub(super) fn secret_list<'de, D: de::Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let secrets = match toml::Value::deserialize(deserializer) {
        Ok(toml::Value::Array(items)) => items.into_iter().map(|item| match item {
            toml::Value::String(text) => Some(Secret::from(text)),
            _ => None,
        }),
        _ => return Err(de::Error::custom(SECRET_LIST_EXPECTED)),
    };
    secrets.collect::<Option<_>>().ok_or_else(|| de::Error::custom(SECRET_LIST_EXPECTED))
}

/// The form of a list of secrets, for error messages.
const SECRET_LIST_EXPECTED: &str = "expected a list of strings in quotes, in brackets";

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[secret]")
    }
}

/// Where the JSON Web Key Set (RFC 7517 §5) that verifies tokens comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum JwksSource {
    /// Fetched by GET. `https`, or `http` for a key server on a trusted network.
    Url(reqwest::Url),
    /// Read from a file.
    File(PathBuf),
}

impl TryFrom<String> for JwksSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const EXPECTED: &str = "expected an https:// URL, a file: URL or the path of a file";
        // A path never has "://" in it, and a file: URL may be written without the slashes.
        if !text.contains("://") && !text.starts_with("file:") {
            return if text.is_empty() { Err(EXPECTED.to_owned()) } else { Ok(Self::File(text.into())) };
        }
        let url = reqwest::Url::parse(&text).map_err(|_| EXPECTED.to_owned())?;
        match url.scheme() {
            // Credentials in a URL end up in logs.
            "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
                Err("the URL must not carry a user name or password".to_owned())
            }
            "https" | "http" => Ok(Self::Url(url)),
            "file" => url.to_file_path().map(Self::File).map_err(|()| EXPECTED.to_owned()),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

impl Serialize for JwksSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Url(url) => serializer.collect_str(url),
            Self::File(path) => serializer.collect_str(&path.display()),
        }
    }
}

/// A signature algorithm that keys of the JWKS may be used with (RFC 7518 §3.1, RFC 8037 §3.1).
///
/// HS256 is deliberately not among them: a published key is never a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum JwksAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256; keys of 2048 to 8192 bits.
    RS256,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// An origin that browsers may call from (RFC 6454 §6.2), such as `https://studio.example.com`, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// Returns the origin as it stands in an `Origin` header, or `*`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_origin =
            || reqwest::Url::parse(&text).is_ok_and(|url| url.origin().ascii_serialization() == text);
        if text == "*" || is_origin() {
            Ok(Self(text))
        } else {
            Err("expected an origin: scheme, host and port without a path, such as \
                 \"https://studio.example.com\", or \"*\""
                .to_owned())
        }
    }
}

/// A request header that pages of other origins may send, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct CorsHeader(String);

impl CorsHeader {
    /// Makes the value that means any header.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Returns the header's name; `None` if any header is meant.
    pub fn name(&self) -> Option<HeaderName> {
        // `*` would parse as a header's name too.
        Some(self).filter(|header| **header != Self::any()).and_then(|header| header.0.parse().ok())
    }
}

impl TryFrom<String> for CorsHeader {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match HeaderName::try_from(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err("expected the name of a header, such as \"apikey\", or \"*\"".to_owned()),
        }
    }
}

/// The header in which proxies name the client that they forward for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses between commas.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The choice of log lines: directives of [`tracing_subscriber::EnvFilter`], such as `info,studio_gateway=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// Returns the directives, which are known to parse.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl TryFrom<String> for LogFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::try_new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => {
                Err(format!("{error}; expected a level (info) or directives (info,studio_gateway=debug)"))
            }
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// Coloured text, for people.
    Pretty,
}

/// The effect of a plugin that does not load on the gateway's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPluginError {
    /// The gateway does not start.
    Fail,
    /// The gateway starts without that driver and says so in the log.
    Skip,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn period_reads_seconds_and_units() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("0", 0),
            ("250ms", 250),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("PT2S", 2_000),
        ] {
            assert_eq!(text.parse::<Period>().unwrap().0, Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn period_refuses_what_is_no_length_of_time() {
        for text in ["", "-5", "-5s", "soon", "5 parsecs", "1y"] {
            assert!(text.parse::<Period>().unwrap_err().contains("expected a length of time"), "{text}");
        }
    }

    #[test]
    fn jwks_source_is_a_url_or_a_file() {
        let source = |text: &str| JwksSource::try_from(text.to_owned());
        assert!(matches!(source("https://id.example.com/jwks.json"), Ok(JwksSource::Url(_))));
        assert_eq!(source("file:///etc/jwks.json"), Ok(JwksSource::File("/etc/jwks.json".into())));
        assert_eq!(source("keys/jwks.json"), Ok(JwksSource::File("keys/jwks.json".into())));
        for refused in ["", "ftp://id.example.com/jwks", "https://", "https://user:pw@id.example.com/jwks"] {
            let message = source(refused).unwrap_err();
            assert!(!message.contains("pw@"), "{message}");
        }
    }

    #[test]
    fn origin_has_no_path() {
        for accepted in ["https://studio.example.com", "http://localhost:3000", "*"] {
            assert_eq!(Origin::try_from(accepted.to_owned()).unwrap().as_str(), accepted);
        }
        for refused in ["https://studio.example.com/", "studio.example.com", "https://a.b/c", ""] {
            assert!(Origin::try_from(refused.to_owned()).is_err(), "{refused}");
        }
    }

    #[test]
    fn header_for_pages_is_a_name_or_any() {
        let name = |text: &str| CorsHeader::try_from(text.to_owned()).map(|header| header.name());
        assert_eq!(name("X-Client-Info"), Ok(Some(HeaderName::from_static("x-client-info"))));
        assert_eq!(name("*"), Ok(None));
        for refused in ["", "two words", "apikey:", "ä"] {
            assert!(name(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn secret_shows_itself_nowhere() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(secret.expose_secret(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }

    proptest! {
        #[test]
        fn period_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Period>();
        }
    }
}
