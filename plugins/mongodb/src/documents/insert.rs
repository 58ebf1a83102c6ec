//! Inserting documents.

use super::{InCollection, Stored, check_size, encode};
use crate::{
    MongoDb,
    ejson::Object,
    errors::{self, ServerError},
    id::write_id,
    names::Use,
    session::{Failure, Kind},
};
use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, oid::ObjectId};
use mongodb::{
    Collection,
    error::{Error, ErrorKind, IndexedWriteError},
};
use serde::{
    Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::Value;
use std::{collections::BTreeSet, fmt};
use studio_plugin_api::prelude::*;

/// What to insert.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InsertBody {
    /// One document.
    document: Option<Stored>,
    /// Or several, 200,000 at most.
    documents: Option<NewDocuments>,
    /// Whether the first failure ends it. True unless said; otherwise every document is tried.
    ordered: Option<bool>,
}

/// The most documents of one request: twice as many as MongoDB takes in one command (`maxWriteBatchSize`).
const MOST_DOCUMENTS: usize = 200_000;

/// Documents with their `_id`s, each turned into BSON before the next is read, so that all of them together take little
/// more than their text did.
#[derive(Debug, JsonSchema)]
struct NewDocuments(#[schemars(with = "Vec<Stored>")] Vec<RawDocumentBuf>);

impl<'de> Deserialize<'de> for NewDocuments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = NewDocuments;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NewDocuments, A::Error> {
                let mut documents = Vec::new();
                while let Some(Object(document)) = items.next_element::<Stored>()? {
                    if documents.len() == MOST_DOCUMENTS {
                        return Err(A::Error::custom(format!(
                            "must hold at most {MOST_DOCUMENTS} documents"
                        )));
                    }
                    let raw = RawDocumentBuf::try_from(&with_id(document));
                    documents
                        .push(raw.map_err(|error| A::Error::custom(format!("has no BSON form: {error}")))?);
                }
                Ok(NewDocuments(documents))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

/// What was inserted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Inserted {
    /// The `_id`s, in the form that works in a path, in the order of the documents.
    inserted_ids: Vec<String>,
    /// How many.
    inserted_count: usize,
}

/// `POST …/documents`
pub(crate) async fn insert(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    body: Body<InsertBody>,
) -> Result<Created<Inserted>, DriverError> {
    let namespace = path.open(&context, Use::Write)?;
    let collection = context.raw_collection(namespace);
    let InsertBody { document, documents, ordered } = body.0;
    let ids = match (document, documents) {
        (Some(Object(document)), None) => {
            if ordered.is_some() {
                return Err(DriverError::field("ordered", "means nothing with one `document`"));
            }
            insert_one(&context, &collection, encode(&with_id(document), "document")?).await?
        }
        (None, Some(NewDocuments(documents))) if !documents.is_empty() => {
            for (index, document) in documents.iter().enumerate() {
                check_size(document, &format!("documents[{index}]"))?;
            }
            insert_many(&context, &collection, documents, ordered.unwrap_or(true)).await?
        }
        (None, Some(_)) => {
            return Err(DriverError::field("documents", "must hold one document or more"));
        }
        _ => {
            let message = "give either `document`, an object, or `documents`, an array of objects";
            return Err(DriverError::validation("document", message));
        }
    };
    Ok(Created { value: Inserted { inserted_count: ids.len(), inserted_ids: ids }, created: true })
}

/// A document with its `_id`, made here where it has none: then it is known whatever becomes of the reply.
fn with_id(document: Document) -> Document {
    if document.contains_key("_id") {
        return document;
    }
    let mut whole = Document::new();
    whole.insert("_id", ObjectId::new());
    whole.extend(document);
    whole
}

fn id_of(document: &RawDocument) -> Result<String, DriverError> {
    write_id(document.get("_id").ok().flatten().unwrap_or(RawBsonRef::Null))
}

async fn insert_one(
    context: &Context<MongoDb>,
    collection: &Collection<RawDocumentBuf>,
    document: RawDocumentBuf,
) -> Result<Vec<String>, DriverError> {
    let id = id_of(&document)?;
    context
        .run(context, Kind::Writes, async |running| {
            Ok(collection.insert_one(&document).session(running.session()?).await?)
        })
        .await
        .map_err(|error| error.with("id", id.clone()))?;
    Ok(vec![id])
}

async fn insert_many(
    context: &Context<MongoDb>,
    collection: &Collection<RawDocumentBuf>,
    documents: Vec<RawDocumentBuf>,
    ordered: bool,
) -> Result<Vec<String>, DriverError> {
    let ids: Vec<String> = documents.iter().map(|document| id_of(document)).collect::<Result<_, _>>()?;
    context
        .run(context, Kind::WritesSeveral, async |running| {
            let insert = collection.insert_many(&documents).ordered(ordered);
            insert.session(running.session()?).await.map(drop).map_err(|error| failure(error, &ids, ordered))
        })
        .await?;
    Ok(ids)
}

/// What became of each document, where that is known.
fn failure(error: Error, ids: &[String], ordered: bool) -> Failure {
    let ErrorKind::InsertMany(many) = error.kind.as_ref() else { return error.into() };
    let failed = many.write_errors.as_deref().unwrap_or_default();
    if let (Some(concern), true) = (&many.write_concern_error, failed.is_empty()) {
        return Failure::Told(errors::from_write_concern(concern));
    }
    let failed_at: BTreeSet<usize> = failed.iter().map(|error| error.index).collect();
    let tried = match (ordered, failed_at.first()) {
        (true, Some(first)) => *first,
        _ => ids.len(),
    };
    let inserted = ids.iter().take(tried).enumerate().filter(|(index, _)| !failed_at.contains(index));
    let inserted: Vec<Value> = inserted.map(|(_, id)| id.as_str().into()).collect();
    let (code, what) = match failed {
        [only] if inserted.is_empty() && of_document(only).is_duplicate_key() => {
            (ErrorCode::Conflict, errors::shorten(&only.message))
        }
        [only] => (ErrorCode::QueryError, errors::shorten(&only.message)),
        _ => (ErrorCode::QueryError, format!("{} documents were refused", failed.len())),
    };
    let message = format!("{} of {} documents were inserted: {what}", inserted.len(), ids.len());
    let mut told = DriverError::new(code, message);
    if let [first, ..] = failed {
        told.details = of_document(first).details();
    }
    let failures: Vec<Value> = failed.iter().map(|error| describe(error, ids)).collect();
    let told = told
        .with("inserted_count", inserted.len())
        .with("inserted_ids", inserted)
        .with("write_errors", failures);
    // Some of them were done, and only how safely is open.
    Failure::Told(if many.write_concern_error.is_some() { errors::outcome_unknown(told) } else { told })
}

fn of_document(error: &IndexedWriteError) -> ServerError<'_> {
    ServerError {
        code: error.code,
        name: error.code_name.as_deref(),
        message: &error.message,
        info: error.details.as_ref().and_then(errors::info_of),
    }
}

fn describe(error: &IndexedWriteError, ids: &[String]) -> Value {
    let mut details = of_document(error).details();
    // `index` is the unique index's name in other errors.
    if let Some(name) = details.remove("index") {
        details.insert("index_name".to_owned(), name);
    }
    details.insert("index".to_owned(), error.index.into());
    details.insert("id".to_owned(), ids.get(error.index).map(String::as_str).into());
    details.insert("message".to_owned(), errors::shorten(&error.message).into());
    details.into()
}
