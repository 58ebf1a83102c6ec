//! Opening a session with MongoDB.

use crate::{
    errors,
    options::Target,
    relay::{Onward, Relay, tls_config},
    servers::{HostPort, Servers},
    session::IdleSessions,
};
use bson::{Document, doc};
use mongodb::{
    Client,
    options::{ClientOptions, ServerMonitoringMode, Tls},
};
use std::{sync::Arc, time::Duration};
use studio_plugin_api::prelude::*;

/// How long a server may take to answer a ping when a session opens, over and above finding it.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// An open session with a MongoDB server, replica set or sharded cluster.
pub struct MongoDb {
    pub(crate) client: Client,
    pub(crate) servers: Arc<Servers>,
    /// What connections go through. A kill that is not answered yet holds it too.
    pub(crate) relay: Arc<Relay>,
    pub(crate) idle_sessions: IdleSessions,
}

impl MongoDb {
    /// Opens one and proves that it works.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with a reason, `FORBIDDEN` for an address that the gateway's rules exclude.
    pub(crate) async fn open(target: Target, network: Network) -> Result<Self, DriverError> {
        let mut options =
            ClientOptions::parse(target.connection).await.map_err(|error| errors::from_client(&error))?;
        let only = only_place(&options);
        let servers = Arc::new(Servers::new(options.repl_set_name.clone(), only.clone()));
        // The relay speaks it in the client library's place.
        let insecure = match options.tls.replace(Tls::Disabled) {
            Some(Tls::Enabled(tls)) => tls.allow_invalid_certificates.unwrap_or_default(),
            _ => false,
        };
        let tls = target.certificates.as_ref();
        let tls = tls.map(|certificates| tls_config(certificates, insecure)).transpose()?;
        let onward = Onward { network, tls, servers: servers.clone() };
        let relay = match only {
            Some(place) => Relay::start_to(place, onward),
            None => Relay::start(onward).await,
        };
        let relay =
            relay.map_err(|error| DriverError::connection("unavailable", format!("no relay: {error}")))?;
        relay.lead(&mut options);
        options.sdam_event_handler = Some(servers.listener());
        // The other mode holds two connections to each server for watching it.
        options.server_monitoring_mode = Some(ServerMonitoringMode::Poll);
        options.retry_writes = Some(true);
        options.retry_reads = Some(true);
        let seeds = options.hosts.len();
        let finding = options.server_selection_timeout.unwrap_or(PING_TIMEOUT);
        let client = Client::with_options(options).map_err(|error| servers.tell(&error))?;
        let session =
            Self { client, servers, relay: Arc::new(relay), idle_sessions: IdleSessions::default() };
        tokio::select! {
            // Both are ready when a server answers after others failed.
            biased;
            pinged = tokio::time::timeout(finding + PING_TIMEOUT, session.command("admin", doc! { "ping": 1 })) => {
                pinged.unwrap_or_else(|_| {
                    Err(DriverError::connection("timeout", "the MongoDB server did not answer in time"))
                })?;
            }
            error = session.servers.broken() => return Err(error),
            error = session.servers.all_fail(seeds) => return Err(error),
        }
        Ok(session)
    }

    /// Whether the session may be used: until one of its servers sends what no MongoDB does.
    pub(crate) fn is_usable(&self) -> bool {
        self.servers.breach().is_none()
    }

    /// Runs a short command that belongs to no call.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn command(&self, database: &str, command: Document) -> Result<Document, DriverError> {
        let answer = self.client.database(database).run_command(command).await;
        answer.map_err(|error| self.servers.tell(&error))
    }
}

/// The one place that connections will ever go to, if there is one.
fn only_place(options: &ClientOptions) -> Option<HostPort> {
    match (options.direct_connection, options.hosts.as_slice()) {
        (Some(true), [host]) => HostPort::of(host),
        _ => None,
    }
}
