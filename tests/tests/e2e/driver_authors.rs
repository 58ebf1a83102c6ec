//! What authors of drivers are told of what they did wrong, and spared.

use super::sandbox::{logged, start_with};
use serde_json::{Value, json};
use std::time::Duration;
use studio_gateway_tests::{Gateway, GatewayOptions, Guest, Plugin, Plugins, Project, dist, eventually};

async fn start_probe(options: GatewayOptions) -> (Gateway, Project) {
    let (gateway, project) = start_with([Plugin::new("probe")], options).await;
    project.connect_probe("probe", json!({})).await;
    (gateway, project)
}

/// The value of a metric, by how its line begins.
async fn metric(gateway: &Gateway, name: &str) -> Option<u64> {
    let text = String::from_utf8(gateway.anonymous().get("/metrics").await.expect(200).bytes).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

const BLOCKING: &str = "studio_gateway_blocking_driver_calls{type=\"probe\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_driver_is_logged_and_counted_and_its_caller_told() {
    let (gateway, project) =
        start_probe(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "1500ms")).await;
    assert_eq!(metric(&gateway, BLOCKING).await, Some(0));
    let call = async |path: &str, id: &str| {
        let viewer = &project.viewer;
        let request = viewer.request("GET", &project.path("probe", &format!("{path}?milliseconds=4000")));
        let answer = viewer.send(request.header("x-request-id", id)).await;
        assert_eq!(answer.refused(504, "TIMEOUT"), json!({"cancelled": false}), "{answer}");
        let message = answer.message();
        assert!(message.contains("could not be cancelled") && message.contains("blocks"), "{answer}");
    };
    tokio::join!(call("/block", "blocks-4711"), call("/spin", "spins-4712"));
    assert_eq!(metric(&gateway, BLOCKING).await, Some(2));
    for (path, id) in [("/block", "blocks-4711"), ("/spin", "spins-4712")] {
        logged(
            &gateway,
            &["WARN", "probe", id, &format!("driver blocks: GET {path} has not returned for 1.")],
        )
        .await;
        logged(&gateway, &["WARN", "probe", id, &format!("driver blocked: GET {path} returned after")]).await;
    }
    eventually("nothing blocks", async || metric(&gateway, BLOCKING).await == Some(0)).await;
    let answer = project.viewer.get(&project.path("probe", "/wait?milliseconds=60000")).await;
    assert_eq!(answer.refused(504, "TIMEOUT"), json!(null));
    assert!(answer.message().ends_with("was cancelled"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_that_blocks_while_it_connects_is_told_of_too() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "500ms");
    let (gateway, project) = start_probe(options).await;
    project.connect_probe("blocks", json!({"connect": "block"})).await;
    let answer = project.viewer.get(&project.path("probe", "/nothing?connection=blocks")).await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "timeout");
    assert!(answer.message().contains("the driver blocks"), "{answer}");
    logged(&gateway, &["WARN", "probe", "driver blocks: connect has not returned for 1."]).await;
}

#[tokio::test]
async fn what_a_driver_may_not_answer_is_in_the_log_with_the_request() {
    let (gateway, project) = start_probe(GatewayOptions::default()).await;
    for (path, said) in [
        ("/garbage/code", &["UNAUTHENTICATED", "the probe pretends to be the host"][..]),
        ("/garbage/nothing", &["code=", "message="]),
        ("/garbage/details", &["QUERY_ERROR", "the probe stammers", "d-d-details"]),
        ("/garbage/outcome", &["outcome=77"]),
        ("/garbage/payload", &["GET /garbage/payload", "no payload where one is due"]),
    ] {
        let answer = project.viewer.get(&project.path("probe", path)).await;
        answer.refused(502, "DRIVER_ERROR");
        assert!(!answer.message().contains("pretends"), "{answer}");
        logged(&gateway, &[&["probe", answer.header("x-request-id").unwrap()], said].concat()).await;
    }
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
}

#[tokio::test]
async fn tasks_and_threads_of_a_handler_log_under_its_request() {
    let (gateway, project) = start_probe(GatewayOptions::default()).await;
    let viewer = &project.viewer;
    let request =
        viewer.request("GET", &project.path("probe", "/log/elsewhere")).header("x-request-id", "afar-4713");
    viewer.send(request).await.expect(204);
    for words in ["probe in a task", "probe on a thread"] {
        logged(&gateway, &[words, "afar-4713"]).await;
    }
}

#[tokio::test]
async fn log_lines_in_json_have_no_name_twice() {
    let (gateway, project) =
        start_probe(GatewayOptions::default().trace().set("GATEWAY_LOG_FORMAT", "json")).await;
    project.viewer.get(&project.path("probe", "/log")).await.expect(204);
    logged(&gateway, &["probe at trace"]).await;
    let log = gateway.whole_log().await;
    let line = log.lines().find(|line| line.contains("probe at warn")).unwrap();
    let json: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&json["target"], &json["driver"]), (&json!("driver"), &json!("probe")), "{line}");
    assert!(json["module"].as_str().is_some_and(|module| module.contains("probe")), "{line}");
    for line in log.lines().filter(|line| line.starts_with('{')) {
        for name in ["\"target\":", "\"level\":", "\"timestamp\":", "\"message\":"] {
            assert!(line.matches(name).count() <= 1, "{name} in {line}");
        }
    }
}

/// A driver that looks at nothing itself: whatever reaches it is answered with 1.
fn trusting() -> Guest {
    let one = "(call $number (i64.const 1))";
    let names = json!({"type": "object", "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}}});
    let query = json!({"type": "object", "additionalProperties": false, "required": ["count"], "properties": {
        "count": {"type": "integer", "maximum": 10}, "names": {"type": "array", "items": {"enum": ["a", "b"]}}}});
    let item = json!({"type": "object", "required": ["ttl"], "additionalProperties": false,
        "properties": {"ttl": {"type": "integer", "minimum": 0}}});
    let body = json!({"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
        "additionalProperties": false, "$defs": {"item": item}});
    let twice = json!({"$ref": "#/$defs/n", "$defs": {"n": {
        "additionalProperties": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}}}});
    let options = json!({"type": "object", "additionalProperties": false, "properties": {
        "mode": {"enum": ["fast", "safe"]}, "token": {"type": "string", "writeOnly": true, "minLength": 8}}});
    (0..3)
        .fold(Guest::new("guest"), |guest, number| guest.operation(&number.to_string(), one))
        .manifest_field("options", options)
        .manifest_field("connection_string_schemes", json!(["guest"]))
        .manifest_field(
            "operations",
            json!([
                {"method": "GET", "path": "/things/{name}", "access": "read", "path_parameters": names, "query": query},
                {"method": "POST", "path": "/things", "access": "read", "body": body},
                {"method": "POST", "path": "/twice", "access": "read", "body": twice},
            ]),
        )
}

#[tokio::test]
async fn component_is_asked_only_what_fits_its_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::component_file("guest", trusting().write(folder.path().join("guest.wasm")));
    let (_gateway, project) = start_with([plugin], GatewayOptions::default()).await;
    let connections = project.connections("guest");
    let create = async |body: Value| project.owner.post(&connections, body).await;
    let at = |options: Value| json!({"identifier": "main", "host": "127.0.0.1", "options": options});
    create(at(json!({"mode": "quick"}))).await.refused_field("options.mode");
    create(at(json!({"mood": "fast"}))).await.refused_field("options.mood");
    let answer = create(at(json!({"token": "s3cr3t"}))).await;
    answer.refused_field("options.token");
    assert!(!answer.to_string().contains("s3cr3t"), "{answer}");
    create(at(json!({"mode": "fast", "token": "long enough"}))).await.expect(201);

    let get = async |path: &str| project.viewer.get(&project.path("guest", path)).await;
    for fine in ["/things/a?count=10", "/things/a?count=1&names=a,b"] {
        assert_eq!(get(fine).await.expect(200).data(), 1, "{fine}");
    }
    for (path, field) in [
        ("/things/a", "count"),
        ("/things/a?count=11", "count"),
        ("/things/a?count=one", "count"),
        ("/things/a?count=1&count=2", "count"),
        ("/things/a?count=1&names=a,c", "names[1]"),
        ("/things/a?count=1&surplus=1", "surplus"),
        ("/things/A?count=1", "name"),
        ("/things/%FF?count=1", "name"),
    ] {
        get(path).await.refused_field(field);
    }
    let post = async |path: &str, body: Value| project.viewer.post(&project.path("guest", path), body).await;
    post("/things", json!({"items": [{"ttl": 1}]})).await.expect(200);
    for (body, field) in [
        (json!({"items": [{"ttl": 1}, {"ttl": "1"}]}), "items[1].ttl"),
        (json!({"items": [{}]}), "items[0].ttl"),
        (json!({"itms": []}), "itms"),
        (json!([]), "body"),
    ] {
        post("/things", body).await.refused_field(field);
    }
    // Large ones are looked at elsewhere.
    let many: Vec<Value> = (0..20_000).map(|ttl| json!({"ttl": ttl})).collect();
    post("/things", json!({"items": many})).await.expect(200);
    // A schema that would have to be walked for as long as the world lasts is the driver's fault.
    let deep = (0..100).fold(json!(1), |inner, _| json!({"c": inner}));
    let answer = post("/twice", deep).await;
    answer.refused(502, "DRIVER_ERROR");
    assert!(answer.message().contains("too many steps"), "{answer}");
    post("/twice", json!({"c": 1})).await.expect(200);
}

#[tokio::test]
async fn component_whose_schema_is_none_is_refused_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, words) in [
        (
            "type",
            json!({"properties": {"tls": {"type": "boolen"}}}),
            "`/options/properties/tls/type` `boolen` is no type",
        ),
        (
            "remote",
            json!({"properties": {"x": {"not": {"$ref": "http://127.0.0.1:1/x"}}}}),
            "`http://127.0.0.1:1/x`",
        ),
        ("regex", json!({"properties": {"x": {"pattern": "(a{1000}){1000}"}}}), "linear time"),
    ] {
        let guest = Guest::new("guest").manifest_field("options", options);
        let plugin = Plugin::component_file("guest", guest.write(folder.path().join(format!("{name}.wasm"))));
        let options = GatewayOptions::default().plugins(Plugins::new([plugin]));
        Gateway::prepare(options).await.fails_to_start().await.says(&[&format!("{name}.wasm"), words]);
    }
}

#[tokio::test]
async fn native_driver_may_leave_its_schemas_to_the_gateway() {
    let (_gateway, project) = start_with([Plugin::new("single")], GatewayOptions::default()).await;
    let connection = |options: Value| json!({"identifier": "one", "host": "127.0.0.1", "options": options});
    let create =
        async |options: Value| project.owner.post(&project.connections("single"), connection(options)).await;
    // What only the schema says.
    create(json!({"accepts": 1001})).await.refused_field("options.accepts");
    create(json!({"accepts": 1000})).await.expect(201);
    let get =
        async |query: &str| project.viewer.get(&project.path("single", &format!("/number{query}"))).await;
    get("?milliseconds=600001").await.refused_field("milliseconds");
    get("?milliseconds=soon").await.refused_field("milliseconds");
    get("?milliseconds=1").await.expect(200);
    get("").await.expect(200);
}

#[tokio::test]
async fn connection_string_must_have_a_scheme_the_driver_declares() {
    let plugins = [Plugin::new("probe"), Plugin::new("single")];
    let (_gateway, project) = start_with(plugins, GatewayOptions::default()).await;
    let create = async |database_type: &str, string: &str| {
        let body = json!({"identifier": "string", "connection_string": string});
        project.owner.post(&project.connections(database_type), body).await
    };
    for (database_type, string, words) in [
        ("probe", "prob://user:s3cr3t@127.0.0.1", "`probe://`"),
        ("probe", "user:s3cr3t@127.0.0.1", "`probe://`"),
        ("single", "single://s3cr3t@127.0.0.1", "takes none"),
    ] {
        let answer = create(database_type, string).await;
        answer.refused_field("connection_string");
        assert!(answer.message().contains(words) && !answer.to_string().contains("s3cr3t"), "{answer}");
    }
    let created = create("probe", "PROBE://user:s3cr3t@127.0.0.1").await.expect(201);
    let id = created.data()["id"].as_str().unwrap().to_owned();
    let path = format!("{}/{id}", project.connections("probe"));
    project
        .owner
        .put(&path, json!({"connection_string": "other://h"}))
        .await
        .refused_field("connection_string");
}

#[tokio::test]
async fn verify_names_what_a_manifest_can_not_mean() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::prepare(GatewayOptions::default()).await;
    let verify = |file: &std::path::Path| {
        let output = gateway.run_cli(&["plugin", "verify", file.to_str().unwrap()]);
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let operation = json!({"method": "GET", "path": "/things/{id}", "access": "read", "sumary": "x",
        "path_parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "query": {"type": "object", "properties": {"count": {"type": "int"}}}});
    let guest = Guest::new("guest")
        .manifest_field("conection_string_schemes", json!(["guest"]))
        .manifest_field(
            "options",
            json!({"type": "object", "required": ["mode"], "properties": {"mode": {}}}),
        )
        .manifest_field("checked_by", json!("driver"))
        .manifest_field("operations", json!([operation]));
    let (succeeds, text) = verify(&guest.write(folder.path().join("guest.wasm")));
    assert!(!succeeds, "{text}");
    for place in [
        "/conection_string_schemes: is no field",
        "/options/required/0: requires `mode`",
        "/operations/0/sumary: is no field",
        "/operations/0/path: names `id`, and the handler reads `name`",
        "/operations/0/path_parameters/properties/name: is no parameter",
        "/operations/0/query/properties/count/type: `int` is no type",
    ] {
        assert!(text.contains(place), "{place} in {text}");
    }
    let native = ["redis", "mongodb", "postgres", "probe", "single"].map(dist::driver);
    for file in native.into_iter().chain([dist::component("memcached")]) {
        let (succeeds, text) = verify(&file);
        assert!(succeeds && text.contains(": loads"), "{text}");
    }
}

/// Not a wait for anything: time for what should not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_that_waits_without_blocking_is_not_called_blocking() {
    let (gateway, project) = start_probe(GatewayOptions::default()).await;
    let path = project.path("probe", "/wait?milliseconds=2500");
    let waiting = project.viewer.get(&path);
    let looking = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(metric(&gateway, BLOCKING).await, Some(0));
    };
    let (answer, ()) = tokio::join!(waiting, looking);
    answer.expect(204);
    let log = gateway.whole_log().await;
    assert!(!log.contains("driver blocks"), "{log}");
}
