//! The gateway as postgres-meta, and postgres-meta itself, before the same PostgreSQL; and pgbench for a row by its key.

use super::{
    Bench,
    load::{Load, Series, measure_program, write_script},
};
use crate::{
    gateway::Gateway,
    sample,
    servers::{Postgres, PostgresMeta},
};
use anyhow::{Result, ensure};
use serde_json::json;
use std::{fs, path::PathBuf, process::Command};

/// Connections that load is made with.
const CONNECTIONS: [u32; 2] = [1, 16];
/// A database of ordinary size: tables with keys, indexes and comments, and rows in one of them.
const SETUP: &str = "
    create table people (id integer primary key, name text not null, email text not null, born date);
    insert into people select n, 'Name ' || n, n || '@example.com', date '1990-01-01' + n from generate_series(1, 10000) n;
    do $$ begin
        for n in 1..40 loop
            execute format('create table things_%s (id bigint generated always as identity primary key,
                owner integer references people, name text not null unique, state text check (state <> ''''),
                amount numeric(10, 2) default 0, tags text[], details jsonb, made timestamptz default now())', n);
            execute format('comment on table things_%s is ''Things''', n);
        end loop;
    end $$;
    analyze;
";
const ROW: &str = "select id, name, email, born from people where id = ";

/// One request that both get.
struct Question {
    name: &'static str,
    /// The path below `pg-meta/{ref}`, and below the root of postgres-meta.
    path: &'static str,
    /// The body of a `POST`; `None` for a `GET`.
    body: Option<String>,
}

/// Measures and prints.
pub fn measure(bench: &Bench) -> Result<()> {
    let Bench { workspace, dist, folder, load, rounds } = bench;
    let postgres = Postgres::start(workspace, None)?;
    let gateway = Gateway::start(&bench.program("postgres", &dist.join("plugins.toml"))?)?;
    gateway.set_up_as("postgres", postgres.port, &sample::postgres::login())?;
    let (status, answer) =
        gateway.ask("POST", "/api/platform/postgres/default/query", Some(&json!({ "query": SETUP })))?;
    ensure!(status == 200, "the bench's tables can't be made: {answer}");
    let meta = PostgresMeta::start(workspace, &postgres)?;
    let pgbench = Pgbench {
        program: Postgres::program(workspace, "pgbench")?,
        url: postgres.url(),
        script: folder.join("row.sql"),
        seconds: load.seconds,
    };
    fs::write(&pgbench.script, format!("\\set id 4242\n{ROW}:id;\n"))?;

    let query = |body: serde_json::Value| Some(body.to_string());
    let questions = [
        Question { name: "POST /query select 1", path: "/query", body: query(json!({"query": "select 1"})) },
        Question {
            name: "POST /query a row",
            path: "/query",
            body: query(json!({"query": format!("{ROW}$1"), "parameters": [4242]})),
        },
        Question { name: "GET /tables", path: "/tables", body: None },
        Question { name: "GET /columns", path: "/columns?included_schemas=public", body: None },
    ];
    for connections in CONNECTIONS {
        let load = Load { connections, ..load.clone() };
        let mut ours: Vec<Series> = questions.iter().map(|_| Series::default()).collect();
        let mut theirs: Vec<Series> = questions.iter().map(|_| Series::default()).collect();
        let mut rows = Series::default();
        for round in 1..=*rounds {
            for (index, question) in questions.iter().enumerate() {
                let script = folder.join(format!("question-{index}.lua"));
                let script = write_script(&script, gateway.token(), question.body.as_deref(), "")?;
                let arguments = ["-s", &script];
                let url = format!("{}/api/platform/pg-meta/default{}", gateway.address, question.path);
                let peer = format!("http://127.0.0.1:{}{}", meta.port, question.path);
                if round == 1 {
                    // One round warms up before any counts.
                    Load { seconds: 1, ..load.clone() }.run(&url, &arguments)?;
                }
                let (Some(ours), Some(theirs)) = (ours.get_mut(index), theirs.get_mut(index)) else {
                    continue;
                };
                load.measure(gateway.id(), &url, &arguments, ours)?;
                load.measure(meta.id()?, &peer, &arguments, theirs)?;
            }
            pgbench.measure(connections, &mut rows)?;
            println!("PostgreSQL, {connections} connections: round {round} of {rounds} done");
        }
        bench.print_heading(connections);
        for ((question, ours), theirs) in questions.iter().zip(&ours).zip(&theirs) {
            ours.print_beside(question.name, "pg-meta", theirs);
        }
        if let Some(ours) = ours.get(1) {
            ours.print_beside("POST /query a row", "pgbench", &rows);
        }
    }
    Ok(())
}

/// PostgreSQL's own load generator.
struct Pgbench {
    program: PathBuf,
    url: String,
    script: PathBuf,
    seconds: u32,
}

impl Pgbench {
    /// Measures one round of transactions, each a statement with a parameter by the extended protocol.
    fn measure(&self, connections: u32, series: &mut Series) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["--no-vacuum", "--protocol=extended", "--jobs=1"]);
        command.arg(format!("--client={connections}")).arg(format!("--time={}", self.seconds));
        command.arg(format!("--file={}", self.script.display())).arg(&self.url);
        measure_program(&mut command, transactions_done, series)
    }
}

/// Finds in pgbench's output the transactions done, and transactions a second.
fn transactions_done(output: &str) -> Option<(f64, f64)> {
    let number = |beginning: &str| {
        output.lines().find_map(|line| line.strip_prefix(beginning)?.trim().split(' ').next()?.parse().ok())
    };
    Some((number("number of transactions actually processed:")?, number("tps =")?))
}
