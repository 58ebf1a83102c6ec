//! Servers that say anything, to drivers that take them for databases.
//!
//! An input is a line with a request, a line with its body, and what a server sends to each who connects, whatever they
//! ask, before it ends the connection: a part of it, up to a byte 0x1e, for each thing that is asked.

use crate::{feedback, runtime::wait};
use serde_json::json;
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use studio_plugin_api::{
    Driver, DriverError, Network,
    operations::Method,
    sync::lock,
    testing::{self, TestRequest},
};

/// Stands between what is sent at once: the rest waits until the driver asks something else.
const SEPARATOR: u8 = 0x1e;
/// As long a driver may take to ask; then it waits for more itself.
const PATIENCE: Duration = Duration::from_millis(1);

/// A database server, as far as drivers can tell.
struct Server {
    port: u16,
    says: Mutex<Arc<[u8]>>,
}

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<&'static Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let server: &'static Self = Box::leak(Box::new(Self { port, says: Mutex::new([].into()) }));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let says = lock(&server.says).clone();
                    std::thread::spawn(move || serve(stream, &says));
                }
            });
            server
        })
    }
}

/// Serves one connection until the driver leaves. What breaks is the driver's business.
fn serve(mut stream: TcpStream, says: &[u8]) -> Option<()> {
    // Else a million connections in a row would use up the ports of this machine.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut asked = [0; 16 << 10];
    for part in says.split(|byte| *byte == SEPARATOR) {
        if stream.read(&mut asked).is_ok_and(|count| count == 0) {
            return None;
        }
        stream.write_all(part).ok()?;
    }
    stream.shutdown(Shutdown::Write).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    while stream.read(&mut asked).ok()? > 0 {}
    Some(())
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
    *lock(&server.says) = says.into();
    let endpoint =
        json!({ "parts": { "host": "127.0.0.1", "port": server.port, "username": "u", "password": "p" } });
    let settings = testing::settings::<D>(json!({ "endpoint": endpoint, "options": options })).unwrap();
    wait(async {
        match D::connect(settings, network(server.port)).await {
            Ok(session) => {
                feedback::note("open");
                let session = Arc::new(session);
                note(&session.ping().await);
                let answer = request.send(&session).await;
                feedback::note(answer.as_ref().ok().map(|(_, payload)| payload.to_string().len().ilog2()));
                note(&answer);
                feedback::note(session.is_open());
            }
            Err(error) => note(&Err::<(), _>(error)),
        }
    });
}

/// Counts what came of it, without the server's own words.
fn note<T>(result: &Result<T, DriverError>) {
    let kind =
        |error: &DriverError| (error.code.as_str(), error.details.get("reason").map(ToString::to_string));
    feedback::note(result.as_ref().err().map(kind));
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

/// Any bytes as replies to one call: they are the same in whatever pieces they come, and the first is what the client
/// library reads as well.
pub(crate) fn resp(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else { return };
    let most = if piece & 1 == 0 { 1 << 20 } else { 100 };
    let whole = studio_driver_redis::fuzzing::read_replies(bytes, bytes.len(), most);
    let pieces = studio_driver_redis::fuzzing::read_replies(bytes, usize::from(piece >> 1), most);
    feedback::note((whole.len(), whole.last().map(|last| last.len().min(40))));
    if whole.last().is_none_or(|last| !["TooLarge", "NotRedis"].contains(&last.as_str())) {
        assert_eq!(pieces, whole);
    }
    let is_answer = |shown: &&String| !["TooLarge", "NotRedis", "passed over"].contains(&shown.as_str());
    // What is said unasked is no reply.
    if let Some(first) = whole.first().filter(is_answer)
        && bytes.first() != Some(&b'>')
    {
        assert_eq!(studio_driver_redis::fuzzing::read_first_by_library(bytes).as_ref(), Some(first));
    }
}

/// Any bytes as messages of a MongoDB server: what passes does so in any pieces, and is documents that read.
pub(crate) fn mongodb_messages(input: &[u8]) {
    const HEAD: usize = 21;
    let Some((piece, bytes)) = input.split_first() else { return };
    let whole = studio_driver_mongodb::fuzzing::pass_messages(bytes, bytes.len());
    feedback::note(whole);
    assert_eq!(studio_driver_mongodb::fuzzing::pass_messages(bytes, usize::from(*piece)), whole);
    if whole == Ok(true)
        && let Some(length) = bytes.get(..4)
    {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let document = &bytes[HEAD..length];
        let length = u32::from_le_bytes(document[..4].try_into().unwrap()) as usize;
        let read = bson::RawDocument::from_bytes(&document[..length]);
        let read = read.and_then(bson::Document::try_from);
        feedback::note(read.is_ok());
    }
}
