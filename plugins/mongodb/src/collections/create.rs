//! `POST /databases/{db}/collections`

use super::{CollectionType, exists};
use crate::{
    MongoDb,
    command::refuse_unknown,
    databases::DatabasePath,
    ejson::Object,
    guard::{check_filter, check_view},
    names::{CollectionName, Use},
    session::Kind,
};
use bson::{Bson, Document, doc};
use studio_plugin_api::prelude::*;

/// The options of MongoDB's `create` that describe a collection.
const OPTIONS: [&str; 15] = [
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "collation",
    "expireAfterSeconds",
    "indexOptionDefaults",
    "max",
    "pipeline",
    "size",
    "storageEngine",
    "timeseries",
    "validationAction",
    "validationLevel",
    "validator",
    "viewOn",
];

/// A collection, view or time series to create.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCollection {
    name: CollectionName,
    /// Those of `db.createCollection` in `mongosh`, by the same names, in Extended JSON. `viewOn` makes a view,
    /// `timeseries` a time series.
    options: Option<Object>,
}

/// What was created.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CreatedCollection {
    name: String,
    #[serde(rename = "type")]
    kind: CollectionType,
}

/// Creates a collection, view or time series.
pub(crate) async fn create(
    context: Context<MongoDb>,
    path: Path<DatabasePath>,
    body: Body<NewCollection>,
) -> Result<Created<CreatedCollection>, DriverError> {
    let Body(NewCollection { name, options }) = body;
    let namespace = name.open_in(&path.db, Use::Write, context.granted())?;
    let options = options.map(|options| options.0).unwrap_or_default();
    check(&options)?;
    // The server takes the same collection with the same options again without complaint.
    if exists(&context, namespace).await? {
        let message =
            format!("`{}` exists already in the database `{}`", namespace.collection, namespace.database);
        return Err(DriverError::conflict(message).with("code", "NamespaceExists"));
    }
    let kind = if options.contains_key("viewOn") {
        CollectionType::View
    } else if options.contains_key("timeseries") {
        CollectionType::TimeSeries
    } else {
        CollectionType::Collection
    };
    context
        .run(&context, Kind::Writes, async |running| {
            let mut command = doc! { "create": namespace.collection };
            command.extend(options);
            running.change(&context.client.database(namespace.database), command).await
        })
        .await?;
    Ok(Created { value: CreatedCollection { name: namespace.collection.to_owned(), kind }, created: true })
}

/// Looks at what the server would not refuse although nobody here may ask for it.
fn check(options: &Document) -> Result<(), DriverError> {
    refuse_unknown("options", options, &OPTIONS)?;
    check_filter("options", options)?;
    match options.get("pipeline") {
        None => {}
        Some(Bson::Array(stages)) => check_view("options.pipeline", stages)?,
        Some(_) => return Err(DriverError::field("options.pipeline", "must be an array of stages")),
    }
    match options.get("viewOn") {
        None => Ok(()),
        Some(Bson::String(name)) => {
            CollectionName::new(name, "options.viewOn")?.open_for(Use::Read).map(drop)
        }
        Some(_) => Err(DriverError::field("options.viewOn", "must be the name of a collection or view")),
    }
}
