//! A component reaches its connection's own server, by the gateway's rules, and nothing else.

use super::sandbox::{call, connect, hostile, logged, start, start_with, works_anew};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, GatewayOptions, Guest, Plugin, Project, RedisOptions, RedisServer, eventually, process::listen,
};
use tokio::{net::TcpStream, sync::mpsc};

/// A server that takes connections and says nothing; each is handed over.
async fn silent_server() -> (u16, mpsc::UnboundedReceiver<TcpStream>) {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    let (sender, streams) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (port, streams)
}

/// Waits until the other end is closed, whatever came before.
async fn is_closed(stream: TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    let reading = async {
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the stream is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_their_session() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    let (port, mut streams) = silent_server().await;
    connect(&project, "silent", port, json!({})).await;
    for path in ["/write", "/read"] {
        let begin = Instant::now();
        call(&project, "silent", path).await.refused(504, "TIMEOUT");
        assert!(begin.elapsed() < Duration::from_secs(3), "{path}: {:?}", begin.elapsed());
        is_closed(streams.recv().await.unwrap()).await;
        works_anew(&project, "silent").await;
    }
    let id = connect(&project, "many", port, json!({})).await;
    let opened = call(&project, "many", "/streams").await.expect(200).data();
    assert_eq!(opened, json!({"opened": 4, "reason": "too_many_streams"}));
    let opened = call(&project, "many", "/streams").await.expect(200).data();
    assert_eq!(opened, json!({"opened": 0, "reason": "too_many_streams"}));
    project.owner.delete(&format!("{}/{id}", project.connections("hostile"))).await.expect(204);
    for _ in 0..4 {
        is_closed(streams.recv().await.unwrap()).await;
    }
    logged(&gateway, &["hostile", "says goodbye"]).await;
}

#[tokio::test]
async fn server_that_never_reads_costs_only_the_guests_memory() {
    // What is written waits in the guest's memory, which has its limit, until the server takes it.
    let write = "(call $open (i32.const 0) (i32.const 1024))
        (drop (memory.grow (i32.const 900)))
        (call $write (i32.load (i32.const 1028)) (i32.const 65536) (i32.const 50000000) (i32.const 1024))
        unreachable";
    let guest = Guest::new("hostile")
        .import("$open", "studio:driver/net@0.1.0", "open", "(param i32 i32)")
        .import("$write", "studio:driver/net@0.1.0", "[method]byte-stream.write", "(param i32 i32 i32 i32)")
        .operation("write", write);
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::component_file("hostile", guest.write(folder.path().join("guest.wasm")))
        .line("limits = { operation_timeout = 1 }");
    let (_gateway, project) = start_with([plugin], GatewayOptions::default()).await;
    let (port, mut streams) = silent_server().await;
    connect(&project, "main", port, json!({})).await;
    call(&project, "main", "/write").await.refused(504, "TIMEOUT");
    is_closed(streams.recv().await.unwrap()).await;
}

#[tokio::test]
async fn settings_are_checked_without_network() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let (port, mut streams) = silent_server().await;
    let body = json!({"identifier": "x", "host": "127.0.0.1", "port": port, "options": {"check": "connect"}});
    let answer = project.owner.post(&project.connections("hostile"), body).await;
    answer.refused_field("options.check");
    assert!(answer.message().contains("before a session"), "{answer}");
    assert!(streams.try_recv().is_err(), "nobody connected");
}

#[tokio::test]
async fn forbidden_addresses_are_out_of_reach_whatever_the_guest_does() {
    let forbidding = GatewayOptions::default().set("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "false");
    for (options, hosts) in [
        // Names and spellings that only resolution shows to be addresses.
        (forbidding, &["127.1", "0x7f000001", "2130706433", "169.254.43518"][..]),
        (GatewayOptions::default(), &["169.254.43518", "0xa9fea9fe", "2852039166"][..]),
    ] {
        let (_gateway, project) = start_with([hostile()], options).await;
        for (number, host) in hosts.iter().enumerate() {
            for (way, body) in [
                ("parts", json!({"host": host, "port": 80})),
                ("string", json!({"connection_string": format!("hostile://{host}:80")})),
            ] {
                let identifier = format!("{way}-{number}");
                let mut body = body;
                body["identifier"] = json!(identifier);
                body["options"] = json!({"network": true});
                project.connect("hostile", body).await;
                call(&project, &identifier, "/nothing").await.refused(403, "FORBIDDEN");
            }
        }
        for host in ["169.254.169.254", "::ffff:169.254.169.254", "[fd00:ec2::254]"] {
            let body = json!({"identifier": "metadata", "host": host});
            project.owner.post(&project.connections("hostile"), body).await.refused(403, "FORBIDDEN");
        }
    }
}

#[tokio::test]
async fn connection_string_must_name_one_host() {
    let redis = RedisServer::plain().await;
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let at = async |identifier: &str, string: String| -> Answer {
        let body =
            json!({"identifier": identifier, "connection_string": string, "options": {"network": true}});
        project.connect("hostile", body).await;
        call(&project, identifier, "/nothing").await
    };
    let port = redis.port;
    at("one", format!("hostile://user:secret@127.0.0.1:{port}/0")).await.expect(200);
    for (identifier, string) in [
        ("two", format!("hostile://user:secret@127.0.0.1:{port},127.0.0.2:{port}/0")),
        ("two-names", format!("hostile://user:secret@127.0.0.1,127.0.0.2:{port}/0")),
        ("none", "hostile:///secret".to_owned()),
    ] {
        let answer = at(identifier, string).await;
        let details = answer.refused(503, "CONNECTION_ERROR");
        assert_eq!(details["reason"], "unsupported", "{answer}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
}

/// Why the connection has no session.
async fn reason(
    project: &Project,
    identifier: &str,
    host: &str,
    port: u16,
    options: Value,
) -> (String, String) {
    let body = json!({"identifier": identifier, "host": host, "port": port, "options": options});
    project.connect("hostile", body).await;
    let answer = call(project, identifier, "/nothing").await;
    let details = answer.refused(503, "CONNECTION_ERROR");
    (details["reason"].as_str().unwrap().to_owned(), answer.message())
}

#[tokio::test]
async fn tls_is_the_hosts_and_follows_the_connections_settings() {
    let redis = RedisServer::start(RedisOptions::new().tls()).await;
    let other = RedisServer::start(RedisOptions::new().tls()).await;
    let plain = RedisServer::plain().await;
    let (silent, _streams) = silent_server().await;
    let (_gateway, project) = start_with([Plugin::component("hostile")], GatewayOptions::default()).await;
    let authority = &redis.certificates.as_ref().unwrap().authority;
    let trusting = json!({"network": true, "tls": true, "tls_ca": authority});

    for (identifier, host, options) in [
        ("good", "127.0.0.1", trusting.clone()),
        ("good-name", "localhost", trusting.clone()),
        ("insecure", "127.0.0.1", json!({"network": true, "tls": true, "tls_insecure": true})),
    ] {
        let body = json!({"identifier": identifier, "host": host, "port": redis.port, "options": options});
        let id = project.connect("hostile", body).await;
        call(&project, identifier, "/nothing").await.expect(200);
        let test = format!("{}/{id}/test", project.connections("hostile"));
        assert_eq!(
            project.owner.post(&test, json!({})).await.expect(200).data()["success"],
            true,
            "{identifier}"
        );
    }

    let unknown = json!({"network": true, "tls": true});
    let port = redis.port;
    let (why, message) = reason(&project, "unknown-authority", "127.0.0.1", port, unknown).await;
    assert!(why == "tls" && message.contains("certificate"), "{why}: {message}");
    let (why, message) = reason(&project, "other-authority", "127.0.0.1", other.port, trusting.clone()).await;
    assert!(why == "tls" && message.contains("certificate"), "{why}: {message}");
    let garbage = json!({"network": true, "tls": true, "tls_ca": "no certificate"});
    let (why, message) = reason(&project, "garbage", "127.0.0.1", port, garbage).await;
    assert!(why == "tls" && message.contains("tls_ca"), "{why}: {message}");
    let (why, _) = reason(&project, "plain-server", "127.0.0.1", plain.port, trusting.clone()).await;
    assert_eq!(why, "tls");
    let begin = Instant::now();
    let (why, message) = reason(&project, "silent-server", "127.0.0.1", silent, trusting.clone()).await;
    assert_eq!(why, "tls", "{message}");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    let without = json!({"network": true});
    let (why, _) = reason(&project, "plain-client", "127.0.0.1", port, without).await;
    assert!(["closed", "protocol"].contains(&why.as_str()), "{why}");
    let (why, _) = reason(&project, "nobody", "127.0.0.1", 1, trusting).await;
    assert_eq!(why, "refused");
}

#[tokio::test]
async fn certificate_must_be_for_the_connections_host() {
    let redis = RedisServer::start(RedisOptions::new().tls().line("bind 127.0.0.1 127.0.0.2")).await;
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let authority = &redis.certificates.as_ref().unwrap().authority;
    let options = json!({"network": true, "tls": true, "tls_ca": authority});
    let (why, message) = reason(&project, "wrong-name", "127.0.0.2", redis.port, options).await;
    assert!(why == "tls" && message.contains("certificate"), "{why}: {message}");
    let options = json!({"network": true, "tls": true, "tls_insecure": true});
    let body = json!({"identifier": "insecure", "host": "127.0.0.2", "port": redis.port, "options": options});
    project.connect("hostile", body).await;
    call(&project, "insecure", "/nothing").await.expect(200);
}

#[tokio::test]
async fn session_with_a_gone_server_is_replaced_before_the_next_call() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let (port, mut streams) = silent_server().await;
    connect(&project, "leaky", port, json!({})).await;
    call(&project, "leaky", "/streams").await.expect(200);
    assert_eq!(call(&project, "leaky", "/nothing").await.expect(200).data(), 0);
    drop(streams.recv().await.unwrap());
    eventually("another session", async || {
        call(&project, "leaky", "/streams").await.expect(200).data()["opened"] == 4
    })
    .await;
}
