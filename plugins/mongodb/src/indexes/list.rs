//! `GET /databases/{db}/collections/{coll}/indexes`

use crate::{
    MongoDb,
    collections::statistics::Statistics,
    documents::{FormParameters, InCollection},
    ejson::parts,
    extended::Extended,
    lists::read_all,
    names::{Namespace, Use},
    number,
    session::Kind,
};
use bson::{Bson, RawBson, RawDocumentBuf};
use futures_util::future::try_join;
use studio_plugin_api::prelude::*;

/// An index.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Index {
    name: String,
    /// Fields in their order, each with 1, -1 or the kind of index: `text`, `2dsphere`, `hashed` and so on.
    key: Extended,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<bool>,
    /// After how many seconds documents are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    /// Which documents are in the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_filter: Option<Extended>,
    /// Everything that the server says beside name and key, those above included, in MongoDB's own names: with this and
    /// `key`, the same index can be created again.
    options: Extended,
    /// Bytes in files; null where the server does not tell it.
    size: Option<u64>,
}

/// Lists the indexes of a collection in the server's order, in which that of `_id` is first.
pub(crate) async fn list(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    query: Query<FormParameters>,
) -> Result<Json<Vec<Index>>, DriverError> {
    let namespace = path.open(&context, Use::Read)?;
    let (told, statistics) =
        try_join(ask(&context, namespace), Statistics::read(&context, namespace)).await?;
    let indexes = told.iter().map(|told| {
        let name = parts::text(told, "name").ok_or_else(|| unreadable("an item has no name"))?;
        // Servers before 4.4 repeat the namespace in each.
        let options = parts::without(told, &["name", "key", "ns"])?;
        let key = told.get_document("key").map_err(unreadable)?;
        let partial_filter = told.get_document("partialFilterExpression").ok();
        let partial_filter = partial_filter.map(|filter| Extended::new(filter, query.ejson)).transpose()?;
        let seconds = options.get("expireAfterSeconds").ok().flatten();
        let seconds = seconds.and_then(|seconds| Bson::try_from(RawBson::from(seconds)).ok());
        Ok(Index {
            key: Extended::new(key, query.ejson)?,
            unique: options.get_bool("unique").ok(),
            sparse: options.get_bool("sparse").ok(),
            ttl: seconds.and_then(|seconds| number::of(&seconds)),
            partial_filter,
            options: Extended::new(&options, query.ejson)?,
            size: statistics.index_sizes.get(&name).copied(),
            name,
        })
    });
    indexes.collect::<Result<_, _>>().map(Json)
}

async fn ask(
    context: &Context<MongoDb>,
    namespace: Namespace<'_>,
) -> Result<Vec<RawDocumentBuf>, DriverError> {
    context
        .run(context, Kind::Reads, async |running| {
            let collection = context.raw_collection(namespace);
            let indexes = collection.list_indexes().max_time(running.time());
            let cursor = indexes.session(running.session()?).batch().await?;
            read_all(cursor, running, context.max_reply_bytes()).await
        })
        .await
}

fn unreadable(error: impl std::fmt::Display) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("the server's list of indexes: {error}"))
}
