//! Raw commands, publishing and server facts through the gateway; who may do what; and the trail that writes leave.

use serde_json::{Value, json};
use studio_gateway_tests::{
    Client, GatewayOptions, RedisDriver, RedisOptions, RedisServer, World, eventually, time::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Every route, the least role that may use it, and what it then answers.
pub(crate) fn routes() -> Vec<(&'static str, &'static str, Option<Value>, &'static str, u16)> {
    let set = json!({"action": "set", "key": "k", "value": "v"});
    vec![
        ("POST", "/keys/k", Some(json!({"value": "v"})), "developer", 200),
        ("PUT", "/keys/k", Some(json!({"value": "v"})), "developer", 200),
        ("POST", "/keys/k/expire", Some(json!({"ttl": -1})), "developer", 200),
        ("POST", "/keys/batch", Some(json!({"operations": [set]})), "developer", 200),
        ("POST", "/pubsub/publish", Some(json!({"channel": "c", "message": "m"})), "developer", 200),
        ("GET", "/keys", None, "viewer", 200),
        ("GET", "/keys/k", None, "viewer", 200),
        ("GET", "/pubsub/channels", None, "viewer", 200),
        ("GET", "/info", None, "viewer", 200),
        ("GET", "/stats", None, "viewer", 200),
        ("POST", "/command", Some(json!({"command": ["GET", "k"]})), "viewer", 200),
        ("POST", "/command", Some(json!({"command": ["SET", "k", "v"]})), "developer", 200),
        ("POST", "/command", Some(json!({"command": ["EVAL", "return 1", 0]})), "admin", 200),
        ("DELETE", "/keys/doomed", None, "developer", 204),
    ]
}

/// The answer to a raw command.
async fn command(client: &Client, world: &World, words: &Value) -> studio_gateway_tests::Answer {
    client.post(&world.alpha.path("redis", "/command"), json!({"command": words})).await
}

async fn every_route_is_open_from_its_role_up_and_closed_below(options: impl Into<GatewayOptions>) {
    let world = World::start(options).await;
    let ranks = ["viewer", "developer", "admin", "owner"];
    for (method, path, body, least, status) in routes() {
        let path = world.alpha.path("redis", path);
        world.redis.run(&["MSET", "k", "untouched", "doomed", "1"]).await;
        let needed = ranks.iter().position(|rank| *rank == least).unwrap();
        for (rank, (role, client)) in world.alpha.members().into_iter().enumerate() {
            let answer = client.call(method, &path, body.clone()).await;
            if rank >= needed {
                assert_eq!(answer.status, status, "{role}: {answer}");
                world.redis.run(&["SET", "doomed", "1"]).await;
            } else {
                answer.refused(403, "FORBIDDEN");
                let value = world.redis.run(&["GET", "k"]).await;
                assert_eq!(redis::from_redis_value::<String>(value).unwrap(), "untouched", "{role}: {path}");
            }
        }
        for outsider in [&world.stranger, &world.beta.owner] {
            outsider.call(method, &path, body.clone()).await.refused(404, "NOT_FOUND");
        }
        let anonymous = world.gateway.anonymous();
        anonymous.call(method, &path, body.clone()).await.refused(401, "UNAUTHENTICATED");
        anonymous.with_token("nonsense").call(method, &path, body).await.refused(401, "UNAUTHENTICATED");
    }
}

async fn wrong_method_names_the_right_ones(driver: RedisDriver) {
    let world = World::start(driver).await;
    for (method, path, allowed) in [
        ("DELETE", "/keys", vec!["GET"]),
        ("PATCH", "/keys/k", vec!["GET", "POST", "PUT", "DELETE"]),
        ("GET", "/command", vec!["POST"]),
        ("POST", "/info", vec!["GET"]),
    ] {
        let answer = world.alpha.owner.call(method, &world.alpha.path("redis", path), None).await.expect(405);
        let allow = answer.header("allow").unwrap();
        assert!(allowed.iter().all(|method| allow.contains(method)) && !allow.contains(method), "{allow}");
    }
    world.alpha.owner.get(&world.alpha.path("redis", "/nowhere")).await.refused(404, "NOT_FOUND");
}

async fn commands_are_open_by_what_they_do(driver: RedisDriver) {
    let world = World::start(driver).await;
    world.redis.run(&["SET", "k", "v"]).await;
    // From this role up; "nobody" means that no role may.
    for (words, least) in [
        (json!(["GET", "k"]), "viewer"),
        (json!(["get", "k"]), "viewer"),
        (json!(["MGET", "k", "none"]), "viewer"),
        (json!(["TYPE", "k"]), "viewer"),
        (json!(["PING"]), "viewer"),
        (json!(["SET", "k", "v"]), "developer"),
        (json!(["GETDEL", "none"]), "developer"),
        (json!(["GETEX", "k", "PERSIST"]), "developer"),
        (json!(["SORT", "none", "STORE", "other"]), "developer"),
        (json!(["KEYS", "*"]), "developer"),
        (json!(["PUBLISH", "c", "m"]), "developer"),
        (json!(["EVAL", "return 1", 0]), "admin"),
        (json!(["EVAL_RO", "return 1", 0]), "admin"),
        (json!(["FLUSHDB"]), "admin"),
        (json!(["CONFIG", "GET", "maxmemory"]), "admin"),
        (json!(["CLIENT", "LIST"]), "admin"),
        (json!(["ACL", "LIST"]), "admin"),
        (json!(["NO-SUCH-COMMAND"]), "admin"),
        (json!(["SELECT", 1]), "nobody"),
        (json!(["BLPOP", "l", 0]), "nobody"),
        (json!(["blpop", "l", 0]), "nobody"),
        (json!([{"base64": "QkxQT1A="}, "l", 0]), "nobody"),
        (json!(["XREAD", "BLOCK", 0, "STREAMS", "s", "$"]), "nobody"),
        (json!(["SUBSCRIBE", "c"]), "nobody"),
        (json!(["MONITOR"]), "nobody"),
        (json!(["SHUTDOWN"]), "nobody"),
        (json!(["shutdown", "NOSAVE"]), "nobody"),
        (json!(["DEBUG", "SLEEP", 10]), "nobody"),
        (json!(["AUTH", "x"]), "nobody"),
        (json!(["HELLO", 3]), "nobody"),
        (json!(["MULTI"]), "nobody"),
        (json!(["CLIENT", "REPLY", "OFF"]), "nobody"),
        (json!(["QUIT"]), "nobody"),
    ] {
        let mut open = false;
        for (role, client) in world.alpha.members() {
            open |= role == least;
            let answer = command(client, &world, &words).await;
            if open && words[0] == "NO-SUCH-COMMAND" {
                assert_eq!(answer.refused(400, "QUERY_ERROR")["code"], "ERR");
            } else if open {
                assert_eq!(answer.status, 200, "{role}: {words}: {answer}");
                assert_eq!(answer.data().as_object().unwrap().keys().collect::<Vec<_>>(), ["result"]);
            } else {
                assert_eq!(answer.status, 403, "{role}: {words}: {answer}");
                answer.refused(403, "FORBIDDEN");
            }
        }
    }
    // The database's end and one that others lose all by.
    world.redis.run(&["SET", "k", "v"]).await;
    for (client, status) in
        [(&world.alpha.viewer, 403), (&world.alpha.developer, 403), (&world.alpha.admin, 200)]
    {
        command(client, &world, &json!(["FLUSHALL"])).await.expect(status);
    }
    world.alpha.viewer.get(&world.alpha.path("redis", "/keys/k")).await.refused(404, "NOT_FOUND");
}

async fn replies_are_json_of_their_kind(driver: RedisDriver) {
    let world = World::start(driver).await;
    for (words, result) in [
        (json!(["SET", "k", "v"]), json!("OK")),
        (json!(["SET", {"base64": "/w=="}, {"base64": "AP8="}]), json!("OK")),
        (json!(["GET", {"base64": "/w=="}]), json!({"base64": "AP8="})),
        (json!(["GET", "none"]), json!(null)),
        (json!(["INCRBY", "n", 5]), json!(5)),
        (json!(["INCRBYFLOAT", "n", -0.5]), json!("4.5")),
        (json!(["RPUSH", "l", "ä", ""]), json!(2)),
        (json!(["LRANGE", "l", 0, -1]), json!(["ä", ""])),
        (json!(["HSET", "h", "a", "1"]), json!(1)),
        (json!(["EVAL", "return {1, {'a'}, redis.status_reply('s')}", 0]), json!([1, ["a"], "s"])),
    ] {
        assert_eq!(
            command(&world.alpha.admin, &world, &words).await.expect(200).data()["result"],
            result,
            "{words}"
        );
    }
}

async fn servers_refusal_is_a_query_error_with_its_own_code(driver: RedisDriver) {
    let world = World::start(driver).await;
    world.redis.run(&["SET", "k", "text"]).await;
    for (words, code) in [
        (json!(["LPUSH", "k", "x"]), "WRONGTYPE"),
        (json!(["INCR", "k"]), "ERR"),
        (json!(["GET"]), "ERR"),
        (json!(["EVALSHA", "0".repeat(40), 0]), "NOSCRIPT"),
    ] {
        let details = command(&world.alpha.admin, &world, &words).await.refused(400, "QUERY_ERROR");
        assert_eq!(details["code"], code, "{words}");
    }
}

async fn password_of_the_server_is_never_shown(driver: RedisDriver) {
    let (password, other) = ("hunter2-secret", "replica-secret");
    let redis = RedisOptions::new().password(password).line(format!("masterauth {other}"));
    let world = World::start_with(GatewayOptions::from(driver).trace(), redis).await;
    let admin = &world.alpha.admin;
    for pattern in ["requirepass", "REQUIREPASS", "masterauth", "*"] {
        let shown = command(admin, &world, &json!(["CONFIG", "GET", pattern])).await.expect(200);
        assert!(shown.data()["result"].to_string().contains("(hidden)"), "{shown}");
    }
    for words in [json!(["CONFIG", "SET", "requirepass", "x"]), json!(["AUTH", password])] {
        assert!(!command(&world.alpha.developer, &world, &words).await.message().contains(password));
    }
    let seen = String::from_utf8_lossy(&world.gateway.transcript.bytes()).into_owned()
        + &world.gateway.whole_log().await;
    assert!(!seen.contains(password) && !seen.contains(other), "a password in an answer or in the log");
}

/// Someone who listens to channels, beside the gateway.
async fn subscriber(server: &RedisServer, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    stream.write_all(format!("{words}\r\n").as_bytes()).await.unwrap();
    receives(&mut stream, b"subscribe").await;
    stream
}

async fn receives(stream: &mut TcpStream, wanted: &[u8]) {
    let mut received = Vec::new();
    within(*studio_gateway_tests::PATIENCE, "the message comes", async || {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.unwrap();
        received.extend_from_slice(&piece[..length]);
        received.windows(wanted.len()).any(|window| window == wanted)
    })
    .await;
}

async fn published_message_reaches_listeners_and_channels_are_listed(driver: RedisDriver) {
    let world = World::start(driver).await;
    let (channels, publish) =
        (world.alpha.path("redis", "/pubsub/channels"), world.alpha.path("redis", "/pubsub/publish"));
    assert_eq!(world.alpha.viewer.get(&channels).await.expect(200).data(), json!([]));
    let mut news = subscriber(&world.redis, "SUBSCRIBE news").await;
    let _more = subscriber(&world.redis, "SUBSCRIBE news other").await;
    eventually("both channels are listed", async || {
        world.alpha.viewer.get(&channels).await.expect(200).items().len() == 2
    })
    .await;
    let entry = |name: &str, count: u32| json!({"channel": name, "subscribers": count, "pattern": false});
    let listed = world.alpha.viewer.get(&channels).await.data();
    assert_eq!(listed, json!([entry("news", 2), entry("other", 1)]));
    let listed = world.alpha.viewer.get(&format!("{channels}?pattern=ot*")).await.expect(200).data();
    assert_eq!(listed, json!([entry("other", 1)]));
    for (message, bytes) in [
        (json!({"message": "Ünï"}), "Ünï".as_bytes()),
        (json!({"message": ""}), b"\r\n$0\r\n"),
        (json!({"message": {"a": [1, null]}}), br#"{"a":[1,null]}"#),
        (json!({"message": 17}), b"17"),
        (json!({"message": "/wA=", "message_encoding": "base64"}), b"\xFF\x00"),
    ] {
        let mut body = message.clone();
        body["channel"] = json!("news");
        let sent = world.alpha.developer.post(&publish, body).await.expect(200).data();
        assert_eq!(sent, json!({"subscribers_reached": 2}), "{message}");
        receives(&mut news, bytes).await;
    }
    let nobody = json!({"channel": "silence", "message": "m"});
    let sent = world.alpha.developer.post(&publish, nobody).await.expect(200).data();
    assert_eq!(sent, json!({"subscribers_reached": 0}));
}

async fn info_and_stats_tell_what_the_contract_names(driver: RedisDriver) {
    let world = World::start(driver).await;
    world.redis.run(&["SET", "k", "v", "EX", "1000"]).await;
    world.redis.run(&["SET", "l", "v"]).await;
    let viewer = &world.alpha.viewer;
    let info = viewer.get(&world.alpha.path("redis", "/info")).await.expect(200).data();
    let sections = [
        ("server", vec!["mode", "uptime_seconds", "version"]),
        ("memory", vec!["eviction_policy", "max_memory", "used_memory", "used_memory_human"]),
        (
            "stats",
            vec!["hit_rate", "keyspace_hits", "keyspace_misses", "ops_per_sec", "total_commands_processed"],
        ),
        ("clients", vec!["blocked_clients", "connected_clients"]),
        ("persistence", vec!["aof_enabled", "rdb_last_save_time"]),
        ("replication", vec!["connected_slaves", "role"]),
        ("keyspace", vec!["db0"]),
    ];
    assert_eq!(info.as_object().unwrap().len(), sections.len());
    for (section, fields) in sections {
        let mut names: Vec<_> = info[section].as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, fields, "{section}");
        let alone = viewer.get(&world.alpha.path("redis", &format!("/info?section={section}"))).await;
        assert_eq!(alone.expect(200).data().as_object().unwrap().keys().collect::<Vec<_>>(), [section]);
    }
    let database = &info["keyspace"]["db0"];
    assert_eq!((&database["keys"], &database["expires"]), (&json!(2), &json!(1)));
    assert!(database["avg_ttl"].as_u64().unwrap() <= 1_000_000);
    assert_eq!(
        (&info["server"]["mode"], &info["replication"]["role"]),
        (&json!("standalone"), &json!("master"))
    );
    assert_eq!(info["persistence"]["aof_enabled"], false);
    let stats = viewer.get(&world.alpha.path("redis", "/stats?interval=5")).await.expect(200).data();
    assert_eq!(stats["keys"], 2);
    assert!(stats["used_memory"].as_u64().unwrap() > 0 && stats["connected_clients"].as_u64().unwrap() > 0);
}

async fn writes_leave_a_trail_and_reads_leave_none(options: impl Into<GatewayOptions>) {
    let world = World::start(options).await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    let table = world.gateway.database.table("gateway_audit_logs");
    let rows = async |request: &str| {
        let columns =
            "user_id || '|' || action || '|' || project_ref || '|' || COALESCE(target, '') || '|' || result";
        let query = format!("SELECT {columns} FROM {table} WHERE request_id = '{request}'");
        world.gateway.database.texts(&query).await
    };
    let send = async |client: &Client, id: &str, method: &str, path: &str, body: Value| {
        let request = client.request(method, &world.alpha.path("redis", path)).header("x-request-id", id);
        client.send(request.json(&body)).await
    };
    let value = json!({"value": "sensitive-payload"});
    let get = json!({"command": ["GET", "k"]});
    for (client, id) in
        [(viewer, "read-viewer"), (developer, "read-developer"), (&world.alpha.admin, "read-admin")]
    {
        send(client, id, "POST", "/command", get.clone()).await.expect(200);
        send(client, id, "GET", "/keys", json!(null)).await.expect(200);
    }
    send(developer, "read-all-keys", "POST", "/command", json!({"command": ["KEYS", "*"]})).await.expect(200);
    send(viewer, "denied-route", "POST", "/keys/k", value.clone()).await.expect(403);
    let set = json!({"command": ["SET", "k", "sensitive-payload"]});
    send(viewer, "denied-command", "POST", "/command", set.clone()).await.expect(403);
    let batch = json!({"operations": [{"action": "set", "key": "k", "value": "sensitive-payload"}]});
    let message = json!({"channel": "c", "message": "sensitive-payload"});
    let connection = world.alpha.connection.as_str();
    let written = [
        ("write-1", "POST", "/keys/k", "POST /keys/{key}", value.clone(), connection, "ok"),
        ("write-2", "PUT", "/keys/k", "PUT /keys/{key}", value.clone(), connection, "ok"),
        ("write-3", "POST", "/keys/k/expire", "POST /keys/{key}/expire", json!({"ttl": 5}), connection, "ok"),
        ("write-4", "POST", "/keys/batch", "POST /keys/batch", batch, connection, "ok"),
        ("write-5", "POST", "/command", "POST /command", set, connection, "ok"),
        ("write-6", "POST", "/pubsub/publish", "POST /pubsub/publish", message, connection, "ok"),
        ("write-7", "DELETE", "/keys/k", "DELETE /keys/{key}", json!(null), connection, "ok"),
        ("write-8", "DELETE", "/keys/k", "DELETE /keys/{key}", json!(null), "", "NOT_FOUND"),
    ];
    for (id, method, path, _, body, _, _) in &written {
        send(developer, id, method, path, body.clone()).await;
    }
    for (id, _, _, action, _, target, result) in &written {
        let expected = format!("user:alpha-developer|redis: {action}|alpha|{target}|{result}");
        eventually(&format!("a record of {id}"), async || !rows(id).await.is_empty()).await;
        assert_eq!(rows(id).await, [expected]);
    }
    // The trail is in order, so what came before the last write would be in it by now.
    for id in ["read-viewer", "read-developer", "read-admin", "read-all-keys"] {
        assert!(rows(id).await.is_empty(), "{id} left a record");
    }
    let bytes = String::from_utf8_lossy(&world.gateway.database.bytes().await).into_owned();
    assert!(!bytes.contains("sensitive-payload"), "a value is in the registry");
    assert!(!world.gateway.whole_log().await.contains("sensitive-payload"), "a value is in the log");
}

on_both_registries!(
    every_route_is_open_from_its_role_up_and_closed_below,
    writes_leave_a_trail_and_reads_leave_none,
);

on_both_kinds!(
    every_route_is_open_from_its_role_up_and_closed_below,
    writes_leave_a_trail_and_reads_leave_none,
    wrong_method_names_the_right_ones,
    commands_are_open_by_what_they_do,
    replies_are_json_of_their_kind,
    servers_refusal_is_a_query_error_with_its_own_code,
    password_of_the_server_is_never_shown,
    published_message_reaches_listeners_and_channels_are_listed,
    info_and_stats_tell_what_the_contract_names,
);
