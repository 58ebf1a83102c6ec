//! Accepts connections, and stops without cutting requests off.

use super::{
    carried::{Arriving, DrainPace, Leaving, Rest},
    client_address::TrustedProxies,
    error::ApiError,
    front::Answer,
    socket::Socket,
};
use crate::{
    budgets::{Account, Address, ClientConnection, ClientConnections, Full, Line, MadeRoom},
    config::{BudgetSettings, HttpSettings},
};
use axum::body::{Body, HttpBody};
use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    future::Future,
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// The pause after the system refuses to accept, for example when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// The least time between two log lines about that.
const LOG_PAUSE: Duration = Duration::from_secs(5);
/// How many connections may wait for a place, how long they wait, and how often they try.
const MOST_WAITING: usize = 16;
const ROOM_WAIT: Duration = Duration::from_secs(2);
const ROOM_PAUSE: Duration = Duration::from_millis(25);
/// How often the client of an HTTP/2 connection is pinged, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);
/// Bytes of bodies that an HTTP/2 client may send before they are read, for a request and for a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of an answer that may wait to be sent on one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Broken requests that an HTTP/2 connection may make in its lifetime: a proxy's connection serves many clients.
const BROKEN_STREAMS: usize = 1024;

/// Serves requests on a listener.
pub struct Server<A> {
    builder: auto::Builder<Streams>,
    answers: A,
    connections: Arc<ClientConnections>,
    proxies: TrustedProxies,
    /// Permits for connections that wait for a place.
    waiting: Arc<Semaphore>,
    /// How fast and how long the rest of an unwanted body is read.
    drain_pace: DrainPace,
}

impl<A: Answer> Server<A> {
    /// Makes a server for HTTP/1.1 and HTTP/2 (with prior knowledge, h2c).
    pub fn new(
        answers: A,
        connections: Arc<ClientConnections>,
        http: &HttpSettings,
        budgets: &BudgetSettings,
    ) -> Self {
        let mut builder = auto::Builder::new(Streams);
        let head_bytes = budgets.head_bytes.get();
        // `budgets` measures the time for heads and between requests.
        builder.http1().header_read_timeout(None).max_buf_size(head_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIME)
            .max_concurrent_streams(budgets.http2_streams.get())
            .max_pending_accept_reset_streams(budgets.http2_resets.get() as usize)
            .max_local_error_reset_streams(BROKEN_STREAMS)
            .max_header_list_size(u32::try_from(head_bytes / 4).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER);
        Self {
            builder,
            answers,
            connections,
            proxies: TrustedProxies::new(http),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            drain_pace: DrainPace::new(budgets),
        }
    }

    /// Serves until `stop`; then lets running requests finish, for at most `drain_time`. Meanwhile it still answers new
    /// connections, one request each, so that readiness checks get an answer.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        drain_time: Duration,
    ) {
        let connections = self.connections.clone();
        let serving = async {
            let running = watch::Sender::new(false);
            self.accept_until(stop, &listener, &running).await;
            let late = watch::Sender::new(false);
            self.builder.http1().keep_alive(false);
            let drain = async {
                self.accept_until(leave(running), &listener, &late).await;
                leave(late).await;
            };
            if tokio::time::timeout(drain_time, drain).await.is_err() {
                tracing::warn!("some requests did not finish in time and were cut off");
                self.connections.end_all();
            }
        };
        tokio::select! {
            () = serving => {}
            () = connections.watch() => {}
        }
    }

    async fn accept_until(
        &self,
        end: impl Future<Output = ()>,
        listener: &TcpListener,
        told: &watch::Sender<bool>,
    ) {
        let mut end = pin!(end);
        let mut logged: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => self.welcome(stream, remote, told).await,
                    Err(error) => {
                        if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
                            logged = Some(Instant::now());
                            tracing::warn!(%error, "a connection could not be accepted");
                        }
                        self.connections.make_room();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn welcome(&self, stream: TcpStream, remote: SocketAddr, told: &watch::Sender<bool>) {
        let address =
            if self.proxies.trusts(remote.ip()) { Address::Proxy } else { Address::client(remote.ip()) };
        match self.connections.enter(address) {
            Ok((client, made_room)) => {
                self.service().serve(stream, remote, client, told.subscribe());
                if made_room == MadeRoom(true) {
                    tokio::time::sleep(self.connections.pause()).await;
                }
            }
            Err(Full) => match self.waiting.clone().try_acquire_owned() {
                Ok(turn) => {
                    let (connections, service) = (self.connections.clone(), self.service());
                    let told = told.subscribe();
                    tokio::spawn(async move {
                        let entered = wait_for_room(&connections, address).await;
                        drop(turn);
                        match entered {
                            Ok((client, _)) => service.serve(stream, remote, client, told),
                            Err(Full) => refuse(stream, remote),
                        }
                    });
                }
                Err(_) => refuse(stream, remote),
            },
        }
    }

    fn service(&self) -> Service<A> {
        Service { builder: self.builder.clone(), answers: self.answers.clone(), drain_pace: self.drain_pace }
    }
}

/// Waits for a place while all connections work: one of them may end in a moment.
async fn wait_for_room(
    connections: &Arc<ClientConnections>,
    address: Address,
) -> Result<(ClientConnection, MadeRoom), Full> {
    let patience = Instant::now() + ROOM_WAIT;
    loop {
        tokio::time::sleep(ROOM_PAUSE).await;
        match connections.enter(address) {
            Err(Full) if Instant::now() < patience => {}
            entered => return entered,
        }
    }
}

/// Serves one connection.
struct Service<A> {
    builder: auto::Builder<Streams>,
    answers: A,
    drain_pace: DrainPace,
}

impl<A: Answer> Service<A> {
    fn serve(
        self,
        stream: TcpStream,
        remote: SocketAddr,
        client: ClientConnection,
        mut told: watch::Receiver<bool>,
    ) {
        // Answers are written whole: waiting for more would only delay them. An error concerns this connection alone.
        let _ = stream.set_nodelay(true);
        let line = client.line().clone();
        let socket = Socket::new(stream, line.clone());
        let (answers, pace, peer) = (self.answers, self.drain_pace, remote.ip());
        let service = service_fn(move |request| answer(&answers, request, peer, &line, pace));
        let connection =
            self.builder.serve_connection_with_upgrades(TokioIo::new(socket), service).into_owned();
        let line = client.line().clone();
        let task = tokio::spawn(async move {
            let mut connection = pin!(connection);
            let mut leaving = pin!(async {
                tokio::select! {
                    () = client.line().retired() => {}
                    _ = told.wait_for(|told| *told) => {}
                }
            });
            let mut is_leaving = false;
            loop {
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            tracing::debug!(%remote, %error, "a connection ended badly");
                        }
                        return;
                    }
                    () = &mut leaving, if !is_leaving => {
                        is_leaving = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        });
        line.served_by(task.abort_handle());
    }
}

/// Tells connections to end as soon as they can, and waits until all have ended.
async fn leave(told: watch::Sender<bool>) {
    told.send_replace(true);
    told.closed().await;
}

/// Answers one request.
fn answer<A: Answer>(
    answers: &A,
    request: http::Request<hyper::body::Incoming>,
    peer: IpAddr,
    line: &Arc<Line>,
    pace: DrainPace,
) -> impl Future<Output = Result<http::Response<Leaving>, std::convert::Infallible>> + use<A> {
    // At once, not when the future is first polled: the request's head is complete now.
    let has_streams = request.version() == http::Version::HTTP_2;
    let under_way = line.begin_request(has_streams);
    let (rest, waits) = (Rest::of(request.body()), request.headers().contains_key(http::header::EXPECT));
    let answering = answers.clone().answer(
        request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(Arriving::new(body, line.clone(), rest.clone(), waits)),
        }),
        peer,
    );
    async move {
        let mut response = answering.await;
        // A client that was too slow to send its body gets no more time.
        if response.status() != http::StatusCode::REQUEST_TIMEOUT {
            rest.drain(under_way.line(), has_streams, pace);
        }
        let account = response.extensions_mut().remove::<Account>();
        let stream = STREAM.try_with(AbortHandle::clone).ok();
        Ok(response.map(|body| Leaving::new(body, under_way, account, stream)))
    }
}

tokio::task_local! {
    /// The handle that ends the stream which this task serves.
    static STREAM: AbortHandle;
}

/// Runs the streams of HTTP/2 so that each can be ended alone.
#[derive(Clone, Copy)]
struct Streams;

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (handle, registration): (AbortHandle, AbortRegistration) = AbortHandle::new_pair();
        tokio::spawn(STREAM.scope(handle, Abortable::new(stream, registration)));
    }
}

/// Says that there is no room, and closes. It waits for nothing: the kernel takes so few bytes at once.
fn refuse(stream: TcpStream, remote: SocketAddr) {
    tracing::debug!(%remote, "a connection was refused: there are as many as may be, and all of them work");
    let Ok(mut stream) = stream.into_std() else { return };
    // Unread bytes in a closing socket would destroy the answer.
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(ApiError::no_connection_left().as_text().as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}
