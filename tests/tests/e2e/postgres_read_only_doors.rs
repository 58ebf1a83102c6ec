//! Every door by which a viewer's SQL could write, or touch what is someone else's: each is shut, and the server itself is
//! asked after each try.

use super::{
    postgres_calls::run,
    postgres_read_only::{TRUTH, World},
};
use serde_json::json;

#[tokio::test]
async fn postgres_viewer_writes_by_no_statement() {
    let world = World::start().await;
    for sql in [
        "insert into kept values (3, 'three')",
        "insert into kept values ($1, 'three')",
        "update kept set name = 'x'",
        "delete from kept",
        "truncate kept",
        "merge into kept using (values (1)) v on true when matched then delete",
        "drop table kept",
        "alter table kept add x int",
        "create table more (x int)",
        "create table more as select 1",
        "create temp table more (x int)",
        "create temporary view more as select 1",
        "create temp sequence more",
        "create unlogged table more (x int)",
        "create function more() returns int language sql as 'select 1'",
        "create role more superuser",
        "alter role postgres set work_mem = '1MB'",
        "alter database postgres set work_mem = '1MB'",
        "alter system set work_mem = '1MB'",
        "create extension dblink",
        "create schema more",
        "grant all on kept to public",
        "comment on table kept is 'x'",
        "refresh materialized view summary",
        "vacuum",
        "analyze kept",
        "reindex table kept",
        "cluster",
        "checkpoint",
        "lock table kept in access exclusive mode",
        "do $$ begin delete from kept; end $$",
        "do 'begin commit; delete from kept; end'",
        "call writes_by_call()",
        "copy kept from stdin",
        "copy kept to stdout",
        "copy (select 1) to stdout",
        "copy (select 1) to program 'touch DATA/door'",
        "copy (select 1) to 'DATA/door'",
        "copy kept from program 'touch DATA/door; echo 3'",
        "copy (delete from kept returning *) to stdout",
        "explain analyze insert into kept values (3, 'three')",
        "explain (analyze, costs off) delete from kept",
        "explain analyze create table more as select 1",
        "explain analyze select 1 into more",
        "explain analyze execute plan",
        "explain insert into kept values (3, 'three')",
        "with a as (insert into kept values (3, 'three') returning *) select * from a",
        "with a as (delete from kept returning *) table a",
        "with a as (update kept set name = 'x' returning *) select count(*) from a",
        "with recursive a as (select 1), b as (delete from kept returning 1) select * from a",
        "select * from kept, lateral (select 1) x where id in (with d as (delete from kept returning id) table d)",
        "select 1 as x into more",
        "select 1 as x into temp more",
        "select * from kept for update",
        "select * from kept for share",
        "select * from (select * from kept for no key update) x",
        "table kept for key share",
        "prepare plan as delete from kept",
        "prepare plan as select 1",
        "execute plan",
        "deallocate all",
        "declare c cursor with hold for select 1",
        "fetch all from c",
        "close all",
        "listen news",
        "unlisten *",
        "notify news, 'told'",
        "load 'auto_explain'",
        "import foreign schema x from server y into public",
        "security label on table kept is 'x'",
    ] {
        world.try_door(sql).await;
    }
    world.is_good().await;
}

#[tokio::test]
async fn postgres_viewer_writes_by_no_function() {
    let world = World::start().await;
    for sql in [
        "select writes()",
        "select * from writes()",
        "select public.writes_sql()",
        "select writes_dynamically()",
        "select writes_stably()",
        "select writes_anyway()",
        "select writes_after_set()",
        "select writes_after_config()",
        "select writes_in_block()",
        "select drops()",
        "select ends_it()",
        "select counts_up()",
        "select nextval('numbers')",
        "select setval('numbers', 7)",
        "select 1 where exists (select nextval('numbers'))",
        "select 1 order by writes()",
        "select 1 limit (select writes())",
        "select case when true then writes() end",
        "values (writes())",
        "explain analyze select writes()",
        "select * from writing_view",
        "table writing_view",
        "select 200 <+> 1",
        "select 'x'::checked",
        "select row(1, 'x')::pair::int",
        "select writing(1)",
        "select writing(id) over () from kept",
        "select (select array(select writes()))[1]",
        "select query_to_xml('delete from kept returning 1', false, false, '')",
        "select query_to_xml('select writes()', false, false, '')",
        "select cursor_to_xml('c', 1, false, false, '')",
        "select * from ts_stat('select writes()::text::tsvector')",
        "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery from writes()')",
        "select lo_create(0)",
        "select lo_creat(-1)",
        "select lo_from_bytea(0, 'x')",
        "select lo_import('/etc/hostname')",
        "select lo_export(1, 'DATA/door')",
        "select lo_unlink(1)",
        "select lo_put(1, 0, 'x')",
        "select lowrite(lo_open(1, 131072), 'x')",
    ] {
        world.try_door(sql).await;
    }
    world.is_good().await;
}

#[tokio::test]
async fn postgres_viewer_touches_no_session_file_or_setting_of_others() {
    let mut world = World::start().await;
    for sql in [
        "select pg_terminate_backend(BYSTANDER)",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bystander'",
        "select pg_catalog.pg_terminate_backend(BYSTANDER, 1)",
        "select * from pg_terminate_backend(BYSTANDER) x",
        "select (BYSTANDER).pg_terminate_backend",
        "select x.pg_cancel_backend from generate_series(BYSTANDER, BYSTANDER) x",
        "select pg_cancel_backend(BYSTANDER)",
        "select pg_log_backend_memory_contexts(BYSTANDER)",
        "select pg_reload_conf()",
        "select pg_rotate_logfile()",
        "select pg_switch_wal()",
        "select pg_promote()",
        "select pg_create_restore_point('x')",
        "select pg_create_physical_replication_slot('x', true)",
        "select pg_logical_emit_message(false, 'x', 'y')",
        "select pg_advisory_lock(5)",
        "select pg_advisory_lock_shared(5)",
        "select pg_try_advisory_lock(5)",
        "select pg_advisory_xact_lock(5)",
        "select pg_advisory_unlock_all()",
        "select pg_notify('news', 'told')",
        "select pg_stat_reset()",
        "select pg_stat_reset_shared('bgwriter')",
        "select pg_read_file('postgresql.conf')",
        "select pg_ls_dir('.')",
        "select pg_export_snapshot()",
        "select pg_import_system_collations('public')",
        "select brin_summarize_new_values('kept')",
        "select gin_clean_pending_list('kept')",
        "select pg_replication_origin_create('x')",
        "select set_config('search_path', 'x', false)",
        "select setseed(0.5)",
        "select dblink('dbname=postgres', 'delete from kept')",
    ] {
        world.try_door(sql).await;
    }
    world.is_good().await;

    let database = &world.world.database;
    database.run("create extension dblink; create extension tablefunc; create extension lo").await;
    world.truth = database.text(TRUTH).await;
    let place = format!("host=127.0.0.1 port={} user=postgres dbname=test", port(&world));
    for sql in [
        format!("select * from dblink('{place}', 'delete from kept returning id') as t(id int)"),
        format!("select dblink_exec('{place}', 'delete from kept')"),
        format!("select dblink_connect('{place}')"),
        "select * from crosstab('select 1, 2, writes()') as t(a int, b int)".to_owned(),
        "select * from connectby('kept where writes() = 1', 'id', 'id', '1', 0) as t(a int, b int, c int)"
            .to_owned(),
    ] {
        world.try_door(&sql).await;
    }
    world.is_good().await;
}

fn port(world: &World) -> String {
    let (place, _) = world.world.database.url.rsplit_once('/').unwrap();
    place.rsplit_once(':').unwrap().1.to_owned()
}

#[tokio::test]
async fn postgres_viewer_is_refused_in_any_disguise() {
    let world = World::start().await;
    for sql in [
        "  \n\t delete\u{b}from kept",
        "-- select 1\ndelete from kept",
        "/* select */ delete /**/ from kept",
        "/* /* nested */ select 1; */ delete from kept",
        "DeLeTe FrOm KePt",
        "((select 1)); delete from kept",
        "select 1;;;delete from kept;",
        "select $$ ; $$; delete from kept",
        "select $a$ $b$ $a$; delete from kept; --$b$",
        "select e'\\'; delete from kept; --'; delete from kept",
        "select '\\'; delete from kept; --'",
        "select U&'\\0027'; delete from kept",
        "select \"PG_CATALOG\".\"x\"(); delete from kept",
        "select \"pg_terminate_backend\"(BYSTANDER)",
        "select U&\"pg_\\0074erminate_backend\"(BYSTANDER)",
        "select U&\"pg!0074erminate_backend\" uescape '!' (BYSTANDER)",
        "select pg_catalog . /* here */ pg_terminate_backend\n(BYSTANDER)",
        "select PG_Terminate_Backend(BYSTANDER)",
        "select U&\"next\\0076al\"('numbers')",
        "with \"select\" as (delete from kept returning 1) select 1",
        "\u{feff}delete from kept",
        "select 1\0; delete from kept",
        "select 1 -- \r; delete from kept\r\n; delete from kept",
        "\\! touch /tmp/x",
        "delete from kept returning 1 as \"select\"",
        "table kept; delete from kept",
        "values (1); delete from kept",
        "show all; delete from kept",
        "explain select 1; delete from kept",
    ] {
        world.try_door(sql).await;
    }
    let list = world.world.path("/query?connection=narrow&read_only=false");
    run(&world.world.alpha.viewer, &list, "delete from kept").await.refused(400, "VALIDATION_ERROR");
    for body in [
        json!({"query": "select $1", "parameters": ["1'; delete from kept; --"]}),
        json!({"query": "select $1::text", "parameters": ["'; commit; delete from kept; --"]}),
        json!({"query": "select 1", "parameters": [], "read_only": false}),
    ] {
        let answer = world.world.alpha.viewer.post(&world.path, body).await;
        assert!(answer.status < 500, "{answer}");
        world.is_unchanged("parameters").await;
    }
    world.is_good().await;
}
