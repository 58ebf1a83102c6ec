//! `POST /databases/{db}/collections/{coll}/indexes`

use crate::{
    MongoDb, command::refuse_unknown, documents::InCollection, ejson::Object, guard::check_filter,
    names::Use, number, session::Kind,
};
use bson::{Bson, Document, doc};
use studio_plugin_api::prelude::*;

/// The options of an index in MongoDB's `createIndexes`, 4.2 to 8.3.
const OPTIONS: [&str; 21] = [
    "2dsphereIndexVersion",
    "background",
    "bits",
    "bucketSize",
    "clustered",
    "collation",
    "default_language",
    "expireAfterSeconds",
    "hidden",
    "language_override",
    "max",
    "min",
    "name",
    "partialFilterExpression",
    "sparse",
    "storageEngine",
    "textIndexVersion",
    "unique",
    "v",
    "weights",
    "wildcardProjection",
];

/// An index to create.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIndex {
    /// Fields in their order, each with 1, -1 or the kind of index: `text`, `2dsphere`, `hashed` and so on.
    key: Object,
    /// Those of `db.collection.createIndex` in `mongosh`, by the same names, in Extended JSON.
    options: Option<Object>,
}

/// What was created.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CreatedIndex {
    name: String,
}

/// Creates an index; 200 where there is the same one already.
pub(crate) async fn create(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    body: Body<NewIndex>,
) -> Result<Created<CreatedIndex>, DriverError> {
    let namespace = path.open(&context, Use::Write)?;
    let Body(NewIndex { key: Object(key), options }) = body;
    let mut index = options.map(|options| options.0).unwrap_or_default();
    refuse_unknown("options", &index, &OPTIONS)?;
    check_filter("options", &index)?;
    let name = match index.get("name") {
        None => default_name(&key),
        Some(Bson::String(name)) => name.clone(),
        Some(_) => {
            let message = "`options.name`: must be a string";
            return Err(DriverError::validation("options.name", message));
        }
    };
    index.insert("key", key);
    index.insert("name", &name);
    let answer = context
        .run(&context, Kind::Writes, async |running| {
            let command = doc! { "createIndexes": namespace.collection, "indexes": [index] };
            running.change(&context.client.database(namespace.database), command).await
        })
        .await?;
    let number = |field| number::read(&answer, field);
    let same = number("numIndexesBefore").is_some_and(|before| number("numIndexesAfter") == Some(before));
    Ok(Created { value: CreatedIndex { name }, created: !same })
}

/// The name that every MongoDB client gives an index: its fields and their values, with underscores.
fn default_name(key: &Document) -> String {
    let part = |(field, value): (&String, &Bson)| match value {
        Bson::String(kind) => format!("{field}_{kind}"),
        // As `1`, where the value itself would be written `1.0`.
        Bson::Double(direction) => format!("{field}_{direction}"),
        direction => format!("{field}_{direction}"),
    };
    key.iter().map(part).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_named_as_other_clients_name_them() {
        for (key, name) in [
            (doc! { "a": 1 }, "a_1"),
            (doc! { "a": 1, "b.c": -1 }, "a_1_b.c_-1"),
            (doc! { "b": 1_i64, "a": -1.0 }, "b_1_a_-1"),
            (doc! { "place": "2dsphere", "_fts": "text" }, "place_2dsphere__fts_text"),
            (doc! { "$**": 1 }, "$**_1"),
        ] {
            assert_eq!(default_name(&key), name);
        }
    }
}
