//! How the server is told to stop a statement.

use crate::{
    dial::{self, Transport},
    errors::Failure,
    options::{Address, Target},
    wire::Wire,
};
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use std::net::SocketAddr;
use studio_plugin_api::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A word to the server that what runs in a connection shall stop.
pub(crate) struct Stop {
    address: Address,
    peer: SocketAddr,
    /// The connection's own: a server may let in by no other.
    transport: Transport,
    process_id: i32,
    secret_key: i32,
}

impl Stop {
    /// The word for this connection.
    pub(crate) fn of(wire: &Wire) -> Self {
        let Wire { address, peer, process_id, secret_key, .. } = wire;
        Self {
            address: address.clone(),
            peer: *peer,
            transport: wire.transport(),
            process_id: *process_id,
            secret_key: *secret_key,
        }
    }

    /// Sends it (PostgreSQL's manual, 55.2.8), by a connection of its own. The server has heard it when it closes that.
    pub(crate) async fn send(&self, target: &Target, network: &Network) -> Result<(), Failure> {
        let mut stream = dial::dial_again(target, network, &self.address, self.peer, self.transport).await?;
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process_id, self.secret_key, &mut request);
        stream.write_all(&request).await?;
        stream.flush().await?;
        // The server says nothing; how it closes does not matter.
        let _ = stream.read(&mut [0]).await;
        Ok(())
    }
}
