//! Reading one document.

use super::{IdParameters, OneDocument};
use crate::{
    MongoDb,
    ejson::{self, Form},
    id::{IdType, filter_by_id},
    names::Use,
    session::Kind,
};
use studio_plugin_api::prelude::*;

/// Which document, and how it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadParameters {
    /// The type of the `_id`, where its text leaves that open.
    id_type: Option<IdType>,
    /// The form of Extended JSON.
    #[serde(default)]
    ejson: Form,
}

/// `GET …/documents/{id}`
pub(crate) async fn read(
    context: Context<MongoDb>,
    path: Path<OneDocument>,
    query: Query<ReadParameters>,
) -> Result<RawJson, DriverError> {
    let filter = filter_by_id(path.id(&IdParameters { id_type: query.id_type })?);
    let collection = context.raw_collection(path.open(&context, Use::Read)?);
    let found = context
        .run(&context, Kind::Reads, async |running| {
            let find = collection.find(filter).limit(1).max_time(running.time());
            let mut cursor = find.session(running.session()?).batch().await?;
            let mut batches = running.batches(&mut cursor)?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let first = batch.doc_slices()?.into_iter().next().transpose()?;
                if let Some(document) = first.and_then(|value| value.as_document()) {
                    let mut json = Vec::with_capacity(document.as_bytes().len() * 2);
                    ejson::write_document_within(
                        document,
                        query.ejson,
                        &mut json,
                        context.max_reply_bytes(),
                    )?;
                    return Ok(Some(json));
                }
            }
            Ok(None)
        })
        .await?;
    found.map(RawJson::new).ok_or_else(|| path.not_found())
}
