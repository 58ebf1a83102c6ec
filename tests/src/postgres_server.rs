//! A real PostgreSQL for a test, and ways to look into it. Its data survive a restart.

use crate::{
    postgres_database::PostgresDatabase,
    server::{Contents, TestServer, told},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{Connection, PgConnection};

pub use studio_test_servers::PostgresOptions;

/// A PostgreSQL.
pub type PostgresServer = TestServer<PostgresOptions>;

impl Contents for PostgresOptions {
    async fn fill(server: &mut PostgresServer) {
        if let Some((name, password)) = server.options.superuser() {
            let create = format!("create role \"{name}\" superuser login password '{password}'");
            server.run("postgres", &create).await;
        }
    }
}

impl TestServer<PostgresOptions> {
    /// Makes a URL `postgresql://…` of a database, over the network, with the password in it. Its user must know the
    /// authority of a server that speaks TLS.
    pub fn url(&self, database: &str) -> String {
        let login = match self.options.superuser() {
            Some((name, password)) => format!("{}:{}", escape(name), escape(password)),
            None => "postgres".to_owned(),
        };
        let tls = if self.certificates.is_some() { "?sslmode=require" } else { "" };
        format!("postgresql://{login}@127.0.0.1:{}/{}{tls}", self.port, escape(database))
    }

    /// Makes the same URL through the server's socket, which asks for no login.
    pub fn socket(&self, database: &str) -> String {
        let folder = escape(&self.folder.display().to_string());
        format!("postgresql://postgres@localhost:{}/{}?host={folder}", self.port, escape(database))
    }

    /// Connects to one of its databases, beside the gateway.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.socket(database)).await.expect("PostgreSQL's socket")
    }

    /// Runs statements in one of its databases.
    pub async fn run(&self, database: &str, statements: &str) {
        let mut connection = self.connect(database).await;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Creates a fresh, empty database.
    pub async fn create_database(&self) -> PostgresDatabase {
        self.create_named_database("test").await
    }

    /// Creates a fresh, empty database with a name.
    pub async fn create_named_database(&self, name: &str) -> PostgresDatabase {
        let (url, truth) = (self.url(name), self.socket(name));
        PostgresDatabase::create(&self.socket("postgres"), name.to_owned(), url, truth).await
    }

    /// Makes it a standby, which follows nobody.
    pub async fn become_standby(&mut self) {
        self.stop().await;
        told((**self).become_standby());
        self.start_again().await;
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
