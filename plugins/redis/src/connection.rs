//! A session's way to the server: one connection, or a cluster of them, behind the same three methods.

use crate::{
    dial::{self, Dialed},
    errors,
    options::{Target, Topology},
    tls, wire,
};
use redis::{
    Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, TlsCertificates, TlsMode,
    Value,
    aio::ConnectionLike,
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cluster_routing::{Route as ClusterRoute, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    cmd,
    io::AsyncDNSResolver,
};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use studio_plugin_api::{DriverError, Network};

/// Longer than any deadline of the host: the cluster client wants a bound, the host has its own.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const CLUSTER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where in a cluster a command goes. A single server is every place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'a> {
    /// Where the command's own keys are, or wherever its kind goes.
    Itself,
    /// To the primary that has this key.
    Key(&'a [u8]),
    /// To the primary that has this slot.
    Slot(u16),
}

impl Route<'_> {
    fn in_cluster(self) -> Option<SingleNodeRoutingInfo> {
        let route = match self {
            Self::Itself => return None,
            Self::Key(key) => ClusterRoute::with_key(key, SlotAddr::Master),
            Self::Slot(slot) => ClusterRoute::new(slot, SlotAddr::Master),
        };
        Some(SingleNodeRoutingInfo::SpecificNode(route))
    }
}

/// One primary of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    /// The node's own id, which outlives a change of its address.
    pub(crate) id: String,
    /// A slot that it serves, which is how it is reached.
    pub(crate) slot: u16,
}

/// An open session's connection.
pub(crate) struct Connection {
    link: Link,
}

enum Link {
    Single(Dialed),
    Cluster { connection: ClusterConnection, open: AtomicBool },
}

impl Connection {
    /// Opens it, logs in, and proves that the server answers.
    pub(crate) async fn open(target: &Target, network: Network) -> Result<Self, DriverError> {
        // For a cluster too: one node that answers tells plainly what is wrong, where the cluster client would say
        // only that it has no nodes.
        let dialed = dial::dial(target, &network).await?;
        let link = match &target.topology {
            Topology::Cluster(seed) => {
                require_cluster(&dialed).await?;
                let connection = open_cluster(target, &seed.host, seed.port, network).await?;
                Link::Cluster { connection, open: AtomicBool::new(true) }
            }
            _ => Link::Single(dialed),
        };
        Ok(Self { link })
    }

    /// False as soon as the connection is known to be dead.
    pub(crate) fn is_open(&self) -> bool {
        match &self.link {
            Link::Single(dialed) => dialed.open.load(Ordering::Acquire),
            Link::Cluster { open, .. } => open.load(Ordering::Acquire),
        }
    }

    /// Whether a cluster is behind it.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.link, Link::Cluster { .. })
    }

    /// One command; its answer, or the server's error as an error.
    pub(crate) async fn query(&self, command: &Cmd, route: Route<'_>) -> Result<Value, DriverError> {
        let answer = match &self.link {
            Link::Single(dialed) => dialed.connection.clone().send_packed_command(command).await,
            Link::Cluster { connection, .. } => {
                let mut connection = connection.clone();
                match route.in_cluster() {
                    Some(node) => {
                        connection.route_command(command.clone(), RoutingInfo::SingleNode(node)).await
                    }
                    None => connection.req_packed_command(command).await,
                }
            }
        };
        wire::check(answer.map_err(|error| self.failed(&error))?)
    }

    /// Several commands in one round trip, one answer each. An answer may be a [`Value::ServerError`]: one command's
    /// failure is not the others'. In a cluster all of them must be at home where the route leads.
    pub(crate) async fn pipeline(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        let count = pipeline.len();
        let answers = match &self.link {
            Link::Single(dialed) => dialed.connection.clone().send_packed_commands(&pipeline, 0, count).await,
            Link::Cluster { connection, .. } => {
                let mut connection = connection.clone();
                match route.in_cluster() {
                    Some(node) => connection.route_pipeline(pipeline, 0, count, node).await,
                    None => connection.req_packed_commands(&pipeline, 0, count).await,
                }
            }
        };
        answers.map_err(|error| self.failed(&error))
    }

    /// Several commands as one transaction (`MULTI` … `EXEC`) in one round trip. The connection is shared, but all of
    /// it is written in one piece, so nothing comes between. One answer each, as from [`pipeline`](Self::pipeline).
    ///
    /// Where the connection's user may not use `MULTI`, the server has run the commands one by one: then those are
    /// their answers.
    pub(crate) async fn transaction(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        // By hand: the client's own transactions lose the answers when the server refuses to begin one, and its
        // arithmetic overflows over that.
        let mut whole = Pipeline::with_capacity(pipeline.len() + 2);
        whole.add_command(cmd("MULTI"));
        for command in pipeline.cmd_iter() {
            whole.add_command(command.clone());
        }
        whole.add_command(cmd("EXEC"));
        let mut answers = self.pipeline(whole, route).await?;
        let exec = answers.pop().ok_or_else(|| errors::unexpected("EXEC"))?;
        let mut answers = answers.into_iter();
        let began = answers.next().ok_or_else(|| errors::unexpected("MULTI"))?;
        if matches!(began, Value::ServerError(_)) {
            return Ok(answers.collect());
        }
        // What refused to be queued says more than the EXEC that failed over it.
        for queued in answers {
            wire::check(queued)?;
        }
        wire::items(wire::check(exec)?).ok_or_else(|| errors::unexpected("EXEC"))
    }

    /// The cluster's primaries, in the order of their slots; none for a single server.
    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, DriverError> {
        if !self.is_cluster() {
            return Ok(Vec::new());
        }
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let ranges = wire::items(self.query(&question, Route::Slot(0)).await?)
            .ok_or_else(|| errors::unexpected("CLUSTER SLOTS"))?;
        let mut primaries: Vec<Primary> = Vec::new();
        for range in ranges {
            let primary = read_primary(range).ok_or_else(|| errors::unexpected("CLUSTER SLOTS"))?;
            match primaries.iter_mut().find(|known| known.id == primary.id) {
                Some(known) => known.slot = known.slot.min(primary.slot),
                None => primaries.push(primary),
            }
        }
        primaries.sort_by_key(|primary| primary.slot);
        Ok(primaries)
    }

    /// The flag goes down before the caller learns of the error, so that its next call finds a new session.
    fn failed(&self, error: &RedisError) -> DriverError {
        if errors::is_lost(error) {
            match &self.link {
                Link::Single(dialed) => dialed.open.store(false, Ordering::Release),
                Link::Cluster { open, .. } => open.store(false, Ordering::Release),
            }
        }
        errors::from_client(error)
    }
}

async fn require_cluster(dialed: &Dialed) -> Result<(), DriverError> {
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

async fn open_cluster(
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

fn read_primary(range: Value) -> Option<Primary> {
    let mut parts = wire::items(range)?.into_iter();
    let slot = u16::try_from(wire::integer(&parts.next()?)?).ok()?;
    let _last_slot = parts.next()?;
    let mut node = wire::items(parts.next()?)?.into_iter();
    let (_host, _port) = (node.next()?, node.next()?);
    Some(Primary { id: wire::text(node.next()?)?, slot })
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
