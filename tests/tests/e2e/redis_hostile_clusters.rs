//! Clusters of Redis that mean harm, or whose callers do; the native driver alone speaks to clusters.

use crate::redis_hostile::{GROWTH, Street, connect, too_large, until_get};
use serde_json::json;
use std::{
    net::Ipv4Addr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use studio_gateway_tests::{HostileServer, Memory, PATIENCE, RedisDriver, RedisServer, Says};

#[tokio::test]
async fn redis_cluster_replies_over_their_bound_end_unread() {
    let mut street = Street::start(RedisDriver::Library).await;
    let nodes = RedisServer::cluster().await;
    connect(&street.attacker, nodes[0].port, json!({"cluster": true})).await;
    let developer = &street.attacker.developer;
    let key = |key: &str| street.attacker.path("redis", &format!("/keys/{key}"));
    developer.post(&key("{a}k"), json!({"value": "x".repeat(10 << 10)})).await.expect(201);
    developer.post(&key("{b}k"), json!({"value": "x".repeat(10 << 10)})).await.expect(201);
    developer.post(&key("s"), json!({"value": ["m"], "type": "set"})).await.expect(201);
    developer.post(&key("small"), json!({"value": "v"})).await.expect(201);
    let command = street.attacker.path("redis", "/command");
    let get_many = |keys: [&str; 2]| {
        let keys = keys.iter().cycle().take(100_000);
        json!(std::iter::once(&"MGET").chain(keys).collect::<Vec<_>>())
    };
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    for attack in
        [get_many(["{a}k", "{a}k"]), get_many(["{a}k", "{b}k"]), json!(["SRANDMEMBER", "s", -6_000_000])]
    {
        let answer = street.attacker.viewer.post(&command, json!({"command": attack})).await;
        answer.refused(507, "RESULT_TOO_LARGE");
        assert!(memory.grown() < GROWTH, "{} MiB", memory.grown());
        let small = street.attacker.viewer.get(&key("small")).await.expect(200);
        assert_eq!(small.data()["value"], "v");
    }
    println!("grown by {} MiB", memory.grown());
    neighbour.was_well().await;
}

/// A node that has all slots, by what it says; asked for a key it says something else.
fn node(asked: &str, port: u16, says: &Says) -> Says {
    let asked_for = asked.to_ascii_uppercase();
    if asked_for.contains("SLOTS") {
        Says::once(slots(&[(0, 16383, port)]))
    } else if asked_for.contains("NODES") {
        Says::once("-NOPERM not for you\r\n")
    } else {
        until_get(asked, says)
    }
}

/// The answer to `CLUSTER SLOTS`.
fn slots(ranges: &[(usize, usize, u16)]) -> String {
    let range = |(from, to, port): &(usize, usize, u16)| {
        let id = format!("{from:040}");
        format!("*3\r\n:{from}\r\n:{to}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$40\r\n{id}\r\n")
    };
    format!("*{}\r\n{}", ranges.len(), ranges.iter().map(range).collect::<String>())
}

/// The answer to `CLUSTER SLOTS` where each slot is served by another address of this machine.
fn slots_of_their_own(port: u16, count: usize) -> String {
    let range = |slot: usize| {
        let host = format!("127.0.{}.{}", slot / 250, slot % 250 + 1);
        let (length, id) = (host.len(), format!("{slot:040}"));
        format!("*3\r\n:{slot}\r\n:{slot}\r\n*3\r\n${length}\r\n{host}\r\n:{port}\r\n$40\r\n{id}\r\n")
    };
    format!("*{count}\r\n{}", (0..count).map(range).collect::<String>())
}

/// A server that knows its own port.
fn start(address: Ipv4Addr, manners: impl Fn(&str, u16) -> Says + Clone + Send + 'static) -> HostileServer {
    let port = Arc::new(OnceLock::new());
    let known = port.clone();
    let server = HostileServer::start_at(address, move |asked| manners(asked, *known.wait()));
    port.set(server.port).unwrap();
    server
}

#[tokio::test]
async fn redis_cluster_floods_and_endless_redirects_cost_an_error() {
    let mut street = Street::start(RedisDriver::Library).await;
    let neighbour = street.neighbour();
    let memory = Memory::watch(&mut street.gateway);
    let string = |_: u16| Says::once("$4000000000\r\n").then_forever("x");
    let count = |_: u16| Says::once("*4294967295\r\n").then_forever(":1\r\n");
    let moved = |port: u16| Says::once(format!("-MOVED 1 127.0.0.1:{port}\r\n"));
    let ask = |port: u16| Says::once(format!("-ASK 1 127.0.0.1:{port}\r\n"));
    let foreign = |_: u16| Says::once("-MOVED 1 169.254.169.254:80\r\n");
    type Saying = fn(u16) -> Says;
    let cases: [(&str, Saying, u16); 5] = [
        ("string", string, 507),
        ("count", count, 507),
        ("moved", moved, 0),
        ("ask", ask, 0),
        ("foreign", foreign, 0),
    ];
    for (name, says, status) in cases {
        let hops = Arc::<AtomicUsize>::default();
        let count = hops.clone();
        let server = start(Ipv4Addr::LOCALHOST, move |asked, port| {
            count.fetch_add(usize::from(asked.contains("GET")), Ordering::Relaxed);
            node(asked, port, &says(port))
        });
        let body = json!({
            "identifier": name, "host": "127.0.0.1", "port": server.port, "options": {"cluster": true},
        });
        street.attacker.connect("redis", body).await;
        let path = street.attacker.path("redis", &format!("/command?connection={name}"));
        let before = Instant::now();
        let time = if status == 0 { "3s" } else { "30s" };
        let request = street.attacker.viewer.request("POST", &path).header("x-request-timeout", time);
        let answer = street.attacker.viewer.send(request.json(&json!({"command": ["GET", "k"]}))).await;
        let (hops, connections) = (hops.load(Ordering::Relaxed), server.connections());
        println!("{name}: {answer} in {:?}, {hops} hops, {connections} connections", before.elapsed());
        assert!(hops < 50, "{name}: {hops} hops");
        if status == 0 {
            assert!([400, 403, 503, 504].contains(&answer.status), "{name}: {answer}");
        } else {
            assert_eq!(answer.status, status, "{name}: {answer}");
        }
        assert!(before.elapsed() < *PATIENCE);
        assert!(connections < 20, "{name}: {connections} connections");
        assert!(memory.grown() < GROWTH, "{name}: {} MiB", memory.grown());
    }
    neighbour.was_well().await;
}

#[tokio::test]
async fn redis_clusters_of_too_many_nodes_are_not_all_connected_to() {
    let mut street = Street::start(RedisDriver::Library).await;
    let neighbour = street.neighbour();
    let files = |gateway: &mut studio_gateway_tests::Gateway| {
        let folder = format!("/proc/{}/fd", gateway.process().id());
        std::fs::read_dir(folder).unwrap().count()
    };
    let before = files(&mut street.gateway);
    let memory = Memory::watch(&mut street.gateway);
    let nothing = Says::once("$-1\r\n");
    let string = format!("$100000\r\n{}\r\n", "x".repeat(100_000));
    let channels = Says::once(format!("*40\r\n{}", string.repeat(40)));
    // The same server answers at all of them.
    let many = |count: usize| {
        let (slots, channels, nothing) = (OnceLock::new(), channels.clone(), nothing.clone());
        start(Ipv4Addr::UNSPECIFIED, move |asked, port| {
            if asked.to_ascii_uppercase().contains("SLOTS") {
                slots.get_or_init(|| Says::once(slots_of_their_own(port, count))).clone()
            } else {
                node(asked, port, if asked.contains("PUBSUB") { &channels } else { &nothing })
            }
        })
    };
    let (too_many, as_many_as_may_be) = (many(16384), many(400));
    for (name, server) in [("more", &too_many), ("most", &as_many_as_may_be)] {
        let body = json!({
            "identifier": name, "host": "127.0.0.1", "port": server.port, "options": {"cluster": true},
        });
        street.attacker.connect("redis", body).await;
    }
    let path = |name: &str| street.attacker.path("redis", &format!("/pubsub/channels?connection={name}"));
    let answer = street.attacker.viewer.get(&path("more")).await;
    println!("{answer}; {} connections, {} MiB", too_many.connections(), memory.grown());
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "unsupported");
    // Asked all at once, each says less than a single one may, and together they say gigabytes.
    let answer = street.attacker.viewer.get(&path("most")).await;
    println!("{answer}; {} MiB", memory.grown());
    assert!(files(&mut street.gateway) < before + 600);
    assert!(too_large(&answer), "{answer}");
    // Four times the bound of a reply.
    assert!(memory.grown() < 2 * GROWTH, "{} MiB", memory.grown());
    neighbour.was_well().await;
}
