//! Databases of which a few objects make a lot of text: their types are refused early, before they take memory or time.

use serde_json::json;
use std::time::Instant;
use studio_gateway_tests::{PATIENCE, PostgresWorld};

const MOST_MEMORY: u64 = 300 << 20;

fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM")).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Twenty references, and views of both ends.
const VIEWS: &str = "
create table wholes (id int primary key);
do $$ begin
  execute 'create table parts (' || (select string_agg(format('c%s int references wholes', n), ', ')
    from generate_series(1, 20) n) || ')';
  for n in 1..200 loop
    execute format('create view parts_%s as select * from parts', n);
    execute format('create view wholes_%s as select * from wholes', n);
  end loop;
end $$";

/// Functions that give rows of many columns.
const FUNCTIONS: &str = "
do $$ begin
  execute 'create table wide (' || (select string_agg(format('column_number_%s int', n), ', ')
    from generate_series(1, 1000) n) || ')';
  for n in 1..600 loop
    execute format('create function gives_%s() returns setof wide language sql as ''table wide''', n);
  end loop;
end $$";

/// Functions of one name, of which each is told beside all others.
const OVERLOADS: &str = "
do $$ begin
  for n in 1..1500 loop
    execute format('create type kind_%s as enum (''a'')', n);
    execute format('create function choose(argument kind_%s) returns int language sql as ''select 1''', n);
  end loop;
end $$";

#[tokio::test]
async fn postgres_types_of_what_multiplies_are_refused_early() {
    for (made, path) in [(VIEWS, "typescript"), (FUNCTIONS, "typescript"), (OVERLOADS, "typescript")] {
        let mut world = PostgresWorld::start().await;
        world.database.run(made).await;
        let before = peak(world.gateway.process().id());
        let begin = Instant::now();
        let answer = world.alpha.viewer.get(&world.path(&format!("/generators/{path}"))).await;
        answer.refused(507, "RESULT_TOO_LARGE");
        assert!(begin.elapsed() < *PATIENCE, "{:?}", begin.elapsed());
        let more = peak(world.gateway.process().id()) - before;
        assert!(more < MOST_MEMORY, "{} MiB", more >> 20);
        // Other languages do not tell of what multiplies.
        for language in ["go", "swift", "python"] {
            world.alpha.viewer.get(&world.path(&format!("/generators/{language}"))).await.expect(200);
        }
        let answer = world.alpha.viewer.post(&world.path("/query"), json!({"query": "select 1 as n"})).await;
        assert_eq!(answer.expect(200).data()["rows"], json!([{"n": 1}]));
    }
}
