//! The connection to a cluster: the `redis` crate knows which node a command goes to and follows the cluster's changes;
//! the connections to the nodes are ours (`node.rs`).

use super::{
    dial,
    mux::{Failure, Mux},
    node::{Node, Nodes, Registered},
};
use crate::{
    connection::Route,
    errors,
    options::{Address, Target},
    wire,
};
use redis::{
    Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, Value,
    aio::ConnectionLike,
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cluster_routing::{Route as ClusterRoute, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    cmd,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use studio_plugin_api::{DriverError, Network};

/// Longer than any deadline of the host: the cluster client wants a bound, the host has its own.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const CLUSTER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to a cluster's nodes.
pub(crate) struct Cluster {
    connection: ClusterConnection<Node>,
    nodes: Registered,
    open: AtomicBool,
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

/// Refuses a server that is no node of a cluster.
pub(super) async fn require_cluster(server: &Mux) -> Result<(), DriverError> {
    let mut question = cmd("CLUSTER");
    question.arg("INFO");
    match dial::ask(server, &question).await? {
        Value::ServerError(error) if error.code() == "ERR" => {
            Err(DriverError::connection("unsupported", "the server is no node of a cluster"))
        }
        answer => wire::check(answer).map(drop),
    }
}

impl Cluster {
    /// Opens connections to all nodes, which the one at this address names.
    pub(super) async fn open(target: &Target, seed: &Address, network: Network) -> Result<Self, DriverError> {
        let failed = |error: RedisError| from_cluster(&error);
        let nodes = Nodes::register(target.login.clone(), target.tls.clone(), network);
        // The login that the cluster client knows is only the name under which its nodes find the true one.
        let login = RedisConnectionInfo::default().set_username(nodes.name());
        let address = ConnectionAddr::Tcp(seed.host.clone(), seed.port);
        let seed = address.into_connection_info().map_err(failed)?.set_redis_settings(login);
        let client = ClusterClientBuilder::new([seed])
            .connection_timeout(CLUSTER_CONNECT_TIMEOUT)
            .response_timeout(NO_TIMEOUT)
            .overall_response_timeout(None)
            .build()
            .map_err(failed)?;
        let connection = client.get_async_generic_connection().await.map_err(failed)?;
        Ok(Self { connection, nodes, open: AtomicBool::new(true) })
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) async fn query(
        &self,
        command: &Cmd,
        route: Route<'_>,
        most: u64,
    ) -> Result<Value, DriverError> {
        self.nodes.allow(most);
        let mut connection = self.connection.clone();
        let answer = match route.in_cluster() {
            Some(node) => connection.route_command(command.clone(), RoutingInfo::SingleNode(node)).await,
            None => connection.req_packed_command(command).await,
        };
        answer.map_err(|error| self.failed(&error))
    }

    pub(super) async fn pipeline(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        self.nodes.allow(most);
        let mut connection = self.connection.clone();
        let count = pipeline.len();
        let answers = match route.in_cluster() {
            Some(node) => connection.route_pipeline(pipeline, 0, count, node).await,
            None => connection.req_packed_commands(&pipeline, 0, count).await,
        };
        answers.map_err(|error| self.failed(&error))
    }

    /// The flag goes down before the caller learns of the error, so that its next call finds a new session.
    fn failed(&self, error: &RedisError) -> DriverError {
        if is_lost(error) {
            self.open.store(false, Ordering::Release);
        }
        from_cluster(error)
    }
}

/// Whether the error means that the connection is of no more use.
fn is_lost(error: &RedisError) -> bool {
    error.code().is_none()
        && (error.is_unrecoverable_error() || error.kind() == ErrorKind::ClusterConnectionNotFound)
}

/// A node's failure, or what the cluster client says.
fn from_cluster(error: &RedisError) -> DriverError {
    Failure::read(error).map_or_else(|| errors::from_client(error), DriverError::from)
}
