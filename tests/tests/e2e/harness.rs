//! The harness itself: what it breaks is broken, what it measures is so.

use mongodb::{
    Client,
    bson::{Document, doc},
    options::{AuthMechanism, ClientOptions, Credential, Tls, TlsOptions},
};
use redis::AsyncCommands;
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Database, Mode, MongoOptions, MongoServer, Proxy, RedisOptions, RedisServer, Registry, eventually,
};
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

    server.freeze();
    let asked: Result<redis::RedisResult<String>, _> =
        timeout(Duration::from_millis(300), connection.get("k")).await;
    assert!(asked.is_err() || asked.unwrap().is_err());
    server.thaw();
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

#[tokio::test]
async fn mongodb_stops_pauses_and_comes_back_with_its_port_and_data() {
    let mut server = MongoServer::plain().await;
    let port = server.port;
    assert_eq!(server.run("admin", doc! {"hello": 1}).await.get_str("setName").unwrap(), "secantus");
    server.database("d").await.collection("c").insert_one(doc! {"_id": 1}).await.unwrap();
    let client = server.client().await;
    let collection = client.database("d").collection::<Document>("c");
    let count = async || collection.count_documents(doc! {}).await;
    assert_eq!(count().await.unwrap(), 1);

    server.freeze();
    assert!(timeout(Duration::from_millis(300), count()).await.is_err());
    server.thaw();
    assert_eq!(count().await.unwrap(), 1);

    server.restart().await;
    assert_eq!(server.port, port);
    let counted = server.run("d", doc! {"count": "c"}).await;
    assert_eq!(counted.get_i32("n").unwrap(), 1);

    let server = MongoServer::start(MongoOptions::new().standalone()).await;
    assert!(!server.run("admin", doc! {"hello": 1}).await.contains_key("setName"));
}

#[tokio::test]
async fn mongodb_takes_users_tls_and_certificates() {
    let options = MongoOptions::new().root("root", "p@ss/w:rd?").user("d", "reader", "secret", "read").x509();
    let server = MongoServer::start(options).await;
    server.run("d", doc! {"insert": "c", "documents": [{"_id": 1}]}).await;
    let ping = async |mechanism: AuthMechanism, name: &str, password: &str, source: &str| {
        let files = server.certificates.as_ref().unwrap();
        let mut options = ClientOptions::parse(format!("mongodb://127.0.0.1:{}", server.port)).await.unwrap();
        let mut tls = TlsOptions::builder().ca_file_path(files.authority_file.clone()).build();
        let mut login = Credential::builder().mechanism(mechanism).source(source.to_owned()).build();
        if name.is_empty() {
            tls.cert_key_file_path = Some(files.client_file.clone());
        } else {
            (login.username, login.password) = (Some(name.to_owned()), Some(password.to_owned()));
        }
        (options.tls, options.credential) = (Some(Tls::Enabled(tls)), Some(login));
        let database = Client::with_options(options).unwrap().database("d");
        (database.run_command(doc! {"count": "c"}).await?).get_i32("n").map_err(mongodb::error::Error::custom)
    };
    for (mechanism, name, password, source) in [
        (AuthMechanism::ScramSha256, "root", "p@ss/w:rd?", "admin"),
        (AuthMechanism::ScramSha1, "root", "p@ss/w:rd?", "admin"),
        (AuthMechanism::ScramSha256, "reader", "secret", "d"),
        (AuthMechanism::MongoDbX509, "", "", "$external"),
    ] {
        assert_eq!(ping(mechanism, name, password, source).await.unwrap(), 1, "{name}");
    }
    assert!(ping(AuthMechanism::ScramSha256, "root", "wrong", "admin").await.is_err());

    let plain = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=300", server.port);
    let plain = Client::with_uri_str(plain).await.unwrap();
    plain.database("admin").run_command(doc! {"hello": 1}).await.unwrap_err();
}

#[tokio::test]
async fn mongodb_fails_commands_as_told() {
    let server = MongoServer::plain().await;
    let database = server.database("d").await;
    let find = async || database.collection::<Document>("c").find_one(doc! {}).await;
    find().await.unwrap();
    let failing = doc! {"failCommands": ["find"], "errorCode": 2, "errorLabels": ["told"]};
    server.fail(doc! {"times": 1}, failing.clone()).await;
    assert!(find().await.unwrap_err().contains_label("told"));
    find().await.unwrap();
    server.fail("alwaysOn", failing).await;
    find().await.unwrap_err();
    server.fail_no_more().await;
    find().await.unwrap();

    let blocking = doc! {"failCommands": ["find"], "blockConnection": true, "blockTimeMS": 300};
    server.fail(doc! {"times": 1}, blocking).await;
    let start = Instant::now();
    find().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
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
