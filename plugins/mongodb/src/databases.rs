//! Operations on databases.
//!
//! MongoDB has a database as long as there is something in it. One that is not there therefore reads as empty, as in
//! `mongosh`: its numbers are 0, its list of collections is empty. Only dropping it is `NOT_FOUND`.

use crate::{
    MongoDb,
    collections::{Among, count},
    lists::{AT_ONCE, take_page, unless_refused},
    names::DatabaseName,
    number,
    session::Kind,
};
use bson::doc;
use futures_util::{StreamExt, TryStreamExt, future::try_join3, stream};
use studio_plugin_api::prelude::*;

/// The database in a path.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatabasePath {
    pub(crate) db: DatabaseName,
}

/// Which databases.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatabasesQuery {
    /// The most databases in the reply; needed where there are more than 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// How many databases to leave out, in the order of their names.
    #[serde(default)]
    skip: usize,
}

/// A database in the list.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DatabaseSummary {
    name: String,
    /// Bytes in files.
    size_on_disk: u64,
    /// Whether there are no documents in it.
    empty: bool,
    /// Collections and time series, without views; null where the user may not count them.
    collections: Option<usize>,
}

/// `GET /databases`: in the order of their names, without the server's own below admin.
pub(crate) async fn list(
    context: Context<MongoDb>,
    query: Query<DatabasesQuery>,
) -> Result<Json<Vec<DatabaseSummary>>, DriverError> {
    let mut databases = context
        .run(&context, Kind::Reads, async |running| {
            Ok(context.client.list_databases().session(running.session()?).await?)
        })
        .await?;
    databases.retain(|database| !DatabaseName::is_hidden_from(&database.name, context.granted()));
    databases.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let databases = take_page(databases, query.limit, query.skip)?;
    let summaries = stream::iter(databases.into_iter().map(|database| {
        let context = &context;
        async move {
            let collections = count(context, &database.name, Among::AllButViews).await?;
            Ok(DatabaseSummary {
                name: database.name,
                size_on_disk: database.size_on_disk,
                empty: database.empty,
                collections,
            })
        }
    }));
    summaries.buffered(AT_ONCE).try_collect().await.map(Json)
}

/// What is in a database. A number is null where the server does not tell it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DatabaseStats {
    db: String,
    /// As in `GET /databases`.
    collections: Option<usize>,
    views: Option<usize>,
    /// Documents.
    objects: Option<u64>,
    /// Bytes.
    avg_obj_size: Option<u64>,
    /// Bytes of all documents, uncompressed.
    data_size: Option<u64>,
    /// Bytes in files for documents, with free space.
    storage_size: Option<u64>,
    indexes: Option<u64>,
    /// Bytes in files for indexes, with free space.
    index_size: Option<u64>,
}

/// `GET /databases/{db}/stats`
pub(crate) async fn stats(
    context: Context<MongoDb>,
    path: Path<DatabasePath>,
) -> Result<Json<DatabaseStats>, DriverError> {
    let name = path.db.open_to(context.granted())?;
    let stats = context.run(&context, Kind::Reads, async |running| {
        running.command(&context.client.database(name), doc! { "dbStats": 1 }).await
    });
    // Not as `dbStats` counts, which has the server's own among the collections, and with some servers the views.
    let collections = count(&context, name, Among::AllButViews);
    let views = count(&context, name, Among::Views);
    let (stats, collections, views) = try_join3(stats, collections, views).await?;
    let number = |field| number::read(&stats, field);
    Ok(Json(DatabaseStats {
        db: name.to_owned(),
        collections,
        views,
        objects: number("objects"),
        avg_obj_size: number("avgObjSize"),
        data_size: number("dataSize"),
        storage_size: number("storageSize"),
        indexes: number("indexes"),
        index_size: number("indexSize"),
    }))
}

/// `DELETE /databases/{db}`
pub(crate) async fn drop_database(
    context: Context<MongoDb>,
    path: Path<DatabasePath>,
) -> Result<NoContent, DriverError> {
    let name = path.db.open_to(context.granted())?;
    if DatabaseName::is_hidden_from(name, Access::Write) {
        return Err(DriverError::forbidden(format!(
            "the database `{name}` is the server's own: it can't be dropped"
        ))
        .with("database", name));
    }
    let found = context
        .run(&context, Kind::Reads, async |running| {
            let names = context.client.list_database_names().filter(doc! { "name": name });
            Ok(names.session(running.session()?).await?)
        })
        .await;
    // Who may drop this one may not always list them all.
    if unless_refused(found)?.is_some_and(|names| names.is_empty()) {
        return Err(DriverError::not_found(format!("there is no database `{name}`")).with("database", name));
    }
    context
        .run(&context, Kind::Writes, async |running| {
            running.change(&context.client.database(name), doc! { "dropDatabase": 1 }).await
        })
        .await?;
    Ok(NoContent)
}
