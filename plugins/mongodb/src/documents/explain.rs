//! Asking how the server would find documents.

use super::{FormParameters, InCollection, aggregate::into_stages};
use crate::{
    MongoDb,
    ejson::{self, List, Object, Value},
    guard::{self, Effect},
    names::Use,
    session::Kind,
};
use bson::{Bson, Document, RawDocumentBuf, doc};
use studio_plugin_api::prelude::*;

/// What to explain: a `filter` as it is found, or a `pipeline`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// Which documents are to be found.
    filter: Option<Object>,
    /// Which of their fields.
    projection: Option<Object>,
    /// In which order.
    sort: Option<Object>,
    /// How many, at most.
    limit: Option<u32>,
    /// How many to leave out first.
    skip: Option<u32>,
    /// Or the stages of an aggregation, in order.
    pipeline: Option<List<Value>>,
    /// How much to tell.
    #[serde(default)]
    verbosity: Verbosity,
}

/// How much to tell; named as MongoDB names it.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Verbosity {
    /// The plan that would be used; nothing is run.
    #[default]
    QueryPlanner,
    /// Also what running it took.
    ExecutionStats,
    /// Also what the other plans took until they were given up.
    AllPlansExecution,
}

impl Verbosity {
    fn as_str(self) -> &'static str {
        match self {
            Self::QueryPlanner => "queryPlanner",
            Self::ExecutionStats => "executionStats",
            Self::AllPlansExecution => "allPlansExecution",
        }
    }
}

/// `POST …/explain`
pub(crate) async fn explain(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    query: Query<FormParameters>,
    body: Body<ExplainBody>,
) -> Result<RawJson, DriverError> {
    let namespace = path.open(&context, Use::Read)?;
    let verbosity = body.verbosity.as_str();
    let question = body.0.into_command(namespace.collection, context.granted())?;
    let answer = context
        .run(&context, Kind::Reads, async |running| {
            let database = context.client.database(namespace.database);
            running.command(&database, doc! { "explain": question, "verbosity": verbosity }).await
        })
        .await?;
    let answer = RawDocumentBuf::try_from(&plan(answer))
        .map_err(|error| DriverError::new(ErrorCode::DriverError, format!("the server's plan: {error}")))?;
    let mut json = Vec::new();
    ejson::write_document(&answer, query.ejson, &mut json)?;
    Ok(RawJson::new(json))
}

/// The answer without what belongs to the protocol.
fn plan(mut answer: Document) -> Document {
    for field in ["ok", "$clusterTime", "operationTime"] {
        answer.remove(field);
    }
    answer
}

impl ExplainBody {
    fn into_command(self, collection: &str, granted: Access) -> Result<Document, DriverError> {
        let Self { filter, projection, sort, limit, skip, pipeline, .. } = self;
        if let Some(pipeline) = pipeline {
            if filter.is_some() || projection.is_some() || sort.is_some() || limit.is_some() || skip.is_some()
            {
                let message = "`pipeline`: goes alone; give stages for what else is to be done";
                return Err(DriverError::validation("pipeline", message));
            }
            let pipeline: Vec<Bson> = pipeline.0.into_iter().map(|Value(stage)| stage).collect();
            if guard::check_pipeline("pipeline", &pipeline, granted)? == Effect::Writes {
                let message = "`pipeline`: writes; leave the last stage out to have the rest explained";
                return Err(DriverError::validation("pipeline", message));
            }
            let stages = into_stages(pipeline)?;
            return Ok(doc! { "aggregate": collection, "pipeline": stages, "cursor": {} });
        }
        let mut command = doc! { "find": collection };
        for (field, object) in [("filter", filter), ("projection", projection), ("sort", sort)] {
            if let Some(Object(document)) = object {
                guard::check_filter(field, &document)?;
                command.insert(field, document);
            }
        }
        for (field, number) in [("limit", limit), ("skip", skip)] {
            if let Some(number) = number.filter(|number| *number > 0) {
                command.insert(field, i64::from(number));
            }
        }
        Ok(command)
    }
}
