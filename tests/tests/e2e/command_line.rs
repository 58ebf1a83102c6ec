//! The other commands, and settings that are wrong.

use serde_json::{Value, json};
use std::{fs, process::Output};
use studio_gateway_tests::{Gateway, GatewayOptions, Project, Registry, dist};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn help_teaches() {
    let gateway = Gateway::prepare(GatewayOptions::default()).await;
    let help = gateway.run_cli(&["--help"]);
    assert!(help.status.success());
    for command in ["serve", "migrate", "check", "token", "project", "connection", "plugin"] {
        assert!(text(&help).contains(command), "{command} is not in --help");
        let help = gateway.run_cli(&[command, "--help"]);
        assert!(help.status.success() && !help.stdout.is_empty(), "{command} --help");
    }
    assert!(!gateway.run_cli(&["no-such-command"]).status.success());
}

#[tokio::test]
async fn tokens_that_it_prints_are_good() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let token = |arguments: &[&str]| {
        let output = gateway.run_cli(&[&["token", "--sub", "someone"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
        gateway.anonymous().with_token(String::from_utf8(output.stdout).unwrap().trim())
    };
    let path = "/api/platform/probe/alpha/facts/x";
    token(&[]).get(path).await.refused(404, "NOT_FOUND");
    let developer = token(&["--project", "alpha=developer", "--project", "beta=owner"]);
    assert_eq!(developer.get(path).await.data()["granted"], "write");
    assert_eq!(token(&["--platform-admin", "--ttl", "1h"]).get(path).await.data()["granted"], "admin");
    assert!(!gateway.run_cli(&["token"]).status.success(), "a token for nobody");
    assert!(!gateway.run_cli(&["token", "--sub", "x", "--project", "alpha=emperor"]).status.success());
}

async fn check_and_migrate_work_without_serving(registry: Registry) {
    let mut gateway = Gateway::prepare(GatewayOptions::new(registry)).await;
    for command in ["migrate", "migrate", "check", "check"] {
        let output = gateway.run_cli(&[command]);
        assert!(output.status.success(), "{command}: {}", text(&output));
    }
    gateway.start_again().await;
    gateway.platform_admin().get("/api/platform/projects").await.expect(200);
}

#[tokio::test]
async fn manifest_of_a_file_is_printed_or_the_reason_why_not() {
    let gateway = Gateway::prepare(GatewayOptions::default()).await;
    let inspect = |name: &str| gateway.run_cli(&["plugin", "inspect", dist::driver(name).to_str().unwrap()]);
    for database_type in ["probe", "redis"] {
        let output = inspect(database_type);
        assert!(output.status.success(), "{}", text(&output));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("not JSON: {printed}"));
        let manifest = json.get("manifest").unwrap_or(&json);
        assert_eq!(manifest["type"], database_type);
        assert!(manifest["operations"].as_array().is_some_and(|operations| !operations.is_empty()));
    }
    let foreign = inspect("foreign");
    assert!(!foreign.status.success() && text(&foreign).contains("0.9.0"), "{}", text(&foreign));
}

#[tokio::test]
async fn bad_settings_stop_the_start_by_name() {
    for (name, value) in [
        ("GATEWAY_LISTEN", "not an address"),
        ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "perhaps"),
        ("GATEWAY_ON_PLUGIN_ERROR", "panic"),
        ("GATEWAY_DRAIN_TIMEOUT", "soon"),
        ("GATEWAY_LOG", "=,=,"),
        ("DATABASE_URL", "gopher://x"),
        ("GATEWAY_JWT_SECRET", "short"),
        ("GATEWAY_CONFIG", "/no/such/gateway.toml"),
    ] {
        let mut gateway = Gateway::prepare(GatewayOptions::default().set(name, value)).await;
        let failed = gateway.fails_to_start().await;
        assert!(failed.status.code().is_some_and(|code| code != 0 && code != 101), "{failed:?}");
        let names = [name, "jwt_secret", "/no/such/gateway.toml"];
        assert!(names.iter().any(|name| failed.log.contains(name)), "{name} is not named: {}", failed.log);
        assert!(!gateway.run_cli(&["check"]).status.success());
    }
}

#[tokio::test]
async fn mistakes_in_the_settings_file_are_shown_with_their_line() {
    let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
    let file = gateway.file("gateway.toml");
    gateway.set("GATEWAY_CONFIG", file.to_str().unwrap());
    for (text, words) in [
        ("# fine\n[http]\nlisten_on = \"127.0.0.1:0\"\n", ["gateway.toml:3", "listen_on"]),
        ("[http]\ndrain_timeout = \"soon\"\n", ["gateway.toml:2", "drain_timeout"]),
        ("[nonsense]\n", ["gateway.toml:1", "nonsense"]),
        ("[http\n", ["gateway.toml:1", "TOML"]),
    ] {
        fs::write(&file, text).unwrap();
        gateway.fails_to_start().await.says(&words);
    }
    fs::write(&file, "[limits]\nmax_body_bytes = 10\n").unwrap();
    gateway.start_again().await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let body = json!({"more": "than ten bytes"});
    project.owner.post(&project.path("probe", "/write"), body).await.refused(413, "PAYLOAD_TOO_LARGE");
}

async fn changes_by_the_command_line_are_in_the_audit_trail(registry: Registry) {
    let mut gateway = Gateway::prepare(GatewayOptions::new(registry).set("USER", "operator")).await;
    let run = |gateway: &Gateway, arguments: &[&str], input: &str| {
        let file = gateway.file("input");
        fs::write(&file, input).unwrap();
        let output = gateway.run_cli_with(arguments, &file);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    };
    let body = json!({"identifier": "main", "host": "127.0.0.1"}).to_string();
    run(&gateway, &["project", "create", "shop", "--organization", "acme", "--owner", "olga"], "");
    run(&gateway, &["project", "set-jwt-secret", "shop"], "a secret of at least thirty-two bytes");
    run(&gateway, &["connection", "create", "shop", "probe"], &body);
    run(&gateway, &["connection", "test", "shop", "probe", "main"], "");
    run(&gateway, &["connection", "delete", "shop", "probe", "main"], "");
    run(&gateway, &["project", "delete", "shop"], "");
    run(&gateway, &["rekey"], "");
    // What is refused is no change.
    assert!(!gateway.run_cli(&["project", "delete", "shop"]).status.success());
    let query = format!(
        "SELECT action || ' ' || COALESCE(project_ref, '-') || ' ' || user_id || ' ' || result FROM {} ORDER BY at, action",
        gateway.database.table("gateway_audit_logs")
    );
    let records = gateway.database.texts(&query).await;
    let expected = [
        "organization.create -",
        "project.create shop",
        "project.set_jwt_secret shop",
        "connection.create shop",
        "connection.test shop",
        "connection.delete shop",
        "project.delete shop",
        "secrets.rekey -",
    ]
    .map(|change| format!("{change} command_line:operator ok"));
    assert_eq!(records, expected);
    gateway.start_again().await;
}

on_both_registries!(
    check_and_migrate_work_without_serving,
    changes_by_the_command_line_are_in_the_audit_trail,
);
