//! Finding documents, a page at a time.

use super::{Documents, InCollection};
use crate::{
    MongoDb,
    ejson::{self, Form, Object},
    guard,
    lists::no_document,
    names::{Namespace, Use},
    session::Kind,
};
use bson::{Bson, Document, doc};
use std::io::Write;
use studio_plugin_api::prelude::*;

/// The documents of a page, where nothing else is said, and at most.
const PAGE: u32 = 20;
const MAX_PAGE: u32 = 1000;
/// Operators that only `find` and `count` take: the aggregation that counts exactly has a stage of its own for them.
const BY_DISTANCE: [&str; 2] = ["$near", "$nearSphere"];

/// How documents are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Count {
    /// One by one.
    Exact,
    /// By the collection's own records, which is quick; with a filter there is no such record, and it is `exact`.
    Estimated,
    /// Not at all.
    None,
}

/// What to find, in a URL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindParameters {
    /// Which documents, in Extended JSON. All, unless said.
    filter: Option<String>,
    /// Which of their fields, in Extended JSON.
    projection: Option<String>,
    /// In which order, in Extended JSON: `{"age":-1}`.
    sort: Option<String>,
    /// How many, at most: 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    /// How many to leave out first.
    skip: Option<u64>,
    /// How `total` is counted. `estimated` unless said, and `exact` with a filter.
    count: Option<Count>,
    /// The form of Extended JSON of the answer.
    #[serde(default)]
    ejson: Form,
}

/// What to find, in a body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindBody {
    /// Which documents. All, unless said.
    filter: Option<Object>,
    /// Which of their fields.
    projection: Option<Object>,
    /// In which order.
    sort: Option<Object>,
    /// How many, at most: 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    /// How many to leave out first.
    skip: Option<u64>,
    /// How `total` is counted. `estimated` unless said, and `exact` with a filter.
    count: Option<Count>,
    /// The form of Extended JSON of the answer.
    #[serde(default)]
    ejson: Form,
}

struct Request {
    filter: Document,
    projection: Option<Document>,
    sort: Option<Document>,
    limit: u32,
    skip: u64,
    count: Count,
    form: Form,
}

/// `GET …/documents`
pub(crate) async fn list(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    query: Query<FindParameters>,
) -> Result<RawJson, DriverError> {
    let query = query.0;
    let parse =
        |text: Option<String>, field| text.map(|text| ejson::parse_document(&text, field)).transpose();
    let body = FindBody {
        filter: parse(query.filter, "filter")?.map(Object),
        projection: parse(query.projection, "projection")?.map(Object),
        sort: parse(query.sort, "sort")?.map(Object),
        limit: query.limit,
        skip: query.skip,
        count: query.count,
        ejson: query.ejson,
    };
    find(&context, path.open(&context, Use::Read)?, body.check()?).await
}

/// `POST …/documents/query`
pub(crate) async fn query(
    context: Context<MongoDb>,
    path: Path<InCollection>,
    body: Body<FindBody>,
) -> Result<RawJson, DriverError> {
    find(&context, path.open(&context, Use::Read)?, body.0.check()?).await
}

impl FindBody {
    fn check(self) -> Result<Request, DriverError> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(DriverError::field("limit", format!("must be from 1 to {MAX_PAGE}")));
        }
        let skip = self.skip.unwrap_or(0);
        if i64::try_from(skip).is_err() {
            return Err(DriverError::validation("skip", format!("`skip`: must be at most {}", i64::MAX)));
        }
        let [filter, projection, sort] =
            [self.filter, self.projection, self.sort].map(|object| object.map(|Object(document)| document));
        let filter = filter.unwrap_or_default();
        guard::check_filter("filter", &filter)?;
        for (field, document) in [("projection", &projection), ("sort", &sort)] {
            document.as_ref().map_or(Ok(()), |document| guard::check_filter(field, document))?;
        }
        let count = match self.count {
            Some(Count::Estimated) | None if filter.is_empty() => Count::Estimated,
            Some(Count::None) => Count::None,
            _ => Count::Exact,
        };
        Ok(Request { filter, projection, sort, limit, skip, count, form: self.ejson })
    }
}

async fn find(
    context: &Context<MongoDb>,
    namespace: Namespace<'_>,
    request: Request,
) -> Result<RawJson, DriverError> {
    let (number, size) = (request.skip / u64::from(request.limit) + 1, request.limit);
    // Only an exact count asks by the filter too; it may be long.
    let counted = match request.count {
        Count::Exact => Counted::Exact(request.filter.clone()),
        Count::Estimated => Counted::Estimated,
        Count::None => Counted::Not,
    };
    let (page, total) =
        tokio::try_join!(read_page(context, namespace, request), count(context, namespace, counted))?;
    let Page { mut json, has_more } = page;
    let total = total.map_or_else(|| "null".to_owned(), |total| total.to_string());
    // Writing to memory does not fail.
    let _ =
        write!(json, ",\"total\":{total},\"page\":{number},\"page_size\":{size},\"has_more\":{has_more}}}");
    Ok(RawJson::new(json))
}

struct Page {
    json: Vec<u8>,
    has_more: bool,
}

async fn read_page(
    context: &Context<MongoDb>,
    namespace: Namespace<'_>,
    request: Request,
) -> Result<Page, DriverError> {
    let Request { filter, projection, sort, limit, skip, form, .. } = request;
    let collection = context.raw_collection(namespace);
    context
        .run(context, Kind::Reads, async |running| {
            // One more than the page tells whether there is more; with its own size, all comes in one reply.
            let wanted = limit + 1;
            let mut find = collection
                .find(filter)
                .limit(i64::from(wanted))
                .batch_size(wanted)
                .skip(skip)
                .max_time(running.time());
            if let Some(projection) = projection {
                find = find.projection(projection);
            }
            if let Some(sort) = sort {
                find = find.sort(sort);
            }
            let mut cursor = find.session(running.session()?).batch().await?;
            let mut batches = running.batches(&mut cursor)?;
            let mut documents = Documents::begin(b"{\"documents\":", form, context);
            while let Some(batch) = batches.next().await {
                for document in batch?.doc_slices()? {
                    if documents.count() == u64::from(limit) {
                        return Ok(Page { json: documents.end(), has_more: true });
                    }
                    documents.add(document?.as_document().ok_or_else(no_document)?)?;
                }
            }
            Ok(Page { json: documents.end(), has_more: false })
        })
        .await
}

/// What is counted, and how.
enum Counted {
    Exact(Document),
    Estimated,
    Not,
}

async fn count(
    context: &Context<MongoDb>,
    namespace: Namespace<'_>,
    counted: Counted,
) -> Result<Option<u64>, DriverError> {
    if matches!(counted, Counted::Not) {
        return Ok(None);
    }
    let collection = context.raw_collection(namespace);
    let counting = context.run(context, Kind::Reads, async |running| match counted {
        Counted::Not => Ok(None),
        Counted::Estimated => Ok(Some(collection.estimated_document_count().max_time(running.time()).await?)),
        Counted::Exact(filter) if names_distance(&filter) => {
            let command = doc! { "count": namespace.collection, "query": filter };
            let answer = running.command(&context.client.database(namespace.database), command).await?;
            Ok(Some(crate::number::read(&answer, "n").unwrap_or(0)))
        }
        Counted::Exact(filter) => {
            let count = collection.count_documents(filter).max_time(running.time());
            Ok(Some(count.session(running.session()?).await?))
        }
    });
    counting.await
}

fn names_distance(filter: &Document) -> bool {
    filter.iter().any(|(key, value)| {
        BY_DISTANCE.contains(&key.as_str())
            || match value {
                Bson::Document(inner) => names_distance(inner),
                Bson::Array(items) => items.iter().any(|item| item.as_document().is_some_and(names_distance)),
                _ => false,
            }
    })
}
