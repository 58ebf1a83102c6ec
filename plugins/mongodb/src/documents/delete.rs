//! Deleting documents.

use super::{IdParameters, InCollection, OneDocument, write};
use crate::{MongoDb, ejson::Object, guard, id::filter_by_id, names::Use, number, session::Kind};
use bson::{Document, doc};
use studio_plugin_api::prelude::*;

/// Which documents to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteManyBody {
    /// Those that it matches.
    filter: Object,
    /// An empty filter matches every document; this says that it is meant so.
    #[serde(default)]
    all: bool,
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// How many documents.
    deleted_count: u64,
}

/// `DELETE …/documents/{id}`
pub(crate) async fn delete(
    context: Context<MongoDb>,
    path: Path<OneDocument>,
    query: Query<IdParameters>,
) -> Result<NoContent, DriverError> {
    let filter = filter_by_id(path.id(&query)?);
    let namespace = path.open(&context, Use::Write)?;
    let collection = context.raw_collection(namespace);
    let deleted = context
        .run(&context, Kind::Writes, async |running| {
            Ok(collection.delete_one(filter).session(running.session()?).await?)
        })
        .await?;
    if deleted.deleted_count == 0 { Err(path.not_found()) } else { Ok(NoContent) }
}

/// `POST …/documents/delete-many`
pub(crate) async fn delete_many(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    body: Body<DeleteManyBody>,
) -> Result<Json<Deleted>, DriverError> {
    let DeleteManyBody { filter: Object(filter), all } = body.0;
    let namespace = path.open(&context, Use::Write)?;
    guard::check_filter("filter", &filter)?;
    refuse_unmeant(&filter, all)?;
    let answer = context
        .run(&context, Kind::WritesSeveral, async |running| {
            let statement = doc! { "q": filter, "limit": 0 };
            write::run(&context, running, namespace, ("delete", "deletes"), statement).await
        })
        .await?;
    Ok(Json(Deleted { deleted_count: number::read(&answer, "n").unwrap_or(0) }))
}

/// Refuses an empty filter that is not said to be meant.
///
/// # Errors
/// `VALIDATION_ERROR`.
pub(super) fn refuse_unmeant(filter: &Document, all: bool) -> Result<(), DriverError> {
    if filter.is_empty() && !all {
        let message = "`filter`: is empty and matches every document; say `\"all\": true` if that is meant";
        return Err(DriverError::validation("filter", message));
    }
    Ok(())
}
