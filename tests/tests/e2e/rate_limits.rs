//! How often callers may ask. The arithmetic is tested by a clock of its own, in the host's `limits`.

use serde_json::json;
use sfv::{BareItem, List, ListEntry, Parser};
use std::{collections::BTreeMap, fs, time::Instant};
use studio_gateway_tests::{
    Gateway, GatewayOptions, Project, Token,
    client::{Answer, Client},
    eventually,
    gateway::random_hex,
    raw::raw_request,
};

const READ: &str = "/api/platform/probe/alpha/nothing";
const WRITE: &str = "/api/platform/probe/alpha/write";

/// A gateway with project `alpha` and its probe, which from now on is limited as `gateway.toml` and these variables say.
async fn limited(gateway_toml: &str, variables: &[(&str, &str)]) -> (Gateway, Project) {
    let mut gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    fs::write(gateway.file("gateway.toml"), gateway_toml).unwrap();
    gateway.set("GATEWAY_RATE_LIMIT", "");
    variables.iter().for_each(|(name, value)| gateway.set(name, value));
    gateway.restart().await;
    (gateway, project)
}

/// A field of items with parameters, as a client reads it: RFC 9651.
fn field(answer: &Answer, name: &str) -> BTreeMap<String, BTreeMap<String, i64>> {
    let text = answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    let list: List = Parser::new(text).parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    let item = |entry| match entry {
        ListEntry::Item(sfv::Item { bare_item: BareItem::String(name), params }) => {
            let numbers = params
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_string(), i64::from(value.as_integer()?))));
            (name.as_str().to_owned(), numbers.collect())
        }
        other => panic!("no string with parameters: {other:?}"),
    };
    list.into_iter().map(item).collect()
}

/// Asks until it is refused, and gives back how often it was not, and by which limit it was.
async fn room(client: &Client, method: &str, path: &str) -> (usize, String) {
    for count in 0..1000 {
        let answer = client.call(method, path, None).await;
        if answer.status == 429 {
            let limit = answer.refused(429, "RATE_LIMITED")["limit"].as_str().unwrap().to_owned();
            return (count, limit);
        }
        assert!(answer.status < 300, "{answer}");
    }
    panic!("{method} {path} is not limited");
}

#[tokio::test]
async fn caller_is_told_what_is_left_and_when_to_return() {
    let (_gateway, alpha) = limited("", &[("GATEWAY_RATE_LIMIT", "3")]).await;
    for left in [2, 1, 0] {
        let answer = alpha.viewer.get(READ).await.expect(200);
        assert_eq!(
            field(&answer, "ratelimit-policy")["total"],
            BTreeMap::from([("q".into(), 3), ("w".into(), 60)])
        );
        let limit = &field(&answer, "ratelimit")["total"];
        assert_eq!(limit["r"], left, "{answer}");
        assert!((1..=60).contains(&limit["t"]), "{answer}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let answer = alpha.viewer.get(READ).await;
    let details = answer.refused(429, "RATE_LIMITED");
    let seconds = details["retry_after"].as_i64().expect("whole seconds");
    assert!((1..=20).contains(&seconds), "{answer}");
    assert_eq!(details["limit"], "everyone.total");
    assert_eq!(answer.header("retry-after"), Some(seconds.to_string().as_str()));
    assert_eq!(field(&answer, "ratelimit-policy")["total"]["q"], 3);
    assert_eq!(
        field(&answer, "ratelimit")["total"],
        BTreeMap::from([("r".into(), 0), ("t".into(), seconds)])
    );
    // The total is over all classes and routes, and each user has their own.
    alpha.viewer.get("/api/platform/projects").await.refused(429, "RATE_LIMITED");
    alpha.developer.post(WRITE, json!({})).await.expect(204);
}

#[tokio::test]
async fn each_class_has_a_hundred_a_minute_by_default() {
    let (_gateway, alpha) = limited("", &[]).await;
    let start = Instant::now();
    let (count, limit) = room(&alpha.developer, "GET", READ).await;
    // One more comes back every 0.6 s.
    let came_back = start.elapsed().as_millis() as usize / 600 + 1;
    assert!((100..=100 + came_back).contains(&count), "{count}");
    assert_eq!(limit, "everyone.read");
    let answer = alpha.developer.post(WRITE, json!({})).await.expect(204);
    assert_eq!(field(&answer, "ratelimit")["write"]["r"], 99);
    let answer = alpha.developer.get("/api/platform/probe/alpha/facts/x").await.expect(200);
    assert_eq!(
        field(&answer, "ratelimit")["query"]["r"],
        99,
        "what reads or writes by the call is a class of its own"
    );
}

#[tokio::test]
async fn role_driver_and_project_have_limits_of_their_own() {
    let tables = "
        [rate_limit.roles.viewer]
        read = 2
        [rate_limit.drivers.probe]
        write = 4
        [rate_limit.projects.beta]
        read = 3
        total = 5
    ";
    let (gateway, alpha) = limited(tables, &[]).await;
    let beta = Project::create_empty(&gateway, "beta").await;
    beta.connect_probe("probe", json!({})).await;
    let both = gateway.client(&Token::user("both").grant("alpha", "viewer").grant("beta", "developer"));

    assert_eq!(room(&both, "GET", READ).await, (2, "roles.viewer.read".to_owned()));
    assert_eq!(
        room(&both, "GET", &beta.path("probe", "/nothing")).await,
        (3, "projects.beta.read".to_owned())
    );
    let last = room(&both, "POST", &beta.path("probe", "/write")).await;
    assert_eq!(last, (2, "projects.beta.total".to_owned()), "3 of 5 are used up by reads");
    assert_eq!(room(&alpha.developer, "POST", WRITE).await, (4, "drivers.probe.write".to_owned()));
    let answer = alpha.developer.get(READ).await.expect(200);
    assert_eq!(field(&answer, "ratelimit-policy")["read"]["q"], 100, "a developer may what everyone may");
}

#[tokio::test]
async fn hosts_routes_are_limited_and_failures_tell_the_remainder() {
    let (gateway, alpha) =
        limited("", &[("GATEWAY_RATE_LIMIT_ADMIN", "2"), ("GATEWAY_RATE_LIMIT_READ", "3")]).await;
    let connections = alpha.connections("probe");
    let answer = alpha.admin.post(&connections, json!({"identifier": "NO", "host": "127.0.0.1"})).await;
    answer.refused_field("identifier");
    assert_eq!(field(&answer, "ratelimit")["admin"]["r"], 1);
    let body = json!({"identifier": "second", "host": "127.0.0.1"});
    alpha.admin.post(&connections, body.clone()).await.expect(201);
    let details = alpha.admin.post(&connections, body).await.refused(429, "RATE_LIMITED");
    assert_eq!(details["limit"], "everyone.admin");
    // Reads of the host's own routes and of drivers are one class.
    alpha.admin.get(&connections).await.expect(200);
    alpha.admin.get("/api/platform/plugins").await.expect(200);
    let answer = alpha.admin.get(READ).await.expect(200);
    assert_eq!(field(&answer, "ratelimit")["read"]["r"], 0);
    alpha.admin.get("/api/platform/organizations").await.refused(429, "RATE_LIMITED");
    // A caller without a role there is not told that by another code, nor without a token.
    let stranger = gateway.client(&Token::user("stranger"));
    stranger.get(&connections).await.refused(404, "NOT_FOUND");
    gateway.anonymous().get(&connections).await.refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn address_is_limited_before_its_token_is_read_and_health_never() {
    let (gateway, alpha) = limited("", &[("GATEWAY_RATE_LIMIT_ADDRESS", "3")]).await;
    let bad = gateway.anonymous().with_token("nonsense");
    bad.get(READ).await.refused(401, "UNAUTHENTICATED");
    gateway.anonymous().get("/api/platform/projects").await.refused(401, "UNAUTHENTICATED");
    alpha.viewer.get(READ).await.expect(200);
    for client in [&bad, &gateway.anonymous(), &alpha.viewer] {
        for path in [READ, "/api/platform/projects"] {
            let answer = client.get(path).await;
            assert_eq!(answer.refused(429, "RATE_LIMITED")["limit"], "address");
            assert_eq!(field(&answer, "ratelimit")["address"]["r"], 0);
        }
    }
    for _ in 0..20 {
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = gateway.anonymous().get(path).await.expect(200);
            assert_eq!(answer.header("ratelimit"), None);
        }
    }
    let metrics = gateway.anonymous().get("/metrics").await;
    let text = String::from_utf8(metrics.bytes).unwrap();
    assert!(text.contains("studio_gateway_rate_limited_total{limit=\"address\"} 6\n"), "{text}");
}

/// Asks without a token, with these headers: 401, or 429 when it was once too often.
async fn status(gateway: &Gateway, headers: &[(&str, &str)]) -> u16 {
    let client = gateway.anonymous();
    let request = client.request("GET", "/api/platform/projects");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    client.send(request).await.status
}

#[tokio::test]
async fn forwarded_address_counts_only_from_a_trusted_proxy() {
    let (mut gateway, _alpha) = limited("", &[("GATEWAY_RATE_LIMIT_ADDRESS", "2")]).await;
    for (client, expected) in [("192.0.2.1", 401), ("192.0.2.2", 401), ("192.0.2.3", 429)] {
        let forged = [("x-forwarded-for", client), ("forwarded", &*format!("for={client}"))];
        assert_eq!(status(&gateway, &forged).await, expected, "{client}");
    }

    gateway.set("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.0/8");
    gateway.restart().await;
    for (chain, expected) in [
        ("192.0.2.1", 401),
        ("192.0.2.1, 10.0.0.1", 401),
        ("198.51.100.7, 192.0.2.1", 429),
        ("2001:db8:0:1::1", 401),
        ("2001:db8:0:1:ffff::2", 401),
        ("2001:db8:0:1:8000::3", 429),
        ("2001:db8:0:2::1", 401),
    ] {
        assert_eq!(status(&gateway, &[("x-forwarded-for", chain)]).await, expected, "{chain}");
    }
    // The header that was not chosen is the client's own.
    assert_eq!(
        status(&gateway, &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.9")]).await,
        429
    );
    assert!(gateway.whole_log().await.contains("192.0.2.1"), "the log names the client and not the proxy");

    gateway.set("GATEWAY_FORWARDED_HEADER", "forwarded");
    gateway.restart().await;
    for expected in [401, 401, 429] {
        let headers =
            [("forwarded", "for=\"192.0.2.1:4711\";proto=https"), ("x-forwarded-for", &random_address())];
        assert_eq!(status(&gateway, &headers).await, expected);
    }
    // A proxy quotes what clients say of themselves, commas and all.
    for host in ["x,for=198.51.100.1", "x\\\",for=198.51.100.2", "a;for=198.51.100.3"] {
        let header = format!("for=192.0.2.1;host=\"{host}\"");
        assert_eq!(status(&gateway, &[("forwarded", &header)]).await, 429, "{header}");
    }
    gateway.set("GATEWAY_FORWARDED_HEADER", "x-forwarded-for");
    gateway.restart().await;
    for expected in [401, 401, 429] {
        let header = [("x-forwarded-for", "[2001:db8:7:1::1], 10.0.0.1")];
        assert_eq!(status(&gateway, &header).await, expected, "in brackets it is an address too");
    }
}

#[tokio::test]
async fn request_that_one_limit_refuses_counts_for_no_other() {
    let limits = "[rate_limit.everyone]\ntotal = '60 burst 3'\nread = '60 burst 6'";
    let (_gateway, alpha) = limited(limits, &[]).await;
    for _ in 0..3 {
        alpha.viewer.get(READ).await.expect(200);
    }
    let mut left = 0;
    for _ in 0..20 {
        let answer = alpha.viewer.get(READ).await;
        if answer.status == 429 {
            assert_eq!(answer.refused(429, "RATE_LIMITED")["limit"], "everyone.total");
            left = field(&answer, "ratelimit")["read"]["r"];
            assert!(left >= 3, "what the total refuses is not taken from the class: {answer}");
        }
    }
    assert!(left >= 3, "nothing was refused");
}

fn random_address() -> String {
    let hex = random_hex();
    format!("2001:db8:{}:{}::1", &hex[..4], &hex[4..8])
}

#[tokio::test]
async fn zero_switches_all_limiting_off() {
    let tables = "[rate_limit]\naddress = 1\n[rate_limit.everyone]\nread = 1\n[rate_limit.projects.alpha]\ntotal = 1\n";
    let (_gateway, alpha) = limited(tables, &[("GATEWAY_RATE_LIMIT", "0")]).await;
    for _ in 0..300 {
        let answer = alpha.viewer.get(READ).await.expect(200);
        assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), (None, None));
    }
}

#[tokio::test]
async fn refused_write_is_answered_before_its_body_without_a_trace() {
    let (gateway, alpha) = limited("", &[("GATEWAY_RATE_LIMIT_WRITE", "1")]).await;
    alpha.developer.post(WRITE, json!({})).await.expect(204);
    // A body that never comes.
    let request = format!(
        "POST {WRITE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\nconnection: close\r\n\r\n",
        alpha.developer.token()
    );
    let answer = raw_request(gateway.address(), request.as_bytes()).await;
    assert_eq!(answer.status, 429, "{}", answer.head);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    let table = gateway.database.table("gateway_audit_logs");
    let results = format!("SELECT result FROM {table} WHERE action LIKE 'probe: %'");
    eventually("the write that was let through is on record, alone", async || {
        gateway.database.texts(&results).await == ["ok"]
    })
    .await;
}

#[tokio::test]
async fn limits_that_make_no_sense_stop_the_start() {
    let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
    for (text, word) in [
        ("[rate_limit.everyone]\nreads = 5\n", "reads"),
        ("[rate_limit.roles.guest]\nread = 5\n", "guest"),
        ("[rate_limit.projects.alpha]\nread = '5 at once'\n", "rate_limit.projects.alpha.read"),
        ("[http]\ntrusted_proxies = ['10.0.0.1/33']\n", "trusted_proxies"),
    ] {
        fs::write(gateway.file("gateway.toml"), text).unwrap();
        gateway.fails_to_start().await.says(&["gateway.toml:", word]);
    }
}
