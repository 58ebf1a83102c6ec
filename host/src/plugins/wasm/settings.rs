//! A connection's settings on their way into a guest.

use super::{
    bindings::studio::driver::types::{Endpoint as GuestEndpoint, Parts, Settings},
    network::{Egress, Server},
};
use crate::plugins::{Resolve, settings::DriverSettings};
use secrecy::zeroize::Zeroize;
use serde_json::Value;
use std::sync::Arc;
use studio_plugin_api::{Endpoint, Secret};
use url::Url;

/// Holds a driver's settings in the guest's own types, in the clear, and wipes them when dropped.
pub(super) struct OpenSettings {
    /// The settings in the guest's types.
    pub(super) settings: Settings,
    authorities: Option<String>,
    insecure: bool,
}

impl OpenSettings {
    /// Opens the settings that every kind of driver is given.
    pub(super) fn new(settings: DriverSettings) -> Self {
        let expose = |secret: Secret| secret.expose().to_owned();
        let endpoint = match settings.endpoint {
            Endpoint::Parts { host, port, database_name, username, password } => {
                let password = password.map(expose);
                GuestEndpoint::Parts(Parts { host, port, database_name, username, password })
            }
            Endpoint::ConnectionString(url) => GuestEndpoint::ConnectionString(expose(url)),
        };
        let options = settings.options.expose();
        let authorities = options.get("tls_ca").and_then(Value::as_str).map(str::to_owned);
        let insecure = options.get("tls_insecure").and_then(Value::as_bool).unwrap_or(false);
        let options = options.to_string();
        Self { settings: Settings { endpoint, options }, authorities, insecure }
    }

    /// Finds the host and port that the settings lead to.
    pub(super) fn place(&self, default_port: Option<u16>) -> Result<(String, u16), &'static str> {
        match &self.settings.endpoint {
            GuestEndpoint::Parts(parts) => Ok((parts.host.clone(), parts.port)),
            GuestEndpoint::ConnectionString(url) => read_place(url, default_port),
        }
    }

    /// Tells where a session with these settings may connect to.
    pub(super) fn egress(&self, default_port: Option<u16>, resolve: Arc<Resolve>) -> Egress {
        match self.place(default_port) {
            Ok((host, port)) => Egress::Server(Box::new(Server {
                host,
                port,
                authorities: self.authorities.clone(),
                insecure: self.insecure,
                resolve,
            })),
            Err(message) => Egress::Unclear(message.to_owned()),
        }
    }
}

impl Drop for OpenSettings {
    fn drop(&mut self) {
        match &mut self.settings.endpoint {
            GuestEndpoint::Parts(parts) => parts.password.zeroize(),
            GuestEndpoint::ConnectionString(url) => url.zeroize(),
        }
        self.settings.options.zeroize();
    }
}

/// Reads the host and port of a URL. No message repeats any part of it: it may hold a password in an unexpected place.
fn read_place(url: &str, default_port: Option<u16>) -> Result<(String, u16), &'static str> {
    const UNREADABLE: &str = "the connection string is not a URL with one host, which is all that a sandboxed driver can be given a way to";
    let url = Url::parse(url).map_err(|_| UNREADABLE)?;
    let host = url.host_str().filter(|host| !host.is_empty() && !host.contains(',')).ok_or(UNREADABLE)?;
    let port = url.port_or_known_default().or(default_port);
    let port = port.filter(|port| *port != 0).ok_or("the connection string names no port")?;
    let host = percent_encoding::percent_decode_str(host).decode_utf8().map_err(|_| UNREADABLE)?;
    Ok((host.into_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_lead_to_one_host_or_nowhere() {
        let place = |url| read_place(url, Some(6379));
        assert_eq!(place("redis://u:p@example.com:7000/3"), Ok(("example.com".to_owned(), 7000)));
        assert_eq!(place("rediss://example.com"), Ok(("example.com".to_owned(), 6379)));
        assert_eq!(place("redis://[::1]:7000"), Ok(("[::1]".to_owned(), 7000)));
        for nowhere in ["mongodb://a:1,b:2/db", "redis://", "redis:///0", "no url", "redis://h:0"] {
            assert!(place(nowhere).is_err(), "{nowhere}");
        }
        assert!(read_place("thing://host", None).is_err());
    }
}
