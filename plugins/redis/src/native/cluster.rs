//! The connection to a cluster.

use super::{dial::Dialed, tls};
use crate::{connection::Route, errors, options::Target, wire};
use redis::{
    ConnectionAddr, IntoConnectionInfo, RedisError, RedisFuture, TlsCertificates, TlsMode, Value,
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cluster_routing::{Route as ClusterRoute, SingleNodeRoutingInfo, SlotAddr},
    cmd,
    io::AsyncDNSResolver,
};
use std::{net::SocketAddr, time::Duration};
use studio_plugin_api::{DriverError, Network};

/// Longer than any deadline of the host: the cluster client wants a bound, the host has its own.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const CLUSTER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Route<'_> {
    pub(super) fn in_cluster(self) -> Option<SingleNodeRoutingInfo> {
        let route = match self {
            Self::Itself => return None,
            Self::Key(key) => ClusterRoute::with_key(key, SlotAddr::Master),
            Self::Slot(slot) => ClusterRoute::new(slot, SlotAddr::Master),
        };
        Some(SingleNodeRoutingInfo::SpecificNode(route))
    }
}

/// Refuses a server that is no node of a cluster.
pub(super) async fn require_cluster(dialed: &Dialed) -> Result<(), DriverError> {
    let mut question = cmd("CLUSTER");
    question.arg("INFO");
    let answer = dialed.connection.clone().send_packed_command(&question).await;
    match answer.map_err(|error| errors::from_client(&error))? {
        Value::ServerError(error) if error.code() == "ERR" => {
            Err(DriverError::connection("unsupported", "the server is no node of a cluster"))
        }
        answer => wire::check(answer).map(drop),
    }
}

/// Opens connections to all nodes, which the one at this address names.
pub(super) async fn open_cluster(
    target: &Target,
    host: &str,
    port: u16,
    network: Network,
) -> Result<ClusterConnection, DriverError> {
    let address = match &target.tls {
        None => ConnectionAddr::Tcp(host.to_owned(), port),
        Some(tls) => {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: tls.insecure, tls_params: None }
        }
    };
    let failed = |error: RedisError| errors::from_client(&error);
    let seed = address.into_connection_info().map_err(failed)?.set_redis_settings(target.login.clone());
    let mut builder = ClusterClientBuilder::new([seed])
        .connection_timeout(CLUSTER_CONNECT_TIMEOUT)
        .response_timeout(NO_TIMEOUT)
        .overall_response_timeout(None)
        .async_dns_resolver(Resolver(network));
    if let Some(tls) = &target.tls {
        tls::install_default_provider();
        // Said outright, since giving certificates alone would mean "secure".
        builder = builder.tls(if tls.insecure { TlsMode::Insecure } else { TlsMode::Secure });
        if let Some(authorities) = &tls.authorities {
            let root_cert = Some(authorities.clone().into_bytes());
            builder = builder.certs(TlsCertificates { client_tls: None, root_cert });
        }
    }
    let client = builder.build().map_err(failed)?;
    client.get_async_connection().await.map_err(failed)
}

/// Name resolution by the host's rules, for the connections that the cluster client makes by itself.
struct Resolver(Network);

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses = self.0.resolve(host, port).await.map_err(|error| {
                RedisError::from((redis::ErrorKind::InvalidClientConfig, "address refused", error.message))
            })?;
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
