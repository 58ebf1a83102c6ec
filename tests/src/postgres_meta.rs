//! The real postgres-meta as a server, to compare the driver with.

use crate::server::{Contents, TestServer};
use std::{ffi::OsString, process::Command};
use studio_test_servers::PostgresMetaOptions;

/// Names its program; `cargo xtask test` installs it where npm can be had.
const PROGRAM: &str = "STUDIO_TEST_POSTGRES_META";

fn program() -> OsString {
    std::env::var_os(PROGRAM).unwrap_or_else(|| panic!("{PROGRAM} names no postgres-meta"))
}

/// A running postgres-meta. Dropping it kills it.
pub struct PostgresMeta {
    /// `http://127.0.0.1:…`
    pub address: String,
    _server: TestServer<PostgresMetaOptions>,
}

impl Contents for PostgresMetaOptions {}

impl PostgresMeta {
    /// Tells whether there is one to compare with; prints a line that says so where there is none.
    pub fn is_there() -> bool {
        let there = std::env::var_os(PROGRAM).is_some();
        if !there {
            eprintln!("skipped: there is no postgres-meta to compare with; `cargo xtask test` says why");
        }
        there
    }

    /// Encrypts a text as its callers do, with the library that it decrypts with.
    pub fn encrypt(text: &str, passphrase: &str) -> String {
        let script = "const [program, text, passphrase] = process.argv.slice(1);
            const crypto = require('node:module').createRequire(program)('crypto-js');
            console.log(crypto.AES.encrypt(text, passphrase).toString());";
        let mut command = Command::new("node");
        command.args(["-e", script]).arg(program()).args([text, passphrase]);
        let output = command.output().expect("node");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Finds the folder, as a URL, of the classes that it builds its SQL with.
    pub fn library() -> String {
        let program = program().into_string().expect("a path in UTF-8");
        let (folder, _) = program.rsplit_once("/server/").expect("a program in the folder of the server");
        format!("file://{folder}/lib")
    }

    /// Starts one on a database.
    pub async fn start(database_url: &str) -> Self {
        let server = TestServer::start(PostgresMetaOptions::new(program().into(), database_url)).await;
        Self { address: format!("http://127.0.0.1:{}", server.port), _server: server }
    }
}
