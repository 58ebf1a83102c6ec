//! Operations on indexes.

pub(crate) mod create;
pub(crate) mod list;

use crate::{
    MongoDb,
    names::{CollectionName, DatabaseName, Use},
    session::Kind,
};
use bson::doc;
use studio_plugin_api::prelude::*;

/// The index of `_id`, without which a collection can't be.
const ID_INDEX: &str = "_id_";
/// What `dropIndexes` takes for every index.
const EVERY_INDEX: &str = "*";

/// The index in a path.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexPath {
    db: DatabaseName,
    coll: CollectionName,
    /// The index's name.
    name: String,
}

/// `DELETE /databases/{db}/collections/{coll}/indexes/{name}`
pub(crate) async fn drop_index(
    context: Context<MongoDb>,
    path: Path<IndexPath>,
) -> Result<NoContent, DriverError> {
    let namespace = path.coll.open_in(&path.db, Use::Write, context.granted())?;
    let refuse = |message: &str| Err(DriverError::field("name", message));
    match path.name.as_str() {
        ID_INDEX => return refuse("`_id_` is the index of `_id`, without which a collection can't be"),
        EVERY_INDEX => return refuse("`*` would drop every index; name one"),
        _ => {}
    }
    context
        .run(&context, Kind::Writes, async |running| {
            let database = context.client.database(namespace.database);
            running.change(&database, doc! { "dropIndexes": namespace.collection, "index": &path.name }).await
        })
        .await?;
    Ok(NoContent)
}
