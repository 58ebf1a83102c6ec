//! A gateway started by a task, and requests to it over HTTP.

use crate::process::{interrupted, output_of};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use studio_test_servers::{Orphan, Process, STOP_TIME};

/// How long a gateway may take until it is ready.
const START_TIME: Duration = Duration::from_secs(60);

/// The beginning of the line that says where a gateway listens.
const LISTENING: &str = "listening on ";

/// A program and the settings it runs with.
pub struct Program {
    /// `studio-gateway` in a dist folder.
    pub file: PathBuf,
    /// Environment variables.
    pub environment: Vec<(&'static str, String)>,
    /// Where its log goes.
    pub log: Log,
}

/// Where a gateway's log goes.
pub enum Log {
    /// To this process's own output.
    Shown,
    /// To a file, with the rest of its output.
    File(PathBuf),
    /// Through a pipe, as in production. Its reader shows all that is more than information.
    Read,
}

/// The mark of a line of the log that is no warning.
const INFORMATION: &str = "\"level\":\"INFO\"";
/// The beginning of a line, in which the mark is.
const BEGINNING: usize = 96;

impl Program {
    /// Makes a program of a dist folder's gateway.
    pub fn of(dist: &Path, environment: Vec<(&'static str, String)>) -> Self {
        Self { file: dist.join("studio-gateway"), environment, log: Log::Shown }
    }

    /// Makes a token for a platform admin.
    pub fn token(&self) -> Result<String> {
        self.token_for("dev")
    }

    /// Makes a token for a platform admin of this name.
    pub fn token_for(&self, user: &str) -> Result<String> {
        let mut command = Command::new(&self.file);
        command.args(["token", "--sub", user, "--platform-admin", "--ttl", "24h"]);
        output_of(command.envs(self.environment.iter().cloned()))
    }
}

/// Lets running requests finish.
const STOP: &str = "TERM";

/// A gateway that serves. Dropping it stops it.
pub struct Gateway {
    process: Process,
    /// `http://127.0.0.1:8787`
    pub address: String,
    /// From its start to the line that says it is ready.
    pub start_time: Duration,
    token: String,
}

impl Gateway {
    /// Starts it and waits until it is ready.
    pub fn start(program: &Program) -> Result<Self> {
        let token = program.token()?;
        let mut command = Command::new(&program.file);
        command.arg("serve").envs(program.environment.iter().cloned()).stdout(Stdio::piped());
        let mut log: Box<dyn Write + Send> = Box::new(std::io::stdout());
        match &program.log {
            Log::Shown => {}
            Log::File(file) => {
                let output =
                    File::create(file).with_context(|| format!("{} can't be written", file.display()))?;
                // Colours are for terminals.
                command.stderr(output.try_clone()?).env("NO_COLOR", "1");
                log = Box::new(output);
            }
            Log::Read => {
                let (reader, writer) = io::pipe()?;
                command.stderr(writer);
                thread::spawn(move || show_warnings(reader));
            }
        }
        let has_log = matches!(program.log, Log::File(_));
        let begin = Instant::now();
        let process = Process::start(command, &Orphan { signal: STOP, folder: None })?;
        let mut gateway = Self { process, address: String::new(), start_time: Duration::ZERO, token };
        let output = gateway.process.take_stdout().context("no standard output")?;
        let (lines, received) = mpsc::channel();
        // Reads to the end, so that the gateway never writes into a closed pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if has_log || !line.starts_with(LISTENING) {
                    let _ = writeln!(log, "{line}");
                }
                let _ = lines.send(line);
            }
        });
        gateway.address = loop {
            match received.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if let Some(address) = line.strip_prefix(LISTENING) {
                        break address.trim().to_owned();
                    }
                }
                Err(_) => {
                    gateway.must_run()?;
                    if interrupted() {
                        bail!("interrupted");
                    }
                    if begin.elapsed() > START_TIME {
                        bail!("studio-gateway is not ready after {} s", START_TIME.as_secs());
                    }
                }
            }
        };
        gateway.start_time = begin.elapsed();
        Ok(gateway)
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Fails when the gateway has ended, which it should not.
    pub fn must_run(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(status) => bail!("studio-gateway ended by itself: {status}"),
            None => Ok(()),
        }
    }

    /// Returns the platform admin's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends a request, and gives back the status and the contents of the envelope.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.send(method, path, body.map(Value::to_string).unwrap_or_default())
    }

    fn send(&self, method: &str, path: &str, body: String) -> Result<(u16, Value)> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body)?;
        let mut answer = agent.run(request).with_context(|| format!("{method} {path}"))?;
        let text = answer.body_mut().read_to_string()?;
        let mut json: Value = serde_json::from_str(&text).unwrap_or_default();
        let inner = if answer.status().is_success() { "data" } else { "error" };
        Ok((answer.status().as_u16(), json.get_mut(inner).map(Value::take).unwrap_or_default()))
    }

    /// Creates something; it may be there already.
    pub fn create(&self, path: &str, body: &impl Serialize) -> Result<()> {
        match self.send("POST", path, serde_json::to_string(body)?)? {
            (201 | 409, _) => Ok(()),
            (status, answer) => bail!("POST {path}: {status} {answer}"),
        }
    }

    /// Creates project `default` in organization `default` with a database at this port as its primary connection of
    /// the type, or makes an existing connection lead to that database.
    pub fn set_up(&self, database_type: &str, port: u16) -> Result<()> {
        self.set_up_as(database_type, port, &Value::Null)
    }

    /// Does what [`set_up`](Self::set_up) does, with more fields of a connection: the login, and the database.
    pub fn set_up_as(&self, database_type: &str, port: u16, login: &Value) -> Result<()> {
        self.create_project()?;
        let path = format!("/api/platform/{database_type}/default/connections");
        let (_, connections) = self.ask("GET", &path, None)?;
        let primary = connections
            .as_array()
            .into_iter()
            .flatten()
            .find(|connection| connection.get("is_primary") == Some(&Value::Bool(true)))
            .and_then(|connection| connection.get("id")?.as_str());
        let mut place = serde_json::Map::new();
        place.extend([("host".to_owned(), "127.0.0.1".into()), ("port".to_owned(), port.into())]);
        place.extend(login.as_object().cloned().unwrap_or_default());
        let Some(id) = primary else {
            // Identifiers are unique in a project, whatever the type.
            place.insert("identifier".to_owned(), database_type.into());
            return self.create(&path, &place);
        };
        match self.ask("PUT", &format!("{path}/{id}"), Some(&place.into()))? {
            (200, _) => Ok(()),
            (status, answer) => bail!("PUT {path}/{id}: {status} {answer}"),
        }
    }

    /// Creates organization and project `default`.
    pub fn create_project(&self) -> Result<()> {
        let organization = serde_json::json!({"name": "Default", "slug": "default"});
        self.create("/api/platform/organizations", &organization)?;
        let project = serde_json::json!({"organization": "default", "name": "Default", "ref": "default"});
        self.create("/api/platform/projects", &project)
    }
}

/// Reads a log to its end, and shows all that is more than information.
fn show_warnings(log: PipeReader) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        let beginning = line.get(..BEGINNING).unwrap_or(&line);
        if !String::from_utf8_lossy(beginning).contains(INFORMATION) {
            eprint!("{}", String::from_utf8_lossy(&line));
        }
        line.clear();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.end(STOP, STOP_TIME);
    }
}
