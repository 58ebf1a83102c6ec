//! The driver as a component has it, on this machine: with a stream that the test's network opens.

use crate::{Redis, connection::Connection, options::Target, route::Route};
use redis::{Cmd, Pipeline, Value, cmd};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use studio_plugin_api::{
    Driver, DriverError, ErrorCode,
    testing::{self, TestRequest, reason},
};
use studio_test_servers::{RedisOptions, RedisServer, free_port, listener};

fn start(arguments: &[&str]) -> RedisServer {
    RedisServer::start(RedisOptions::new().arguments(arguments)).unwrap()
}

async fn open(port: u16, login: &str, path: &str) -> Result<Arc<Redis>, DriverError> {
    let url = format!("redis://{login}localhost:{port}{path}");
    let settings =
        testing::settings::<Redis>(json!({ "endpoint": { "connection_string": url }, "options": {} }))?;
    let target = Target::new(&settings)?;
    let connection = Connection::open_sandboxed(&target, testing::network(port)).await?;
    Ok(Arc::new(Redis::new(connection)))
}

async fn open_plain(port: u16) -> Arc<Redis> {
    open(port, "", "").await.unwrap()
}

async fn refused(port: u16, login: &str, path: &str) -> String {
    let error = open(port, login, path).await.err().unwrap();
    assert!(!error.message.contains("hunter2"), "{error}");
    reason(&error).to_owned()
}

fn command(line: &str) -> Cmd {
    let mut words = line.split(' ');
    let mut command = cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>());
    command
}

async fn ask(redis: &Redis, line: &str) -> Result<Value, DriverError> {
    redis.connection.query(&command(line), Route::Any).await
}

async fn get(redis: &Arc<Redis>, path: &str) -> serde_json::Value {
    TestRequest::get(path).send(redis).await.unwrap().1
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

#[tokio::test]
async fn the_handlers_work_over_a_stream() {
    let server = start(&[]);
    let redis = open_plain(server.port).await;
    let operations: Vec<_> = (0..100)
        .map(|number| json!({ "action": "set", "key": format!("k{number}"), "value": format!("v{number}") }))
        .collect();
    let batch = TestRequest::post("/keys/batch", json!({ "operations": operations }));
    assert_eq!(batch.send(&redis).await.unwrap().1["summary"]["succeeded"], 100);
    assert_eq!(get(&redis, "/keys/k42").await["value"], "v42");
    assert_eq!(server.cli(&["GET", "k99"]).unwrap(), "v99");
    assert!(!get(&redis, "/keys").await["keys"].as_array().unwrap().is_empty());
    assert_eq!(get(&redis, "/info").await["keyspace"]["db0"]["keys"], 100);
    let now = studio_plugin_api::time::since_unix_epoch().as_millis() as u64;
    assert!(get(&redis, "/stats").await["timestamp"].as_u64().unwrap().abs_diff(now) < 60_000);
    let hash = TestRequest::post("/keys/h", json!({ "value": { "a": "1", "b": "2" } }));
    hash.send(&redis).await.unwrap();
    assert_eq!(get(&redis, "/keys/h").await["fields"]["b"], "2");
    let raw = TestRequest::post("/command", json!({ "command": ["LRANGE", "h", "0", "1"] }));
    assert_eq!(raw.send(&redis).await.unwrap_err().details["code"], "WRONGTYPE");
    assert!(redis.is_open());
    assert!(!redis.ping().await.unwrap().version.is_empty());
}

#[tokio::test]
async fn logins_are_made_and_wrong_ones_told() {
    let acl = ["--requirepass", "hunter2", "--user", "app", "on", ">hunter2app", "~*", "+@all"];
    let server = start(&acl);
    for protocol in ["resp2", "resp3"] {
        let path = format!("/3?protocol={protocol}");
        let app = open(server.port, "app:hunter2app@", &path).await.unwrap();
        assert_eq!(ask(&app, "ACL WHOAMI").await.unwrap(), bulk("app"));
        let info = crate::wire::text(ask(&app, "CLIENT INFO").await.unwrap()).unwrap();
        assert!(info.contains(" db=3 ") && info.contains(&format!(" resp={}", &protocol[4..])), "{info}");
        let default = open(server.port, ":hunter2@", &path).await.unwrap();
        assert_eq!(ask(&default, "ACL WHOAMI").await.unwrap(), bulk("default"));
        for login in [":hunter2x@", "app:hunter2@", "nobody:hunter2@"] {
            assert_eq!(refused(server.port, login, &path).await, "authentication_failed", "{login}");
        }
        let without_database = format!("?protocol={protocol}");
        assert_eq!(refused(server.port, "", &without_database).await, "authentication_failed");
    }
    let few = start(&["--databases", "2", "--rename-command", "HELLO", ""]);
    assert_eq!(refused(few.port, "", "/5").await, "database");
    assert_eq!(refused(few.port, "", "?protocol=resp3").await, "unsupported");
    assert_eq!(refused(free_port().unwrap(), "", "").await, "refused");
}

#[tokio::test]
async fn what_the_server_says_unasked_is_no_answer() {
    let server = start(&[]);
    let redis = open(server.port, "", "?protocol=resp3").await.unwrap();
    ask(&redis, "CLIENT TRACKING ON").await.unwrap();
    for round in 0..20 {
        ask(&redis, "GET k").await.unwrap();
        // The push for it is written before the next answers.
        server.cli(&["SET", "k", &round.to_string()]).unwrap();
        assert_eq!(ask(&redis, "ECHO a").await.unwrap(), bulk("a"));
    }
    assert_eq!(ask(&redis, "GET k").await.unwrap(), bulk("19"));
}

#[tokio::test]
async fn a_commands_error_spares_the_others_and_the_connection() {
    let server = start(&[]);
    let redis = open_plain(server.port).await;
    let mut pipeline = Pipeline::new();
    for line in ["SET k v", "LPUSH k x", "NOSUCH", "GET k"] {
        pipeline.add_command(command(line));
    }
    let answers = redis.connection.pipeline(pipeline, Route::Any).await.unwrap();
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Value::ServerError(error) => error.code(),
            _ => "",
        })
        .collect();
    assert_eq!(codes, ["", "WRONGTYPE", "ERR", ""]);
    assert_eq!(answers.last(), Some(&bulk("v")));
    assert_eq!(ask(&redis, "NOSUCH").await.unwrap_err().details["code"], "ERR");
    assert!(redis.is_open());
}

#[tokio::test]
async fn transactions_hold_together_where_the_user_may_make_them() {
    let server = start(&[]);
    let redis = open_plain(server.port).await;
    let commands = [command("SET k v"), command("GET k")];
    let answers = redis.connection.transaction(&commands, Route::Any).await.unwrap();
    assert_eq!(answers, [Value::Okay, bulk("v")]);
    let [set, get] = commands.clone();
    let wrong = [set, get, command("GET")];
    let error = redis.connection.transaction(&wrong, Route::Any).await.unwrap_err();
    assert!(error.message.contains("wrong number of arguments"), "{error}");
    ask(&redis, "ACL SETUSER limited on >p ~* +@all -multi").await.unwrap();
    let limited = open(server.port, "limited:p@", "").await.unwrap();
    let error = limited.connection.transaction(&commands, Route::Any).await.unwrap_err();
    assert_eq!((&error.details["code"], &error.details["outcome"]), (&"NOPERM".into(), &"unknown".into()));
    assert!(limited.is_open());
}

#[tokio::test]
async fn big_values_go_both_ways() {
    let server = start(&[]);
    let redis = open_plain(server.port).await;
    let value: Vec<u8> = (0..50u32 << 20).map(|place| (place % 251) as u8).collect();
    let mut set = cmd("SET");
    set.arg("big").arg(&value);
    assert_eq!(redis.connection.query(&set, Route::Any).await.unwrap(), Value::Okay);
    let get = |most| {
        let redis = redis.clone();
        async move { redis.connection.query_within(&command("GET big"), Route::Any, most).await }
    };
    let Value::BulkString(read) = get(50 << 20).await.unwrap() else { panic!("no string") };
    assert!(read == value);
    assert_eq!(ask(&redis, "ECHO a").await.unwrap(), bulk("a"));
    assert_eq!(get(49 << 20).await.unwrap_err().code, ErrorCode::ResultTooLarge);
    assert!(!redis.is_open());
}

#[tokio::test]
async fn a_dead_server_ends_the_session() {
    let mut server = start(&[]);
    let redis = open_plain(server.port).await;
    server.kill();
    for _ in 0..2 {
        let error = ask(&redis, "GET k").await.unwrap_err();
        assert_eq!(reason(&error), "closed");
        assert!(!redis.is_open());
    }
    server.start_again().unwrap();
    let redis = open_plain(server.port).await;
    assert_eq!(ask(&redis, "ECHO a").await.unwrap(), bulk("a"));
}

/// A peer of bad manners: for every line here it waits until it is spoken to. Then it hangs up.
fn peer(lines: &'static [&'static str]) -> (u16, JoinHandle<()>) {
    serve(move |mut stream| {
        for line in lines {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(line.as_bytes());
        }
    })
}

fn serve(manners: impl FnOnce(TcpStream) + Send + 'static) -> (u16, JoinHandle<()>) {
    let listener = listener().unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || manners(listener.accept().unwrap().0)))
}

#[tokio::test]
async fn a_reply_that_breaks_off_ends_the_session() {
    let (port, _peer) = peer(&["+PONG\r\n", "$100\r\nabc"]);
    let redis = open_plain(port).await;
    let error = ask(&redis, "GET k").await.unwrap_err();
    assert_eq!((reason(&error), redis.is_open()), ("closed", false));
}

#[tokio::test]
async fn a_reply_that_makes_no_sense_ends_the_session() {
    let (port, _peer) = peer(&["+PONG\r\n", "what?\r\n", "+too late\r\n"]);
    let redis = open_plain(port).await;
    let error = ask(&redis, "GET k").await.unwrap_err();
    assert_eq!((reason(&error), redis.is_open()), ("unsupported", false));
    assert_eq!(reason(&ask(&redis, "GET k").await.unwrap_err()), "closed");
}

#[tokio::test]
async fn what_is_no_redis_is_told() {
    let (port, _peer) = peer(&["HTTP/1.1 400 Bad Request\r\n\r\n"]);
    assert_eq!(refused(port, "", "").await, "unsupported");
    let (port, _peer) = peer(&[""]);
    assert_eq!(refused(port, "", "").await, "closed");
    let (port, _peer) = peer(&["-DENIED protected mode\r\n"]);
    assert_eq!(refused(port, "", "").await, "refused");
}

#[tokio::test]
async fn a_server_from_before_users_is_told_the_password_alone() {
    let (port, _peer) =
        peer(&["-ERR wrong number of arguments for 'auth' command\r\n", "+OK\r\n", "+PONG\r\n"]);
    assert!(open(port, "app:p@", "").await.unwrap().is_open());
}

#[tokio::test]
async fn a_server_that_never_finishes_its_greeting_is_given_up() {
    let (port, _peer) = serve(|mut stream| {
        while stream.write_all(b"+").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let before = Instant::now();
    let error = open(port, "", "").await.err().unwrap();
    assert_eq!(error.message, "the server accepts the connection but does not answer");
    assert_eq!(reason(&error), "timeout");
    assert!(before.elapsed() < Duration::from_millis(4500));
}
