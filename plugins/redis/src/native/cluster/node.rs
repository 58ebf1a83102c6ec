//! The connections to a cluster's nodes, by their addresses. They are made when they are needed first.

use super::{
    super::{
        dial,
        mux::{Failure, Mux},
    },
    map::MAX_NODES,
};
use crate::{
    errors,
    options::{Address, Tls},
    packed::Packed,
};
use redis::{RedisConnectionInfo, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use studio_plugin_api::{DriverError, ErrorCode, Network, sync::lock};

/// All connections to the nodes of one cluster.
pub(super) struct Nodes {
    login: RedisConnectionInfo,
    tls: Option<Tls>,
    network: Network,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    open: HashMap<Arc<Address>, Node>,
    /// Connections that are being made.
    begun: usize,
}

/// An open connection to a node.
#[derive(Clone)]
pub(super) struct Node {
    server: Mux,
    address: Arc<Address>,
}

/// A place for a connection that is being made.
struct Begun<'a>(&'a Nodes);

impl Nodes {
    pub(super) fn new(login: RedisConnectionInfo, tls: Option<Tls>, network: Network) -> Self {
        Self { login, tls, network, places: Mutex::default() }
    }

    /// The connection to the node at this address, where there is one.
    pub(super) fn known(&self, address: &Address) -> Option<Node> {
        self.places().open.get(address).filter(|node| node.server.is_open()).cloned()
    }

    /// A connection to the node at this address.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with the node's address, `FORBIDDEN` where the host's rules exclude it.
    pub(super) async fn connect(&self, address: &Address) -> Result<Node, DriverError> {
        if let Some(node) = self.known(address) {
            return Ok(node);
        }
        let _begun = self.begin()?;
        let server = dial::dial_server(address, self.tls.as_ref(), &self.login, &self.network).await;
        let server = server.map_err(|error| of_node(error, address))?;
        let address = Arc::new(address.clone());
        let mut places = self.places();
        // Another may have been faster; one is enough.
        if let Some(node) = places.open.get(&address).filter(|node| node.server.is_open()) {
            return Ok(node.clone());
        }
        let node = Node { server, address: address.clone() };
        places.open.insert(address, node.clone());
        Ok(node)
    }

    fn begin(&self) -> Result<Begun<'_>, DriverError> {
        let mut places = self.places();
        if places.open.len() + places.begun >= MAX_NODES {
            places.open.retain(|_, node| node.server.is_open());
        }
        if places.open.len() + places.begun >= MAX_NODES {
            return Err(errors::unavailable("the cluster names more nodes than a gateway connects to"));
        }
        places.begun += 1;
        Ok(Begun(self))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        lock(&self.places)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.places().begun -= 1;
    }
}

impl Node {
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends commands in one piece and waits for as many answers, which may have `most` bytes together.
    pub(super) async fn ask(&self, commands: Packed, most: u64) -> Result<Vec<Value>, DriverError> {
        let answers = match self.server.ask(commands, most).await {
            Ok(answers) => answers,
            Err(failure @ Failure::TooLarge(_)) => return Err(failure.into()),
            Err(failure) => return Err(of_node(failure.into(), &self.address)),
        };
        // The node forgot who this is: the next call makes a new connection.
        let is_logged_in = !answers.iter().any(errors::is_login_lost);
        if !is_logged_in {
            self.server.give_up();
        }
        Ok(answers)
    }
}

/// A node that lets its connection open and says nothing.
pub(super) fn silent(address: &Address) -> DriverError {
    of_node(DriverError::connection("timeout", "the node does not answer"), address)
}

/// An error that says which node it comes from.
pub(super) fn of_node(error: DriverError, address: &Address) -> DriverError {
    if error.code != ErrorCode::ConnectionError {
        return error;
    }
    let mut error = error.with("node", address.to_string());
    error.message = format!("{} (the cluster's node {address})", error.message);
    error
}
