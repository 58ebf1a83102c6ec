//! The world of MongoDB's tests: a gateway with the driver, a server, and a project with a member of each role.

use crate::{
    client::{Answer, Client},
    gateway::Gateway,
    mongo_server::{MongoOptions, MongoServer},
    options::GatewayOptions,
    plugins::{Plugin, Plugins},
    world::Project,
};
use mongodb::{
    Collection,
    bson::{Document, RawDocumentBuf, doc},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

/// The database that paths lead to, unless a test names another.
pub const DATABASE: &str = "shop";

/// The world of MongoDB.
pub struct MongoWorld {
    /// The gateway, which knows this driver only.
    pub gateway: Gateway,
    /// The project's server.
    pub server: MongoServer,
    /// Project `alpha`; its connection `main` is the server.
    pub alpha: Project,
    /// The server's own client, beside the gateway.
    pub truth: mongodb::Client,
}

impl MongoWorld {
    /// Starts a server that asks for no login. The gateway keeps no replies: tests write beside the gateway too.
    pub async fn start() -> Self {
        Self::start_with(GatewayOptions::default().set("GATEWAY_CACHE_ENABLED", "false"), MongoOptions::new())
            .await
    }

    /// Starts a gateway and a server with these options; the connection logs in as the server's first user.
    pub async fn start_with(options: GatewayOptions, server: MongoOptions) -> Self {
        let options = options.plugins(Plugins::new([Plugin::new("mongodb")]));
        let (gateway, server) = tokio::join!(Gateway::start(options), MongoServer::start(server));
        let mut alpha = Project::create_empty(&gateway, "alpha").await;
        let body = json!({"identifier": "main", "connection_string": server.url()});
        alpha.connection = alpha.connect("mongodb", body).await;
        let truth = server.client().await;
        Self { gateway, server, alpha, truth }
    }

    /// Makes the path of a collection of [`DATABASE`] and of a thing below it: `path("things", "/documents")`.
    pub fn path(&self, collection: &str, rest: &str) -> String {
        self.path_in(DATABASE, collection, rest)
    }

    /// Makes a path as [`path`](Self::path) does, in another database.
    pub fn path_in(&self, database: &str, collection: &str, rest: &str) -> String {
        let (database, collection) = (escape(database), escape(collection));
        self.alpha.path("mongodb", &format!("/databases/{database}/collections/{collection}{rest}"))
    }

    /// Makes the path of a document by its `_id`, as `inserted_ids` gives it.
    pub fn document(&self, collection: &str, id: &str) -> String {
        self.path(collection, &format!("/documents/{}", escape(id)))
    }

    /// Opens a collection of [`DATABASE`], beside the gateway.
    pub fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.truth.database(DATABASE).collection(name)
    }

    /// Puts documents into a collection of [`DATABASE`], without the gateway.
    pub async fn fill(&self, collection: &str, documents: impl IntoIterator<Item = Document>) {
        let collection = self.truth.database(DATABASE).collection(collection);
        collection.insert_many(documents).await.unwrap();
    }

    /// Reads all documents of a collection of [`DATABASE`] from the server, by their `_id`s.
    pub async fn stored(&self, collection: &str) -> Vec<RawDocumentBuf> {
        let mut cursor = self.collection(collection).find(doc! {}).sort(doc! {"_id": 1}).await.unwrap();
        let mut documents = Vec::new();
        while cursor.advance().await.unwrap() {
            documents.push(cursor.current().to_owned());
        }
        documents
    }

    /// Reads them as [`stored`](Self::stored) does, as documents to compare with.
    pub async fn stored_documents(&self, collection: &str) -> Vec<Document> {
        let stored = self.stored(collection).await;
        stored.iter().map(|document| Document::try_from(document.as_ref()).unwrap()).collect()
    }
}

/// Percent-encodes a text for a path or a query.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Sends JSON as it is written: a `serde_json::Value` may write it in another way.
pub async fn send_text(client: &Client, method: &str, path: &str, json: impl Into<String>) -> Answer {
    let request = client.request(method, path).header("content-type", "application/json");
    client.send(request.body(json.into())).await
}
