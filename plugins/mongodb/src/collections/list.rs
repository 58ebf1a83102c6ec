//! `GET /databases/{db}/collections`

use super::{
    CollectionType, is_listed, list_names,
    statistics::{CollectionInfo, Statistics},
};
use crate::{
    MongoDb,
    databases::DatabasePath,
    ejson::{Form, parts},
    extended::Extended,
    lists::{AT_ONCE, read_all, take_page},
    names::Namespace,
    session::Kind,
};
use bson::{RawDocument, RawDocumentBuf};
use futures_util::{StreamExt, TryStreamExt, stream};
use studio_plugin_api::prelude::*;

/// Which collections, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionsQuery {
    /// The most collections in the reply; needed where there are more than 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// How many collections to leave out, in the order of their names.
    #[serde(default)]
    skip: usize,
    /// The form of `options`.
    #[serde(default)]
    ejson: Form,
}

/// A collection, view or time series.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CollectionSummary {
    name: String,
    #[serde(rename = "type")]
    kind: CollectionType,
    /// As it was created, in MongoDB's own names and Extended JSON; null where the user may not ask.
    options: Option<Extended>,
    info: CollectionInfo,
}

/// Lists collections in the order of their names.
pub(crate) async fn list(
    context: Context<MongoDb>,
    path: Path<DatabasePath>,
    query: Query<CollectionsQuery>,
) -> Result<Json<Vec<CollectionSummary>>, DriverError> {
    let database = path.db.open_to(context.granted())?;
    let mut collections = match ask(&context, database).await {
        Err(error) if error.code == ErrorCode::Forbidden => ask_for_names(&context, database).await?,
        told => told?,
    };
    collections.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let collections = take_page(collections, query.limit, query.skip)?;
    let options = collections.iter().filter_map(|collection| collection.options.as_ref());
    let bytes: usize = options.map(|options| options.as_bytes().len()).sum();
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > context.max_reply_bytes()) {
        return Err(DriverError::result_too_large(context.max_reply_bytes()));
    }
    let summaries = stream::iter(collections.into_iter().map(|collection| {
        let (context, form) = (&context, query.ejson);
        async move {
            let statistics = match collection.kind {
                CollectionType::View => Statistics::default(),
                CollectionType::Collection | CollectionType::TimeSeries => {
                    Statistics::read(context, Namespace { database, collection: &collection.name }).await?
                }
            };
            let Collection { name, kind, options } = collection;
            let options = options.map(|options| Extended::new(&options, form)).transpose()?;
            Ok(CollectionSummary { name, kind, options, info: statistics.into() })
        }
    }));
    summaries.buffered(AT_ONCE).try_collect().await.map(Json)
}

/// A collection as `listCollections` tells of it.
struct Collection {
    name: String,
    kind: CollectionType,
    options: Option<RawDocumentBuf>,
}

impl Collection {
    fn read(told: &RawDocument) -> Result<Self, DriverError> {
        let name = parts::text(told, "name").ok_or_else(|| unreadable("an item has no name"))?;
        let options = told.get("options").map_err(unreadable)?.and_then(|options| options.as_document());
        let kind = match told.get_str("type") {
            Ok("view") => CollectionType::View,
            Ok("timeseries") => CollectionType::TimeSeries,
            // Servers that are not MongoDB's own have no such type.
            _ if options.is_some_and(|options| options.get_document("timeseries").is_ok()) => {
                CollectionType::TimeSeries
            }
            _ => CollectionType::Collection,
        };
        Ok(Self { name, kind, options: options.map(ToOwned::to_owned) })
    }
}

fn unreadable(error: impl std::fmt::Display) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("the server's list of collections: {error}"))
}

async fn ask(context: &Context<MongoDb>, database: &str) -> Result<Vec<Collection>, DriverError> {
    let told = context
        .run(context, Kind::Reads, async |running| {
            let database = context.client.database(database);
            let collections = database.list_collections().filter(is_listed());
            let cursor = collections.session(running.session()?).batch().await?;
            read_all(cursor, running, context.max_reply_bytes()).await
        })
        .await?;
    told.iter().map(|told| Collection::read(told)).collect()
}

async fn ask_for_names(context: &Context<MongoDb>, database: &str) -> Result<Vec<Collection>, DriverError> {
    let told = context
        .run(context, Kind::Reads, async |running| {
            let command = list_names(is_listed(), running);
            let database = context.client.database(database);
            let cursor = database.run_cursor_command(command).session(running.session()?).batch().await?;
            read_all(cursor, running, context.max_reply_bytes()).await
        })
        .await?;
    told.iter().map(|told| Collection::read(told)).collect()
}
