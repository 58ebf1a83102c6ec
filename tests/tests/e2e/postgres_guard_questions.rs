//! What the guard asks the server is not misled by what a database calls its own, and functions that run a text are found
//! behind whatever leads to them.

use super::postgres_calls::{ask, connect, connect_narrow, run};
use serde_json::json;
use studio_gateway_tests::{PostgresWorld, eventually};
use uuid::Uuid;

/// What could come before PostgreSQL's own by a search path, or by fitting better.
const MISLEADING: &str = "
create schema own;
create function own.differs(name, name) returns bool language sql immutable as 'select false';
create operator own.= (leftarg = name, rightarg = name, function = own.differs);
create function own.fails(oid, oid) returns bool language plpgsql as
  'begin raise exception $$the database was asked by its own$$; end';
create operator own.= (leftarg = oid, rightarg = oid, function = own.fails);
create function own.is_less(bigint, int) returns bool language sql immutable as 'select false';
create operator own.> (leftarg = bigint, rightarg = int, function = own.is_less);
create function own.is_none(bigint, bigint) returns bool language sql immutable as 'select false';
create operator own.= (leftarg = bigint, rightarg = bigint, function = own.is_none);
create function public.nothing(name, name) returns name language sql as 'select null::pg_catalog.name';
create operator public.|| (leftarg = name, rightarg = name, function = public.nothing);
create function own.unnest(pg_catalog.text[]) returns setof pg_catalog.text language sql as 'select null::pg_catalog.text where false';
create function own.min(pg_catalog.text) returns pg_catalog.text language sql as 'select null::pg_catalog.text';
";

/// Types whose names are PostgreSQL's, which then are shown with their schema.
const MISLEADING_TYPES: &str = "
create domain own.text as pg_catalog.text check (value is null);
create domain own.oid as pg_catalog.oid check (value is null);
";

#[tokio::test]
async fn postgres_guard_and_lists_ignore_a_databases_own_lookalikes() {
    let world = PostgresWorld::start_rich().await;
    let lists = ["/schemas", "/tables", "/columns", "/views", "/indexes", "/triggers", "/types"];
    let bare = |list: &str, connection: &str| world.path(&format!("{list}?connection={connection}"));
    world.database.run(MISLEADING).await;
    let own = connect(&world, "own", json!({"search_path": "own, pg_catalog, public"})).await;
    connect(&world, "plain", json!({"search_path": "public"})).await;
    let viewer = &world.alpha.viewer;
    let paths =
        [own, world.path("/query"), world.bare_path("/query?connection=own"), world.bare_path("/query")];
    let keeps = async || {
        for path in &paths {
            for sql in [
                "select pg_terminate_backend(0)",
                "select pg_catalog.pg_terminate_backend(0)",
                "select (0).pg_terminate_backend",
                "select setseed(0.5)",
                "select txid_current()",
            ] {
                let answer = run(viewer, path, sql).await;
                assert_eq!(answer.status, 403, "{sql} by {path}: {answer}");
            }
            assert_eq!(run(viewer, path, "select pg_catalog.lower('A')").await.status, 200, "{path}");
        }
    };
    keeps().await;
    for list in lists {
        let answer = viewer.get(&bare(list, "own")).await.expect(200);
        assert_eq!(answer.data(), viewer.get(&bare(list, "plain")).await.data(), "{list}");
    }
    // What is shown is shown as the session's own path has it.
    world
        .database
        .run("create sequence counted; create table counts (id bigint default nextval('counted'))")
        .await;
    let shown = async |connection: &str| {
        let columns = viewer.get(&bare("/columns", connection)).await.data();
        let column = columns.as_array().unwrap().iter().find(|column| column["table"] == "counts").cloned();
        column.unwrap()["default_value"].as_str().unwrap().to_owned()
    };
    assert_eq!(shown("plain").await, "nextval('counted'::regclass)");
    connect(&world, "elsewhere", json!({"search_path": "own"})).await;
    assert_eq!(shown("elsewhere").await, "nextval('public.counted'::regclass)");
    world.database.run(MISLEADING_TYPES).await;
    keeps().await;
    viewer.get(&bare("/tables", "own")).await.expect(200);
}

/// Functions that run a text, and what leads to them.
const RUNNERS: &str = "
create table kept (id int); insert into kept values (1), (2);
create function exec_sql(sql text) returns text language plpgsql as 'begin ExeCute sql; return sql; end';
create function cnt(tbl text) returns bigint language plpgsql stable as
  'declare n bigint; begin execute $$select count(*) from $$ || tbl into n; return n; end';
create function opens(sql text) returns setof int language plpgsql as 'begin return query execute sql; end';
create function wraps(sql text) returns text language sql as 'select exec_sql(sql)';
create function wraps_twice(sql text) returns text language plpgsql as 'begin return \"wraps\" (sql); end';
create function shouts(sql text) returns text language sql as 'select PUBLIC.Exec_SQL(sql)';
create function asks_xml(sql text) returns xml language sql as 'select query_to_xml(sql, true, false, $$$$)';
create operator <!> (rightarg = text, function = exec_sql);
create function next_state(text, text) returns text language sql as 'select exec_sql($2)';
create aggregate run_all(text) (sfunc = next_state, stype = text);
create function is_fine(text) returns bool language plpgsql as 'begin execute $1; return true; end';
create domain fine as text check (is_fine(value));
create type box_of_text as (content text);
create function unpacks(box_of_text) returns int language plpgsql as 'begin execute ($1).content; return 1; end';
create cast (box_of_text as int) with function unpacks(box_of_text);
create function counts() returns bigint language plpgsql as 'begin return (select count(*) from kept); end';
create function adds(a int, b int) returns int language sql immutable as 'select coalesce(a, 0) + b';
";

const STANDARD_BODY: &str =
    "create function wraps_standardly(sql text) returns text begin atomic select exec_sql(sql); end";

#[tokio::test]
async fn postgres_viewer_reaches_no_function_that_runs_a_text() {
    let world = PostgresWorld::start().await;
    world.database.run(RUNNERS).await;
    let path = connect_narrow(&world).await;
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    let mut doors = vec![
        "select exec_sql('set transaction read only')",
        "select * from public.exec_sql('select 1')",
        "select cnt('kept')",
        "select * from opens('select 1')",
        "select wraps('select 1')",
        "select wraps_twice('select 1')",
        "select shouts('select 1')",
        "select asks_xml('select 1')",
        "select <!> 'select 1'",
        "select run_all(x) from (values ('select 1')) v (x)",
        "select 'select 1'::fine",
        "select cast('select 1' as fine)",
        "select fine 'select 1'",
        "select row('select 1')::box_of_text::int",
    ];
    if world.database.is_at_least(14).await {
        world.database.run(STANDARD_BODY).await;
        doors.push("select wraps_standardly('select 1')");
    }
    for door in doors {
        let answer = run(viewer, &path, door).await;
        assert_eq!(answer.status, 403, "{door}: {answer}");
        answer.refused(403, "FORBIDDEN");
    }
    assert_eq!(ask(viewer, &path, "select counts()").await, 2);
    assert_eq!(ask(viewer, &path, "select adds(1, 2)").await, 3);
    assert_eq!(ask(viewer, &path, "select count(*) from kept where id::bigint + 1 > 0").await, 2);
    assert_eq!(ask(developer, &path, "select cnt('kept')").await, 2);
}

#[tokio::test]
async fn postgres_viewers_have_the_rights_of_their_named_role() {
    let world = PostgresWorld::start().await;
    let role = format!("seen_{}", Uuid::new_v4().simple());
    world.database.run(&format!("create role {role}")).await;
    let setup =
        format!("create table open (id int); create table closed (id int); grant select on open to {role}");
    world.database.run(&setup).await;
    let path = connect(&world, "role", json!({"viewer_role": role, "pool_size": 1})).await;
    let absent = connect(&world, "absent", json!({"viewer_role": "nobody_at_all"})).await;
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    assert_eq!(ask(viewer, &path, "select current_user::text").await, role);
    assert_eq!(ask(viewer, &path, "select count(*) from open").await, 0);
    run(viewer, &path, "select * from closed").await.refused(403, "FORBIDDEN");
    let bare = world.bare_path("/query?connection=role");
    assert_eq!(run(viewer, &bare, "select * from closed").await.status, 400);
    let body = json!({"query": "select current_user::text where $1 = 1", "parameters": [1]});
    let answer = viewer.post(&format!("{path}&statementTimeoutSecs=5"), body).await;
    assert_eq!(answer.data()["rows"][0]["current_user"], *role, "{answer}");
    assert_eq!(ask(developer, &path, "select current_user::text").await, "postgres");
    assert_eq!(ask(developer, &path, "select count(*) from closed").await, 0);
    // Nothing is run as anybody else where the role is not there.
    let answer = run(viewer, &absent, "select 1").await;
    assert_eq!(answer.status, 400, "{answer}");
    world.database.run(&format!("drop owned by {role}")).await;
    eventually("the role goes", async || {
        world.database.try_texts(&format!("drop role {role}")).await.is_ok()
    })
    .await;
}
