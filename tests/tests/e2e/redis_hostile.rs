//! Callers and servers of Redis that mean harm: what they send costs them an error, and nobody else anything.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, HostileServer, Memory, PATIENCE, Plugin, Plugins, Project, RedisDriver,
    RedisServer, Says,
};
use tokio::task::{JoinHandle, JoinSet};

/// Mebibytes that a gateway may take for an answer that it refuses. In a build for tests.
pub(crate) const GROWTH: u64 = 200;

/// A gateway, an attacker's project without connections, and a neighbour who reads a key of a server of their own.
pub(crate) struct Street {
    pub(crate) gateway: Gateway,
    pub(crate) attacker: Project,
    neighbour: Project,
    _redis: RedisServer,
}

impl Street {
    pub(crate) async fn start(driver: RedisDriver) -> Self {
        let plugins = Plugins::new([Plugin::redis(driver), Plugin::component("memcached")]);
        let options =
            GatewayOptions::from(driver).plugins(plugins).set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "20s");
        let (gateway, redis) = tokio::join!(Gateway::start(options), RedisServer::plain());
        redis.run(&["SET", "k", "v"]).await;
        let neighbour = Project::create_empty(&gateway, "neighbour").await;
        connect(&neighbour, redis.port, json!({})).await;
        let attacker = Project::create_empty(&gateway, "attacker").await;
        Self { gateway, attacker, neighbour, _redis: redis }
    }

    /// Reads the neighbour's key until told to stop, and gives the slowest answer. Each must be right.
    pub(crate) fn neighbour(&self) -> Neighbour {
        let (viewer, path) = (self.neighbour.viewer.clone(), self.neighbour.path("redis", "/keys/k"));
        let reading = tokio::spawn(async move {
            loop {
                let before = Instant::now();
                assert_eq!(viewer.get(&path).await.expect(200).data()["value"], "v");
                let took = before.elapsed();
                assert!(took < *PATIENCE, "the neighbour waited for {took:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Neighbour(reading)
    }
}

/// Someone whom an attack is not to disturb.
pub(crate) struct Neighbour(JoinHandle<()>);

impl Neighbour {
    /// Was never disturbed.
    pub(crate) async fn was_well(self) {
        assert!(!self.0.is_finished(), "the neighbour was disturbed: {:?}", self.0.await);
        self.0.abort();
    }
}

pub(crate) async fn connect(project: &Project, port: u16, options: Value) {
    let body = json!({"identifier": "main", "host": "127.0.0.1", "port": port, "options": options});
    project.connect("redis", body).await;
}

/// The answer says that the result was too large.
pub(crate) fn too_large(answer: &Answer) -> bool {
    answer.status == 507 && answer.error_code() == "RESULT_TOO_LARGE"
}

async fn viewer_runs(project: &Project, command: Value) -> Answer {
    project.viewer.post(&project.path("redis", "/command"), json!({"command": command})).await
}

async fn redis_replies_beyond_their_bound_end_before_they_are_read(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let redis = RedisServer::plain().await;
    connect(&street.attacker, redis.port, json!({})).await;
    redis.run(&["SET", "k", &"x".repeat(10 << 10)]).await;
    redis.run(&["SADD", "s", "m"]).await;
    redis.run(&["ZADD", "z", "1", "m"]).await;
    redis.run(&["HSET", "h", "f", "v"]).await;
    let many: Vec<_> = std::iter::once("MGET").chain(std::iter::repeat_n("k", 100_000)).collect();
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    for command in [
        json!(many),
        json!(["SRANDMEMBER", "s", -6_000_000]),
        json!(["ZRANDMEMBER", "z", -6_000_000, "WITHSCORES"]),
        json!(["HRANDFIELD", "h", -6_000_000]),
    ] {
        let name = command[0].clone();
        let answer = viewer_runs(&street.attacker, command).await;
        assert!(too_large(&answer), "{name}: {answer}");
        assert!(memory.grown() < GROWTH, "{name}: {} MiB", memory.grown());
        // The next call has a connection of its own.
        viewer_runs(&street.attacker, json!(["PING"])).await.expect(200);
    }
    println!("grown by {} MiB", memory.grown());
    neighbour.was_well().await;
}

async fn redis_callers_beside_a_too_large_reply_have_their_answers(driver: RedisDriver) {
    let street = Street::start(driver).await;
    let redis = RedisServer::plain().await;
    connect(&street.attacker, redis.port, json!({})).await;
    redis.run(&["SET", "k", &"x".repeat(10 << 10)]).await;
    redis.run(&["SET", "small", "v"]).await;
    // More than the bound of 64 MiB, and not so much more that nobody should wait for its end.
    let many: Vec<_> = std::iter::once("MGET").chain(std::iter::repeat_n("k", 8_000)).collect();
    let (attack, path) = (json!(many), street.attacker.path("redis", "/keys/small"));
    let mut reads = JoinSet::new();
    for _ in 0..20 {
        let (viewer, path) = (street.attacker.viewer.clone(), path.clone());
        reads.spawn(async move {
            for _ in 0..20 {
                assert_eq!(viewer.get(&path).await.expect(200).data()["value"], "v");
            }
        });
    }
    for _ in 0..5 {
        let answer = viewer_runs(&street.attacker, attack.clone()).await;
        // Beside others a reply has but its share of the project's budget.
        assert!(too_large(&answer) || answer.error_code() == "UNAVAILABLE", "{answer}");
    }
    reads.join_all().await;
}

/// Speaks Redis until it is asked for a key; a table of commands with `get` alone.
pub(crate) fn until_get(asked: &str, says: &Says) -> Says {
    let asked = asked.to_ascii_uppercase();
    if asked.contains("HELLO") {
        Says::once("%1\r\n+proto\r\n:3\r\n")
    } else if asked.contains("PING") {
        Says::once("+PONG\r\n")
    } else if asked.contains("\nCOMMAND\r") {
        Says::once("*1\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n")
    } else {
        says.clone()
    }
}

async fn redis_servers_that_say_too_much_cost_only_an_error(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let over = (507, "RESULT_TOO_LARGE");
    let no_redis = (503, "CONNECTION_ERROR");
    let push = ">2\r\n$7\r\nmessage\r\n$100\r\n";
    let push = format!("{push}{}\r\n", "x".repeat(100));
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    for (name, says, (status, code)) in [
        ("string", Says::once("$4000000000\r\n").then_forever("x"), over),
        ("verbatim", Says::once("=4000000000\r\ntxt:").then_forever("x"), over),
        ("error", Says::once("!4000000000\r\nERR ").then_forever("x"), over),
        ("count", Says::once("*4294967295\r\n").then_forever(":1\r\n"), over),
        ("map", Says::once("%4294967295\r\n").then_forever(":1\r\n"), over),
        ("set", Says::once("~4294967295\r\n").then_forever(":1\r\n"), over),
        ("attributes", Says::once("|4294967295\r\n").then_forever(":1\r\n"), over),
        ("attributes without end", Says::once("").then_forever("|1\r\n+a\r\n+b\r\n"), no_redis),
        ("nulls", Says::once("*600000\r\n").then_forever("_\r\n"), (200, "")),
        ("arrays of arrays", Says::once("*4000\r\n").then_forever("*1000\r\n"), no_redis),
        (
            "many strings",
            Says::once("*600000\r\n").then_forever("$200\r\n".to_owned() + &"x".repeat(200) + "\r\n"),
            over,
        ),
        ("depth", Says::once("").then_forever("*1\r\n"), no_redis),
        ("status", Says::once("+").then_forever("x"), no_redis),
        ("number", Says::once(":").then_forever("1"), no_redis),
        ("double", Says::once(",").then_forever("1"), no_redis),
        ("big number", Says::once("(").then_forever("1"), no_redis),
        ("length", Says::once("$").then_forever("1"), no_redis),
        ("negative", Says::once("=-5\r\n").then_forever("1"), no_redis),
        ("streamed string", Says::once("$?\r\n").then_forever(";4\r\nabcd\r\n"), no_redis),
        ("streamed array", Says::once("*?\r\n").then_forever(":1\r\n"), no_redis),
        ("pushes", Says::once("").then_forever(push.clone()), over),
        ("one push", Says::once(">4294967295\r\n").then_forever(":1\r\n"), over),
        ("slow pushes", Says::once("").then_forever(push.clone()).slowly(), (504, "TIMEOUT")),
        ("slow string", Says::once("$60000000\r\n").then_forever("x").slowly(), (504, "TIMEOUT")),
    ] {
        let server = HostileServer::start(move |asked| until_get(asked, &says));
        let identifier = name.replace(' ', "-");
        let url = format!("redis://127.0.0.1:{}?protocol=resp3", server.port);
        let body = json!({"identifier": identifier, "connection_string": url});
        street.attacker.connect("redis", body).await;
        let path = street.attacker.path("redis", &format!("/command?connection={identifier}"));
        let time = if status == 504 { "3s" } else { "30s" };
        let request = street.attacker.viewer.request("POST", &path).header("x-request-timeout", time);
        let answer = street.attacker.viewer.send(request.json(&json!({"command": ["GET", "k"]}))).await;
        let right = answer.status == status && (status == 200 || answer.error_code() == code)
            || driver == RedisDriver::Component && [200, 504, 507].contains(&status) && too_large(&answer);
        assert!(right, "{name}: {answer}");
        assert!(memory.grown() < GROWTH, "{name}: {} MiB", memory.grown());
    }
    println!("grown by {} MiB", memory.grown());
    neighbour.was_well().await;
}

async fn redis_servers_that_say_too_much_before_login_are_no_redis(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    for (name, says) in [
        ("banner", Says::once("-").then_forever("x")),
        ("string", Says::once("$4000000000\r\n").then_forever("x")),
        ("pushes", Says::once("").then_forever(">1\r\n+a\r\n")),
        ("count", Says::once("*1000000\r\n").then_forever("_\r\n")),
    ] {
        let server = HostileServer::start(move |_| says.clone());
        for options in [json!({}), json!({"cluster": true}), json!({"sentinel": {"master": "m"}})] {
            if driver == RedisDriver::Component && options != json!({}) {
                continue;
            }
            let body =
                json!({"identifier": "main", "host": "127.0.0.1", "port": server.port, "options": options});
            let id = street.attacker.connect("redis", body).await;
            let test = format!("{}/{id}/test", street.attacker.connections("redis"));
            let found = street.attacker.admin.post(&test, json!({})).await.expect(200).data();
            assert_eq!(found["error"]["details"]["reason"], "unsupported", "{name}: {found}");
            let connection = format!("{}/{id}", street.attacker.connections("redis"));
            street.attacker.owner.delete(&connection).await.expect(204);
        }
        assert!(memory.grown() < GROWTH, "{name}: {} MiB", memory.grown());
    }
    neighbour.was_well().await;
}

async fn redis_commands_of_millions_of_arguments_are_refused_cheaply(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let redis = RedisServer::plain().await;
    connect(&street.attacker, redis.port, json!({})).await;
    viewer_runs(&street.attacker, json!(["PING"])).await.expect(200);
    let path = street.attacker.path("redis", "/command");
    let body = |name: &str, count: usize| format!(r#"{{"command":["{name}"{}]}}"#, ",1".repeat(count));
    let neighbour = street.neighbour();
    for (name, count, status, times) in [
        // Refused by their number, the role or the name.
        ("EXISTS", 5_000_000, 400, 12),
        ("SET", 5_000_000, 400, 12),
        ("SET", 1_000_000, 403, 20),
        ("SUBSCRIBE", 1_000_000, 403, 20),
        // As many as Redis takes.
        ("EXISTS", 1_000_000, 200, 40),
    ] {
        let body = body(name, count);
        let bound = (body.len() as u64 * times) >> 20;
        let memory = Memory::watch(&mut street.gateway);
        let before = Instant::now();
        let request = street.attacker.viewer.request("POST", &path);
        let request = request.header("content-type", "application/json").body(body);
        let answer = street.attacker.viewer.send(request).await;
        println!("{name} {count}: {} in {:?}, {} MiB", answer.status, before.elapsed(), memory.grown());
        assert_eq!(answer.status, status, "{name}: {answer}");
        assert!(memory.grown() <= bound, "{name} {count}: {} MiB instead of {bound}", memory.grown());
    }
    assert_eq!(
        viewer_runs(&street.attacker, json!(["GET", "k"])).await.expect(200).data()["result"],
        Value::Null
    );
    neighbour.was_well().await;
}

async fn redis_vast_or_repetitive_values_are_refused_cheaply(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let redis = RedisServer::plain().await;
    connect(&street.attacker, redis.port, json!({})).await;
    let developer = &street.attacker.developer;
    let path = |rest: &str| street.attacker.path("redis", rest);
    let ones = |count: usize| format!("[1{}]", ",1".repeat(count - 1));
    // A long name and many values for it: repeated for each of them it would be terabytes.
    let repeated = format!(r#"[{{"fields":{{"{}":{}}}}}]"#, "n".repeat(4_000_000), ones(2_000_000));
    let name = "n".repeat(90_000);
    let little =
        format!(r#"{{"action":"set","key":"s","value":[{{"fields":{{"{name}":{}}}}}]}}"#, ones(1_000));
    let many_objects = format!("[{{}}{}]", ",{}".repeat(3_000_000));
    let bodies = [
        ("/keys/l", format!(r#"{{"value":{}}}"#, ones(4_900_000)), 16),
        ("/keys/l", format!(r#"{{"value":{many_objects}}}"#), 16),
        ("/keys/s", format!(r#"{{"value":{repeated}}}"#), 40),
        ("/keys/batch", format!(r#"{{"operations":[{}]}}"#, [little.as_str(); 90].join(",")), 40),
    ];
    let neighbour = street.neighbour();
    for (route, body, times) in bodies {
        let bound = (body.len() as u64 * times) >> 20;
        let memory = Memory::watch(&mut street.gateway);
        let before = Instant::now();
        let request =
            developer.request("POST", &path(route)).header("content-type", "application/json").body(body);
        let answer = developer.send(request).await;
        println!("{route}: {} in {:?}, {} MiB", answer.status, before.elapsed(), memory.grown());
        answer.refused(400, "VALIDATION_ERROR");
        assert!(memory.grown() <= bound, "{route}: {} MiB instead of {bound}", memory.grown());
    }
    assert_eq!(developer.get(&path("/info")).await.expect(200).data()["keyspace"], json!({}));
    neighbour.was_well().await;
}

async fn redis_values_far_longer_in_json_are_refused_unwritten(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let redis = RedisServer::plain().await;
    connect(&street.attacker, redis.port, json!({})).await;
    // Each of these bytes is six in JSON.
    redis.run(&["SET", "control", &"\u{1}".repeat(12 << 20)]).await;
    redis.run(&["RPUSH", "list", &"\u{1}".repeat(12 << 20)]).await;
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    let answers = [
        viewer_runs(&street.attacker, json!(["GET", "control"])).await,
        street.attacker.viewer.get(&street.attacker.path("redis", "/keys/control")).await,
        street.attacker.viewer.get(&street.attacker.path("redis", "/keys/list")).await,
    ];
    for answer in answers {
        assert!(too_large(&answer), "{answer}");
    }
    println!("grown by {} MiB", memory.grown());
    assert!(memory.grown() < GROWTH, "{} MiB", memory.grown());
    neighbour.was_well().await;
}

async fn redis_servers_long_winded_about_themselves_cost_an_error(driver: RedisDriver) {
    let mut street = Street::start(driver).await;
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    let table = |names: usize| {
        let entry = |number: usize| format!("*2\r\n$8\r\n{number:08}\r\n:1\r\n");
        format!("*{names}\r\n{}", (0..names).map(entry).collect::<String>())
    };
    let lines = "a:1\r\n".repeat(3_000_000);
    let complaint = "x".repeat(3_000_000);
    for (number, (route, says, status)) in [
        ("/info", Says::once(format!("${}\r\n{lines}\r\n", lines.len())), 507),
        ("/keys", Says::once(format!("!{}\r\nERR {complaint}\r\n", complaint.len() + 4)), 400),
        ("/pubsub/channels", Says::once("*4000000000\r\n"), 507),
        ("/keys/k", Says::once("+none\r\n".repeat(3) + "$50000000\r\n").then_forever("x"), 507),
        ("/command", Says::once(table(200_000)), 507),
    ]
    .into_iter()
    .enumerate()
    {
        let greeted = |asked: &str| asked.contains("PING");
        let server =
            HostileServer::start(
                move |asked| if greeted(asked) { Says::once("+PONG\r\n") } else { says.clone() },
            );
        let identifier = format!("server-{number}");
        let body = json!({"identifier": identifier, "host": "127.0.0.1", "port": server.port});
        street.attacker.connect("redis", body).await;
        let path = street.attacker.path("redis", &format!("{route}?connection={identifier}"));
        let answer = match route {
            "/command" => street.attacker.viewer.post(&path, json!({"command": ["GET", "k"]})).await,
            _ => street.attacker.viewer.get(&path).await,
        };
        assert_eq!(answer.status, status, "{route}: {answer}");
        assert!(answer.bytes.len() < 10_000, "{route}: {} bytes of error", answer.bytes.len());
    }
    assert!(memory.grown() < GROWTH, "{} MiB", memory.grown());
    neighbour.was_well().await;
}

on_both_kinds!(
    redis_replies_beyond_their_bound_end_before_they_are_read,
    redis_callers_beside_a_too_large_reply_have_their_answers,
    redis_servers_that_say_too_much_cost_only_an_error,
    redis_servers_that_say_too_much_before_login_are_no_redis,
    redis_commands_of_millions_of_arguments_are_refused_cheaply,
    redis_vast_or_repetitive_values_are_refused_cheaply,
    redis_values_far_longer_in_json_are_refused_unwritten,
    redis_servers_long_winded_about_themselves_cost_an_error,
);
