//! SQL about what belongs to the whole server is for admins, as its operations are.

use serde_json::json;
use studio_gateway_tests::{PostgresOptions, PostgresWorld};

const STATEMENTS: &[&str] = &[
    "create role made superuser login password 'x'",
    "CREATE USER made",
    "select 1; create role made",
    "alter role postgres set work_mem = '1MB'",
    "alter user postgres with password 'x'",
    "grant pg_read_all_data to bystander",
    "revoke pg_monitor from bystander",
    "drop role bystander",
    "alter system set work_mem = '1MB'",
    "alter database postgres set work_mem = '1MB'",
    "drop database spare",
    "drop owned by bystander",
    "reassign owned by bystander to postgres",
    "comment on role bystander is 'x'",
    "copy (select 1) to program 'cat > /dev/null'",
    "copy (select 1) to '/tmp/studio-gateway-copied'",
    "load 'plpgsql'",
    "do $$ begin create role made; end $$",
    "do $$ begin execute 'create role made'; end $$",
    "create function makes() returns void language plpgsql as 'begin create role made; end'",
];

/// What the statements would change.
const STATE: &str = "select concat(
  (select string_agg(concat(rolname, md5(rolpassword)), ',' order by rolname) from pg_authid
    where rolname !~ '^pg_'),
  (select string_agg(datname, ',' order by datname) from pg_database),
  (select count(*) from pg_auth_members), (select count(*) from pg_db_role_setting),
  (select count(*) from pg_shdescription where classoid = 'pg_authid'::regclass),
  (select count(*) from pg_proc where proname = 'makes'))";

#[tokio::test]
async fn postgres_statements_on_roles_and_the_server_need_admins() {
    let world = PostgresWorld::start_with(PostgresWorld::options(), PostgresOptions::new()).await;
    world.database.run("create role bystander; grant pg_monitor to bystander").await;
    world.database.run("create database spare").await;
    let before = world.database.text(STATE).await;
    for sql in STATEMENTS {
        for path in [world.path("/query"), world.bare_path("/query")] {
            for body in [json!({"query": sql}), json!({"query": sql, "parameters": [1]})] {
                let answer = world.alpha.developer.post(&path, body).await;
                assert_eq!(answer.status, 403, "{sql} {answer}");
            }
        }
        assert_eq!(world.database.text(STATE).await, before, "{sql}");
    }
    let answer = world.alpha.developer.post(&world.path("/query"), json!({"query": STATEMENTS[0]})).await;
    assert_eq!(answer.refused(403, "FORBIDDEN")["statement"], "CREATE, ALTER or DROP ROLE");
    // What a database holds is theirs, and so is acting as a role that the login is in.
    for sql in [
        "create table t (role text default '; create role made')",
        "insert into t values ('create role made'), ($$; alter system$$)",
        "grant select on t to bystander",
        "set role bystander; select current_user",
        "do $$ begin perform 1; end $$",
        "copy t from stdin",
    ] {
        let answer = world.alpha.developer.post(&world.path("/query"), json!({"query": sql})).await;
        assert_ne!(answer.status, 403, "{sql} {answer}");
    }
    for sql in [
        "create role made",
        "alter role made set work_mem = '1MB'; grant pg_monitor to made",
        "drop role made",
    ] {
        world.alpha.admin.post(&world.path("/query"), json!({"query": sql})).await.expect(200);
        world.alpha.developer.post(&world.path("/query"), json!({"query": sql})).await.expect(403);
    }
    // A long text too, and one that only tells of roles.
    let rows = "insert into t values ('create role made; it''s');\n".repeat(4_000);
    world.alpha.developer.post(&world.path("/query"), json!({"query": rows})).await.expect(200);
    let hidden = json!({"query": rows + "create role made"});
    world.alpha.developer.post(&world.path("/query"), hidden).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn postgres_viewers_use_up_nothing_of_the_server() {
    let world = PostgresWorld::start().await;
    let viewer = &world.alpha.viewer;
    world.database.run("create sequence numbers").await;
    let next = "select pg_snapshot_xmax(pg_current_snapshot())::text";
    for call in [
        "txid_current()",
        "pg_current_xact_id()",
        "pg_catalog.txid_current()",
        "nextval('numbers')",
        "setval('numbers', 5)",
        "pg_advisory_lock(1)",
        "pg_try_advisory_lock_shared(1)",
        "pg_try_advisory_xact_lock(1)",
        "pg_notify('a', 'b')",
        "set_config('work_mem', '1MB', false)",
        "pg_export_snapshot()",
        "pg_terminate_backend(0)",
        "pg_cancel_backend(0)",
        "pg_reload_conf()",
        "pg_rotate_logfile()",
        "pg_switch_wal()",
        "pg_create_restore_point('x')",
        "pg_stat_reset()",
        "pg_stat_reset_shared('bgwriter')",
        "pg_log_backend_memory_contexts(1)",
        "pg_read_file('PG_VERSION')",
        "pg_read_binary_file('PG_VERSION')",
        "pg_stat_file('PG_VERSION')",
        "pg_ls_dir('.')",
        "pg_ls_waldir()",
        "lo_create(0)",
        "lo_import('/etc/hostname')",
        "lo_from_bytea(0, 'x')",
        "lo_unlink(1)",
        "pg_create_logical_replication_slot('a', 'b')",
        "pg_logical_emit_message(false, 'a', 'b')",
        "pg_replication_origin_create('a')",
        "query_to_xml('select 1', true, true, '')",
        "cursor_to_xml('a', 1, true, true, '')",
        "ts_stat('select null::tsvector')",
        "ts_rewrite('a'::tsquery, 'select null::tsquery, null::tsquery')",
        "setseed(0)",
        "brin_summarize_new_values('pg_class_oid_index')",
        "gin_clean_pending_list('pg_class_oid_index')",
    ] {
        for sql in [format!("select {call}"), format!("select 1 from (select {call}) a")] {
            let answer = viewer.post(&world.path("/query"), json!({"query": sql})).await;
            answer.refused(403, "FORBIDDEN");
        }
    }
    let first: u64 = world.database.text(next).await.parse().unwrap();
    for _ in 0..20 {
        viewer.post(&world.path("/query"), json!({"query": "select txid_current()"})).await.expect(403);
        viewer
            .post(&world.path("/query"), json!({"query": "select txid_current_if_assigned()"}))
            .await
            .expect(200);
    }
    // Others use this server too.
    let last: u64 = world.database.text(next).await.parse().unwrap();
    assert!(last >= first);
    assert_eq!(world.database.text("select is_called::text from numbers").await, "false");
}
