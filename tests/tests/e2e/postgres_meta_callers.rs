//! What postgres-meta's callers send besides a path and a body, under `pg-meta/`: parameters and headers of their own.

use serde_json::{Value, json};
use studio_gateway_tests::{Answer, Client, PostgresWorld, eventually};

const NAME: &str = "select current_setting('application_name') as name";

/// `POST /query` as a Studio sends it.
async fn query(world: &PostgresWorld, client: &Client, name: Option<&str>, body: Value) -> Answer {
    let request = client.request("POST", &world.bare_path("/query?key=table-rows-1")).json(&body);
    let request = request.header("x-connection-encrypted", "").header("accept", "application/json");
    client
        .send(match name {
            Some(name) => request.header("x-pg-application-name", name),
            None => request,
        })
        .await
}

async fn name(world: &PostgresWorld, client: &Client, sent: Option<&str>) -> Value {
    query(world, client, sent, json!({"query": NAME})).await.expect(200).json()[0]["name"].clone()
}

#[tokio::test]
async fn postgres_callers_name_themselves_for_their_statements_alone() {
    let world = PostgresWorld::start().await;
    let alpha = &world.alpha;
    for client in [&alpha.viewer, &alpha.developer] {
        assert_eq!(name(&world, client, None).await, "studio-gateway");
        assert_eq!(name(&world, client, Some("supabase/dashboard")).await, "supabase/dashboard");
        // Again on the same connection, then another name, an empty one, none.
        assert_eq!(name(&world, client, Some("supabase/dashboard")).await, "supabase/dashboard");
        assert_eq!(name(&world, client, Some(r"o'brien \ x")).await, r"o'brien \ x");
        assert_eq!(name(&world, client, Some("")).await, "studio-gateway");
        assert_eq!(name(&world, client, None).await, "studio-gateway");
    }
    // The server cuts names at 63 bytes.
    let long = "n".repeat(200);
    assert_eq!(name(&world, &alpha.viewer, Some(&long)).await, long[..63]);
    assert_eq!(name(&world, &alpha.viewer, None).await, "studio-gateway");

    // Lists, and what changes something, carry the name as well.
    let names = async || {
        let query = "select distinct application_name from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        world.database.texts(query).await
    };
    let listed =
        alpha.viewer.request("GET", &world.bare_path("/schemas")).header("x-pg-application-name", "lister");
    alpha.viewer.send(listed).await.expect(200);
    assert_eq!(names().await, ["lister"]);
    alpha.viewer.get(&world.bare_path("/schemas")).await.expect(200);
    assert_eq!(names().await, ["studio-gateway"]);
    world
        .database
        .run(
            "create table seen (name text); create function see() returns event_trigger language plpgsql as
        'begin insert into seen values (current_setting(''application_name'')); end'; create event trigger see
        on ddl_command_start when tag in ('CREATE SCHEMA') execute function see()",
        )
        .await;
    let made = alpha.developer.request("POST", &world.bare_path("/schemas")).json(&json!({"name": "made"}));
    alpha.developer.send(made.header("x-pg-application-name", "maker")).await.expect(200);
    assert_eq!(world.database.texts("select name from seen").await, ["maker"]);

    // Our own prefix knows no such header, and nobody can send it as a parameter.
    let own = alpha.viewer.request("POST", &world.path("/query")).json(&json!({"query": NAME}));
    let own = alpha.viewer.send(own.header("x-pg-application-name", "x")).await.expect(200);
    assert_eq!(own.data()["rows"][0]["name"], "studio-gateway");
    let path = world.path("/query?header:x-pg-application-name=x");
    let refused = alpha.viewer.post(&path, json!({"query": NAME})).await;
    assert_eq!(refused.refused(400, "VALIDATION_ERROR")["field"], "header:x-pg-application-name");
    let path = world.bare_path("/query?header:x-pg-application-name=x");
    let answer = alpha.viewer.post(&path, json!({"query": NAME})).await.expect(200);
    assert_eq!(answer.json()[0]["name"], "studio-gateway");
}

#[tokio::test]
async fn postgres_statement_timeout_is_lifted_but_not_the_deadline() {
    let world = PostgresWorld::start().await;
    let slow =
        |disable: Value| json!({"query": "select pg_sleep(0.7)", "disable_statement_timeout": disable});
    let path = format!("{}/{}", world.alpha.connections("postgres"), world.alpha.connection);
    let change = json!({"options": {"statement_timeout": 200}});
    world.alpha.owner.put(&path, change).await.expect(200);
    for client in [&world.alpha.viewer, &world.alpha.developer] {
        for disable in [json!(false), json!(null), json!("true"), json!(1)] {
            let answer = query(&world, client, None, slow(disable)).await.expect(400);
            assert_eq!(answer.json()["code"], "57014", "{answer}");
        }
        query(&world, client, None, slow(json!(true))).await.expect(200);
        // For that statement alone, and less than what was asked for by name.
        query(&world, client, None, slow(json!(false))).await.expect(400);
        let path = world.bare_path("/query?statementTimeoutSecs=0.3");
        client.post(&path, slow(json!(true))).await.expect(400);
        client.post(&world.bare_path("/query?statementTimeoutSecs=0"), slow(json!(false))).await.expect(200);
    }
    let request = world.alpha.viewer.request("POST", &world.bare_path("/query"));
    let request = request.header("x-request-timeout", "300ms").json(&slow(json!(true)));
    world.alpha.viewer.send(request).await.expect(408);
}

#[tokio::test]
async fn postgres_leaving_named_caller_has_its_statement_cancelled() {
    let world = PostgresWorld::start().await;
    let body = json!({"query": "select pg_sleep(60)", "disable_statement_timeout": true});
    let running = async || {
        let query = "select application_name from pg_stat_activity where query = 'select pg_sleep(60)'
            and state = 'active' and datname = current_database()";
        world.database.texts(query).await
    };
    for client in [&world.alpha.viewer, &world.alpha.developer] {
        let call = query(&world, client, Some("supabase/dashboard-query-editor"), body.clone());
        let seen =
            eventually("the statement runs", async || running().await == ["supabase/dashboard-query-editor"]);
        tokio::select! {
            answer = call => panic!("{answer}"),
            () = seen => {}
        }
        eventually("the statement is cancelled", async || running().await.is_empty()).await;
        assert_eq!(name(&world, client, None).await, "studio-gateway");
    }
}

#[tokio::test]
async fn postgres_meta_prefix_alone_ignores_parameters_and_slashes() {
    let world = PostgresWorld::start_rich().await;
    let alpha = &world.alpha;
    let plain = alpha.viewer.get(&world.bare_path("/schemas")).await.expect(200).json();
    for rest in [
        "/schemas?key=x",
        "/schemas?key",
        "/schemas?=x&&%FF=%FF&key=1&key=2",
        "/schemas/",
        "/schemas/?included_schemas=public&key=x",
    ] {
        assert_eq!(alpha.viewer.get(&world.bare_path(rest)).await.expect(200).json(), plain, "{rest}");
    }
    let made =
        alpha.developer.post(&world.bare_path("/schemas/?key=a"), json!({"name": "made", "colour": 1})).await;
    let id = made.expect(200).json()["id"].clone();
    let one = world.bare_path(&format!("/schemas/{id}?key=a"));
    assert_eq!(alpha.viewer.get(&one).await.expect(200).json()["name"], "made");
    alpha.developer.call("PATCH", &one, Some(json!({"name": "made2"}))).await.expect(200);
    alpha.developer.call("DELETE", &one, None).await.expect(200);
    let parsed =
        alpha.viewer.post(&world.bare_path("/query/parse?key=a"), json!({"query": "select 1"})).await;
    parsed.expect(200);
    alpha.viewer.get(&world.bare_path("/schemas//")).await.expect(404);
    alpha.viewer.get(&world.bare_path("/nothing/")).await.expect(404);
    // What is declared is heeded and checked.
    let one = alpha.viewer.get(&world.bare_path("/schemas?key=x&limit=1")).await.expect(200);
    assert_eq!(one.json().as_array().unwrap().len(), 1);
    alpha.viewer.get(&world.bare_path("/schemas?limit=x")).await.expect(500);

    alpha.viewer.get(&world.path("/schemas?key=x")).await.refused(400, "VALIDATION_ERROR");
    // A name without a byte has no place in a path.
    alpha.viewer.get(&world.path("/schemas/")).await.refused(400, "VALIDATION_ERROR");
    alpha.viewer.get(&world.path("/")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn postgres_meta_prefix_alone_takes_loosely_written_values() {
    let world = PostgresWorld::start_rich().await;
    let alpha = &world.alpha;
    for rest in [
        "/schemas?limit=1.0",
        "/schemas?limit=0x1",
        "/policies?limit=",
        "/functions?include_system_schemas=yes",
    ] {
        alpha.viewer.get(&world.bare_path(rest)).await.expect(200);
        alpha.viewer.get(&world.path(rest)).await.refused(400, "VALIDATION_ERROR");
    }
    let trigger = json!({"name": "made", "table": "todos", "function_name": "on_change", "activation": "BEFORE",
        "events": ["INSERT"], "function_args": null, "condition": "", "orientation": ""});
    for (rest, body) in [
        ("/triggers", trigger),
        ("/publications", json!({"name": "made", "publish_insert": null, "tables": []})),
        ("/columns", json!({"table_id": "TABLE", "name": "made", "type": "int4", "is_nullable": "true"})),
        ("/tables", json!({"name": ["made"]})),
        ("/extensions", json!({"name": "citext", "cascade": "yes"})),
    ] {
        let id = world.database.text("select 'public.todos'::regclass::oid::text").await;
        let body = serde_json::from_str(&body.to_string().replace("\"TABLE\"", &id)).unwrap();
        let refused = alpha.owner.post(&world.path(rest), Value::clone(&body)).await;
        assert_eq!(refused.status, 400, "{rest}: {refused}");
        alpha.owner.post(&world.bare_path(rest), body).await.expect(200);
    }
    let query = json!({"query": "select $1::int4 as a", "parameters": [1.0]});
    assert_eq!(
        alpha.viewer.post(&world.bare_path("/query"), query.clone()).await.expect(200).json()[0]["a"],
        1
    );
    alpha.viewer.post(&world.path("/query"), query).await.refused(400, "QUERY_ERROR");
    alpha
        .viewer
        .post(&world.path("/query?queryTimeoutSecs=x"), json!({"query": "select 1"}))
        .await
        .expect(400);
}

#[tokio::test]
async fn postgres_meta_says_what_it_is_and_that_it_is_well() {
    let world = PostgresWorld::start().await;
    for rest in ["", "/", "?key=x"] {
        let answer = world.alpha.viewer.get(&world.bare_path(rest)).await.expect(200).json();
        assert_eq!(answer["name"], "@supabase/postgres-meta");
        assert_eq!((&answer["status"], &answer["version"]), (&json!(200), &json!("0.99.0")));
    }
    let health = world.alpha.viewer.get(&world.bare_path("/health")).await.expect(200).json();
    let date = health["date"].as_str().unwrap();
    let this_moment =
        world.database.text("select to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24')").await;
    assert!(date.len() == 24 && date.ends_with('Z') && *date >= *this_moment, "{date}");
    let head = world.alpha.viewer.request("HEAD", &world.bare_path("/"));
    assert!(world.alpha.viewer.send(head).await.expect(200).bytes.is_empty());
    // They are of a project, for its members.
    world.gateway.anonymous().get(&world.bare_path("/")).await.expect(401);
}
