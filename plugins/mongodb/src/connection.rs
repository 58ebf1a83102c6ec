//! Opening a session with MongoDB.

use crate::{
    errors,
    options::{Certificates, Target},
    reach::{Place, Reach},
    relay::{self, Relay},
};
use bson::{Document, doc};
use mongodb::{
    Client,
    options::{ClientOptions, ServerMonitoringMode, Tls},
};
use std::{io::Write, sync::Arc, time::Duration};
use studio_plugin_api::prelude::*;
use tempfile::NamedTempFile;

/// How long a server may take to answer a ping when a session opens, over and above finding it.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// An open session with a MongoDB server, replica set or sharded cluster.
pub struct MongoDb {
    pub(crate) client: Client,
    pub(crate) reach: Arc<Reach>,
    /// What connections go through; nothing where they go straight to the one server.
    relay: Option<Relay>,
    /// What the client library may read again when it finds a new server.
    _certificates: Vec<NamedTempFile>,
}

impl MongoDb {
    /// Opens one and proves that it works.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with a reason, `FORBIDDEN` for an address that the gateway's rules exclude.
    pub(crate) async fn open(target: Target, network: Network) -> Result<Self, DriverError> {
        let mut options = ClientOptions::parse(target.connection)
            .await
            .map_err(|error| errors::from_client(&error, &Reach::default()))?;
        let reach = Arc::new(Reach::new(options.repl_set_name.clone()));
        let certificates = match (&mut options.tls, &target.certificates) {
            (Some(Tls::Enabled(tls)), Some(certificates)) => write(certificates, tls)
                .map_err(|error| DriverError::connection("tls", format!("certificates: {error}")))?,
            _ => Vec::new(),
        };
        let relay = match only_place(&options) {
            Some(place) => {
                options.hosts = vec![relay::find(&place, &network).await?];
                None
            }
            None => {
                let relay = Relay::start(network, reach.clone())
                    .await
                    .map_err(|error| DriverError::connection("unavailable", format!("no relay: {error}")))?;
                options.socks5_proxy = Some(relay.proxy());
                Some(relay)
            }
        };
        options.sdam_event_handler = Some(reach.listener());
        // The other mode holds two connections to each server for watching it.
        options.server_monitoring_mode = Some(ServerMonitoringMode::Poll);
        options.retry_writes = Some(true);
        options.retry_reads = Some(true);
        let seeds = options.hosts.len();
        let finding = options.server_selection_timeout.unwrap_or(PING_TIMEOUT);
        let client = Client::with_options(options).map_err(|error| errors::from_client(&error, &reach))?;
        let session = Self { client, reach, relay, _certificates: certificates };
        tokio::select! {
            // Both are ready when a server answers after others failed.
            biased;
            pinged = tokio::time::timeout(finding + PING_TIMEOUT, session.command("admin", doc! { "ping": 1 })) => {
                pinged.unwrap_or_else(|_| {
                    Err(DriverError::connection("timeout", "the MongoDB server did not answer in time"))
                })?;
            }
            error = session.reach.all_fail(seeds) => return Err(error),
        }
        Ok(session)
    }

    /// Whether the session may be used. One that goes straight to an address does not look its host's name up again, so
    /// it ends when the address does not answer, and the next one looks.
    pub(crate) fn is_usable(&self) -> bool {
        self.relay.is_some() || self.reach.explain().is_none()
    }

    /// Runs a short command that belongs to no call.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn command(&self, database: &str, command: Document) -> Result<Document, DriverError> {
        let answer = self.client.database(database).run_command(command).await;
        answer.map_err(|error| errors::from_client(&error, &self.reach))
    }
}

/// The one place that connections will ever go to, if no more than its address is needed to get there: then they need
/// no relay, which costs a request as much as the rest of it. With TLS, the client must know the host's name.
fn only_place(options: &ClientOptions) -> Option<Place> {
    match (options.direct_connection, options.hosts.as_slice(), &options.tls) {
        (Some(true), [host], None | Some(Tls::Disabled)) => Place::of(host),
        _ => None,
    }
}

/// Puts certificates where the client library looks for them: files that only this user can read.
fn write(
    certificates: &Certificates,
    tls: &mut mongodb::options::TlsOptions,
) -> std::io::Result<Vec<NamedTempFile>> {
    let mut files = Vec::new();
    let mut keep = |pem: &str| {
        let mut file = NamedTempFile::new()?;
        file.write_all(pem.as_bytes())?;
        let path = file.path().to_owned();
        files.push(file);
        std::io::Result::Ok(path)
    };
    if let Some(pem) = &certificates.authorities {
        tls.ca_file_path = Some(keep(pem)?);
    }
    if let Some(pem) = &certificates.certificate_key {
        tls.cert_key_file_path = Some(keep(pem.expose())?);
    }
    Ok(files)
}
