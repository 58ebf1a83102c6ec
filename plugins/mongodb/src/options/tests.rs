use super::*;
use crate::MongoDb;
use proptest::prelude::*;
use serde_json::{Value, json};
use studio_plugin_api::testing;

fn target(endpoint: Value, options: Value) -> Result<Target, DriverError> {
    let settings = testing::settings::<MongoDb>(json!({"endpoint": endpoint, "options": options}))?;
    Target::new(&settings)
}

fn parts() -> Value {
    json!({"parts": {"host": "db.example", "port": 27018}})
}

fn with_login() -> Value {
    json!({"parts": {"host": "db.example", "port": 27018, "username": "ada", "password": "hunter2"}})
}

fn string(text: &str) -> Value {
    json!({ "connection_string": text })
}

fn refused_field(endpoint: Value, options: Value) -> String {
    let error = target(endpoint, options).err().expect("is refused");
    assert_eq!(error.code, ErrorCode::ValidationError);
    assert!(!error.message.contains("hunter2"), "{error}");
    error.details["field"].as_str().expect("a field").to_owned()
}

#[test]
fn single_host_is_reached_directly_unless_a_set_is_named() {
    let direct = |endpoint, options| target(endpoint, options).unwrap().connection.direct_connection;
    assert_eq!(direct(parts(), json!({})), Some(true));
    assert_eq!(direct(string("mongodb://db.example"), json!({})), Some(true));
    assert_eq!(direct(parts(), json!({"replica_set": "rs0"})), None);
    assert_eq!(direct(parts(), json!({"direct_connection": false})), Some(false));
    assert_eq!(direct(parts(), json!({"replica_set": "rs0", "direct_connection": true})), Some(true));
    assert_eq!(direct(string("mongodb://a,b"), json!({})), None);
    assert_eq!(direct(string("mongodb://a/?replicaSet=rs0"), json!({})), None);
    assert_eq!(direct(string("mongodb+srv://cluster.example"), json!({})), None);
}

#[test]
fn an_address_of_ipv6_may_stand_in_brackets() {
    let target = target(json!({"parts": {"host": "[::1]", "port": 1}}), json!({})).unwrap();
    let HostInfo::HostIdentifiers(hosts) = target.connection.host_info else { panic!("hosts") };
    assert_eq!(hosts, [ServerAddress::Tcp { host: "::1".to_owned(), port: Some(1) }]);
}

#[test]
fn pool_has_at_most_ten_connections_whatever_the_string_says() {
    let size = |text| target(string(text), json!({})).unwrap().connection.max_pool_size;
    assert_eq!(size("mongodb://a"), Some(10));
    assert_eq!(size("mongodb://a/?maxPoolSize=200"), Some(10));
    assert_eq!(size("mongodb://a/?maxPoolSize=0"), Some(10));
    assert_eq!(size("mongodb://a/?maxPoolSize=3"), Some(3));
    let least = target(string("mongodb://a/?minPoolSize=50"), json!({})).unwrap().connection.min_pool_size;
    assert_eq!(least, Some(10));
}

#[test]
fn a_server_is_looked_for_as_long_as_is_said() {
    let time = |endpoint, options| target(endpoint, options).unwrap().connection.server_selection_timeout;
    assert_eq!(time(parts(), json!({})), Some(SERVER_SELECTION_TIMEOUT));
    assert_eq!(time(parts(), json!({"server_selection_timeout": 250})), Some(Duration::from_millis(250)));
    let by_string = time(string("mongodb://a/?serverSelectionTimeoutMS=700"), json!({}));
    assert_eq!(by_string, Some(Duration::from_millis(700)));
}

#[test]
fn user_is_looked_for_where_it_is_said_to_be() {
    let source = |endpoint, options| {
        let connection = target(endpoint, options).unwrap().connection;
        // As the client library chooses.
        connection.credential.unwrap().source.or(connection.default_database)
    };
    assert_eq!(source(with_login(), json!({})), None);
    assert_eq!(source(with_login(), json!({"auth_source": "shop"})).as_deref(), Some("shop"));
    let text = "mongodb://ada:hunter2@a/shop";
    assert_eq!(source(string(text), json!({})).as_deref(), Some("shop"));
    assert_eq!(source(string(text), json!({"auth_source": "admin"})).as_deref(), Some("admin"));
    let both = "mongodb://ada:hunter2@a/shop?authSource=people";
    assert_eq!(source(string(both), json!({})).as_deref(), Some("people"));
}

#[test]
fn a_certificate_without_a_password_logs_in_with_x509() {
    let target = target(parts(), json!({"tls": true, "tls_certificate_key": "PEM"})).unwrap();
    let credential = target.connection.credential.unwrap();
    assert_eq!(credential.mechanism, Some(AuthMechanism::MongoDbX509));
    assert_eq!(credential.source.as_deref(), Some("$external"));
}

#[test]
fn srv_speaks_tls_unless_told_not_to() {
    assert!(target(string("mongodb+srv://a.example"), json!({})).unwrap().certificates.is_some());
    assert!(target(string("mongodb+srv://a.example/?tls=false"), json!({})).unwrap().certificates.is_none());
    assert!(target(string("mongodb://a"), json!({})).unwrap().certificates.is_none());
    assert!(target(string("mongodb://a/?ssl=true"), json!({})).unwrap().certificates.is_some());
}

#[test]
fn what_makes_no_sense_is_refused_by_the_field_that_says_it() {
    for (options, field) in [
        (json!({"auth_source": "shop"}), "options.auth_source"),
        (json!({"tls_ca": "x"}), "options.tls_ca"),
        (json!({"tls": true, "tls_ca": "no certificate"}), "options.tls_ca"),
        (json!({"tls_insecure": true}), "options.tls_insecure"),
        (json!({"tls_certificate_key": "x"}), "options.tls_certificate_key"),
        (json!({"auth_mechanism": "MONGODB-X509"}), "options.tls_certificate_key"),
        (json!({"auth_mechanism": "SCRAM-SHA-256"}), "username"),
        (json!({"server_selection_timeout": 0}), "options.server_selection_timeout"),
        (json!({"server_selection_timeout": 60_001}), "options.server_selection_timeout"),
        (json!({"app_name": "a".repeat(129)}), "options.app_name"),
    ] {
        assert_eq!(refused_field(parts(), options.clone()), field, "{options}");
    }
    let lone = json!({"parts": {"host": "a", "port": 1, "username": "ada"}});
    assert_eq!(refused_field(lone, json!({})), "password");
    let x509 = json!({"tls": true, "auth_mechanism": "MONGODB-X509", "tls_certificate_key": "PEM"});
    assert_eq!(refused_field(with_login(), x509), "options.auth_mechanism");
    let two = string("mongodb://a,b");
    assert_eq!(refused_field(two, json!({"direct_connection": true})), "options.direct_connection");
    let set = string("mongodb://a/?replicaSet=rs0");
    assert_eq!(refused_field(set, json!({"replica_set": "rs1"})), "options.replica_set");
    let tls = string("mongodb://a/?tls=true");
    assert_eq!(refused_field(tls, json!({"tls": false})), "options.tls");
}

#[test]
fn a_string_may_not_lead_to_files_or_around_the_address_rules() {
    for text in [
        "nonsense hunter2",
        "http://ada:hunter2@a",
        "mongodb://ada:hunter2@a/?nonsense",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock",
        "mongodb://ada:hunter2@a/?proxyHost=10.0.0.1&proxyPort=1080",
        "mongodb://ada:hunter2@a/?tls=true&tlsCAFile=/etc/passwd",
        "mongodb://ada:hunter2@a/?tls=true&tlsCertificateKeyFile=/etc/passwd",
        "mongodb://a/?authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:k8s",
        "mongodb://a/?socketTimeoutMS=5",
    ] {
        assert_eq!(refused_field(string(text), json!({})), "connection_string", "{text}");
    }
}

proptest! {
    /// The password is read as it is, or the string is refused and no part of it told.
    #[test]
    fn no_part_of_a_password_is_taken_for_something_else(
        password in testing::ODD_PASSWORDS,
        encoded: bool,
    ) {
        testing::check_password(&password, encoded, |written| {
            let target = target(string(&format!("mongodb://app:{written}@host.invalid:7/db\n")), json!({}))?;
            let place = ServerAddress::Tcp { host: "host.invalid".to_owned(), port: Some(7) };
            assert!(target.connection.host_info == HostInfo::HostIdentifiers(vec![place]));
            Ok(target.connection.credential.unwrap().password.unwrap())
        });
    }
}
