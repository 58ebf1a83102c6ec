//! A few collections with every common kind of BSON value, written through the gateway.

use crate::gateway::Gateway;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Collections by name, with the options that they are created with, their documents and indexes, in the words of the
/// HTTP API.
const SAMPLE: &str = include_str!("mongodb.json");

/// The collections of the sample's database.
const PATH: &str = "/api/platform/mongodb/default/databases/sample/collections";
/// Its documents of every kind of value.
pub const SHOWN: &str = "/api/platform/mongodb/default/databases/sample/collections/types/documents";

/// A collection of the sample. Its JSON goes to the gateway as it is written: the order of fields means something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    options: Option<Box<RawValue>>,
    documents: Option<Box<RawValue>>,
    #[serde(default)]
    indexes: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct New<'a> {
    name: &'a str,
    options: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Documents {
    documents: Box<RawValue>,
}

/// Writes the sample data, unless the database has collections already.
pub fn load(gateway: &Gateway) -> Result<()> {
    match gateway.ask("GET", PATH, None)? {
        (200, Value::Array(collections)) if collections.is_empty() => {}
        (200, _) => return Ok(()),
        (status, answer) => bail!("GET {PATH}: {status} {answer}"),
    }
    for collection in serde_json::from_str::<Vec<Sample>>(SAMPLE)? {
        let Sample { name, options, documents, indexes } = collection;
        gateway.create(PATH, &New { name: &name, options })?;
        let path = format!("{PATH}/{}", name.replace(' ', "%20"));
        if let Some(documents) = documents {
            gateway.create(&format!("{path}/documents"), &Documents { documents })?;
        }
        for index in indexes {
            gateway.create(&format!("{path}/indexes"), &index)?;
        }
    }
    Ok(())
}
