//! `[http]`: listening and the shape of the HTTP service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{CorsHeader, ForwardedHeader, Origin, Period, Secret};

/// `[http]`: listening and the shape of the HTTP service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port of the API. Port 0 lets the system choose. Absent: [`DEFAULT_LISTEN`](Self::DEFAULT_LISTEN), or
    /// all addresses at the port that `PORT` names.
    pub listen: Option<SocketAddr>,
    /// A separate listener for `/metrics`. Absent: `/metrics` is served beside the API.
    pub metrics_listen: Option<SocketAddr>,
    /// Origins that browsers may call from (CORS). Default none.
    pub cors_origins: Vec<Origin>,
    /// Request headers that their pages may send. Default any: tokens decide who may what, and no header does without one.
    pub cors_headers: Vec<CorsHeader>,
    /// Networks of proxies that say truly whom they forward for. Default none: a client is who connects.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say it. Others pass through proxies as clients sent them, so only one is believed.
    /// Default `x-forwarded-for`.
    pub forwarded_header: ForwardedHeader,
    /// How long running requests may take to finish once the gateway was told to stop. Default 30 s.
    pub drain_timeout: Period,
    /// The passphrase under which callers encrypt the connection string of the database that they mean, in the header
    /// of an alias that has one (postgres-meta's `x-connection-encrypted`). Absent: such headers are overlooked.
    pub connection_key: Option<Secret>,
    /// A file to read `connection_key` from. [`Settings::load`] does; nothing else needs this.
    pub connection_key_file: Option<PathBuf>,
}

impl HttpSettings {
    /// The API's address when no setting gives one.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: None,
            metrics_listen: None,
            cors_origins: Vec::new(),
            cors_headers: vec![CorsHeader::any()],
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::XForwardedFor,
            drain_timeout: Period::from_seconds(30),
            connection_key: None,
            connection_key_file: None,
        }
    }
}
