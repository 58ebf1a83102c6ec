//! A real server of MongoDB's protocol for a test, and clients to look into it. Its data survives a restart.

use crate::{
    dist,
    server::{Contents, TestServer},
};
use mongodb::{
    Client, Database,
    bson::{Bson, Document, doc},
    options::{ClientOptions, Tls, TlsOptions},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{io, path::Path, process::Command};
use studio_test_servers::{Certificates, Place, Program};

/// Names the program. `cargo xtask test` installs SecantusDB and names that; another program must take the same
/// options.
const PROGRAM: &str = "STUDIO_TEST_MONGODB";
/// The program's path below `target/` when it is not named.
const LEFT_AT: &str = "pypi/SecantusDB/bin/secantusd-py";

/// A server.
pub type MongoServer = TestServer<MongoOptions>;

/// Options of a server.
#[derive(Debug, Clone)]
pub struct MongoOptions {
    server: studio_test_servers::MongoOptions,
    /// The arguments of `createUser`, each with the database of the user.
    users: Vec<(&'static str, Document)>,
    login: Option<(String, String)>,
    /// Whether the users are still to be created: then the server asks for no login, and speaks no TLS.
    users_are_missing: bool,
}

impl Default for MongoOptions {
    fn default() -> Self {
        let program = dist::named_or_left(PROGRAM, LEFT_AT);
        let server = studio_test_servers::MongoOptions {
            test_commands: true,
            ..studio_test_servers::MongoOptions::new(program)
        };
        Self { server, users: Vec::new(), login: None, users_are_missing: false }
    }
}

impl MongoOptions {
    /// Makes a replica set of one, open to everyone on this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user of the database `admin` who may do anything, by SCRAM-SHA-256 or SCRAM-SHA-1; then nobody may do
    /// anything without a login. [`MongoServer::url`] logs in as the first such user.
    pub fn root(mut self, name: &str, password: &str) -> Self {
        self.login.get_or_insert_with(|| (name.to_owned(), password.to_owned()));
        self.user("admin", name, password, "root")
    }

    /// Adds a user of this database, with one of its roles (`read`, `readWrite`, `dbAdmin`), by SCRAM-SHA-256 or
    /// SCRAM-SHA-1.
    pub fn user(self, database: &'static str, name: &str, password: &str, role: &str) -> Self {
        let mechanisms = ["SCRAM-SHA-1", "SCRAM-SHA-256"].as_slice();
        self.create(
            database,
            doc! {"createUser": name, "pwd": password, "roles": [role], "mechanisms": mechanisms},
        )
    }

    /// Adds a user who may do anything and logs in by the certificate in [`Certificates::client_file`].
    pub fn x509(self) -> Self {
        let roles = doc! {"role": "root", "db": "admin"};
        let mechanisms = ["MONGODB-X509"].as_slice();
        let user = doc! {"createUser": "CN=client", "roles": [roles], "mechanisms": mechanisms};
        self.tls().create("$external", user)
    }

    fn create(mut self, database: &'static str, user: Document) -> Self {
        self.users.push((database, user));
        self.users_are_missing = true;
        self
    }

    /// Makes the server speak TLS only, with a certificate of its own authority.
    pub fn tls(mut self) -> Self {
        self.server.tls = true;
        self
    }

    /// Makes it no replica set.
    pub fn standalone(mut self) -> Self {
        self.server.standalone = true;
        self
    }

    /// Makes it listen on every address, and name 0.0.0.0 as its replica set's only member.
    pub fn everywhere(mut self) -> Self {
        self.server.everywhere = true;
        self
    }
}

impl Program for MongoOptions {
    const NAME: &'static str = studio_test_servers::MongoOptions::NAME;

    fn certificates(&self, folder: &Path) -> io::Result<Option<Certificates>> {
        self.server.certificates(folder)
    }

    fn command(&self, place: &Place) -> io::Result<Command> {
        if self.users_are_missing { Self::new().server.command(place) } else { self.server.command(place) }
    }

    fn answers(&self, place: &Place) -> bool {
        self.server.answers(place)
    }
}

impl Contents for MongoOptions {
    async fn fill(server: &mut MongoServer) {
        if !server.options.users_are_missing {
            return;
        }
        for (database, user) in server.options.users.clone() {
            let client = Client::with_uri_str(format!("mongodb://127.0.0.1:{}", server.port)).await;
            run(&client.expect("a URL of MongoDB").database(database), user).await;
        }
        server.stop().await;
        server.options.users_are_missing = false;
        server.options.server.asks_for_login = true;
        server.start_again().await;
    }
}

impl TestServer<MongoOptions> {
    /// Makes a URL `mongodb://…` with the password in it. Its user must know the authority of a server that speaks TLS.
    pub fn url(&self) -> String {
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let login = self.options.login.as_ref();
        let login = login.map(|(name, password)| format!("{}:{}@", escape(name), escape(password)));
        let tls = if self.certificates.is_some() { "?tls=true" } else { "" };
        format!("mongodb://{}127.0.0.1:{}/{tls}", login.unwrap_or_default(), self.port)
    }

    /// Makes a client of the server itself, beside the gateway.
    pub async fn client(&self) -> Client {
        let mut options = ClientOptions::parse(self.url()).await.expect("a URL of MongoDB");
        if let Some(files) = &self.certificates {
            let tls = TlsOptions::builder().ca_file_path(files.authority_file.clone()).build();
            options.tls = Some(Tls::Enabled(tls));
        }
        Client::with_options(options).expect("options of MongoDB's client")
    }

    /// Opens one of its databases, with a fresh client.
    pub async fn database(&self, name: &str) -> Database {
        self.client().await.database(name)
    }

    /// Runs one command: `run("admin", doc! {"serverStatus": 1})`.
    pub async fn run(&self, database: &str, command: Document) -> Document {
        run(&self.database(database).await, command).await
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
}

async fn run(database: &Database, command: Document) -> Document {
    let result = database.run_command(command.clone()).await;
    result.unwrap_or_else(|error| panic!("{command}: {error}"))
}
