//! How much is in a collection.

use crate::{
    MongoDb,
    lists::{read_all, unless_refused},
    names::Namespace,
    number,
    session::Kind,
};
use bson::{Document, doc};
use mongodb::options::ReadConcern;
use std::collections::BTreeMap;
use studio_plugin_api::prelude::*;

/// The most bytes of what all shards tell.
const MAX_PARTS: u64 = 1 << 20;

/// What the server counts for a collection; in a sharded cluster all shards together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Documents.
    count: Option<u64>,
    /// Bytes of all documents, uncompressed.
    size: Option<u64>,
    /// Bytes in files for documents.
    storage_size: Option<u64>,
    indexes: Option<u64>,
    /// Bytes in files of each index, by its name.
    pub(crate) index_sizes: BTreeMap<String, u64>,
}

/// What is in a collection. A number is null where the server does not tell it: of views, of documents in a time
/// series, and where the user may not ask.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CollectionInfo {
    /// Documents.
    count: Option<u64>,
    /// Bytes of all documents, uncompressed.
    size: Option<u64>,
    /// Bytes of a document.
    avg_obj_size: Option<u64>,
    /// Bytes in files for documents, with free space.
    storage_size: Option<u64>,
    /// How many indexes there are.
    indexes: Option<u64>,
}

impl Statistics {
    /// Reads them; none where the server refuses.
    ///
    /// # Errors
    /// Of the connection, or `TIMEOUT`.
    pub(crate) async fn read(
        context: &Context<MongoDb>,
        namespace: Namespace<'_>,
    ) -> Result<Self, DriverError> {
        let parts = context
            .run(context, Kind::Reads, async |running| {
                let database = context.client.database(namespace.database);
                let collection = database.collection::<Document>(namespace.collection);
                // Without the projection, most of the reply would be about the storage engine.
                let pipeline = [
                    doc! { "$collStats": { "storageStats": {} } },
                    doc! { "$project": {
                        "storageStats.count": 1,
                        "storageStats.size": 1,
                        "storageStats.storageSize": 1,
                        "storageStats.nindexes": 1,
                        "storageStats.indexSizes": 1,
                    } },
                ];
                let aggregate = collection.aggregate(pipeline).max_time(running.time());
                // It takes no other, whatever the connection's is.
                let aggregate = aggregate.read_concern(ReadConcern::local());
                let cursor = aggregate.session(running.session()?).batch().await?;
                read_all(cursor, running, MAX_PARTS).await
            })
            .await;
        let parts = unless_refused(parts)?.unwrap_or_default();
        let parts: Result<Vec<_>, _> = parts.iter().map(|part| Document::try_from(part.as_ref())).collect();
        let parts = parts.map_err(|error| {
            DriverError::new(ErrorCode::DriverError, format!("the server's statistics: {error}"))
        })?;
        Ok(Self::add_up(&parts))
    }

    /// Adds up what each shard told.
    fn add_up(parts: &[Document]) -> Self {
        let mut sum = Self::default();
        for part in parts {
            let Ok(part) = part.get_document("storageStats") else { continue };
            let add = |sum: &mut Option<u64>, name| {
                if let Some(number) = number::read(part, name) {
                    *sum = Some(sum.unwrap_or_default().saturating_add(number));
                }
            };
            add(&mut sum.count, "count");
            add(&mut sum.size, "size");
            add(&mut sum.storage_size, "storageSize");
            sum.indexes = sum.indexes.max(number::read(part, "nindexes"));
            let Ok(sizes) = part.get_document("indexSizes") else { continue };
            for name in sizes.keys() {
                if let Some(size) = number::read(sizes, name) {
                    let sum = sum.index_sizes.entry(name.clone()).or_default();
                    *sum = sum.saturating_add(size);
                }
            }
        }
        sum
    }
}

impl From<Statistics> for CollectionInfo {
    fn from(statistics: Statistics) -> Self {
        let Statistics { count, size, storage_size, indexes, .. } = statistics;
        let avg_obj_size = size.zip(count).map(|(size, count)| size.checked_div(count).unwrap_or_default());
        Self { count, size, avg_obj_size, storage_size, indexes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shards_tell_is_added_up() {
        let shard = |count: i64, index: i32| {
            doc! { "storageStats": {
                "count": count, "size": 100, "storageSize": 4096.0, "nindexes": 2,
                "indexSizes": { "_id_": index, "a.b_1": 7_i64 },
            } }
        };
        let sum = Statistics::add_up(&[shard(1, 10), shard(3, 20)]);
        let index_sizes = BTreeMap::from([("_id_".to_owned(), 30), ("a.b_1".to_owned(), 14)]);
        assert_eq!(
            sum,
            Statistics {
                count: Some(4),
                size: Some(200),
                storage_size: Some(8192),
                indexes: Some(2),
                index_sizes
            }
        );
        assert_eq!(CollectionInfo::from(sum).avg_obj_size, Some(50));
    }

    #[test]
    fn empty_collection_has_an_average_and_an_unknown_one_has_none() {
        let empty = Statistics::add_up(&[doc! { "storageStats": { "count": 0, "size": 0 } }]);
        assert_eq!(CollectionInfo::from(empty).avg_obj_size, Some(0));
        let series = Statistics::add_up(&[doc! { "storageStats": { "size": 5 } }]);
        assert_eq!(CollectionInfo::from(series).avg_obj_size, None);
        assert_eq!(Statistics::add_up(&[doc! {}]), Statistics::default());
    }
}
