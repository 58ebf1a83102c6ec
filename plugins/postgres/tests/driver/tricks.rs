//! What changes in the catalogs ends proofs, and what stays prepared follows its tables.

use crate::support::{World, first};
use serde_json::json;
use std::time::Duration;

/// What makes a statement that was proved run something else: what is defined, the statement, and how it is taken back.
const DEFINED: &[(&str, &str, &str)] = &[
    (
        "create function before.lower(text) returns text language sql as 'select public.sly_text(1)'",
        "select before.lower(name) from items",
        "drop function before.lower(text)",
    ),
    (
        "create operator before.= (leftarg = int, rightarg = text, function = sly_any)",
        "select case id when '1'::text then 2 end from items",
        "drop operator before.= (int, text)",
    ),
    (
        "create cast (int as bytea) with function int_bytes as implicit",
        "select length(id) from items",
        "drop cast (int as bytea)",
    ),
    (
        "create cast (mood as int) with function mood_int as implicit",
        "select abs(mood) from people",
        "drop cast (mood as int)",
    ),
    (
        "create operator class told default for type json using btree as operator 1 <#, operator 2 <=#, operator 3 =#,
           operator 4 >=#, operator 5 >#, function 1 json_order(json, json)",
        "select distinct to_json(id) from items",
        "drop operator family told using btree",
    ),
    (
        "alter operator family integer_ops using btree
           add function 3 (int4, text) in_text(int, int, text, bool, bool)",
        "select sum(id) over (order by id range between '1'::text preceding and current row) from items",
        "alter operator family integer_ops using btree drop function 3 (int4, text)",
    ),
    (
        "create view before.items as select id, name from public.items where leave_traces() = 1;
         grant select on before.items to app",
        "select id, name from items",
        "drop view before.items",
    ),
    ("create index told on items (id) where sly(1) = 1", "select name from items where id = 2", "drop index told"),
    (
        "alter table items enable row level security",
        "select id from items",
        "alter table items disable row level security",
    ),
    (
        "create rule told as on update to items do also select leave_traces()",
        "update items set name = 'z' where id = 1",
        "drop rule told on items",
    ),
    (
        "alter table items add constraint told check (nextval('touched') > 0)",
        "update items set name = 'y' where id = 1",
        "alter table items drop constraint told",
    ),
    (
        "alter table items alter name set default sly_text(1)",
        "insert into items (id) values (70) on conflict (id) do update set name = default",
        "alter table items alter name drop default",
    ),
    (
        "create table heirs (check (id > sly(1))) inherits (items); grant select on heirs to app",
        "select id from items where id < 3",
        "drop table heirs",
    ),
];

/// What the definitions are made of.
const PARTS: &str = "
  create function sly_any(int, text) returns bool language plpgsql immutable as $$ begin return sly(1) = 1; end $$;
  create function int_bytes(int) returns bytea language plpgsql immutable as $$ begin return sly_text(1)::bytea; end $$;
  create function mood_int(mood) returns int language plpgsql immutable as $$ begin return sly(1); end $$;
  create function json_truth(json, json) returns bool language plpgsql immutable as $$ begin return sly(1) = 2; end $$;
  create function json_order(json, json) returns int language plpgsql immutable as $$ begin return sly(1); end $$;
  create function in_text(int, int, text, bool, bool) returns bool language plpgsql immutable
    as $$ begin return sly(1) = 1; end $$;
  create operator <# (leftarg = json, rightarg = json, function = json_truth);
  create operator <=# (leftarg = json, rightarg = json, function = json_truth);
  create operator =# (leftarg = json, rightarg = json, function = json_truth);
  create operator >=# (leftarg = json, rightarg = json, function = json_truth);
  create operator ># (leftarg = json, rightarg = json, function = json_truth);
  create policy told on items using (sly(id) = 1)";

#[tokio::test]
async fn definitions_that_get_in_a_statements_way_end_its_proof() {
    let world = World::start().await;
    world.beside(PARTS).await;
    let clean = world.state().await;
    for (definition, sql, undo) in DEFINED {
        if !sql.contains("before.") {
            for _ in 0..2 {
                let _ = world.run(sql).await;
            }
            assert!(world.is_left_alone(sql).await, "{sql}");
        }
        world.beside(&format!("{definition}; select 1")).await;
        let traced = world.run(&format!("{sql}; select session_state()")).await.map(|reply| first(&reply));
        assert_ne!(
            traced.unwrap_or_else(|error| panic!("{sql}: {error}")),
            clean,
            "it gets in no way: {definition}"
        );
        // What a session defines ends its proofs at once.
        world.run("drop table if exists nothing").await.unwrap();
        let _ = world.run(sql).await;
        assert_eq!(world.state().await, clean, "{definition}");
        let _ = world.run(sql).await;
        world.expect_cleaning(sql).await;
        world.beside(&format!("{undo}; select 1")).await;
        world.run("drop table if exists nothing").await.unwrap();
        if !sql.contains("before.") {
            let _ = world.run(sql).await;
            assert!(world.is_left_alone(sql).await, "{undo}");
        }
    }
}

#[tokio::test]
async fn prepared_statements_follow_their_tables_without_an_error() {
    let world = World::start().await;
    world
        .beside(
            "create table changing (id int primary key, at timestamp, n int); grant all on changing to app",
        )
        .await;
    world.beside("insert into changing values (1, '2020-01-01 00:00', 0)").await;
    let all = "select * from changing";
    let by_id = "select id from changing where id = $1";
    let write = "update changing set n = n + 1 where id = $1 returning *";
    for _ in 0..4 {
        world.run(all).await.unwrap();
        world.run_with(by_id, json!([1])).await.unwrap();
        world.run_with(write, json!([1])).await.unwrap();
    }
    assert!(world.is_left_alone(write).await);
    let mut writes = 4;
    for definition in [
        "alter table changing add other text default 'x'",
        "alter table changing alter id type text",
        "alter table changing drop other",
        "alter table changing alter id type numeric using id::numeric",
        "alter table changing rename at to moment",
    ] {
        world.beside(definition).await;
        // At once, while the proof still counts.
        let reply = world.run(all).await.unwrap_or_else(|error| panic!("{definition}: {error}"));
        assert_eq!(reply.payload["row_count"], 1);
        let reply =
            world.run_with(by_id, json!(["1"])).await.unwrap_or_else(|error| panic!("{definition}: {error}"));
        assert_eq!(reply.payload["row_count"], 1, "{definition}");
        world.run_with(write, json!(["1"])).await.unwrap_or_else(|error| panic!("{definition}: {error}"));
        writes += 1;
        assert_eq!(world.beside("select n from changing").await, writes, "{definition}");
    }
    // Values are of the type that the table has now, as soon as the proof is a new one.
    let later = "select count(*) from changing where moment < $1";
    let count = async || first(&world.run_with(later, json!(["2020-01-01T01:00:00+09"])).await.unwrap());
    for _ in 0..3 {
        assert_eq!(count().await, 1);
    }
    world.beside("alter table changing alter moment type timestamptz using moment at time zone 'utc'").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn callers_statements_that_stay_prepared_are_not_shown() {
    let world = World::start().await;
    let secret = "select 'secret', id from items where id = 1";
    for _ in 0..3 {
        world.run(secret).await.unwrap();
    }
    assert!(world.is_left_alone(secret).await);
    let seen = world
        .run("select count(*) from pg_prepared_statements where statement like '%secret' || '''%'")
        .await;
    assert_eq!(first(&seen.unwrap()), 0);
}
