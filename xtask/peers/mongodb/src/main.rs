//! Reads documents in a loop, as the gateway's callers do, by the client that its driver uses and in one process.

use anyhow::{Result, ensure};
use bson::{DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use clap::{Parser, ValueEnum};
use mongodb::{Client, Collection, options::ClientOptions};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many read at once.
const CALLERS: usize = 32;
/// Connections among them, as the driver has them.
const CONNECTIONS: u32 = 10;
/// Documents of one `find`.
const PAGE: i64 = 20;
/// Documents in the collection. Few, since SecantusDB looks at all of them for any page: what is measured is the client
/// and the gateway, not the server.
const DOCUMENTS: i32 = 100;

/// Fills a collection, or reads from it and prints how many reads were done, and how many a second.
#[derive(Parser)]
struct Arguments {
    /// Of the server.
    url: String,
    database: String,
    collection: String,
    /// 24 hex digits: the document that `get` reads.
    id: ObjectId,
    work: Work,
    /// For how many seconds it reads.
    #[arg(default_value_t = 5)]
    seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Work {
    /// Fill the collection.
    Load,
    /// Read the first documents.
    Find,
    /// Read one by its id.
    Get,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut options = ClientOptions::parse(&arguments.url).await?;
    options.max_pool_size = Some(CONNECTIONS);
    let database = Client::with_options(options)?.database(&arguments.database);
    if let Work::Load = arguments.work {
        return load(&database.collection(&arguments.collection), arguments.id).await;
    }

    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let collection = database.collection(&arguments.collection);
        callers.spawn(async move {
            let mut reads = 0_u32;
            while Instant::now() < end {
                match arguments.work {
                    Work::Get => get(&collection, arguments.id).await?,
                    _ => find(&collection).await?,
                }
                reads += 1;
            }
            Ok::<u32, anyhow::Error>(reads)
        });
    }
    let mut reads = 0;
    while let Some(caller) = callers.join_next().await {
        reads += caller??;
    }
    println!("{reads} {}", f64::from(reads) / start.elapsed().as_secs_f64());
    Ok(())
}

async fn load(collection: &Collection<Document>, id: ObjectId) -> Result<()> {
    let documents = (0..DOCUMENTS).map(|number| {
        doc! {
            "_id": if number == 0 { id } else { ObjectId::new() },
            "name": format!("Person {number}"),
            "email": format!("person.{number}@example.com"),
            "visits": number,
            "balance": f64::from(number) / 8.0,
            "joined": DateTime::from_millis(1_700_000_000_000 + i64::from(number) * 60_000),
            "tags": ["reader", "writer", "editor"],
            "address": { "street": format!("{number} Long Street"), "city": "London", "postcode": "NW1 6XE" },
            "active": number % 3 != 0,
        }
    });
    collection.insert_many(documents).await?;
    Ok(())
}

async fn find(collection: &Collection<RawDocumentBuf>) -> Result<()> {
    let mut cursor = collection.find(doc! {}).limit(PAGE).await?;
    let mut found = 0;
    while cursor.advance().await? {
        ensure!(cursor.current().get_str("email")?.contains('@'), "a document is not as it was written");
        found += 1;
    }
    ensure!(found == PAGE, "{found} documents instead of {PAGE}");
    Ok(())
}

async fn get(collection: &Collection<RawDocumentBuf>, id: ObjectId) -> Result<()> {
    let document = collection.find_one(doc! {"_id": id}).await?;
    ensure!(document.is_some(), "the document is gone");
    Ok(())
}
