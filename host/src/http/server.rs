//! Accepting connections, and stopping without cutting anyone off.

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// How long a client may take to send a request's head, and a connection may be kept without one. Longer than the minute
/// that proxies keep theirs: whoever closes first must be the one who asks, or a request meets a closed door.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// A pause after the system refuses to accept, as when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge, h2c) until `stop`; then lets running requests finish, for
/// `drain_time` at most. As long as there are any, new connections are still answered, one request each, so that
/// whoever asks for readiness is told.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    drain_time: Duration,
) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let running = GracefulShutdown::new();
    accept_until(stop, &listener, &server, &running, &router).await;
    let late = GracefulShutdown::new();
    server.http1().keep_alive(false);
    let drain = async {
        accept_until(running.shutdown(), &listener, &server, &late, &router).await;
        late.shutdown().await;
    };
    if tokio::time::timeout(drain_time, drain).await.is_err() {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

async fn accept_until(
    end: impl Future<Output = ()>,
    listener: &TcpListener,
    server: &auto::Builder<TokioExecutor>,
    watched: &GracefulShutdown,
    router: &Router,
) {
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => serve_connection(server, watched, stream, remote, router.clone()),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

fn serve_connection(
    server: &auto::Builder<TokioExecutor>,
    watched: &GracefulShutdown,
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
) {
    // Answers are written whole: waiting for more only delays them. A failure here is the connection's own.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(remote));
        request.map(axum::body::Body::new)
    });
    let connection = server
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
        .into_owned();
    let connection = watched.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%remote, %error, "a connection ended badly");
        }
    });
}
