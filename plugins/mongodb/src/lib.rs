//! The MongoDB driver of studio-gateway.
//!
//! `options.rs` reads a connection's settings, `connection.rs` opens the session, through `relay.rs`, where `wire/` looks at
//! what servers send; `session.rs` runs what a call asks for and stops it when its caller leaves. `ejson/` is how documents
//! look in JSON, `guard/` what they may not ask for. The other modules are the operations, and what several of them need.

mod collections;
mod command;
mod connection;
mod databases;
mod documents;
mod ejson;
mod errors;
mod extended;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod id;
mod indexes;
mod info;
mod lists;
mod names;
mod number;
mod options;
mod relay;
mod servers;
mod session;
mod wire;

pub use connection::MongoDb;
pub use options::MongoDbOptions;

use std::{num::NonZero, thread::available_parallelism, time::Duration};
use studio_plugin_api::prelude::*;

const DATABASES: &str = "/databases";
const DATABASE: &str = "/databases/{db}";
const STATS: &str = "/databases/{db}/stats";
const COLLECTIONS: &str = "/databases/{db}/collections";
const COLLECTION: &str = "/databases/{db}/collections/{coll}";
const DOCUMENTS: &str = "/databases/{db}/collections/{coll}/documents";
const DOCUMENT: &str = "/databases/{db}/collections/{coll}/documents/{id}";
const INDEXES: &str = "/databases/{db}/collections/{coll}/indexes";
const INDEX: &str = "/databases/{db}/collections/{coll}/indexes/{name}";

/// The paths whose cached answers a write makes stale: sizes and counts are in there, and the first document creates
/// its collection and database.
const AFTER_WRITE: [&str; 4] = [DATABASES, STATS, COLLECTIONS, INDEXES];

const MINUTE: Duration = Duration::from_secs(60);

impl Driver for MongoDb {
    type Options = MongoDbOptions;

    fn describe() -> Description {
        Description::new("mongodb", "MongoDB", env!("CARGO_PKG_VERSION"))
            .default_port(27017)
            .connection_string_schemes(&["mongodb", "mongodb+srv"])
            // The client library hands each call to several tasks. It also hashes passwords on these threads, one login
            // at a time (`relay/pass.rs`).
            .on_own_threads(available_parallelism().map_or(2, NonZero::get).max(2))
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get(DATABASES, databases::list)
            .read()
            .cache(MINUTE)
            .summary("List databases")
            .get(STATS, databases::stats)
            .read()
            .cache(MINUTE)
            .summary("Measure a database")
            .delete(DATABASE, databases::drop_database)
            .admin()
            .summary("Drop a database")
            .invalidates(AFTER_WRITE)
            .get(COLLECTIONS, collections::list::list)
            .read()
            .cache(10 * MINUTE)
            .summary("List collections, views and time series")
            .post(COLLECTIONS, collections::create::create)
            .write()
            .summary("Create a collection, view or time series")
            .invalidates(AFTER_WRITE)
            .delete(COLLECTION, collections::drop_collection)
            .admin()
            .summary("Drop a collection, view or time series")
            .invalidates(AFTER_WRITE)
            .get(DOCUMENTS, documents::find::list)
            .read()
            .summary("Find documents, a page at a time")
            .post(DOCUMENTS, documents::insert::insert)
            .write()
            .summary("Insert one document or several")
            .invalidates(AFTER_WRITE)
            .post("/databases/{db}/collections/{coll}/documents/query", documents::find::query)
            .read()
            .summary("Find documents, by a query too long for a URL")
            .post("/databases/{db}/collections/{coll}/documents/update-many", documents::update::update_many)
            .write()
            .summary("Change every document that matches")
            .invalidates(AFTER_WRITE)
            .post("/databases/{db}/collections/{coll}/documents/delete-many", documents::delete::delete_many)
            .write()
            .summary("Delete every document that matches")
            .invalidates(AFTER_WRITE)
            .get(DOCUMENT, documents::read::read)
            .read()
            .summary("Read one document")
            .put(DOCUMENT, documents::update::update)
            .write()
            .summary("Change or replace one document")
            .invalidates(AFTER_WRITE)
            .delete(DOCUMENT, documents::delete::delete)
            .write()
            .summary("Delete one document")
            .invalidates(AFTER_WRITE)
            .post("/databases/{db}/collections/{coll}/aggregate", documents::aggregate::aggregate)
            .per_call()
            .summary("Run an aggregation pipeline; viewers' may not write")
            .invalidates(AFTER_WRITE)
            .post("/databases/{db}/collections/{coll}/explain", documents::explain::explain)
            .read()
            .summary("Explain how the server would find documents")
            .get(INDEXES, indexes::list::list)
            .read()
            .cache(10 * MINUTE)
            .summary("List the indexes of a collection")
            .post(INDEXES, indexes::create::create)
            .write()
            .summary("Create an index")
            .invalidates(AFTER_WRITE)
            .delete(INDEX, indexes::drop_index)
            .write()
            .summary("Drop an index")
            .invalidates(AFTER_WRITE)
            .get("/info", info::info)
            .read()
            .cache(Duration::from_secs(30))
            .summary("Describe the server")
    }

    fn check(settings: &ConnectionSettings<MongoDbOptions>) -> Result<(), DriverError> {
        options::Target::new(settings).map(drop)
    }

    async fn connect(
        settings: ConnectionSettings<MongoDbOptions>,
        network: Network,
    ) -> Result<Self, DriverError> {
        Self::open(options::Target::new(&settings)?, network).await
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        info::server_facts(self).await
    }

    fn is_open(&self) -> bool {
        self.is_usable()
    }
}

studio_plugin_api::export_driver!(MongoDb);
