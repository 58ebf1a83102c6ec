//! The native way to the server: connections of this library's own, on the gateway's tokio runtime.

mod cluster;
mod dial;
mod mux;
mod sentinel;

use crate::{
    errors,
    options::{Target, Topology},
    route::{Primary, Route},
};
use cluster::Cluster;
use mux::Mux;
use redis::{Cmd, Pipeline, Value};
use studio_plugin_api::{DriverError, Network};

/// One connection, or a cluster of them. Calls share it.
pub(crate) enum Link {
    Single(Mux),
    Cluster(Box<Cluster>),
}

impl Link {
    pub(crate) async fn open(target: &Target, network: Network) -> Result<Self, DriverError> {
        match &target.topology {
            Topology::Single(address) => {
                dial::dial_server(address, target.tls.as_ref(), &target.login, &network)
                    .await
                    .map(Self::Single)
            }
            Topology::Sentinel { master, sentinels } => {
                sentinel::dial_master(master, sentinels, target, &network).await.map(Self::Single)
            }
            Topology::Cluster(seeds) => {
                Cluster::open(target, seeds.clone(), network).await.map(Box::new).map(Self::Cluster)
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Single(server) => server.is_open(),
            Self::Cluster(cluster) => cluster.is_open(),
        }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(crate) async fn query(
        &self,
        command: &Cmd,
        route: Route<'_>,
        most: u64,
    ) -> Result<Value, DriverError> {
        match self {
            Self::Single(server) => {
                let answers = server.ask(command.get_packed_command(), 1, most).await?;
                answers.into_iter().next().ok_or_else(errors::lost)
            }
            Self::Cluster(cluster) => cluster.query(command, route, most).await,
        }
    }

    pub(crate) async fn pipeline(
        &self,
        pipeline: Pipeline,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        match self {
            Self::Single(server) => {
                Ok(server.ask(pipeline.get_packed_pipeline(), pipeline.len(), most).await?)
            }
            Self::Cluster(cluster) => cluster.pipeline(pipeline, route, most).await,
        }
    }

    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, DriverError> {
        match self {
            Self::Single(_) => Ok(Vec::new()),
            Self::Cluster(cluster) => cluster.primaries().await,
        }
    }
}
