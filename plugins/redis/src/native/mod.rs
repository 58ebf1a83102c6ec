//! The native way to the server: connections of this library's own, on the gateway's tokio runtime.

mod cluster;
mod dial;
pub(crate) mod tls;

use crate::{
    connection::Route,
    errors,
    options::{Target, Topology},
};
use dial::Dialed;
use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, Value, aio::ConnectionLike, cluster_async::ClusterConnection,
    cluster_routing::RoutingInfo,
};
use std::sync::atomic::{AtomicBool, Ordering};
use studio_plugin_api::{DriverError, Network};

/// One connection, or a cluster of them. Calls share it.
pub(crate) enum Link {
    Single(Dialed),
    Cluster { connection: ClusterConnection, open: AtomicBool },
}

impl Link {
    pub(crate) async fn open(target: &Target, network: Network) -> Result<Self, DriverError> {
        // For a cluster too: one node that answers tells plainly what is wrong, where the cluster client would say
        // only that it has no nodes.
        let dialed = dial::dial(target, &network).await?;
        let Topology::Cluster(seed) = &target.topology else {
            return Ok(Self::Single(dialed));
        };
        cluster::require_cluster(&dialed).await?;
        let connection = cluster::open_cluster(target, &seed.host, seed.port, network).await?;
        Ok(Self::Cluster { connection, open: AtomicBool::new(true) })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open_flag().load(Ordering::Acquire)
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }

    pub(crate) async fn query(&self, command: &Cmd, route: Route<'_>) -> Result<Value, DriverError> {
        let answer = match self {
            Self::Single(dialed) => dialed.connection.clone().send_packed_command(command).await,
            Self::Cluster { connection, .. } => {
                let mut connection = connection.clone();
                match route.in_cluster() {
                    Some(node) => {
                        connection.route_command(command.clone(), RoutingInfo::SingleNode(node)).await
                    }
                    None => connection.req_packed_command(command).await,
                }
            }
        };
        answer.map_err(|error| self.failed(&error))
    }

    pub(crate) async fn pipeline(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
    ) -> Result<Vec<Value>, DriverError> {
        let count = pipeline.len();
        let answers = match self {
            Self::Single(dialed) => dialed.connection.clone().send_packed_commands(&pipeline, 0, count).await,
            Self::Cluster { connection, .. } => {
                let mut connection = connection.clone();
                match route.in_cluster() {
                    Some(node) => connection.route_pipeline(pipeline, 0, count, node).await,
                    None => connection.req_packed_commands(&pipeline, 0, count).await,
                }
            }
        };
        answers.map_err(|error| self.failed(&error))
    }

    fn open_flag(&self) -> &AtomicBool {
        match self {
            Self::Single(dialed) => &dialed.open,
            Self::Cluster { open, .. } => open,
        }
    }

    /// The flag goes down before the caller learns of the error, so that its next call finds a new session.
    fn failed(&self, error: &RedisError) -> DriverError {
        if is_lost(error) {
            self.open_flag().store(false, Ordering::Release);
        }
        errors::from_client(error)
    }
}

/// Whether the error means that the connection is of no more use.
fn is_lost(error: &RedisError) -> bool {
    error.code().is_none()
        && (error.is_unrecoverable_error() || error.kind() == ErrorKind::ClusterConnectionNotFound)
}
