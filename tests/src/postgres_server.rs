//! A real PostgreSQL for a test: its own port and folder. Its data survive a restart.

use crate::{
    certificates::Certificates,
    postgres_database::PostgresDatabase,
    postgres_programs::PostgresPrograms,
    process::{Process, free_port},
    time::PATIENCE,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{Connection, PgConnection};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use tempfile::TempDir;

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    login: Option<(String, String)>,
    tls: bool,
    client_certificate: bool,
    only_plain: bool,
    settings: Vec<String>,
}

impl PostgresOptions {
    /// Open to everyone on this machine; user `postgres` may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// A superuser, who shows a password by SCRAM-SHA-256; nobody else gets in over the network.
    /// [`PostgresServer::url`] logs in as this user.
    pub fn login(mut self, name: &str, password: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// The server speaks TLS only, with a certificate of an authority of its own.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// And asks for that of [`Certificates::client_file`], besides a password where there is one.
    pub fn client_certificate(mut self) -> Self {
        self.client_certificate = true;
        self.tls()
    }

    /// The server has TLS, and lets nobody log in by it.
    pub fn offers_tls_in_vain(mut self) -> Self {
        self.only_plain = true;
        self.tls()
    }

    /// A setting: `setting("max_connections=10")`.
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Who gets in how. The way to the truth is the socket.
    fn access(&self) -> String {
        let (kind, method) = (
            match (self.tls, self.only_plain) {
                (_, true) => "hostnossl",
                (true, false) => "hostssl",
                (false, false) => "host",
            },
            if self.login.is_some() { "scram-sha-256" } else { "trust" },
        );
        let certificate = if self.client_certificate { " clientcert=verify-ca" } else { "" };
        format!("local all all trust\n{kind} all all 127.0.0.1/32 {method}{certificate}\n")
    }
}

/// A running server. Dropping it kills it.
pub struct PostgresServer {
    /// Where it listens, now and after a restart.
    pub port: u16,
    /// Its certificates, when it speaks TLS.
    pub certificates: Option<Certificates>,
    options: PostgresOptions,
    programs: PostgresPrograms,
    process: Option<Process>,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts one and waits until it answers.
    pub async fn start(options: PostgresOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = PostgresPrograms::find().unwrap_or_else(|error| panic!("{error}"));
        programs.make_data(folder.path()).unwrap();
        fs::write(folder.path().join("data/pg_hba.conf"), options.access()).unwrap();
        let certificates = options.tls.then(|| {
            let files = Certificates::make(folder.path());
            programs.give(&files.key_file).unwrap();
            fs::set_permissions(&files.key_file, fs::Permissions::from_mode(0o600)).unwrap();
            files
        });
        let mut server = Self { port: free_port(), certificates, options, programs, process: None, folder };
        server.start_again().await;
        if let Some((name, password)) = &server.options.login {
            server
                .run("postgres", &format!("create role \"{name}\" superuser login password '{password}'"))
                .await;
        }
        server
    }

    /// One without options.
    pub async fn plain() -> Self {
        Self::start(PostgresOptions::new()).await
    }

    /// Starts it on the same port after [`stop`](Self::stop) or [`kill`](Self::kill), with its data.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "PostgreSQL runs already");
        let answers = async || PgConnection::connect(&self.socket("postgres")).await.is_ok();
        let log = self.folder.path().join("log");
        let process = Process::start_server("PostgreSQL", self.command(), &log, answers).await;
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut settings = self.options.settings.clone();
        settings.push(format!("unix_socket_directories={}", folder.display()));
        // Before PostgreSQL 14, it is MD5 unless told.
        settings.push("password_encryption=scram-sha-256".to_owned());
        if let Some(files) = &self.certificates {
            let file = |setting: &str, path: &Path| format!("{setting}={}", path.display());
            settings.push("ssl=on".to_owned());
            settings.push(file("ssl_cert_file", &files.certificate_file));
            settings.push(file("ssl_key_file", &files.key_file));
            settings.push(file("ssl_ca_file", &files.authority_file));
        }
        self.programs.as_user(self.programs.server(self.port, settings), folder)
    }

    /// `postgresql://…` of a database, over the network, with the password in it. Whoever uses it must know the authority
    /// of a server that speaks TLS.
    pub fn url(&self, database: &str) -> String {
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let login = match &self.options.login {
            Some((name, password)) => format!("{}:{}", escape(name), escape(password)),
            None => "postgres".to_owned(),
        };
        let tls = if self.options.tls { "?sslmode=require" } else { "" };
        format!("postgresql://{login}@127.0.0.1:{}/{}{tls}", self.port, escape(database))
    }

    /// The same through its socket, which asks for nothing.
    pub fn socket(&self, database: &str) -> String {
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let folder = escape(&self.folder.path().display().to_string());
        format!("postgresql://postgres@localhost:{}/{}?host={folder}", self.port, escape(database))
    }

    /// A way to the truth in one of its databases, beside the gateway.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.socket(database)).await.expect("PostgreSQL's socket")
    }

    /// Runs statements in one of its databases.
    pub async fn run(&self, database: &str, statements: &str) {
        let mut connection = self.connect(database).await;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// A fresh, empty database.
    pub async fn create_database(&self) -> PostgresDatabase {
        self.create_named_database("test").await
    }

    /// The same with a name.
    pub async fn create_named_database(&self, name: &str) -> PostgresDatabase {
        let (url, truth) = (self.url(name), self.socket(name));
        PostgresDatabase::create(&self.socket("postgres"), name.to_owned(), url, truth).await
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Stops it as an operator does who does not wait for its clients.
    pub async fn stop(&mut self) {
        let process = self.process();
        process.signal("INT");
        process.wait(*PATIENCE).await;
        self.process = None;
    }

    /// Ends it as a crash does.
    pub async fn kill(&mut self) {
        let process = self.process();
        process.signal("QUIT");
        process.wait(*PATIENCE).await;
        self.process = None;
    }

    /// Makes a standby of it, which follows nobody.
    pub async fn become_standby(&mut self) {
        self.stop().await;
        let file = self.folder.path().join("data/standby.signal");
        fs::write(&file, "").unwrap();
        self.programs.give(&file).unwrap();
        self.start_again().await;
    }

    /// [`stop`](Self::stop) and start again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops it and all that serves its clients in their tracks: connections stay open, and nothing answers.
    pub fn freeze(&mut self) {
        self.process().freeze();
        self.signal_children("STOP");
    }

    /// Lets it run on.
    pub fn thaw(&mut self) {
        self.signal_children("CONT");
        self.process().signal("CONT");
    }

    fn signal_children(&mut self, name: &str) {
        let id = self.process().id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("a server's children");
        let mut shell = Command::new("kill");
        let status = shell.args(["-s", name]).args(children.split_whitespace()).status();
        assert!(status.expect("kill").success(), "SIG{name} to {children}");
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("PostgreSQL runs")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Killed, it would leave shared memory behind.
        if let Some(process) = &mut self.process
            && process.ended().is_none()
        {
            process.signal("QUIT");
            process.signal("CONT");
            process.end_within(std::time::Duration::from_secs(5));
        }
    }
}
