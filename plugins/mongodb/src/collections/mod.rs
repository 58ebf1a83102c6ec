//! Operations on collections, views and time series.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod statistics;

use crate::{
    MongoDb,
    documents::InCollection,
    lists::{count_all, unless_refused},
    names::{Namespace, Use},
    session::{Kind, Running},
};
use bson::{Document, doc};
use studio_plugin_api::prelude::*;

/// What `mongosh` calls a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CollectionType {
    Collection,
    View,
    TimeSeries,
}

/// A filter of what is listed: all but the collections in which the server keeps what is in a time series, as in
/// `mongosh`.
fn is_listed() -> Document {
    doc! { "name": { "$not": { "$regex": "^system\\.buckets\\." } } }
}

/// Which of the listed to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Among {
    /// Collections and time series.
    AllButViews,
    /// Views.
    Views,
}

/// How many are listed; none where the server refuses to tell.
///
/// # Errors
/// Of the connection, or `TIMEOUT`.
pub(crate) async fn count(
    context: &Context<MongoDb>,
    database: &str,
    among: Among,
) -> Result<Option<usize>, DriverError> {
    let mut filter = is_listed();
    filter.insert(
        "type",
        match among {
            Among::AllButViews => doc! { "$ne": "view" },
            Among::Views => doc! { "$eq": "view" },
        },
    );
    unless_refused(count_listed(context, database, filter).await)
}

/// How many there are of what this filter lets through, among those that the user may know of.
async fn count_listed(
    context: &Context<MongoDb>,
    database: &str,
    filter: Document,
) -> Result<usize, DriverError> {
    context
        .run(context, Kind::Reads, async |running| {
            let command = list_names(filter, running);
            let database = context.client.database(database);
            let cursor = database.run_cursor_command(command).session(running.session()?).batch().await?;
            count_all(cursor, running).await
        })
        .await
}

/// The command that asks for what any user may know: names and types of the collections that they may read.
fn list_names(filter: Document, running: &Running) -> Document {
    doc! {
        "listCollections": 1,
        "filter": filter,
        "nameOnly": true,
        "authorizedCollections": true,
        "maxTimeMS": running.max_time_ms(),
    }
}

/// Whether there is a collection, view or time series of this name, as far as the user may know.
///
/// # Errors
/// The server's, or the connection's.
async fn exists(context: &Context<MongoDb>, namespace: Namespace<'_>) -> Result<bool, DriverError> {
    let filter = doc! { "name": namespace.collection };
    Ok(count_listed(context, namespace.database, filter).await? > 0)
}

/// `DELETE /databases/{db}/collections/{coll}`
pub(crate) async fn drop_collection(
    context: Context<MongoDb>,
    path: Path<InCollection>,
) -> Result<NoContent, DriverError> {
    let namespace = path.open(&context, Use::Drop)?;
    // Servers since 7.0 drop what is not there without complaint.
    if !exists(&context, namespace).await? {
        let Namespace { database, collection } = namespace;
        let message = format!("there is no collection `{collection}` in the database `{database}`");
        return Err(DriverError::not_found(message).with("collection", collection));
    }
    context
        .run(&context, Kind::Writes, async |running| {
            let database = context.client.database(namespace.database);
            running.change(&database, doc! { "drop": namespace.collection }).await
        })
        .await?;
    Ok(NoContent)
}
