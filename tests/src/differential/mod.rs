//! Two servers that should answer alike: both get the same requests, and their answers are compared.
//!
//! The first server is the real postgres-meta. The second is our gateway; or another postgres-meta, when [`VARIABLE`]
//! says `itself`, which shows how much the comparison is worth.

mod compare;
mod form;
mod normal;
mod place;
mod side;
mod studio;

pub use compare::{Accepted, Comparison};
pub use form::Form;
pub use normal::Normal;
pub use side::{Reply, Side};

use crate::{
    gateway::Gateway,
    plugins::{Plugin, Plugins},
    postgres_database::PostgresDatabase,
    postgres_meta::PostgresMeta,
    postgres_server::{PostgresOptions, PostgresServer},
    postgres_world::PostgresWorld,
    world::Project,
};
use serde_json::{Value, json};
use std::fmt;

/// Names the server that postgres-meta is compared with: `itself`, or else our gateway.
const VARIABLE: &str = "STUDIO_TEST_COMPARED";

/// A request's body; it may have places in it.
#[derive(Clone, Copy)]
enum Body<'a> {
    None,
    /// Sent as `application/json`.
    Json(&'a Value),
    /// Sent as it is.
    Text(&'a str),
}

/// A database, and a server of HTTP before it.
struct Half {
    side: Side,
    /// The same server with a viewer's token; only a gateway has viewers.
    viewer: Option<Side>,
    database: PostgresDatabase,
    /// Servers that must run on.
    _runs: (Option<PostgresServer>, Option<PostgresMeta>, Option<Gateway>),
}

/// Both servers, on one database or on one each.
pub struct Twins {
    halves: [Half; 2],
    comparison: Comparison,
    /// Whether ids may be compared as they are, since both use one database.
    shared: bool,
}

impl Twins {
    /// Starts both on one database with one of everything, for requests that only read. `None` where there is no
    /// postgres-meta.
    pub async fn on_one_database(accepted: &'static [Accepted]) -> Option<Self> {
        let first = Half::start(None, false).await?;
        let second = Half::start(Some(first.database.clone()), true).await?;
        Some(Self { halves: [first, second], comparison: Comparison::new(accepted), shared: true })
    }

    /// Starts them on one database each, alike and on servers of their own, since roles belong to a server.
    pub async fn on_two_databases(accepted: &'static [Accepted]) -> Option<Self> {
        let (first, second) = tokio::join!(Half::start(None, false), Half::start(None, true));
        Some(Self { halves: [first?, second?], comparison: Comparison::new(accepted), shared: false })
    }

    /// Makes the gateway be asked, from now on, by a caller who may only read.
    pub fn for_a_viewer(mut self) -> Self {
        for half in &mut self.halves {
            if let Some(viewer) = half.viewer.take() {
                half.side = viewer;
            }
        }
        self
    }

    /// Runs statements in the one database, or in both.
    pub async fn prepare(&self, statements: &str) {
        for half in self.halves.iter().take(if self.shared { 1 } else { 2 }) {
            half.database.run(statements).await;
        }
    }

    /// Reads the first column of a query's rows in the first database.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        self.halves[0].database.texts(query).await
    }

    /// Tells whether the databases are of this version of PostgreSQL, or a later one.
    pub async fn are_at_least(&self, version: u32) -> bool {
        self.halves[0].database.is_at_least(version).await
    }

    /// Sends a `GET` to both; all ids are compared, and the order counts.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, None, Normal::default()).await
    }

    /// Sends a `GET` of a list whose order nobody promises.
    pub async fn list(&mut self, path: &str) -> Reply {
        self.ask("GET", path, None, Normal::default().unordered()).await
    }

    /// Sends a `GET` of a list of which only the length is compared.
    pub async fn count(&mut self, path: &str) -> Reply {
        self.ask("GET", path, None, Normal::default().only_length()).await
    }

    /// Sends a `POST` to both.
    pub async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.ask("POST", path, Some(body), Normal::default()).await
    }

    /// Sends a `POST` to both, of which only the status is compared.
    pub async fn try_post(&mut self, path: &str, body: Value) -> Reply {
        self.ask("POST", path, Some(body), Normal::default().only_status()).await
    }

    /// Sends a `PATCH` to both.
    pub async fn patch(&mut self, path: &str, body: Value) -> Reply {
        self.ask("PATCH", path, Some(body), Normal::default()).await
    }

    /// Sends a `DELETE` to both.
    pub async fn delete(&mut self, path: &str) -> Reply {
        self.ask("DELETE", path, None, Normal::default()).await
    }

    /// Sends a `DELETE` with a body to both.
    pub async fn remove(&mut self, path: &str, body: Value) -> Reply {
        self.ask("DELETE", path, Some(body), Normal::default()).await
    }

    /// Sends both a request that both must refuse, of which only the status is compared: each checks bodies by itself,
    /// so its words for one that does not fit are its own.
    pub async fn refuse(&mut self, method: &str, path: &str, body: Value) {
        let reply = self.ask(method, path, Some(body), Normal::default().only_status()).await;
        assert!(reply.status >= 400, "{method} {path}: {} {}", reply.status, reply.body);
    }

    /// Sends a `GET` that both must refuse, of which only the status is compared.
    pub async fn refuse_reading(&mut self, path: &str) {
        let reply = self.ask("GET", path, None, Normal::default().only_status()).await;
        assert!(reply.status >= 400, "GET {path}: {} {}", reply.status, reply.body);
    }

    /// Asks both, compares, and gives back the first answer. Path and body may have places in them where the database's
    /// own id of something goes, as in `/tables/{class:public.users}`.
    pub async fn ask(&mut self, method: &str, path: &str, body: Option<Value>, normal: Normal) -> Reply {
        let body = body.as_ref().map_or(Body::None, Body::Json);
        self.ask_as(&format!("{method} {path}"), method, path, &[], body, normal).await
    }

    /// Sends both a request with headers and body exactly as given; a difference has the headers in its name.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
        normal: Normal,
    ) -> Reply {
        let headers_named: String = headers.iter().map(|(name, value)| format!(" {name}: {value}")).collect();
        let body = body.map_or(Body::None, Body::Text);
        self.ask_as(&format!("{method} {path}{headers_named}"), method, path, headers, body, normal).await
    }

    /// Asks both as [`ask`](Self::ask) does, for a request that has a name of its own.
    async fn ask_as(
        &mut self,
        name: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
        normal: Normal,
    ) -> Reply {
        let normal = if self.shared { normal } else { normal.without_ids() };
        let mut replies = Vec::new();
        for half in &self.halves {
            let own_path = place::fill(&half.database, path).await;
            replies.push(half.side.send(method, &own_path, headers, body.fill(&half.database).await).await);
        }
        let (second, first) = (replies.pop().unwrap(), replies.pop().unwrap());
        self.comparison.compare(name, &body.to_string(), &normal, &first, &second);
        first
    }

    /// Fails, with a report of the first differences, when there was one; or when an accepted one did not occur.
    #[track_caller]
    pub fn finish(self) {
        self.comparison.finish();
    }
}

impl Half {
    /// Starts a server on a database. `second`: this is the side that is compared with postgres-meta.
    async fn start(database: Option<PostgresDatabase>, second: bool) -> Option<Self> {
        if !PostgresMeta::is_there() {
            return None;
        }
        let (server, database) = match database {
            Some(database) => (None, database),
            None => {
                let options = PostgresOptions::new().setting("autovacuum=off").setting("wal_level=logical");
                let server = PostgresServer::start(options).await;
                // The database's name is in some answers.
                let database =
                    server.create_named_database("twin").await.fill().await.keep_connection().await;
                (Some(server), database)
            }
        };
        if second && std::env::var(VARIABLE).is_ok_and(|compared| compared == "itself") {
            let meta = PostgresMeta::start(&database.url).await;
            let side = Side::new("postgres-meta again", &meta.address, None);
            return Some(Self { side, viewer: None, database, _runs: (server, Some(meta), None) });
        }
        if !second {
            let meta = PostgresMeta::start(&database.url).await;
            let side = Side::new("postgres-meta", &meta.address, None);
            return Some(Self { side, viewer: None, database, _runs: (server, Some(meta), None) });
        }
        let options = PostgresWorld::options().plugins(Plugins::new([Plugin::new("postgres")]));
        let gateway = Gateway::start(options).await;
        let project = Project::create_empty(&gateway, "alpha").await;
        let body = json!({"identifier": "main", "connection_string": database.url});
        project.connect("postgres", body).await;
        let base = format!("http://{}{}", gateway.address(), project.path("pg-meta", ""));
        let side = Side::new("gateway", &base, Some(project.owner.token().to_owned()));
        let viewer = Some(side.with_token(project.viewer.token()));
        Some(Self { side, viewer, database, _runs: (server, None, Some(gateway)) })
    }
}

impl Body<'_> {
    async fn fill(self, database: &PostgresDatabase) -> side::Body {
        match self {
            Self::None => side::Body::None,
            Self::Json(json) => side::Body::Json(place::fill_all(database, json).await),
            Self::Text(text) => side::Body::Text(place::fill(database, text).await),
        }
    }
}

impl fmt::Display for Body<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Json(json) => json.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}
