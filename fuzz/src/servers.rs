//! Servers that say anything, to drivers that take them for databases.
//!
//! An input is a line with a request, a line with its body, and the bytes that a server sends to each who connects, whatever
//! they ask, before it ends the connection.

use crate::{feedback, runtime::wait};
use serde_json::json;
use socket2::SockRef;
use std::{
    io::Write,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use studio_plugin_api::{
    Driver, Network,
    operations::Method,
    testing::{self, TestRequest},
};

/// A connection's end, for all that are open, and what they are sent.
struct Server {
    port: u16,
    says: Mutex<Vec<u8>>,
    /// Kept until the driver is done: closed earlier, the driver might lose what was sent.
    open: Mutex<Vec<TcpStream>>,
}

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<&'static Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let server: &'static Self =
                Box::leak(Box::new(Self { port, says: Mutex::default(), open: Mutex::default() }));
            std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| server.serve(stream)));
            server
        })
    }

    fn serve(&self, mut stream: TcpStream) {
        // Else a million connections in a row would use up the ports of this machine.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        let _ = stream.write_all(&lock(&self.says));
        let _ = stream.shutdown(Shutdown::Write);
        lock(&self.open).push(stream);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Input<'a> {
    request: TestRequest,
    says: &'a [u8],
}

fn read(input: &[u8]) -> Option<Input<'_>> {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let line = std::str::from_utf8(parts.next()?).ok()?;
    let body = parts.next()?;
    let (method, target) = line.split_once(' ')?;
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => return None,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = TestRequest::new(method, path).body(body).max_reply_bytes(1 << 20);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        request = request.query(name, value);
    }
    Some(Input { request, says: parts.next()? })
}

fn visit<D: Driver>(input: &[u8], options: serde_json::Value, network: impl FnOnce(u16) -> Network) {
    let Some(Input { request, says }) = read(input) else { return };
    let server = Server::get();
    *lock(&server.says) = says.to_vec();
    let endpoint =
        json!({ "parts": { "host": "127.0.0.1", "port": server.port, "username": "u", "password": "p" } });
    let settings = testing::settings::<D>(json!({ "endpoint": endpoint, "options": options })).unwrap();
    wait(async {
        match D::connect(settings, network(server.port)).await {
            Ok(session) => {
                feedback::note("open");
                let session = Arc::new(session);
                let pinged = session.ping().await;
                feedback::note_result(&pinged.map(|_| "pinged"));
                let answer = request.send(&session).await;
                feedback::note_result(&answer.map(|(_, payload)| payload.to_string()));
                feedback::note(session.is_open());
            }
            Err(error) => feedback::note_result(&Err::<&[u8], _>(error)),
        }
    });
    lock(&server.open).clear();
}

fn resolving(_: u16) -> Network {
    Network::new(|_, port| async move { Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]) })
}

/// PostgreSQL's messages.
pub(crate) fn postgres(input: &[u8]) {
    visit::<studio_driver_postgres::Postgres>(input, json!({ "ssl_mode": "disable" }), resolving);
}

/// RESP.
pub(crate) fn redis(input: &[u8]) {
    visit::<studio_driver_redis::Redis>(input, json!({}), resolving);
}

/// memcached's text protocol.
pub(crate) fn memcached(input: &[u8]) {
    visit::<studio_driver_memcached::Memcached>(input, json!({}), testing::network);
}
