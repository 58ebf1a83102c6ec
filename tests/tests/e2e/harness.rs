//! The harness itself: what it breaks is broken, what it measures is so.

use redis::AsyncCommands;
use std::time::{Duration, Instant};
use studio_gateway_tests::{Database, Mode, Proxy, RedisOptions, RedisServer, Registry, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn redis_stops_pauses_and_comes_back_on_its_port() {
    let mut server = RedisServer::start(RedisOptions::new().password("hunter2")).await;
    let port = server.port;
    let mut connection = server.connection().await;
    let _: () = connection.set("k", "v").await.unwrap();

    server.pause();
    let asked: Result<redis::RedisResult<String>, _> =
        timeout(Duration::from_millis(300), connection.get("k")).await;
    assert!(asked.is_err() || asked.unwrap().is_err());
    server.resume();
    eventually("a resumed Redis answers", async || {
        server.connection().await.get::<_, String>("k").await.is_ok_and(|value| value == "v")
    })
    .await;

    server.restart().await;
    assert_eq!(server.port, port);
    assert_eq!(server.connection().await.get::<_, Option<String>>("k").await.unwrap(), None);
}

#[tokio::test]
async fn redis_takes_users_renamed_commands_and_tls() {
    let options =
        RedisOptions::new().acl_user("reader", "on >secret ~* +@read +ping").rename_command("FLUSHALL", "");
    let server = RedisServer::start(options).await;
    let client = redis::Client::open(format!("redis://reader:secret@127.0.0.1:{}", server.port)).unwrap();
    let mut reader = client.get_multiplexed_async_connection().await.unwrap();
    let written = reader.set::<_, _, ()>("k", "v").await;
    assert_eq!(written.unwrap_err().code(), Some("NOPERM"));
    let flushed = redis::cmd("FLUSHALL").query_async::<()>(&mut server.connection().await).await;
    assert!(flushed.unwrap_err().to_string().contains("unknown command"));

    let server = RedisServer::start(RedisOptions::new().tls()).await;
    assert!(server.certificates.as_ref().unwrap().authority.contains("BEGIN CERTIFICATE"));
    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    plain.write_all(b"PING\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"+PONG"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_misbehaves_as_told() {
    let server = RedisServer::plain().await;
    let proxy = Proxy::start(server.port).await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let mut buffer = [0; 7];
    let mut ping = async |limit: u64| {
        stream.write_all(b"PING\r\n").await.ok()?;
        let read = timeout(Duration::from_millis(limit), stream.read_exact(&mut buffer)).await;
        read.ok().map(|read| read.is_ok())
    };
    assert_eq!(ping(30_000).await, Some(true));

    proxy.set(Mode::Delay(Duration::from_millis(200))).await;
    let start = Instant::now();
    assert_eq!(ping(30_000).await, Some(true));
    assert!(start.elapsed() >= Duration::from_millis(400), "each way is delayed");

    proxy.set(Mode::Stall).await;
    assert_eq!(ping(200).await, None);

    proxy.set(Mode::Cut).await;
    eventually("an open connection is cut", async || matches!(ping(200).await, Some(false) | None)).await;
    let mut refused = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    assert_eq!(refused.read(&mut [0; 1]).await.unwrap_or_default(), 0);
}

async fn registry_databases_are_fresh_and_can_be_looked_into(registry: Registry) {
    let database = Database::create(registry).await;
    if registry == Registry::Sqlite {
        // The gateway creates the file; here the test does.
        std::fs::write(database.folder().join("platform.db"), b"").unwrap();
    } else {
        database.execute("CREATE SCHEMA platform").await;
    }
    let table = database.table("things");
    database.execute(&format!("CREATE TABLE {table} (name TEXT)")).await;
    assert_eq!(database.execute(&format!("INSERT INTO {table} VALUES ('a needle')")).await, 1);
    assert_eq!(database.texts(&format!("SELECT name FROM {table}")).await, ["a needle"]);
    assert!(String::from_utf8_lossy(&database.bytes().await).contains("a needle"));
}

on_both_registries!(registry_databases_are_fresh_and_can_be_looked_into);
