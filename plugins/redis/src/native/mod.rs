//! The native way to the server: connections of this library's own, on the gateway's tokio runtime.

mod cluster;
mod dial;
mod mux;
mod sentinel;

use crate::{
    options::{Target, Topology},
    packed::Packed,
    route::{Primary, Route},
};
use cluster::Cluster;
use mux::Mux;
use redis::Value;
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

    pub(crate) async fn ask(
        &self,
        commands: Packed,
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        match self {
            Self::Single(server) => Ok(server.ask(commands, most).await?),
            Self::Cluster(cluster) => cluster.ask(commands, route, most).await,
        }
    }

    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, DriverError> {
        match self {
            Self::Single(_) => Ok(Vec::new()),
            Self::Cluster(cluster) => cluster.primaries().await,
        }
    }
}
