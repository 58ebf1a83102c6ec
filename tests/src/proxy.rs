//! A TCP proxy that misbehaves on request, between the gateway and a database.

use crate::{process::listen, time::eventually};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};

/// The proxy's treatment of connections, also of those that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes everything on, each piece after this time.
    Delay(Duration),
    /// Keeps connections open and passes nothing on: a black hole.
    Stall,
    /// Cuts open connections, and new ones at once.
    Cut,
    /// Tells the gateway that the server will send no more, and passes on what the gateway sends.
    HalfClose,
}

/// A mode, and a token that every connection holds while it is in that mode.
type Order = (Mode, Arc<()>);

/// The proxy. Dropping it cuts everything.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one before a port of 127.0.0.1.
    pub async fn start(target_port: u16) -> Self {
        let listener = listen();
        let port = listener.local_addr().unwrap().port();
        let (orders, changes) = watch::channel((Mode::Pass, Arc::new(())));
        let target = SocketAddr::from(([127, 0, 0, 1], target_port));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target, changes.clone()));
            }
        });
        Self { port, orders, task }
    }

    /// Changes the mode, and waits until every open connection follows it.
    pub async fn set(&self, mode: Mode) {
        let (_, old) = self.orders.send_replace((mode, Arc::new(())));
        eventually("the proxy changes its mode", async || Arc::strong_count(&old) == 1).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection through every change of mode, until an end closes or the proxy is gone.
async fn serve(mut client: TcpStream, target: SocketAddr, mut changes: watch::Receiver<Order>) {
    let mut server = None;
    loop {
        let (mode, _token) = changes.borrow_and_update().clone();
        if mode == Mode::Cut {
            return;
        }
        if server.is_none() && mode != Mode::Stall {
            let Ok(stream) = TcpStream::connect(target).await else { return };
            server = Some(stream);
        }
        let work = async {
            match (mode, &mut server) {
                (Mode::Pass, Some(server)) => {
                    let _ = copy_bidirectional(&mut client, server).await;
                }
                (Mode::Delay(time), Some(server)) => delayed(&mut client, server, time).await,
                (Mode::HalfClose, Some(server)) => {
                    let _ = client.shutdown().await;
                    let _ = tokio::io::copy(&mut client, server).await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work => return,
            change = changes.changed() => if change.is_err() { return },
        }
    }
}

/// Passes pieces on, each after a time, both ways.
async fn delayed(client: &mut TcpStream, server: &mut TcpStream, time: Duration) {
    let (client_in, client_out) = client.split();
    let (server_in, server_out) = server.split();
    tokio::join!(pass(client_in, server_out, time), pass(server_in, client_out, time));
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, time: Duration) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(time).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
