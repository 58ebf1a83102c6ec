use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use studio_plugin_api::testing;

fn target(endpoint: Value, options: Value) -> Result<Target, DriverError> {
    Target::new(&serde_json::from_value(json!({ "endpoint": endpoint, "options": options })).unwrap())
}

fn url(text: &str) -> Value {
    json!({ "connection_string": text })
}

fn parts() -> Value {
    json!({ "parts": { "host": "[::1]", "port": 7000, "username": "app", "password": "p" } })
}

fn refused(endpoint: Value, options: Value) -> String {
    let error = target(endpoint, options).unwrap_err();
    assert!(!error.message.contains("hunter2"), "{}", error.message);
    error.details["field"].as_str().unwrap().to_owned()
}

#[test]
fn connection_strings_are_read_whole() {
    let target =
        target(url("rediss://us%40er:p%2Fw@[::1]:7001/3?protocol=resp3#insecure"), json!({})).unwrap();
    assert_eq!(target.topology, Topology::Single(Address { host: "::1".into(), port: 7001 }));
    assert_eq!(target.tls, Some(Tls { authorities: None, insecure: true }));
    assert_eq!((target.login.username(), target.login.password()), (Some("us@er"), Some("p/w")));
    assert_eq!((target.login.db(), target.login.protocol()), (3, ProtocolVersion::RESP3));
    assert!(!format!("{target:?}").contains("p/w"));
}

#[test]
fn parts_and_options_come_together() {
    let target = target(parts(), json!({ "db": 5, "tls": true })).unwrap();
    assert_eq!(target.topology, Topology::Single(Address { host: "::1".into(), port: 7000 }));
    assert_eq!(target.login.db(), 5);
    assert_eq!(target.tls, Some(Tls { authorities: None, insecure: false }));
}

#[test]
fn sentinels_default_to_the_connection_s_own_address() {
    let target = target(parts(), json!({ "sentinel": { "master": "m" } })).unwrap();
    let sentinels = vec![Address { host: "::1".into(), port: 7000 }];
    assert_eq!(target.topology, Topology::Sentinel { master: "m".into(), sentinels });
}

#[test]
fn the_sandbox_refuses_what_the_host_can_t_do_for_it() {
    let refused = |options: Value, insecure_by_url: bool| {
        let topology = target(parts(), options).unwrap().topology;
        refuse_in_sandbox(&topology, insecure_by_url).err().map(|error| {
            assert!(error.message.contains("sandboxed (WASM)"), "{}", error.message);
            error.details["field"].as_str().unwrap().to_owned()
        })
    };
    assert_eq!(refused(json!({ "cluster": true }), false).unwrap(), "options.cluster");
    assert_eq!(refused(json!({ "sentinel": { "master": "m" } }), false).unwrap(), "options.sentinel");
    assert_eq!(refused(json!({ "tls": true }), true).unwrap(), "connection_string");
    assert_eq!(refused(json!({ "tls": true, "cluster": false }), false), None);
}

#[test]
fn what_does_not_go_together_is_refused_by_its_field() {
    assert_eq!(refused(url("http://:hunter2@h"), json!({})), "connection_string");
    assert_eq!(refused(url("redis+unix:///tmp/hunter2"), json!({})), "connection_string");
    assert_eq!(refused(url("redis://:hunter2@h/1/hunter2"), json!({})), "connection_string");
    assert_eq!(refused(url("redis://h/16?"), json!({})), "database_name");
    assert_eq!(refused(url("redis://h?timeout=hunter2"), json!({})), "connection_string");
    assert_eq!(refused(url("redis://h/1"), json!({ "db": 2 })), "options.db");
    assert_eq!(refused(url("redis://u:hunter2@h"), json!({ "username": "v" })), "options.username");
    assert_eq!(refused(url("rediss://h"), json!({ "tls": false })), "options.tls");
    assert_eq!(refused(url("rediss://h#hunter2"), json!({})), "connection_string");
    assert_eq!(refused(parts(), json!({ "db": 16 })), "options.db");
    assert_eq!(refused(parts(), json!({ "db": 1, "cluster": true })), "options.db");
    assert_eq!(refused(parts(), json!({ "tls_ca": "x" })), "options.tls_ca");
    assert_eq!(refused(parts(), json!({ "tls": true, "tls_ca": "x" })), "options.tls_ca");
    let both = json!({ "cluster": true, "sentinel": { "master": "m" } });
    assert_eq!(refused(parts(), both), "options.sentinel");
}

proptest! {
    /// The password is read as it is, or the string is refused and no part of it told.
    #[test]
    fn no_part_of_a_password_is_taken_for_something_else(
        password in testing::ODD_PASSWORDS,
        encoded: bool,
    ) {
        testing::check_password(&password, encoded, |written| {
            let target = target(url(&format!("redis://app:{written}@host.invalid:7/0\n")), json!({}))?;
            let place = Topology::Single(Address { host: "host.invalid".into(), port: 7 });
            assert_eq!(target.topology, place);
            Ok(target.login.password().unwrap().to_owned())
        });
    }
}
