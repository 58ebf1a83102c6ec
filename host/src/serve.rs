//! Serves: makes a gateway from the settings, listens, and drains at the end.

use crate::{
    budgets::{ClientConnections, Times},
    config::{HttpSettings, Settings},
    gateway::{Gateway, StartError},
    http::{Front, metrics_router, server::Server},
};
use std::{
    future::Future,
    io::{ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch};

/// The most connections of the listener for `/metrics` alone.
const METRICS_CONNECTIONS: usize = 32;

/// The least time in which the audit trail may be written at the end, where less of the time to stop is left.
const SHORTEST_FLUSH: Duration = Duration::from_millis(250);
/// The most of the time to stop that is kept for writing it; a tenth of that time where this is less.
const LONGEST_FLUSH: Duration = Duration::from_secs(2);

/// Tells why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The gateway can't be wired.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address is taken, or not one of this machine.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address as it was set.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Serves until `stop`, then drains.
///
/// # Errors
/// [`ServeError`].
pub async fn run(
    settings: Settings,
    program: Option<PathBuf>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let listener = listen(settings.http.listen.unwrap_or(HttpSettings::DEFAULT_LISTEN)).await?;
    let metrics_listener = match settings.http.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let (gateway, audit_writer) = Gateway::wire(&settings, program).await?;
    for name in &settings.unknown_variables {
        tracing::warn!(variable = %name, "an environment variable means nothing to the gateway");
    }
    let (stopping, stopped) = watch::channel(None);
    let told = async move |mut stopped: watch::Receiver<Option<Instant>>| {
        let _ = stopped.wait_for(Option::is_some).await;
    };
    let draining = gateway.clone();
    tokio::spawn(async move {
        stop.await;
        draining.draining.store(true, Ordering::Relaxed);
        let _ = stopping.send(Some(Instant::now()));
    });
    let time = *settings.http.drain_timeout;
    // Some of the time is for the audit records of calls that are cut off.
    let drain_time = time - (time / 10).min(LONGEST_FLUSH);
    let metrics_server = metrics_listener.map(|listener| {
        // Many connections to the API must not keep anyone from reading its metrics.
        let connections =
            ClientConnections::new(METRICS_CONNECTIONS, METRICS_CONNECTIONS, Times::new(&settings.budgets));
        let router = metrics_router(gateway.clone());
        let server = Server::new(router, connections, &settings.http, &settings.budgets);
        tokio::spawn(server.serve(listener, told(stopped.clone()), drain_time))
    });
    announce(&listener);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    crate::memory::give_back_more();
    let front = Front::new(gateway.clone(), &settings.http);
    let server = Server::new(front, gateway.flow.clients.clone(), &settings.http, &settings.budgets);
    server.serve(listener, told(stopped.clone()), drain_time).await;
    if let Some(server) = metrics_server {
        let _ = server.await;
    }
    drop(gateway);
    // Calls that were cut off may still hold the trail; they are not waited for.
    let passed = stopped.borrow().map_or(time, |told| told.elapsed());
    let _ = tokio::time::timeout(time.saturating_sub(passed).max(SHORTEST_FLUSH), audit_writer).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let source = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(source) => source,
    };
    // On a machine without IPv6, all addresses are those of IPv4.
    let is_ours = !matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED)
        && is_ours
        && let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
    {
        return Ok(listener);
    }
    Err(ServeError::Listen { address, source })
}

/// Writes the one line on standard output that says that the gateway is ready, and where.
fn announce(listener: &TcpListener) {
    let Ok(address) = listener.local_addr() else { return };
    // Standard output may be closed, or a full pipe that nobody reads; the gateway serves all the same.
    tokio::task::spawn_blocking(move || {
        let mut output = std::io::stdout();
        let _ = writeln!(output, "listening on http://{address}").and_then(|()| output.flush());
    });
}
