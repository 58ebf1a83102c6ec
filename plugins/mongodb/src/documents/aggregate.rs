//! Running an aggregation pipeline.

use super::{Documents, FormParameters, InCollection};
use crate::{
    MongoDb,
    ejson::{List, Object, Value},
    guard::{self, Effect},
    lists::no_document,
    names::{Namespace, Use},
    session::{Failure, Kind},
};
use bson::{Bson, Document, doc};
use mongodb::options::Collation;
use std::time::Duration;
use studio_plugin_api::prelude::*;

/// What to compute.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AggregateBody {
    /// The stages, in order.
    pipeline: List<Value>,
    /// How.
    #[serde(default)]
    options: AggregateOptions,
}

/// How an aggregation is run; named as MongoDB names them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AggregateOptions {
    /// Whether stages may use files where memory does not do. The server's choice unless said.
    allow_disk_use: Option<bool>,
    /// The most milliseconds that the server may take; never more than the request may.
    #[serde(rename = "maxTimeMS")]
    #[schemars(range(min = 1))]
    max_time_ms: Option<u64>,
    /// The most documents to answer with.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
    /// How strings compare.
    collation: Option<Object>,
    /// The index to use: its name, or its keys.
    hint: Option<Value>,
    /// Variables that the pipeline may use as `$$name`.
    #[serde(rename = "let")]
    variables: Option<Object>,
}

/// `POST …/aggregate`
pub(crate) async fn aggregate(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    query: Query<FormParameters>,
    body: Body<AggregateBody>,
) -> Result<Either<OnlyRead<RawJson>, RawJson>, DriverError> {
    let namespace = path.open(&context, Use::Read)?;
    let AggregateBody { pipeline, options } = body.0;
    let pipeline: Vec<Bson> = pipeline.0.into_iter().map(|Value(stage)| stage).collect();
    let effect = guard::check_pipeline("pipeline", &pipeline, context.granted())?;
    let mut stages = into_stages(pipeline)?;
    if let Some(limit) = options.limit {
        if limit == 0 || effect == Effect::Writes {
            let message = "`options.limit`: must be 1 or more, and means nothing to a pipeline that writes";
            return Err(DriverError::validation("options.limit", message));
        }
        stages.push(doc! { "$limit": i64::from(limit) });
    }
    let documents = Documents::begin(b"", query.ejson, &context);
    let json = match effect {
        Effect::Reads => run(&context, namespace, Kind::Reads, stages, options, documents).await?,
        Effect::Writes => run(&context, namespace, Kind::WritesSeveral, stages, options, documents).await?,
    };
    Ok(match effect {
        Effect::Reads => Either::First(OnlyRead(RawJson::new(json))),
        Effect::Writes => Either::Second(RawJson::new(json)),
    })
}

async fn run(
    context: &Context<MongoDb>,
    namespace: Namespace<'_>,
    kind: Kind,
    stages: Vec<Document>,
    options: AggregateOptions,
    mut documents: Documents,
) -> Result<Vec<u8>, DriverError> {
    let AggregateOptions { allow_disk_use, max_time_ms, collation, hint, variables, .. } = options;
    let collation = collation.map(|Object(collation)| read_collation(collation)).transpose()?;
    let hint = hint.map(|Value(hint)| read_hint(hint)).transpose()?;
    if let Some(Object(variables)) = &variables {
        guard::check_filter("options.let", variables)?;
    }
    if max_time_ms == Some(0) {
        let message = "`options.maxTimeMS`: must be 1 or more";
        return Err(DriverError::validation("options.maxTimeMS", message));
    }
    let collection = context.raw_collection(namespace);
    context
        .run(context, kind, async |running| {
            let time = running.time();
            let time = max_time_ms.map_or(time, |most| time.min(Duration::from_millis(most)));
            let mut aggregate = collection.aggregate(stages).max_time(time);
            if let Some(allow_disk_use) = allow_disk_use {
                aggregate = aggregate.allow_disk_use(allow_disk_use);
            }
            if let Some(collation) = collation {
                aggregate = aggregate.collation(collation);
            }
            if let Some(hint) = hint {
                aggregate = aggregate.hint(hint);
            }
            if let Some(Object(variables)) = variables {
                aggregate = aggregate.let_vars(variables);
            }
            let mut cursor = aggregate.session(running.session()?).batch().await?;
            let mut batches = running.batches(&mut cursor)?;
            while let Some(batch) = batches.next().await {
                for document in batch?.doc_slices()? {
                    let document = document?.as_document().ok_or_else(no_document)?;
                    documents.add(document).map_err(Failure::AfterAll)?;
                }
            }
            Ok::<_, Failure>(documents.end())
        })
        .await
}

/// The stages as documents; that they are, the guard has seen.
///
/// # Errors
/// `VALIDATION_ERROR` for what is none.
pub(super) fn into_stages(pipeline: Vec<Bson>) -> Result<Vec<Document>, DriverError> {
    let stages = pipeline.into_iter().enumerate().map(|(index, stage)| match stage {
        Bson::Document(stage) => Ok(stage),
        _ => {
            let field = format!("pipeline[{index}]");
            Err(DriverError::field(&field, "must be an object, as {\"$match\": {}}"))
        }
    });
    stages.collect()
}

fn read_collation(collation: Document) -> Result<Collation, DriverError> {
    bson::deserialize_from_document(collation)
        .map_err(|error| DriverError::field("options.collation", format!("is no collation: {error}")))
}

fn read_hint(hint: Bson) -> Result<mongodb::options::Hint, DriverError> {
    match hint {
        Bson::String(name) => Ok(mongodb::options::Hint::Name(name)),
        Bson::Document(keys) => Ok(mongodb::options::Hint::Keys(keys)),
        _ => Err(DriverError::field("options.hint", "must be an index's name, or its keys as an object")),
    }
}
