//! Serving: from settings to a gateway that listens, and back to nothing.

use crate::{
    budgets::{Connections, Times},
    config::{HttpSettings, Settings},
    gateway::{Gateway, StartError},
    http::{metrics_router, router, server::Server},
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

/// Connections of a listener for `/metrics` alone.
const METRICS_CONNECTIONS: usize = 32;

/// How long the audit trail may take to be written at the end: what is left of the time to stop, and no less than this.
const SHORTEST_FLUSH: Duration = Duration::from_millis(250);
/// How much of the time to stop is kept for it.
const LONGEST_FLUSH: Duration = Duration::from_secs(2);

/// Tells why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The gateway can't be wired.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address is taken, or not ours.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// As set.
        address: SocketAddr,
        /// Why.
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
    // Some of the time is for the records of those that are cut off.
    let drain_time = time - (time / 10).min(LONGEST_FLUSH);
    let metrics_server = metrics_listener.map(|listener| {
        // A crowd at the API must not keep anyone from watching it.
        let connections =
            Connections::new(METRICS_CONNECTIONS, METRICS_CONNECTIONS, Times::new(&settings.budgets));
        let router = metrics_router(gateway.clone());
        let server = Server::new(router, connections, &settings.http, &settings.budgets);
        tokio::spawn(server.serve(listener, told(stopped.clone()), drain_time))
    });
    announce(&listener);
    let router = router(gateway.clone(), &settings.http);
    let server = Server::new(router, gateway.flow.clients.clone(), &settings.http, &settings.budgets);
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
    // Where there is no IPv6, all addresses are those of IPv4.
    let is_ours = !matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED)
        && is_ours
        && let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
    {
        return Ok(listener);
    }
    Err(ServeError::Listen { address, source })
}

/// The one line on standard output that says the gateway is ready, and where.
fn announce(listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        let mut output = std::io::stdout();
        // Nobody may be listening to standard output; the gateway serves all the same.
        let _ = writeln!(output, "listening on http://{address}").and_then(|()| output.flush());
    }
}
