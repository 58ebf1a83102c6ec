//! What is proved to leave its connection as it was leaves it so, and what is said to have read only has read only.

use crate::{
    statements::{Choices, odd_parts},
    support::World,
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;

/// Statements whose connection is not cleaned after them, or that are said to have read only.
#[derive(Default)]
struct Seen {
    left_alone: Cell<u32>,
    only_read: Cell<u32>,
    cleaned: Cell<u32>,
}

fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

async fn check(world: &World, clean: &Value, sql: &str, seen: &Seen) {
    let parameters = if sql.contains("$1") { json!([1]) } else { json!([]) };
    let before = world.contents().await;
    let answer = world.run_with(sql, parameters.clone()).await;
    let only_read = answer.is_ok_and(|reply| reply.only_read);
    // It is the first that comes after it in the connection.
    assert_eq!(&world.state().await, clean, "{sql}");
    if only_read {
        count(&seen.only_read);
        assert_eq!(world.contents().await, before, "{sql}");
    }
    // And as a statement that stays prepared.
    for _ in 0..2 {
        let _ = world.run_with(sql, parameters.clone()).await;
    }
    match world.is_left_alone(sql).await {
        true => count(&seen.left_alone),
        false => count(&seen.cleaned),
    }
    assert_eq!(&world.state().await, clean, "{sql}");
}

#[test]
fn what_is_proved_leaves_no_trace_whatever_it_is_made_of() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    let clean = runtime.block_on(world.state());
    let seen = Seen::default();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) };
    for odd in odd_parts().map(Some).chain([None; 8]) {
        let bytes = prop::collection::vec(any::<u8>(), 40);
        let ran = TestRunner::new(config.clone()).run(&bytes, |bytes| {
            let sql = Choices::new(&bytes, odd).statement();
            runtime.block_on(check(&world, &clean, &sql, &seen));
            Ok(())
        });
        ran.unwrap_or_else(|failure| panic!("{failure}"));
    }
    let Seen { left_alone, only_read, cleaned } = seen;
    // Else this would show nothing.
    let counts = [left_alone, only_read, cleaned].map(Cell::into_inner);
    assert!(counts.iter().all(|count| *count > 15), "{counts:?}");
}

#[tokio::test]
async fn statements_that_leave_traces_anyhow_are_not_proved() {
    let world = World::start().await;
    let clean = world.state().await;
    for sql in UNPROVED {
        // The second time nobody asks for the name of its type.
        for _ in 0..2 {
            let answer = world.run(sql).await;
            assert!(!answer.is_ok_and(|reply| reply.only_read), "{sql}");
        }
        world.expect_cleaning(sql).await;
        assert_eq!(world.state().await, clean, "{sql}");
    }
}

/// Each of them has a way to run something, or changes something itself.
const UNPROVED: &[&str] = &[
    "select set_config('work_mem', '9MB', false)",
    "select pg_catalog.set_config('work_mem', '9MB', false)",
    "select nextval('touched')",
    "select currval('touched')",
    "select lastval()",
    "select setval('touched', 3)",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock_shared(1)",
    "select pg_notify('a', 'b')",
    "select setseed(0.1)",
    "select random()",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'a')",
    "select txid_current()",
    "select pg_current_xact_id()",
    "select pg_export_snapshot()",
    "select current_schema",
    "select current_schema()",
    "select \"current_schema\"()",
    "select current_schemas(true)",
    "select query_to_xml('select 1', true, true, '')",
    "select table_to_xml('seen', true, true, '')",
    "select domain_in('x', 'checked'::regtype, -1)",
    "select array_in('{x}', 'checked'::regtype, -1)",
    "select satisfies_hash_partition('parted'::regclass, 2, 0, 1)",
    "select generate_series(1, 2)",
    "select * from generate_series(1, 2)",
    "select unnest(array[1])",
    "select * from pg_prepared_statements",
    "select pg_prepared_statement()",
    "select * from pg_settings",
    "select leave_traces()",
    "select sly(1)",
    "select upper('a')",
    "select before.upper('a')",
    "select 1 <+> 2",
    "select 1 operator(public.<+>) 2",
    "select 'a' && 'b'",
    "select 'a'::checked",
    "select checked 'a'",
    "select checked('a')",
    "select null::item",
    "select i.item from items i",
    "select ('{x}'::text)._checked",
    "select ('{\"(1,x)\"}')._held",
    "select i.peek from items i",
    "select (i).peek from items i",
    "select peek(i) from items i",
    "select p::text from casted p",
    "select to_json(p) from casted p",
    "select concat(p) from casted p",
    "select length(p) from casted p",
    "select * from seen",
    "select * from guarded",
    "select * from made",
    "select * from held",
    "select * from indexed",
    "select * from constants where id < 3",
    "select * from measured",
    "select * from parted",
    "select * from touched",
    "select * from missing",
    "select * from items tablesample system (10)",
    "select name into temp passing from items",
    "create temp table passing as select 1",
    "insert into numbered (name) values ('a')",
    "insert into counted (name) values ('a')",
    "insert into defaults (id) values (1)",
    "insert into ruled values (1)",
    "insert into checks values (1)",
    "insert into builtin_checks values (1)",
    "insert into parted_one values (1)",
    "insert into triggered values (1)",
    "update triggered set name = 'a'",
    "delete from triggered",
    "update people set name = 'a'",
    "with made as (insert into triggered values (2) returning *) select * from made",
    "merge into items using people on false when matched then delete",
    "select 1; select 2",
    "select 1; begin",
    "begin",
    "set work_mem = '9MB'",
    "listen news",
    "prepare p as select 1",
    "declare c cursor with hold for select 1",
    "explain select 1",
    "show work_mem",
    "lock table items",
    "select 'a\\', set_config('work_mem', '9MB', false) --'",
];

/// Statements that are proved, and whether they only read.
const PROVED: &[(&str, bool)] = &[
    ("select 1", true),
    ("-- one\nselect 'it''s' as \"set_config\" /* set_config() */;", true),
    ("select * from items where id = 1", true),
    ("select count(*), max(name) from items i where i.name like 'n%' and i.data ->> 'a' is null", true),
    ("select lower(name), now(), tags[1] from items order by id desc limit 2", true),
    ("with few as (select id from people) select * from few join items using (id)", true),
    ("select name from people where mood = 'happy'", true),
    ("select * from public.parts", true),
    ("select id, name from summary", true),
    ("select relname from pg_class where oid = 'items'::regclass", true),
    ("select pg_sleep(0)", true),
    ("select 1/0", true),
    ("select id from items where id = 1 for update", false),
    (
        "insert into items (id, name) values (50, 'x') on conflict (id) do update set name = excluded.name",
        false,
    ),
    ("update items set name = 'y' where id = 50 returning name", false),
    ("delete from items where id = 50", false),
    ("insert into public.parts values (60, 'x')", false),
    ("with gone as (delete from items where id = 50 returning *) select * from gone", false),
];

#[tokio::test]
async fn plain_statements_are_proved_and_need_no_cleaning() {
    let world = World::start().await;
    let clean = world.state().await;
    for (sql, reads) in PROVED {
        for _ in 0..3 {
            let before = world.contents().await;
            let answer = world.run(sql).await;
            assert!(world.is_left_alone(sql).await, "{sql}");
            if let Ok(reply) = answer {
                assert_eq!(reply.only_read, *reads, "{sql}");
            }
            if *reads {
                assert_eq!(world.contents().await, before, "{sql}");
            }
        }
        assert_eq!(world.state().await, clean, "{sql}");
    }
}

/// Somebody beside the gateway may define what nobody looked at yet.
#[tokio::test]
async fn connection_is_cleaned_now_and_then_whatever_is_proved() {
    let world = World::start().await;
    world.run("select 1").await.unwrap();
    assert!(world.is_left_alone("select 1").await);
    for _ in 0..1_000 {
        world.run("select 1").await.unwrap();
    }
    world.expect_cleaning("select 1").await;
    world.run("select 1").await.unwrap();
    assert!(world.is_left_alone("select 1").await);
}
