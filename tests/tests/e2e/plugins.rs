//! Which drivers are loaded, and what becomes of files that are none.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, path::Path};
use studio_gateway_tests::{
    Gateway, GatewayOptions, Plugin, Plugins, Project, RedisDriver, Registry, World, dist,
};

pub fn sha256(file: &Path) -> String {
    Sha256::digest(fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(items: &[Value], database_type: &str) -> Value {
    items.iter().find(|item| item["type"] == database_type).cloned().unwrap_or_default()
}

#[tokio::test]
async fn loaded_drivers_are_listed_for_any_user() {
    let world = World::start(Registry::Sqlite).await;
    let items = world.stranger.get("/api/platform/plugins").await.expect(200).items();
    for database_type in ["redis", "probe"] {
        let plugin = entry(&items, database_type);
        assert_eq!((&plugin["kind"], &plugin["enabled"]), (&json!("dylib"), &json!(true)), "{plugin}");
        assert_eq!(plugin["sha256"], sha256(&dist::driver(database_type)));
        assert!(plugin["version"].is_string());
        assert!(plugin["operations"].as_array().is_some_and(|operations| !operations.is_empty()));
    }
}

async fn disabled_driver_is_an_unknown_type_and_nothing_else_changes(registry: Registry) {
    let mut world = World::start(registry).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let databases = "/api/platform/projects/alpha/databases";
    let before = world.alpha.viewer.get(databases).await.expect(200).items();
    let without_redis = [
        Plugins::new([Plugin::new("redis").disabled(), Plugin::new("probe")]),
        Plugins::new([Plugin::new("probe")]),
    ];
    for plugins in without_redis {
        plugins.write(&world.gateway.plugins_file());
        world.gateway.restart().await;
        for (method, path) in [
            ("GET", world.alpha.path("redis", "/keys")),
            ("GET", world.alpha.path("redis", "/no/such/route")),
            ("GET", world.alpha.connections("redis")),
            ("POST", world.alpha.connections("redis")),
            ("GET", format!("{}/{}", world.alpha.connections("redis"), world.alpha.connection)),
            ("DELETE", format!("{}/{}", world.alpha.connections("redis"), world.alpha.connection)),
        ] {
            let answer = world.alpha.owner.call(method, &path, Some(json!({}))).await;
            answer.refused(404, "UNKNOWN_DATABASE_TYPE");
        }
        world.alpha.viewer.get(&world.alpha.path("probe", "/nothing")).await.expect(200);
        assert_eq!(world.alpha.viewer.get(databases).await.expect(200).items(), before);
    }
    Plugins::from(RedisDriver::Library).write(&world.gateway.plugins_file());
    world.gateway.restart().await;
    world.alpha.viewer.get(&world.alpha.path("redis", "/keys")).await.expect(200);
}

#[tokio::test]
async fn file_that_is_no_driver_of_ours_is_one_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    fs::write(&text, "this is no library").unwrap();
    let empty = folder.path().join("empty.so");
    fs::write(&empty, "").unwrap();
    let cut = folder.path().join("cut.so");
    let whole = fs::read(dist::driver("probe")).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    // A library, but no driver: some object that this very program has mapped.
    let library = folder.path().join("library.so");
    fs::copy(any_mapped_library(), &library).unwrap();
    let missing = folder.path().join("missing.so");
    let wrong_hash = Plugin::new("probe").line(format!("sha256 = \"{}\"", "0".repeat(64)));

    for (plugin, words) in [
        (Plugin::file("bad", &missing), vec!["missing.so"]),
        (Plugin::file("bad", &text), vec!["text.so"]),
        (Plugin::file("bad", &empty), vec!["empty.so"]),
        (Plugin::file("bad", &cut), vec!["cut.so"]),
        (Plugin::file("bad", &library), vec!["library.so"]),
        (Plugin::file("bad", folder.path()), vec![folder.path().to_str().unwrap()]),
        (wrong_hash, vec!["probe.so", "0000000000000000"]),
        (Plugin::new("foreign"), vec!["foreign.so", "0.9.0", "0.1"]),
        (Plugin::new("crash"), vec!["crash.so"]),
        // The entry's type is not the driver's own.
        (Plugin::file("other", dist::driver("probe")), vec!["probe.so", "other"]),
    ] {
        let options =
            || GatewayOptions::default().plugins(Plugins::new([Plugin::new("redis"), plugin.clone()]));
        let mut gateway = Gateway::prepare(options()).await;
        gateway.fails_to_start().await.says(&words);
        let checked = gateway.run_cli(&["check"]);
        assert!(!checked.status.success(), "{plugin:?}");

        // Told to, it goes on without.
        let gateway = Gateway::start(options().set("GATEWAY_ON_PLUGIN_ERROR", "skip")).await;
        let log = gateway.whole_log().await;
        assert!(
            log.lines().any(|line| words.iter().all(|word| line.contains(word))),
            "no line with {words:?}:\n{log}"
        );
        let project = Project::create_empty(&gateway, "alpha").await;
        project.owner.get(&project.connections("redis")).await.expect(200);
        project.owner.get(&project.connections("bad")).await.refused(404, "UNKNOWN_DATABASE_TYPE");
    }
}

fn any_mapped_library() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
    let libraries = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    libraries.into_iter().find(|path| path.contains("libc.so")).expect("the C library").to_owned()
}

#[tokio::test]
async fn plugins_file_with_a_mistake_stops_the_start_with_its_place() {
    let probe = dist::driver("probe").display().to_string();
    let entry = format!("[[plugin]]\ntype = \"probe\"\nkind = \"dylib\"\npath = \"{probe}\"\n");
    for (text, words) in [
        (format!("{entry}enabeld = false\n"), vec!["enabeld"]),
        (format!("{entry}[plugin.limits]\nmemory = 1\n"), vec!["memory"]),
        (format!("{entry}{entry}"), vec!["probe", "two"]),
        (entry.replace("dylib", "dynamo"), vec!["dynamo"]),
        (entry.replace("kind = \"dylib\"\n", ""), vec!["kind"]),
        ("[[plugin]\n".to_owned(), vec!["line 1"]),
    ] {
        let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
        fs::write(gateway.plugins_file(), &text).unwrap();
        let failed = gateway.fails_to_start().await;
        assert!(failed.log.contains("plugins.toml"), "the file is not named: {failed:?}");
        for word in words {
            assert!(failed.log.contains(word), "`{word}` is not named: {failed:?}");
        }
        // Not something to skip: nobody knows what was meant.
        gateway.set("GATEWAY_ON_PLUGIN_ERROR", "skip");
        gateway.fails_to_start().await;
    }
    let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
    fs::remove_file(gateway.plugins_file()).unwrap();
    gateway.fails_to_start().await.says(&["plugins.toml"]);
}

#[tokio::test]
async fn disabled_twin_and_pinned_bytes_are_fine() {
    let pin = format!("sha256 = \"{}\"", sha256(&dist::driver("probe")));
    let plugins =
        Plugins::new([Plugin::new("probe").line(pin), Plugin::file("probe", "/no/such/file.so").disabled()]);
    let gateway = Gateway::start(GatewayOptions::default().plugins(plugins)).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
}

#[tokio::test]
async fn plugin_settings_are_where_connections_start_from() {
    let plugin = Plugin::new("probe").line("settings = { token = \"four\" }");
    let gateway = Gateway::start(GatewayOptions::default().plugins(Plugins::new([plugin]))).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("plain", json!({})).await;
    project.connect_probe("own", json!({"token": "mine"})).await;
    project.connect_probe("longer", json!({"token": "longer one"})).await;
    for (identifier, length) in [("plain", 4), ("own", 4), ("longer", 10)] {
        let path = project.path("probe", &format!("/facts/x?connection={identifier}"));
        assert_eq!(
            project.viewer.get(&path).await.expect(200).data()["token_length"],
            length,
            "{identifier}"
        );
    }
}

#[tokio::test]
async fn plugin_settings_that_do_not_fit_the_driver_stop_the_start() {
    let plugin = Plugin::new("probe").line("settings = { surplus = 1 }");
    let options = GatewayOptions::default().plugins(Plugins::new([plugin]));
    Gateway::prepare(options).await.fails_to_start().await.says(&["probe.so", "surplus"]);
}

#[tokio::test]
async fn reload_applies_the_file_and_keeps_what_works_when_it_is_bad() {
    let mut world = World::start(Registry::Sqlite).await;
    let file = world.gateway.plugins_file();
    let admin = world.platform_admin.clone();
    let reload = async || admin.post("/api/platform/plugins/reload", json!({})).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let keys = world.alpha.path("redis", "/keys");
    let nothing = world.alpha.path("probe", "/nothing");
    let viewer = &world.alpha.viewer;
    viewer.get(&keys).await.expect(200);

    Plugins::new([Plugin::new("redis").disabled(), Plugin::new("probe")]).write(&file);
    viewer.get(&keys).await.expect(200);
    reload().await.expect(200);
    viewer.get(&keys).await.refused(404, "UNKNOWN_DATABASE_TYPE");
    viewer.get(&nothing).await.expect(200);
    assert_eq!(entry(&viewer.get("/api/platform/plugins").await.items(), "redis")["enabled"], false);

    for bad in [
        Plugins::new([Plugin::new("redis").line("surplus = 1")]),
        Plugins::new([Plugin::new("redis"), Plugin::new("crash")]),
        Plugins::new([Plugin::new("redis"), Plugin::new("foreign")]),
    ] {
        bad.write(&file);
        let answer = reload().await;
        assert!(answer.status >= 400, "{answer}");
        viewer.get(&keys).await.refused(404, "UNKNOWN_DATABASE_TYPE");
        viewer.get(&nothing).await.expect(200);
    }

    Plugins::from(RedisDriver::Library).write(&file);
    reload().await.expect(200);
    viewer.get(&keys).await.expect(200);
    // Again and again, while it is used.
    for _ in 0..5 {
        let (reloaded, answered) = tokio::join!(reload(), viewer.get(&nothing));
        reloaded.expect(200);
        answered.expect(200);
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn running_call_ends_on_the_driver_it_began_with() {
    let mut world = World::start(Registry::Sqlite).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let wait = world.alpha.path("probe", "/wait?milliseconds=2000");
    let viewer = world.alpha.viewer.clone();
    let running = tokio::spawn(async move { viewer.get(&wait).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    Plugins::new([Plugin::new("redis")]).write(&world.gateway.plugins_file());
    world.platform_admin.post("/api/platform/plugins/reload", json!({})).await.expect(200);
    world
        .alpha
        .viewer
        .get(&world.alpha.path("probe", "/nothing"))
        .await
        .refused(404, "UNKNOWN_DATABASE_TYPE");
    running.await.unwrap().expect(204);
    world.gateway.stop().await;
}

on_both_registries!(disabled_driver_is_an_unknown_type_and_nothing_else_changes);

#[test]
fn gateway_has_no_database_client_but_its_registrys() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = ["tree", "--package", "studio-gateway", "--edges", "normal,build", "--prefix", "none"];
    let output = std::process::Command::new(cargo).args(tree).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"sqlx"));
    for client in ["redis", "mongodb", "tokio-postgres", "studio-driver-redis", "studio-driver-probe"] {
        assert!(!crates.contains(&client), "the host depends on {client}");
    }
}
