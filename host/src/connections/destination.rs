//! Where a connection leads: the parts of a connection string that name the database, without any secret.

use crate::{
    registry::{Connection, StoredEndpoint},
    secrets::{Keyring, SealedFor},
};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use std::borrow::Cow;
use studio_plugin_api::manifest::Manifest;
use url::Url;

/// A database on a server, and the user that logs in. Two are equal only if all fields are.
#[derive(Debug, PartialEq, Eq)]
pub struct Destination {
    /// In small letters; an IPv6 address without brackets.
    host: String,
    port: u16,
    /// Empty if the string names none.
    database: String,
    /// Empty if the string names none.
    user: String,
}

impl Destination {
    /// Reads a connection string of one of the driver's schemes, `scheme://user@host:port/database`. `None` if the text
    /// is no such string, or names no host or several.
    pub fn parse(text: &str, driver: &Manifest) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        if !driver.connection_string_schemes.iter().any(|scheme| scheme == url.scheme()) {
            return None;
        }
        let host = decode(url.host_str()?)?;
        Some(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_lowercase(),
            port: url.port().or(driver.default_port)?,
            database: decode(url.path().strip_prefix('/').unwrap_or_default())?.into_owned(),
            user: decode(url.username())?.into_owned(),
        })
        .filter(|destination| !destination.host.is_empty())
    }

    /// Tells where a connection leads. `None` if that can't be told.
    pub fn of(connection: &Connection, driver: &Manifest, keyring: &Keyring) -> Option<Self> {
        match &connection.settings.endpoint {
            StoredEndpoint::ConnectionString(sealed) => {
                let id = connection.id.to_string();
                let opened =
                    keyring.open(&SealedFor { record: &id, field: "connection_string" }, sealed).ok()?;
                Self::parse(opened.expose_secret(), driver)
            }
            StoredEndpoint::Parts(parts) => Some(Self {
                host: parts.host.to_lowercase(),
                port: parts.port.or(driver.default_port)?,
                database: parts.database_name.clone().unwrap_or_default(),
                user: parts.username.clone().unwrap_or_default(),
            }),
        }
    }

    /// Returns host, port, database and user, as texts.
    pub fn parts(&self) -> [Cow<'_, str>; 4] {
        let Self { host, port, database, user } = self;
        [host.into(), port.to_string().into(), database.into(), user.into()]
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Option<[String; 4]> {
        let driver: Manifest = serde_json::from_value(json!({
            "api_version": "0.1.0", "type": "thing", "name": "Thing", "version": "1", "options": {},
            "default_port": 5432, "connection_string_schemes": ["thing", "things"], "operations": [],
        }))
        .unwrap();
        Destination::parse(text, &driver).map(|found| found.parts().map(Cow::into_owned))
    }

    fn is(parts: [&str; 4]) -> Option<[String; 4]> {
        Some(parts.map(str::to_owned))
    }

    #[test]
    fn a_string_says_where_it_leads() {
        assert_eq!(parse("thing://u:p@h:6000/d?x=y"), is(["h", "6000", "d", "u"]));
        assert_eq!(parse("things://H.Example"), is(["h.example", "5432", "", ""]));
        assert_eq!(parse("thing://a%40b:p@ss%3A@[::1]/caf%C3%A9"), is(["::1", "5432", "café", "a@b"]));
    }

    proptest::proptest! {
        #[test]
        fn any_string_leads_somewhere_or_nowhere_without_a_panic(text: String, rest: String) {
            parse(&text);
            parse(&format!("thing://{rest}"));
        }

        #[test]
        fn what_is_encoded_is_read_back(user in "[^\\x00]{1,20}", database in "[^\\x00]{1,20}") {
            // In a URL, these are steps of its path.
            proptest::prop_assume!(database != "." && database != "..");
            let encode = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            };
            let string = format!("thing://{}:p@host/{}", encode(&user), encode(&database));
            proptest::prop_assert_eq!(parse(&string), is(["host", "5432", &database, &user]));
        }
    }

    #[test]
    fn a_string_that_leads_nowhere_is_none() {
        for string in ["", "h", "other://h/d", "thing:///d", "thing://h:99999/d", "thing://h/%FF", "thing:h"]
        {
            assert_eq!(parse(string), None, "{string}");
        }
    }
}
