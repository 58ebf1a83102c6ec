//! Connection strings of PostgreSQL as other clients read them: several servers, TLS that is wanted or not, logins that are
//! bound to it, and the parameters that people's strings have.

use super::postgres_calls::{run, value};
use serde_json::{Value, json};
use studio_gateway_tests::{Answer, PostgresOptions, PostgresServer, PostgresWorld};

const PASSWORD: &str = "hunter2-hunter2";

struct Strings {
    world: PostgresWorld,
    count: usize,
}

impl Strings {
    async fn start() -> Self {
        Self { world: PostgresWorld::start().await, count: 0 }
    }

    /// Creates a connection of this string, and asks by it.
    async fn ask(&mut self, url: &str, sql: &str) -> Answer {
        self.count += 1;
        let identifier = format!("string-{}", self.count);
        let body = json!({"identifier": identifier, "connection_string": url});
        self.world.alpha.connect("postgres", body).await;
        run(&self.world.alpha.developer, &self.world.path(&format!("/query?connection={identifier}")), sql)
            .await
    }

    /// Tries to create a connection of this string.
    async fn refused(&self, url: &str) -> String {
        let body = json!({"identifier": "never", "connection_string": url});
        let answer = self.world.alpha.admin.post(&self.world.alpha.connections("postgres"), body).await;
        answer.refused_field("connection_string");
        answer.message()
    }
}

#[track_caller]
fn reason(answer: &Answer) -> Value {
    answer.refused(503, "CONNECTION_ERROR")["reason"].clone()
}

#[tokio::test]
async fn postgres_server_in_the_wanted_state_is_chosen_of_several() {
    let mut strings = Strings::start().await;
    let primary = PostgresServer::plain().await;
    let read_only =
        PostgresServer::start(PostgresOptions::new().setting("default_transaction_read_only=on")).await;
    let mut standby = PostgresServer::plain().await;
    standby.become_standby().await;
    let (first, second, third) = (standby.port, read_only.port, primary.port);
    let nobody = studio_gateway_tests::process::free_port();
    let asked = "select current_setting('port')";
    for (state, expected) in [
        ("any", Some(first)),
        ("read-write", Some(third)),
        ("primary", Some(second)),
        ("standby", Some(first)),
        ("read-only", Some(first)),
        ("prefer-standby", Some(first)),
    ] {
        let url = format!(
            "postgresql://postgres@127.0.0.1:{nobody},127.0.0.1:{first},127.0.0.1:{second},127.0.0.1:{third}/postgres\
             ?target_session_attrs={state}"
        );
        let answer = strings.ask(&url, asked).await;
        assert_eq!(value(&answer), json!(expected.unwrap().to_string()), "{state}");
    }
    let without = |ports: [u16; 2], state: &str| {
        let [one, other] = ports;
        format!(
            "postgresql://postgres@127.0.0.1:{one},127.0.0.1:{other}/postgres?target_session_attrs={state}"
        )
    };
    for (ports, state) in
        [([first, second], "read-write"), ([second, third], "standby"), ([first, nobody], "primary")]
    {
        let answer = strings.ask(&without(ports, state), asked).await;
        assert!(["other_state", "refused"].contains(&reason(&answer).as_str().unwrap()), "{state}: {answer}");
    }
    let answer = strings.ask(&without([second, third], "prefer-standby"), asked).await;
    assert_eq!(value(&answer), json!(second.to_string()));
    // A name that is not known is no reason to give up.
    let url =
        format!("postgresql://postgres@nobody.invalid,127.0.0.1:{third}/postgres?load_balance_hosts=random");
    assert_eq!(value(&strings.ask(&url, asked).await), json!(third.to_string()));
}

#[tokio::test]
async fn postgres_failed_tls_is_replaced_by_plain_where_allowed() {
    let mut strings = Strings::start().await;
    let only_plain = PostgresServer::start(PostgresOptions::new().offers_tls_in_vain()).await;
    let only_tls = PostgresServer::start(PostgresOptions::new().login("ada", PASSWORD).tls()).await;
    let used = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    for (mode, plain, tls) in [
        ("disable", "false", "authentication_failed"),
        ("allow", "false", "true"),
        ("prefer", "false", "true"),
        ("require", "authentication_failed", "true"),
    ] {
        let url = format!("postgresql://postgres@127.0.0.1:{}/postgres?sslmode={mode}", only_plain.port);
        let answer = strings.ask(&url, used).await;
        let outcome = if answer.status == 200 { value(&answer) } else { reason(&answer) };
        assert_eq!(outcome, plain, "{mode} where there is none: {answer}");
        let url = format!("postgresql://ada:{PASSWORD}@127.0.0.1:{}/postgres?sslmode={mode}", only_tls.port);
        let answer = strings.ask(&url, used).await;
        let outcome = if answer.status == 200 { value(&answer) } else { reason(&answer) };
        assert_eq!(outcome, tls, "{mode} where there must be: {answer}");
    }
    // A wrong password is none the less wrong without TLS.
    let url = format!("postgresql://ada:wrong@127.0.0.1:{}/postgres?sslmode=allow", only_tls.port);
    let answer = strings.ask(&url, used).await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["code"], "28P01");
}

#[tokio::test]
async fn postgres_login_is_bound_to_its_tls_connection_on_request() {
    let mut strings = Strings::start().await;
    let secure = PostgresServer::start(PostgresOptions::new().login("ada", PASSWORD).tls()).await;
    let plain = PostgresServer::start(PostgresOptions::new().login("ada", PASSWORD)).await;
    let open = PostgresServer::plain().await;
    let url =
        |port: u16, query: &str| format!("postgresql://ada:{PASSWORD}@127.0.0.1:{port}/postgres?{query}");
    for (port, query, works) in [
        (secure.port, "sslmode=require&channel_binding=require", true),
        (secure.port, "sslmode=require&channel_binding=prefer", true),
        (secure.port, "sslmode=require&channel_binding=disable", true),
        (plain.port, "sslmode=prefer&channel_binding=prefer", true),
        (plain.port, "sslmode=prefer&channel_binding=require", false),
    ] {
        let answer = strings.ask(&url(port, query), "select 1").await;
        match works {
            true => assert_eq!(value(&answer), 1, "{query}"),
            false => assert_eq!(reason(&answer), "authentication_failed", "{query}"),
        }
    }
    let anyone = format!("postgresql://postgres@127.0.0.1:{}/postgres?channel_binding=require", open.port);
    let answer = strings.ask(&anyone, "select 1").await;
    assert_eq!(reason(&answer), "authentication_failed", "a server that asks for nothing proves nothing");
    assert!(!strings.world.gateway.whole_log().await.contains(PASSWORD));
}

#[tokio::test]
async fn postgres_connection_strings_of_other_clients_are_understood() {
    let mut strings = Strings::start().await;
    strings.world.database.run("create schema \"My App\"; create table \"My App\".t as select 5 as v").await;
    let base = strings.world.database.url.clone();
    for (query, sql, expected) in [
        // Neon, Prisma, Supabase's pooler, node-postgres, libpq.
        ("sslmode=prefer&gssencmode=disable&connect_timeout=3", "select 1 as v", json!(1)),
        ("pgbouncer=true&connection_limit=1&pool_timeout=0", "select 2 as v", json!(2)),
        ("schema=My%20App", "select v from t", json!(5)),
        ("ssl=false&uselibpqcompat=true", "select 3 as v", json!(3)),
        (
            "keepalives=1&keepalives_idle=30&sslcompression=0&client_encoding=utf8",
            "select 'é' as v",
            json!("é"),
        ),
        ("options=-c%20work_mem%3D5MB&application_name=a%26b", "show work_mem", json!("5MB")),
        ("application_name=a%26b", "show application_name", json!("a&b")),
    ] {
        let answer = strings.ask(&format!("{base}?{query}"), sql).await;
        assert_eq!(value(&answer), expected, "{query}: {answer}");
    }
    for (query, named) in [
        ("sslmod=require", "`sslmod`"),
        ("gssencmode=require", "`gssencmode`"),
        ("sslmode=sometimes", "`sslmode`"),
        ("target_session_attrs=writable", "`target_session_attrs`"),
        ("channel_binding=always", "`channel_binding`"),
        ("sslrootcert=/etc/ca.pem", "`options.tls_ca`"),
        ("load_balance_hosts=yes", "`load_balance_hosts`"),
        ("pgbouncer=perhaps", "`pgbouncer`"),
        ("service=prod", "`service`"),
        ("requirepeer=postgres", "`requirepeer`"),
    ] {
        let message = strings.refused(&format!("postgresql://ann:{PASSWORD}@db/x?{query}")).await;
        assert!(message.contains(named), "{query}: {message}");
        assert!(!message.contains(PASSWORD) && !message.contains("sometimes"), "{query}: {message}");
    }
    // What looks like a parameter may be the end of a password.
    for url in [
        "postgresql://ann:hunter2@x?secret_word=1@db/x",
        "postgresql://db/x?user=ann&password=hunter2&secret_word=1",
        "postgresql://ann:hunter2?secret_word=1",
    ] {
        let message = strings.refused(url).await;
        assert!(!message.contains("secret_word") && !message.contains("hunter2"), "{url}: {message}");
    }
}
