//! Servers that mean harm in the place of a memcached: what they send costs their caller an error, and nobody else
//! anything.

use crate::redis_hostile::{GROWTH, Street};
use serde_json::{Value, json};
use std::time::Instant;
use studio_gateway_tests::{HostileServer, Memory, PATIENCE, RedisDriver, Says};

/// Speaks memcached until it is asked for what a test is about.
fn until(path: &str, asked: &str, says: &Says) -> Says {
    if path == "/keys" && asked.starts_with("stats") {
        Says::once("STAT time 1700000000\r\nEND\r\n")
    } else if asked.starts_with("version") {
        Says::once("VERSION 1.6.18\r\n")
    } else {
        says.clone()
    }
}

#[tokio::test]
async fn memcached_servers_that_say_too_much_cost_only_an_error() {
    let mut street = Street::start(RedisDriver::Library).await;
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    let dumped = "key=a exp=-1 la=1700000000 cas=7 fetch=no cls=1 size=67\n";
    let (too_large, foreign) = ((507, "RESULT_TOO_LARGE"), (503, "CONNECTION_ERROR"));
    let several = json!({"keys": (0..100).map(|key| key.to_string()).collect::<Vec<_>>()});
    for (number, (says, method, path, body, (status, code))) in [
        (
            Says::once("VA 4000000000 f0 c1 t-1 h0 l0\r\n").then_forever("x"),
            "GET",
            "/keys/k",
            None,
            too_large,
        ),
        (Says::once("VA 18446744073709551615 f0\r\n").then_forever("x"), "GET", "/keys/k", None, too_large),
        (
            Says::once("VA 50000000 f0 c1 t-1 h0 l0\r\n").then_forever("x"),
            "POST",
            "/keys/get",
            Some(several),
            too_large,
        ),
        (Says::once("VA 4000000000\r\n").then_forever("1"), "POST", "/keys/k/increment", None, too_large),
        (Says::once("VA 1").then_forever("1"), "GET", "/keys/k", None, foreign),
        (Says::once("HD").then_forever(" x"), "GET", "/keys/k", None, foreign),
        (Says::once("").then_forever("STAT a 1\r\n"), "GET", "/stats", None, too_large),
        (Says::once("").then_forever("STAT a 1\r\n"), "GET", "/info", None, too_large),
        (Says::once("STAT a ").then_forever("x"), "GET", "/stats", None, foreign),
        (Says::once("").then_forever("STAT a 1\r\n"), "GET", "/slabs", None, too_large),
        (Says::once("").then_forever(dumped), "GET", "/keys", None, (504, "TIMEOUT")),
        (Says::once("key=").then_forever("x"), "GET", "/keys", None, foreign),
    ]
    .into_iter()
    .enumerate()
    {
        let server = HostileServer::start(move |asked| until(path, asked, &says));
        let identifier = format!("server-{number}");
        let connection = json!({"identifier": identifier, "host": "127.0.0.1", "port": server.port});
        street.attacker.connect("memcached", connection).await;
        let path = street.attacker.path("memcached", &format!("{path}?connection={identifier}"));
        let before = Instant::now();
        let body: Option<Value> = body;
        let time = if status == 504 { "3s" } else { "30s" };
        let request = street.attacker.developer.request(method, &path).header("x-request-timeout", time);
        let request = if let Some(body) = &body { request.json(body) } else { request };
        let answer = street.attacker.developer.send(request).await;
        println!("{number}: {answer} in {:?}, {} MiB", before.elapsed(), memory.grown());
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{number}: {answer}");
        assert!(before.elapsed() < *PATIENCE);
        assert!(memory.grown() < GROWTH, "{number}: {} MiB", memory.grown());
    }
    neighbour.was_well().await;
}
