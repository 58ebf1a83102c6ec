//! Tests of servers of every kind that only start here, and of the end of those that nobody stops.

// This is test code: it reports by a panic with a message.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use studio_test_servers::{
    PostgresOptions, PostgresPrograms, PostgresServer, RedisOptions, RedisServer, Server, listens, wait_until,
};

/// How long something may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn server_goes_with_a_process_that_is_killed() {
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "starts_a_server_and_waits", "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(starter.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told: Vec<String> =
        lines.filter_map(|line| line.strip_prefix("started ").map(str::to_owned)).take(2).collect();
    let (port, folder) = (told[0].parse().unwrap(), Path::new(&told[1]));
    assert!(listens(port) && folder.join("redis.conf").is_file());
    // The starter can't stop anything now.
    starter.kill().unwrap();
    starter.wait().unwrap();
    wait_until(PATIENCE, "the server is gone", || Ok(!listens(port))).unwrap();
    wait_until(PATIENCE, "its folder is gone", || Ok(!folder.exists())).unwrap();
}

#[test]
#[ignore = "the test above runs and kills it"]
fn starts_a_server_and_waits() {
    let server = RedisServer::start(RedisOptions::new()).unwrap();
    // The line break comes first, since the runner has not ended its own line.
    println!("\nstarted {}\nstarted {}", server.port, server.folder.display());
    std::thread::sleep(PATIENCE);
}

#[test]
fn kept_data_are_there_after_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::in_folder(RedisOptions::new(), folder.path()).unwrap();
    server.start_again().unwrap();
    server.cli(&["SET", "k", "v"]).unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();
    drop(server);
    let mut server = Server::in_folder(RedisOptions::new(), folder.path()).unwrap();
    server.start_again().unwrap();
    assert_eq!(server.cli(&["GET", "k"]).unwrap(), "v");
}

#[test]
fn server_that_can_not_start_tells_its_log() {
    let error = RedisServer::start(RedisOptions::new().line("no-such-setting 1")).unwrap_err();
    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[test]
fn postgres_is_of_the_version_that_is_asked_for() {
    // A PostgreSQL that is not Debian's has no other versions to choose from.
    for version in PostgresPrograms::versions() {
        let server = PostgresServer::start(PostgresOptions::new().version(version)).unwrap();
        let psql = PostgresPrograms::of_version(version).unwrap().path("psql");
        let mut ask = Command::new(psql);
        ask.args(["--no-psqlrc", "-tA", "--dbname", &server.postgres_url(), "-c", "show server_version"]);
        let told = String::from_utf8(ask.output().unwrap().stdout).unwrap();
        assert!(told.starts_with(&version.to_string()), "{told}");
    }
    PostgresPrograms::of_version(3).unwrap_err();
}
