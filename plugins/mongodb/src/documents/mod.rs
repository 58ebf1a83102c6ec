//! The documents of a collection.

pub(crate) mod aggregate;
pub(crate) mod delete;
pub(crate) mod explain;
pub(crate) mod find;
pub(crate) mod insert;
pub(crate) mod read;
pub(crate) mod update;
pub(crate) mod write;

use crate::{
    MongoDb,
    ejson::{Form, Object},
    id::{IdType, read_id},
    names::{CollectionName, DatabaseName, Namespace, Use},
};
use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use mongodb::Collection;
use studio_plugin_api::prelude::*;

/// A collection in a path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InCollection {
    /// The database.
    db: DatabaseName,
    /// The collection or view.
    coll: CollectionName,
}

impl InCollection {
    /// The collection, for this use by the caller.
    ///
    /// # Errors
    /// `FORBIDDEN` where it is closed to them, `VALIDATION_ERROR` where the name is too long.
    pub(crate) fn open(
        &self,
        context: &Context<MongoDb>,
        purpose: Use,
    ) -> Result<Namespace<'_>, DriverError> {
        self.coll.open_in(&self.db, purpose, context.granted())
    }
}

/// A document in a path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneDocument {
    /// The database.
    db: DatabaseName,
    /// The collection or view.
    coll: CollectionName,
    /// The document's `_id`: 24 hex digits are an ObjectId, what begins with `{` is Extended JSON, else it is a string.
    id: String,
}

impl OneDocument {
    fn open(&self, context: &Context<MongoDb>, purpose: Use) -> Result<Namespace<'_>, DriverError> {
        self.coll.open_in(&self.db, purpose, context.granted())
    }

    fn id(&self, parameters: &IdParameters) -> Result<Bson, DriverError> {
        read_id(&self.id, parameters.id_type)
    }

    fn not_found(&self) -> DriverError {
        DriverError::not_found(format!("the collection has no document with the _id `{}`", self.id))
    }
}

/// How an `_id` in the path is to be read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdParameters {
    /// The type of the `_id`, where its text leaves that open.
    id_type: Option<IdType>,
}

/// How the answer is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormParameters {
    /// The form of Extended JSON.
    #[serde(default)]
    pub(crate) ejson: Form,
}

impl MongoDb {
    /// A collection whose documents stay as the server sent them.
    pub(crate) fn raw_collection(&self, namespace: Namespace<'_>) -> Collection<RawDocumentBuf> {
        self.client.database(namespace.database).collection(namespace.collection)
    }
}

/// A document to store, in a body: more values than a query may have.
pub(crate) type Stored = Object<250_000>;

/// The most bytes of a stored document: MongoDB's `maxBsonObjectSize`.
const MAX_DOCUMENT: usize = 16 << 20;

/// A document as it is sent to be stored; `field` names it in the error.
///
/// # Errors
/// `PAYLOAD_TOO_LARGE` over 16 MiB, `VALIDATION_ERROR` where it has no BSON form.
pub(crate) fn encode(document: &Document, field: &str) -> Result<RawDocumentBuf, DriverError> {
    let raw = RawDocumentBuf::try_from(document)
        .map_err(|error| DriverError::field(field, format!("has no BSON form: {error}")))?;
    check_size(&raw, field)?;
    Ok(raw)
}

/// Refuses a document that MongoDB does not store; `field` names it in the error.
///
/// # Errors
/// `PAYLOAD_TOO_LARGE` over 16 MiB.
pub(crate) fn check_size(document: &RawDocument, field: &str) -> Result<(), DriverError> {
    let size = document.as_bytes().len();
    if size > MAX_DOCUMENT {
        let message = format!("`{field}`: has {size} bytes of BSON; MongoDB stores at most {MAX_DOCUMENT}");
        let error = DriverError::new(ErrorCode::PayloadTooLarge, message);
        return Err(error.with("field", field).with("limit_bytes", MAX_DOCUMENT));
    }
    Ok(())
}

/// An answer in the making: JSON that grows by one document after another, up to what the host passes on.
pub(crate) struct Documents {
    json: Vec<u8>,
    form: Form,
    limit: u64,
    count: u64,
}

impl Documents {
    /// Begins an array after `opening`, which is the JSON before it.
    pub(crate) fn begin(opening: &[u8], form: Form, context: &Context<MongoDb>) -> Self {
        let mut json = Vec::with_capacity(4 << 10);
        json.extend_from_slice(opening);
        json.push(b'[');
        Self { json, form, limit: context.max_reply_bytes(), count: 0 }
    }

    /// Adds a document.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE` past the host's bound.
    pub(crate) fn add(&mut self, document: &RawDocument) -> Result<(), DriverError> {
        if self.count > 0 {
            self.json.push(b',');
        }
        self.count += 1;
        crate::ejson::write_document_within(document, self.form, &mut self.json, self.limit)?;
        if self.json.len() as u64 > self.limit {
            return Err(DriverError::result_too_large(self.limit));
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Ends the array, and gives the JSON so far.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.json.push(b']');
        self.json
    }
}
