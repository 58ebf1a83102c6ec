//! A real server of MongoDB's protocol for a test: its own port and folder. Its data survives a restart.

use crate::{
    certificates::Certificates,
    dist,
    process::{Process, free_port},
    time::PATIENCE,
};
use mongodb::{
    Client, Database,
    bson::{Bson, Document, doc},
    options::{ClientOptions, Tls, TlsOptions},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::process::Command;
use tempfile::TempDir;

/// Names the program. `cargo xtask test` installs SecantusDB and names that; another must take the same options.
const PROGRAM: &str = "STUDIO_TEST_MONGODB";
/// Where it is when it is not named, below `target/`.
const LEFT_AT: &str = "pypi/SecantusDB/bin/secantusd-py";

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct MongoOptions {
    /// What `createUser` is told, each with the database of the user.
    users: Vec<(&'static str, Document)>,
    login: Option<(String, String)>,
    tls: bool,
    standalone: bool,
    everywhere: bool,
}

impl MongoOptions {
    /// A replica set of one, open to everyone on this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// A user of the database `admin` who may do anything, by SCRAM-SHA-256 or SCRAM-SHA-1; then nobody may do anything
    /// without a login. [`MongoServer::url`] logs in as the first such user.
    pub fn root(mut self, name: &str, password: &str) -> Self {
        self.login.get_or_insert_with(|| (name.to_owned(), password.to_owned()));
        self.user("admin", name, password, "root")
    }

    /// A user of this database, with one of its roles (`read`, `readWrite`, `dbAdmin`), by SCRAM-SHA-256 or SCRAM-SHA-1.
    pub fn user(self, database: &'static str, name: &str, password: &str, role: &str) -> Self {
        let mechanisms = ["SCRAM-SHA-1", "SCRAM-SHA-256"].as_slice();
        self.create(
            database,
            doc! {"createUser": name, "pwd": password, "roles": [role], "mechanisms": mechanisms},
        )
    }

    /// Whoever shows the certificate in [`Certificates::client_file`] may do anything.
    pub fn x509(self) -> Self {
        let roles = doc! {"role": "root", "db": "admin"};
        let mechanisms = ["MONGODB-X509"].as_slice();
        let user = doc! {"createUser": "CN=client", "roles": [roles], "mechanisms": mechanisms};
        self.tls().create("$external", user)
    }

    fn create(mut self, database: &'static str, user: Document) -> Self {
        self.users.push((database, user));
        self
    }

    /// The server speaks TLS only, with a certificate of an authority of its own.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// No replica set.
    pub fn standalone(mut self) -> Self {
        self.standalone = true;
        self
    }

    /// It listens on every address, and names 0.0.0.0 as its replica set's only member.
    pub fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }
}

/// A running server. Dropping it kills it.
pub struct MongoServer {
    /// Where it listens, now and after a restart.
    pub port: u16,
    /// Its certificates, when it speaks TLS.
    pub certificates: Option<Certificates>,
    options: MongoOptions,
    process: Option<Process>,
    folder: TempDir,
}

impl MongoServer {
    /// Starts one and waits until it answers.
    pub async fn start(options: MongoOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server =
            Self { port: free_port(), certificates: None, options: options.clone(), process: None, folder };
        if !options.users.is_empty() {
            // Users are created by whom no login is asked of.
            server.options = MongoOptions::new();
            server.start_again().await;
            for (database, user) in &options.users {
                server.run(database, user.clone()).await;
            }
            server.stop().await;
            server.options = options;
        }
        if server.options.tls {
            server.certificates = Some(Certificates::make(server.folder.path()));
        }
        server.start_again().await;
        server
    }

    /// One without options.
    pub async fn plain() -> Self {
        Self::start(MongoOptions::new()).await
    }

    /// Starts it on the same port after [`stop`](Self::stop), with its data.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "MongoDB runs already");
        let log = self.folder.path().join("log");
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
        let process = Process::start_server("MongoDB", self.command(), &log, listens).await;
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(dist::named_or_left(PROGRAM, LEFT_AT));
        let host = if self.options.everywhere { "0.0.0.0" } else { "127.0.0.1" };
        command.args(["--host", host, "--port", &self.port.to_string(), "--enable-test-commands"]);
        command.arg("--storage-path").arg(self.folder.path().join("data")).current_dir(self.folder.path());
        if !self.options.users.is_empty() {
            command.arg("--auth");
        }
        if self.options.standalone {
            command.arg("--standalone");
        }
        if let Some(files) = &self.certificates {
            command.arg("--tls-cert-file").arg(&files.certificate_file);
            command.arg("--tls-key-file").arg(&files.key_file);
            command.arg("--tls-ca-file").arg(&files.authority_file);
        }
        command
    }

    /// `mongodb://…` with the password in it. Whoever uses it must know the authority of a server that speaks TLS.
    pub fn url(&self) -> String {
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let login = self.options.login.as_ref();
        let login = login.map(|(name, password)| format!("{}:{}@", escape(name), escape(password)));
        let tls = if self.options.tls { "?tls=true" } else { "" };
        format!("mongodb://{}127.0.0.1:{}/{tls}", login.unwrap_or_default(), self.port)
    }

    /// A way to the truth, beside the gateway.
    pub async fn client(&self) -> Client {
        let mut options = ClientOptions::parse(self.url()).await.expect("a URL of MongoDB");
        if let Some(files) = &self.certificates {
            let tls = TlsOptions::builder().ca_file_path(files.authority_file.clone()).build();
            options.tls = Some(Tls::Enabled(tls));
        }
        Client::with_options(options).expect("options of MongoDB's client")
    }

    /// One of its databases, by a client of its own.
    pub async fn database(&self, name: &str) -> Database {
        self.client().await.database(name)
    }

    /// Runs one command: `run("admin", doc! {"serverStatus": 1})`.
    pub async fn run(&self, database: &str, command: Document) -> Document {
        let result = self.database(database).await.run_command(command.clone()).await;
        result.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Makes commands fail, until [`fail_no_more`](Self::fail_no_more) or as `mode` says: `{"times": 1}`, `{"skip": 2}`
    /// or `"alwaysOn"`. `data` is that of MongoDB's fail point `failCommand`: `failCommands` and `errorCode`,
    /// `errorLabels`, `closeConnection`, `blockConnection` with `blockTimeMS`, `writeConcernError`, `appName`.
    pub async fn fail(&self, mode: impl Into<Bson>, data: Document) {
        self.run("admin", doc! {"configureFailPoint": "failCommand", "mode": mode.into(), "data": data})
            .await;
    }

    /// Ends [`fail`](Self::fail).
    pub async fn fail_no_more(&self) {
        self.run("admin", doc! {"configureFailPoint": "failCommand", "mode": "off"}).await;
    }

    /// Ends it in order: whatever it acknowledged is on disk.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().expect("MongoDB runs");
        process.signal("TERM");
        process.wait(*PATIENCE).await;
    }

    /// Ends it and starts it on the same port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Freezes it: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.process.as_ref().expect("MongoDB runs").freeze();
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process.as_ref().expect("MongoDB runs").signal("CONT");
    }
}
