//! The built gateway, run as an operator runs it.

use crate::{
    client::{Client, Transcript},
    database::Database,
    dist,
    options::GatewayOptions,
    process::{Process, free_port},
    time::{PATIENCE, eventually},
    token::Token,
};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use uuid::Uuid;

/// Variables of the test run that the gateway gets too; all others are kept from it.
const KEPT_VARIABLES: [&str; 5] = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];
/// The key that gateways seal under unless a test says otherwise: the same for all, so that they can use the compiled
/// code of components that one of them kept.
const KEY: &str = "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed";
/// How many lines of the log a failing test prints.
const TAIL: usize = 60;

/// A gateway, running or stopped, with its data. Dropping it kills it.
pub struct Gateway {
    /// Its registry's database.
    pub database: Database,
    /// The secret that its tokens are signed with.
    pub jwt_secret: String,
    /// All of its answers.
    pub transcript: Transcript,
    environment: BTreeMap<String, String>,
    files: Option<u32>,
    ignores_large_files: bool,
    log_is_stuck: bool,
    folder: TempDir,
    process: Option<Process>,
    address: Option<SocketAddr>,
}

/// A gateway that ended instead of getting ready.
#[derive(Debug)]
pub struct FailedStart {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output and error.
    pub log: String,
}

impl FailedStart {
    /// Asserts that one line of the log has all these words in it, and that the gateway refused to start and did not
    /// crash.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        assert!(self.status.code().is_some_and(|code| code != 0 && code != 101), "{self:?}");
        let found = self.log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "no line with {words:?} in:\n{}", self.log);
    }
}

impl Gateway {
    /// Starts a gateway; panics with its log when it does not get ready.
    pub async fn start(options: GatewayOptions) -> Self {
        let mut gateway = Self::prepare(options).await;
        gateway.start_again().await;
        gateway
    }

    /// Prepares a gateway, and does not start it.
    pub async fn prepare(options: GatewayOptions) -> Self {
        let database = Database::create(options.registry).await;
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins.toml");
        options.plugins.write(&plugins);
        let jwt_secret = random_hex();
        let mut environment: BTreeMap<String, String> = [
            ("DATABASE_URL", database.url.clone()),
            ("DATABASE_ENCRYPTION_KEY", KEY.to_owned()),
            ("GATEWAY_COMPILED_FOLDER", dist::compiled_folder().display().to_string()),
            ("GATEWAY_JWT_SECRET", jwt_secret.clone()),
            // A port that stays free over a restart: no outgoing connection gets it.
            ("GATEWAY_LISTEN", format!("127.0.0.1:{}", free_port())),
            ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
            // Tests send more requests than people do. Tests of the limits set this back.
            ("GATEWAY_RATE_LIMIT", "0".to_owned()),
            ("GATEWAY_PLUGINS", plugins.display().to_string()),
            ("GATEWAY_LOG", "debug".to_owned()),
            ("GATEWAY_RATE_LIMIT", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        environment.extend(options.environment);
        let transcript = Transcript::default();
        Self {
            database,
            jwt_secret,
            transcript,
            environment,
            files: options.files,
            ignores_large_files: options.ignores_large_files,
            log_is_stuck: options.log_is_stuck,
            folder,
            process: None,
            address: None,
        }
    }

    /// Starts it with the data it has.
    pub async fn start_again(&mut self) {
        if let Err(failed) = self.try_start().await {
            panic!("the gateway ended with {} instead of getting ready:\n{}", failed.status, failed.log);
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it ends instead of getting ready.
    pub async fn try_start(&mut self) -> Result<(), FailedStart> {
        assert!(self.process.is_none(), "the gateway runs already");
        let (output, errors) = (self.file("output"), self.file("errors"));
        let before = read(&output).len();
        let log_before = self.log().len();
        let mut process = Process::start(self.command(&["serve"]), &output, &errors);
        let begin = Instant::now();
        loop {
            let status = process.ended();
            let text = read(&output)[before..].to_owned();
            let line = text.lines().find_map(|line| line.strip_prefix("listening on http://"));
            if let Some(address) = line.filter(|_| text.ends_with('\n')).map(str::to_owned) {
                self.address = Some(address.trim().parse().expect("an address after `listening on http://`"));
                // So that its clients find it after a restart too.
                self.set("GATEWAY_LISTEN", address.trim());
                self.process = Some(process);
                return Ok(());
            }
            if let Some(status) = status {
                return Err(FailedStart { status, log: self.log()[log_before..].to_owned() });
            }
            assert!(begin.elapsed() < *PATIENCE * 2, "the gateway does not get ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts it, which must fail.
    pub async fn fails_to_start(&mut self) -> FailedStart {
        match self.try_start().await {
            Ok(()) => panic!("the gateway starts, and should not"),
            Err(failed) => failed,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let files = self.files.map(|files| format!("ulimit -n {files} && "));
        let signal = self.ignores_large_files.then(|| "trap '' XFSZ && ".to_owned());
        // It has both ends itself, so that its writes wait for a reader and do not fail.
        let pipe = self.log_is_stuck.then(|| "mkfifo stuck && exec 2<>stuck && ".to_owned());
        let mut command = match files.into_iter().chain(signal).chain(pipe).collect::<String>() {
            nothing if nothing.is_empty() => Command::new(dist::program()),
            first => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(first + "exec \"$0\" \"$@\"").arg(dist::program());
                shell
            }
        };
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(&self.environment);
        command
    }

    /// Runs another of its commands in the same folder with the same settings: `run_cli(&["check"])`.
    pub fn run_cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command as [`run_cli`](Self::run_cli) does, with a file for standard input.
    pub fn run_cli_with(&self, arguments: &[&str], input: &Path) -> Output {
        self.command(arguments).stdin(fs::File::open(input).unwrap()).output().unwrap()
    }

    /// Changes a setting from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Returns the path of its `plugins.toml`.
    pub fn plugins_file(&self) -> PathBuf {
        self.file("plugins.toml")
    }

    /// Returns the path of a file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the address where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the gateway was started")
    }

    /// Makes a client without a token.
    pub fn anonymous(&self) -> Client {
        Client::new(&format!("http://{}", self.address()), None, self.transcript.clone())
    }

    /// Makes a client with a token, signed as it should be.
    pub fn client(&self, token: &Token) -> Client {
        self.anonymous().with_token(token.sign(&self.jwt_secret))
    }

    /// Makes a client that is a platform admin.
    pub fn platform_admin(&self) -> Client {
        self.client(&Token::platform_admin())
    }

    /// Reads all that it wrote to standard output and error, over all its starts.
    pub fn log(&self) -> String {
        read(&self.file("output")) + &read(&self.file("errors"))
    }

    /// Reads the log once all is in it that was logged before this call: lines leave the gateway some milliseconds late,
    /// but in order, so that the line of another request tells.
    pub async fn whole_log(&self) -> String {
        let (anonymous, id) = (self.anonymous(), random_hex());
        anonymous.send(anonymous.request("GET", "/healthz").header("x-request-id", &id)).await.expect(200);
        eventually("the log is whole", async || self.log().contains(&id)).await;
        self.log()
    }

    /// Returns the running process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the gateway runs")
    }

    /// Asks it to stop.
    pub fn sigterm(&mut self) {
        self.process().signal("TERM");
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        let status = self.process().wait(*PATIENCE * 2).await;
        self.process = None;
        status
    }

    /// Asks it to stop and waits for its end, which must be a success.
    pub async fn stop(&mut self) {
        self.sigterm();
        let status = self.wait().await;
        assert!(status.success(), "the gateway stopped with {status}:\n{}", self.log());
    }

    /// Kills it as a power cut does.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// Stops it and starts it with its data.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.len().saturating_sub(TAIL);
            eprintln!("the end of the gateway's log:\n{}", lines[tail..].join("\n"));
        }
    }
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

/// Makes 32 random bytes, as hex digits.
pub fn random_hex() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
