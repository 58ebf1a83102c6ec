use super::*;
use crate::Postgres;
use proptest::prelude::*;
use serde_json::{Value, json};
use studio_plugin_api::testing;

fn target(endpoint: Value, options: Value) -> Result<Target, DriverError> {
    Target::new(&testing::settings::<Postgres>(json!({"endpoint": endpoint, "options": options}))?)
}

fn url(url: &str) -> Result<Target, DriverError> {
    target(json!({ "connection_string": url }), json!({}))
}

fn parts(options: Value) -> Result<Target, DriverError> {
    target(json!({"parts": {"host": "db", "port": 5433, "username": "ann"}}), options)
}

fn refused(result: Result<Target, DriverError>) -> (String, String) {
    let error = result.map(drop).unwrap_err();
    (error.details["field"].as_str().unwrap().to_owned(), error.message)
}

#[test]
fn parts_lead_to_the_users_own_database_unless_they_name_one() {
    let target =
        parts(json!({"search_path": "app, public", "statement_timeout": 500, "pool_size": 3})).unwrap();
    assert_eq!(target.addresses, [Address { host: "db".to_owned(), port: 5433 }]);
    assert_eq!((target.user.as_str(), target.pool_size, target.ssl_mode), ("ann", 3, SslMode::Prefer));
    let expected = [
        ("database", "ann"),
        ("application_name", "studio-gateway"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("search_path", "app, public"),
        ("statement_timeout", "500"),
    ];
    assert_eq!(target.parameters, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn target_is_recognized_by_its_database_user_and_port() {
    let target = url("postgres://ann@db1:5433,db2/shop").unwrap();
    for text in ["drop database shop", "alter role ann set x = 1"] {
        assert!(target.is_named_in(text), "{text}");
    }
    assert!(!target.is_named_in("drop database sho"));
    assert!(target.shares_a_port_with(&url("postgres://bob@localhost/x").unwrap()));
    assert!(!target.shares_a_port_with(&url("postgres://bob@localhost:5434/x").unwrap()));
}

#[test]
fn connection_string_may_say_all_that_parts_say_and_more() {
    let target = url(
        "postgresql://ann:p%40ss@db1:5433,db2:5434/shop?sslmode=verify-full&application_name=x&connect_timeout=3",
    )
    .unwrap();
    let address = |host: &str, port| Address { host: host.to_owned(), port };
    assert_eq!(target.addresses, [address("db1", 5433), address("db2", 5434)]);
    assert_eq!(target.password.unwrap().expose(), "p@ss");
    assert_eq!((target.ssl_mode, target.connect_timeout), (SslMode::VerifyFull, Duration::from_secs(3)));
    assert!(target.parameters.contains(&("database", "shop".to_owned())));
    assert!(target.parameters.contains(&("application_name", "x".to_owned())));
    assert_eq!(url("postgres://ann@db").unwrap().addresses, [address("db", 5432)]);
}

#[test]
fn unusable_settings_are_refused_by_field_without_the_password() {
    let refused_url = |text: &str| refused(url(text));
    for bad in [
        "postgresql://ann:hunter2@db:port/x",
        "postgresql://ann:hunter2@db/x?sslmode=sometimes",
        "postgresql://ann:hunter2@/x?host=/run",
        "postgresql://db",
        "postgresql://ann:hunter2@db/x?channel_binding=hunter2",
        "postgresql://ann:hunter2@db/x?hunter2=1&password=y",
    ] {
        let (field, message) = refused_url(bad);
        assert_eq!(field, "connection_string", "{bad}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    for (options, field) in [
        (json!({"pool_size": 11}), "options.pool_size"),
        (json!({"pool_size": 0}), "options.pool_size"),
        (json!({"viewer_role": "none"}), "options.viewer_role"),
        (json!({"viewer_role": ""}), "options.viewer_role"),
        (json!({"connection_idle_timeout": 0}), "options.connection_idle_timeout"),
        (json!({"connection_max_age": 86_401}), "options.connection_max_age"),
        (json!({"tls_ca": "x"}), "options.tls_ca"),
        (json!({"tls_cert": "x"}), "options.tls_key"),
        (json!({"tls_key": "x"}), "options.tls_cert"),
    ] {
        assert_eq!(refused(parts(options)).0, field);
    }
    let nameless = target(json!({"parts": {"host": "db", "port": 5432}}), json!({}));
    assert_eq!(refused(nameless).0, "username");
}

#[test]
fn parameters_of_other_clients_are_understood() {
    let target =
        url("postgresql://ann@db/x?pgbouncer=true&connection_limit=40&schema=a%22b&channel_binding=require\
         &target_session_attrs=read-write&load_balance_hosts=random&sslmode=allow&sslmode=no-verify")
        .unwrap();
    assert_eq!((target.prepares, target.pool_size, target.shuffles), (false, 10, true));
    assert_eq!(
        (target.channel_binding, target.server_state),
        (ChannelBinding::Require, ServerState::ReadWrite)
    );
    assert_eq!(target.ssl_mode, SslMode::Require);
    assert!(target.parameters.contains(&("search_path", "\"a\"\"b\"".to_owned())));
}

proptest! {
    /// The password is read as it is, or the string is refused and no part of it told.
    #[test]
    fn no_part_of_a_password_is_taken_for_something_else(
        password in testing::ODD_PASSWORDS,
        encoded: bool,
    ) {
        testing::check_password(&password, encoded, |written| {
            let target = url(&format!("postgresql://app:{written}@host.invalid:7/db\n"))?;
            assert_eq!(target.addresses, [Address { host: "host.invalid".to_owned(), port: 7 }]);
            Ok(target.password.unwrap().expose().to_owned())
        });
    }
}
