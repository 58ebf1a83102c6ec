//! A viewer's SQL changes nothing, whatever it says: what it may not do is refused, and the server itself is asked what
//! there is after each try. What only reads works.

use super::postgres_calls::{ask, connect, connect_narrow, run};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use std::{sync::Arc, time::Duration};
use studio_gateway_tests::{Answer, PostgresOptions, PostgresWorld};
use tokio::{task::JoinSet, time::timeout};

const SCHEMA: &str = "
create table kept (id int primary key, name text);
insert into kept values (1, 'one'), (2, 'two');
create sequence numbers;
create materialized view summary as select count(*) from kept;
create function reads() returns bigint language plpgsql as 'begin return (select count(*) from kept); end';
create function reads_sql() returns bigint language sql stable as 'select count(*) from kept';
create function writes() returns int language plpgsql as
  'begin insert into kept values (100, $$x$$); return 1; end';
create function writes_sql() returns int language sql as 'insert into kept values (101, $$x$$); select 1';
create function writes_dynamically() returns int language plpgsql as
  'begin execute concat($$insert into kept val$$, $$ues (102, null)$$); return 1; end';
create function writes_stably() returns int language plpgsql stable as
  'begin execute $$insert into kept values (103, null)$$; return 1; end';
do 'begin
  create function writes_anyway() returns int language plpgsql set transaction_read_only = off as
    $$begin insert into kept values (104, null); return 1; end$$;
exception when feature_not_supported then null; -- since PostgreSQL 16
end';
create function writes_after_set() returns int language plpgsql as
  'begin set local transaction_read_only = off; insert into kept values (105, null); return 1; end';
create function writes_after_config() returns int language plpgsql as
  'begin perform set_config($$transaction_read_only$$, $$off$$, false);
   insert into kept values (106, null); return 1; end';
create function writes_in_block() returns int language plpgsql as
  'begin begin insert into kept values (107, null); exception when others then
   set transaction_read_only = off; insert into kept values (107, null); end; return 1; end';
create function counts_up() returns bigint language plpgsql as 'begin return nextval($$numbers$$); end';
create function drops() returns int language plpgsql as 'begin drop table kept; return 1; end';
create function tells() returns int language plpgsql as 'begin perform pg_notify($$news$$, $$told$$); return 1; end';
create function ends_it() returns int language plpgsql as 'begin commit; insert into kept values (108, null); return 1; end';
create procedure writes_by_call() language plpgsql as 'begin commit; insert into kept values (109, null); end';
create function writes_for_each() returns trigger language plpgsql as 'begin return new; end';
create view writing_view as select writes() as it;
create operator === (leftarg = int, rightarg = int, function = int4eq);
create function writes_for_operator(int, int) returns int language plpgsql as
  'begin insert into kept values ($1, null); return 1; end';
create operator <+> (leftarg = int, rightarg = int, function = writes_for_operator);
create function checks(text) returns bool language plpgsql as
  'begin insert into kept values (110, null); return true; end';
create domain checked as text check (checks(value));
create type pair as (id int, name text);
create function writes_for_cast(pair) returns int language plpgsql as
  'begin insert into kept values (111, null); return 1; end';
create cast (pair as int) with function writes_for_cast(pair);
create function writes_for_aggregate(int, int) returns int language plpgsql as
  'begin insert into kept values (112, null); return 1; end';
create aggregate writing(int) (sfunc = writes_for_aggregate, stype = int, initcond = '0');
";

/// All that a door could change.
pub(crate) const TRUTH: &str = "
select concat_ws(' ; ',
  (select string_agg(id || ' ' || name, ', ' order by id) from public.kept),
  (select string_agg(relname || relkind::text, ', ' order by relname) from pg_class
    where relnamespace = 'public'::regnamespace or relpersistence = 't'),
  (select last_value || ' ' || is_called from public.numbers),
  (select count(*) from pg_largeobject_metadata),
  (select count(*) from pg_prepared_xacts),
  (select count(*) from pg_proc where pronamespace = 'public'::regnamespace),
  (select string_agg(rolname || rolsuper || rolcanlogin, ', ' order by rolname) from pg_roles where rolname !~ '^pg_'),
  (select count(*) from pg_db_role_setting),
  (select count(*) from pg_namespace where nspname !~ '^pg_t'),
  (select count(*) from pg_locks where locktype = 'advisory'),
  (select count(*) from pg_replication_slots),
  (select count(*) from pg_stat_activity where application_name = 'bystander' and state is not null),
  pg_conf_load_time(),
  (select count(*) from pg_file_settings where sourcefile like '%auto.conf'),
  pg_stat_file('door', true) is null)";

pub(crate) struct World {
    pub(crate) world: PostgresWorld,
    pub(crate) path: String,
    pub(crate) truth: String,
    /// Someone else's session.
    _bystander: sqlx::PgConnection,
    bystander: String,
    data: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        let world = PostgresWorld::start_with(PostgresWorld::options(), PostgresOptions::new()).await;
        world.database.run(SCHEMA).await;
        let mut connection = world.database.connect().await;
        sqlx::query("set application_name = 'bystander'").execute(&mut connection).await.unwrap();
        let bystander = world
            .database
            .text("select pid::text from pg_stat_activity where application_name = 'bystander'")
            .await;
        let data = world.database.text("show data_directory").await;
        let path = connect_narrow(&world).await;
        let truth = world.database.text(TRUTH).await;
        Self { world, path, truth, _bystander: connection, bystander, data }
    }

    pub(crate) async fn is_unchanged(&self, after: &str) {
        assert_eq!(self.world.database.text(TRUTH).await, self.truth, "after {after}");
    }

    /// A try, which must be refused and change nothing, with and without parameters.
    pub(crate) async fn try_door(&self, sql: &str) {
        let sql = sql.replace("BYSTANDER", &self.bystander).replace("DATA", &self.data);
        for body in [json!({"query": sql}), json!({"query": sql, "parameters": [1]})] {
            let answer = self.world.alpha.viewer.post(&self.path, body).await;
            let refused =
                ["FORBIDDEN", "QUERY_ERROR", "VALIDATION_ERROR"].contains(&answer.error_code().as_str());
            assert!(refused, "{sql}: {answer}");
            self.is_unchanged(&sql).await;
        }
    }

    /// A try which may be let through as long as it changes nothing.
    pub(crate) async fn try_harmless(&self, sql: &str) -> Answer {
        let answer = run(&self.world.alpha.viewer, &self.path, sql).await;
        assert!(answer.status < 500, "{sql}: {answer}");
        self.is_unchanged(sql).await;
        answer
    }

    /// The connection serves viewers and others as before.
    pub(crate) async fn is_good(&self) {
        let (developer, viewer) = (&self.world.alpha.developer, &self.world.alpha.viewer);
        let question = "select current_setting('transaction_read_only')";
        assert_eq!(ask(viewer, &self.path, question).await, "on");
        assert_eq!(ask(developer, &self.path, question).await, "off");
        run(developer, &self.path, "insert into kept values (3, 'three'); delete from kept where id = 3")
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn postgres_viewer_has_no_way_out_of_the_read_only_transaction() {
    let world = World::start().await;
    for sql in [
        "set transaction read write",
        "set transaction read write; delete from kept",
        "set session characteristics as transaction read write",
        "set transaction_read_only = off",
        "set local transaction_read_only to off; delete from kept",
        "set default_transaction_read_only = off",
        "select set_config('transaction_read_only', 'off', true)",
        "select set_config('transaction_read_only', 'off', false), writes()",
        "select writes() from set_config('transaction_read_only', 'off', false)",
        "with off as materialized (select set_config('transaction_read_only', 'off', false)) select writes() from off",
        "commit",
        "commit; drop table kept",
        "end; delete from kept",
        "commit and chain",
        "rollback; delete from kept",
        "abort",
        "rollback; begin read write; delete from kept; commit",
        "begin; commit",
        "begin read write",
        "start transaction read write",
        "savepoint a",
        "prepare transaction 'x'",
        "commit prepared 'x'",
        "select 1; select 2",
        "select 1; delete from kept",
        "; delete from kept",
        "select 1 /* ; */ ; /* */ delete from kept",
        "set role postgres",
        "set session authorization default",
        "reset all",
        "reset transaction_read_only",
        "discard all",
        "discard temp",
    ] {
        world.try_door(sql).await;
    }
    world.is_good().await;
}

#[tokio::test]
async fn postgres_viewer_runs_nothing_that_someone_else_left_prepared() {
    let world = World::start().await;
    let developer = &world.world.alpha.developer;
    for sql in [
        "prepare plan as delete from kept; prepare s0 as delete from kept",
        "prepare plan as delete from kept; set default_transaction_read_only = off",
        "begin; prepare plan as delete from kept",
        "set search_path = pg_temp, public; create function pg_temp.lower(text) returns text language sql
           as 'delete from kept returning name'",
    ] {
        run(developer, &world.path, sql).await.expect(200);
        for door in ["execute plan", "explain analyze execute plan", "execute s0"] {
            world.try_door(door).await;
        }
        assert_eq!(ask(&world.world.alpha.viewer, &world.path, "select lower('A')").await, "a");
        world.is_unchanged(sql).await;
        assert_eq!(world.world.alpha.viewer.get(&world.world.path("/schemas")).await.status, 200);
    }
    world.is_good().await;
}

#[tokio::test]
async fn postgres_viewer_tells_nobody_anything() {
    let world = World::start().await;
    let mut listener = PgListener::connect(&world.world.database.url).await.unwrap();
    listener.listen("news").await.unwrap();
    for sql in
        ["select tells()", "select pg_notify('news', 'told')", "notify news", "select tells() from kept"]
    {
        world.try_harmless(sql).await;
    }
    let heard = timeout(Duration::from_millis(300), listener.recv()).await;
    assert!(heard.is_err(), "{heard:?}");
    run(&world.world.alpha.developer, &world.path, "select tells()").await.expect(200);
    let heard = timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
    assert_eq!(heard.payload(), "told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_viewers_and_writers_share_connections_not_rights() {
    let world = Arc::new(World::start().await);
    let wide = connect(&world.world, "wide", json!({"pool_size": 2})).await;
    let mut callers = JoinSet::new();
    for number in 0..12 {
        let (world, wide) = (world.clone(), wide.clone());
        callers.spawn(async move {
            let path = if number % 2 == 0 { &world.path } else { &wide };
            let (developer, viewer) = (&world.world.alpha.developer, &world.world.alpha.viewer);
            let question = "select current_setting('transaction_read_only')";
            for round in 0..8 {
                if number % 4 < 2 {
                    assert_eq!(ask(viewer, path, question).await, "on");
                    run(viewer, path, "select writes()").await.refused(403, "FORBIDDEN");
                    run(viewer, path, "select 1/0").await.refused(400, "QUERY_ERROR");
                    let request = viewer.request("POST", path).header("x-request-timeout", "60ms");
                    viewer.send(request.json(&json!({"query": "select pg_sleep(1)"}))).await;
                    assert_eq!(ask(viewer, path, question).await, "on");
                } else {
                    let id = 1000 + number * 100 + round;
                    let sql = format!("insert into kept values ({id}, 'written') returning id");
                    assert_eq!(ask(developer, path, &sql).await, id);
                    run(developer, path, "set default_transaction_read_only = on; begin; select 1")
                        .await
                        .expect(200);
                    run(developer, path, "begin read only; select 1/0").await.refused(400, "QUERY_ERROR");
                    assert_eq!(ask(developer, path, question).await, "off");
                }
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    let written = world.world.database.text("select count(*)::text from kept where name = 'written'").await;
    assert_eq!(written, (6 * 8).to_string());
    world.world.database.run("delete from kept where name = 'written'").await;
    world.is_unchanged("all of it").await;
}

#[tokio::test]
async fn postgres_viewer_reads_whatever_can_be_read() {
    let world = World::start().await;
    for sql in [
        "select * from kept order by id",
        "with a as (select * from kept) select count(*) from a",
        "values (1), (2)",
        "table kept",
        "show server_version",
        "show all",
        "explain select * from kept",
        "explain (analyze, format json) select * from kept",
        "select reads(), reads_sql()",
        "select random(), now(), clock_timestamp(), gen_random_uuid(), version(), current_user, pg_backend_pid()",
        "select pg_sleep(0.01)",
        "select pg_size_pretty(pg_database_size(current_database())), pg_total_relation_size('kept')",
        "select * from pg_stat_activity",
        "select * from pg_stat_user_tables",
        "select * from information_schema.columns",
        "select pg_get_viewdef('writing_view'), obj_description('kept'::regclass)",
        "select 1 === 1",
        "select jsonb_agg(k), array_agg(id), string_agg(name, ','), json_build_object('a', 1) from kept k",
        "select upper(name), length(name), name ~ 'o', row_number() over (order by id) from kept",
        "select generate_series(1, 3), unnest(array[1, 2, 3])",
        "select regexp_matches('abc', 'b'), to_tsvector('english', 'words') @@ 'word'::tsquery",
        "select last_value from numbers",
        "select 'delete from kept; drop table kept' as \"insert into\" -- delete from kept",
        "select xmlelement(name a), extract(year from now()), 'int'::regtype",
        "select * from summary;",
    ] {
        let answer = world.try_harmless(sql).await.expect(200);
        assert!(answer.data()["rows"].is_array(), "{sql}: {answer}");
    }
    let body = json!({"query": "select name from kept where id = $1", "parameters": [2]});
    let answer = world.world.alpha.viewer.post(&world.path, body).await.data();
    assert_eq!(answer["rows"], json!([{"name": "two"}]));
    assert_eq!((&answer["command"], &answer["row_count"]), (&json!("SELECT"), &Value::from(1)));
    world.is_good().await;
}
