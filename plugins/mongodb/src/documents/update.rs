//! Changing documents.

use super::{IdParameters, InCollection, OneDocument, Stored, delete::refuse_unmeant, encode, write};
use crate::{
    MongoDb,
    ejson::{List, Object, Value},
    guard,
    id::{filter_by_id, write_id},
    names::Use,
    number,
    session::{Failure, Kind},
};
use bson::{Bson, Document, RawBson, RawDocumentBuf, doc};
use mongodb::options::UpdateModifications;
use studio_plugin_api::prelude::*;

/// How to change one document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateBody {
    /// Update operators, `{"$set":{…}}`, or an array of aggregation stages.
    update: Option<Value>,
    /// Or the document to put in its place.
    replacement: Option<Stored>,
    /// Insert it where there is none.
    #[serde(default)]
    upsert: bool,
    /// Which elements `$[name]` in the update means.
    array_filters: Option<List<Object>>,
}

/// How to change many documents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateManyBody {
    /// Those that it matches.
    filter: Object,
    /// Update operators, `{"$set":{…}}`, or an array of aggregation stages.
    update: Value,
    /// An empty filter matches every document; this says that it is meant so.
    #[serde(default)]
    all: bool,
    /// Insert one where none matches.
    #[serde(default)]
    upsert: bool,
    /// Which elements `$[name]` in the update means.
    array_filters: Option<List<Object>>,
}

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// How many documents there were to change.
    matched_count: u64,
    /// How many of them are different now.
    modified_count: u64,
    /// The `_id` of the one that was inserted, in the form that works in a path.
    upserted_id: Option<String>,
}

/// `PUT …/documents/{id}`
pub(crate) async fn update(
    context: Context<MongoDb>,
    path: Path<OneDocument>,
    query: Query<IdParameters>,
    body: Body<UpdateBody>,
) -> Result<Created<Updated>, DriverError> {
    let UpdateBody { update, replacement, upsert, array_filters } = body.0;
    let filter = filter_by_id(path.id(&query)?);
    let namespace = path.open(&context, Use::Write)?;
    let change = match (update, replacement) {
        (Some(Value(update)), None) => {
            Change::Update(check_update(update)?, check_array_filters(array_filters)?)
        }
        (None, Some(Object(document))) => {
            if array_filters.is_some() {
                let message = "`array_filters`: means nothing with a `replacement`";
                return Err(DriverError::validation("array_filters", message));
            }
            Change::Replacement(encode(&check_replacement(document)?, "replacement")?)
        }
        _ => {
            let message = "give either `update`, with operators or stages, or `replacement`, a document";
            return Err(DriverError::validation("update", message));
        }
    };
    let collection = context.raw_collection(namespace);
    let result = context
        .run(&context, Kind::Writes, async |running| {
            let result = match change {
                Change::Update(update, array_filters) => {
                    let mut action = collection.update_one(filter, update).upsert(upsert);
                    if let Some(array_filters) = array_filters {
                        action = action.array_filters(array_filters);
                    }
                    action.session(running.session()?).await?
                }
                Change::Replacement(document) => {
                    let action = collection.replace_one(filter, document).upsert(upsert);
                    action.session(running.session()?).await?
                }
            };
            Ok::<_, Failure>(result)
        })
        .await?;
    let upserted_id = result.upserted_id.map(show_id).transpose()?;
    let created = upserted_id.is_some();
    let value =
        Updated { matched_count: result.matched_count, modified_count: result.modified_count, upserted_id };
    Ok(Created { value, created })
}

enum Change {
    Update(UpdateModifications, Option<Vec<Document>>),
    Replacement(RawDocumentBuf),
}

/// `POST …/documents/update-many`
pub(crate) async fn update_many(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    body: Body<UpdateManyBody>,
) -> Result<Created<Updated>, DriverError> {
    let UpdateManyBody { filter: Object(filter), update: Value(update), all, upsert, array_filters } = body.0;
    let namespace = path.open(&context, Use::Write)?;
    guard::check_filter("filter", &filter)?;
    refuse_unmeant(&filter, all)?;
    let update = match check_update(update)? {
        UpdateModifications::Document(document) => Bson::Document(document),
        UpdateModifications::Pipeline(stages) => stages.into(),
        _ => return Err(DriverError::field("update", "is of an unknown kind")),
    };
    let mut statement = doc! { "q": filter, "u": update, "multi": true, "upsert": upsert };
    if let Some(array_filters) = check_array_filters(array_filters)? {
        statement.insert("arrayFilters", array_filters);
    }
    let answer = context
        .run(&context, Kind::WritesSeveral, async |running| {
            write::run(&context, running, namespace, ("update", "updates"), statement).await
        })
        .await?;
    let upserted = answer.get_array("upserted").ok().and_then(|upserted| upserted.first());
    let upserted_id = upserted.and_then(Bson::as_document).and_then(|upserted| upserted.get("_id")).cloned();
    let upserted_id = upserted_id.map(show_id).transpose()?;
    let created = upserted_id.is_some();
    let value = Updated {
        // The server counts an inserted one among the matched.
        matched_count: number::read(&answer, "n").unwrap_or(0) - u64::from(created),
        modified_count: number::read(&answer, "nModified").unwrap_or(0),
        upserted_id,
    };
    Ok(Created { value, created })
}

fn check_update(update: Bson) -> Result<UpdateModifications, DriverError> {
    const HELP: &str = "`update`: must be an object of update operators, as {\"$set\": {\"a\": 1}}, or an array of \
                        stages; a whole document goes into `replacement`";
    guard::check_update("update", &update)?;
    let wrong = || DriverError::validation("update", HELP);
    match update {
        Bson::Document(document) => {
            let operators = document.keys().all(|key| key.starts_with('$'));
            if document.is_empty() || !operators { Err(wrong()) } else { Ok(document.into()) }
        }
        Bson::Array(stages) if !stages.is_empty() => {
            let stages = stages.into_iter().map(|stage| match stage {
                Bson::Document(stage) => Ok(stage),
                _ => Err(wrong()),
            });
            Ok(UpdateModifications::Pipeline(stages.collect::<Result<_, _>>()?))
        }
        _ => Err(wrong()),
    }
}

fn check_replacement(document: Document) -> Result<Document, DriverError> {
    if let Some(key) = document.keys().next().filter(|key| key.starts_with('$')) {
        let message = format!("`replacement`: begins with `{key}`; update operators go into `update`");
        return Err(DriverError::validation("replacement", message));
    }
    Ok(document)
}

fn check_array_filters(filters: Option<List<Object>>) -> Result<Option<Vec<Document>>, DriverError> {
    let Some(filters) = filters else { return Ok(None) };
    let filters = filters.0.into_iter().enumerate().map(|(index, Object(filter))| {
        guard::check_filter(&format!("array_filters[{index}]"), &filter)?;
        Ok(filter)
    });
    filters.collect::<Result<_, _>>().map(Some)
}

fn show_id(id: Bson) -> Result<String, DriverError> {
    let id = RawBson::try_from(id)
        .map_err(|error| DriverError::new(ErrorCode::DriverError, format!("the server's _id: {error}")))?;
    write_id(id.as_raw_bson_ref())
}
