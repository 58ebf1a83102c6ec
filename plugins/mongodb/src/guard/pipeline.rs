//! Which stages a caller's role covers, and which databases and collections they may reach.

use super::walk::{self, Path, WRITES, Watch, refuse};
use crate::names::{CollectionName, DatabaseName, Use};
use bson::{Bson, Document};
use studio_plugin_api::prelude::*;

/// The most stages of one pipeline: MongoDB's `internalPipelineLengthLimit`, as it is unless someone sets it.
const MAX_STAGES: usize = 1000;

/// Stages that only work on the data of collections, in MongoDB 4.2 to 8.3. A stage that is in none of these lists may
/// do anything (a later version's, a fork's): admins only.
const READS: [&str; 37] = [
    "$addFields",
    "$bucket",
    "$bucketAuto",
    "$collStats",
    "$count",
    "$densify",
    "$documents",
    "$facet",
    "$fill",
    "$geoNear",
    "$graphLookup",
    "$group",
    "$indexStats",
    "$limit",
    "$listSearchIndexes",
    "$lookup",
    "$match",
    "$project",
    "$rankFusion",
    "$redact",
    "$replaceRoot",
    "$replaceWith",
    "$rerank",
    "$sample",
    "$score",
    "$scoreFusion",
    "$search",
    "$searchMeta",
    "$set",
    "$setWindowFields",
    "$skip",
    "$sort",
    "$sortByCount",
    "$unionWith",
    "$unset",
    "$unwind",
    "$vectorSearch",
];

/// Stages without an end, for a reply that has one.
const ENDLESS: [&str; 2] = ["$changeStream", "$changeStreamSplitLargeEvent"];

/// What running a pipeline does to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// Nothing.
    Reads,
    /// It has a stage that writes, or one of which that is not known.
    Writes,
}

/// See [`check_pipeline`](super::check_pipeline).
pub(super) fn check(field: &str, stages: &[Bson], granted: Access) -> Result<Effect, DriverError> {
    let path = Path::Field(field);
    let watch = if granted < Access::Write { Watch::JavaScriptAndWrites } else { Watch::JavaScript };
    walk::check_array(stages, &path, watch)?;
    check_stages(stages, &path, granted)
}

fn check_stages(stages: &[Bson], path: &Path<'_>, granted: Access) -> Result<Effect, DriverError> {
    if stages.len() > MAX_STAGES {
        let message = format!("`{path}`: must have at most {MAX_STAGES} stages, not {}", stages.len());
        return Err(DriverError::validation(&path.to_string(), message));
    }
    stages.iter().enumerate().try_fold(Effect::Reads, |effect, (place, stage)| {
        Ok(effect.max(check_stage(stage, &Path::Item(path, place), granted)?))
    })
}

fn check_stage(stage: &Bson, path: &Path<'_>, granted: Access) -> Result<Effect, DriverError> {
    let (name, specification) = read_stage(stage).ok_or_else(|| {
        let message = format!("`{path}`: must be a stage, an object whose one key begins with `$`");
        DriverError::validation(&path.to_string(), message)
    })?;
    let path = Path::Key(path, name);
    if ENDLESS.contains(&name) {
        let message = format!("`{path}`: {name} has no end, and a reply has one");
        return Err(DriverError::validation(&path.to_string(), message).with("operator", name));
    }
    let writes = WRITES.contains(&name);
    let effect = if writes || !READS.contains(&name) { Effect::Writes } else { Effect::Reads };
    let needed = match effect {
        Effect::Reads => Access::Read,
        Effect::Writes if writes => Access::Write,
        Effect::Writes => Access::Admin,
    };
    if granted < needed {
        let reason = "only admins may run it, and no view or update: it is not known to work on collections' data alone";
        return Err(refuse(name, &path, reason));
    }
    check_reach(name, specification, &path, granted)?;
    check_inner(name, specification, &path, granted).map(|inner| inner.max(effect))
}

fn read_stage(stage: &Bson) -> Option<(&str, &Bson)> {
    let mut keys = stage.as_document()?.iter();
    match (keys.next(), keys.next()) {
        (Some((name, specification)), None) if name.starts_with('$') => Some((name, specification)),
        _ => None,
    }
}

/// Looks at the collection that a stage reads or writes beside the pipeline's own.
fn check_reach(
    name: &str,
    specification: &Bson,
    path: &Path<'_>,
    granted: Access,
) -> Result<(), DriverError> {
    let purpose = if WRITES.contains(&name) { Use::Write } else { Use::Read };
    let key = match (name, specification) {
        ("$lookup" | "$graphLookup", _) => Some("from"),
        ("$merge", Bson::Document(_)) => Some("into"),
        ("$unionWith" | "$out" | "$merge", _) => None,
        _ => return Ok(()),
    };
    let Some(key) = key else {
        return check_collection(specification, path, purpose, granted);
    };
    // Absent where the inner pipeline begins with `$documents`; what else may not be absent is the server's to say.
    match specification.as_document().and_then(|fields| fields.get(key)) {
        Some(collection) => check_collection(collection, &Path::Key(path, key), purpose, granted),
        None => Ok(()),
    }
}

/// A collection's name, or a document with `coll` and perhaps `db`.
fn check_collection(value: &Bson, path: &Path<'_>, purpose: Use, granted: Access) -> Result<(), DriverError> {
    match value {
        Bson::String(name) => check_collection_name(name, path, purpose),
        Bson::Document(fields) => {
            // Some services write to buckets and other clusters by other keys, past every rule about names.
            let known = |key: &&String| ["db", "coll", "timeseries"].contains(&key.as_str());
            if purpose == Use::Write
                && let Some(key) = fields.keys().find(|key| !known(key))
            {
                let path = Path::Key(path, key).to_string();
                let message = format!("`{path}`: must be one of `db`, `coll` and `timeseries`");
                return Err(DriverError::validation(&path, message));
            }
            if let Some(name) = read_name(fields, "db", path)? {
                let path = Path::Key(path, "db").to_string();
                DatabaseName::new(name, &path)?
                    .open_to(granted)
                    .map_err(|error| error.with("field", path))?;
            }
            match read_name(fields, "coll", path)? {
                Some(name) => check_collection_name(name, &Path::Key(path, "coll"), purpose),
                None => Ok(()),
            }
        }
        _ => {
            let message = format!("`{path}`: must be a collection's name, or an object with `db` and `coll`");
            Err(DriverError::validation(&path.to_string(), message))
        }
    }
}

fn read_name<'a>(fields: &'a Document, key: &str, path: &Path<'_>) -> Result<Option<&'a str>, DriverError> {
    match fields.get(key) {
        None => Ok(None),
        Some(Bson::String(name)) => Ok(Some(name)),
        Some(_) => {
            let path = Path::Key(path, key).to_string();
            Err(DriverError::field(&path, "must be a name, a string"))
        }
    }
}

fn check_collection_name(name: &str, path: &Path<'_>, purpose: Use) -> Result<(), DriverError> {
    let path = path.to_string();
    CollectionName::new(name, &path)?.open_for(purpose).map(drop).map_err(|error| error.with("field", path))
}

/// Looks at the pipelines inside a stage. They are at known places only: elsewhere an array of documents may be
/// expressions or data.
fn check_inner(
    name: &str,
    specification: &Bson,
    path: &Path<'_>,
    granted: Access,
) -> Result<Effect, DriverError> {
    let Bson::Document(fields) = specification else {
        return Ok(Effect::Reads);
    };
    match name {
        "$lookup" | "$unionWith" => check_at(fields, "pipeline", path, granted),
        "$merge" => check_at(fields, "whenMatched", path, granted),
        "$facet" => check_each(fields, path, granted),
        "$rankFusion" | "$scoreFusion" => {
            let input = fields.get("input").and_then(Bson::as_document);
            match input.and_then(|input| input.get("pipelines")).and_then(Bson::as_document) {
                Some(pipelines) => {
                    check_each(pipelines, &Path::Key(&Path::Key(path, "input"), "pipelines"), granted)
                }
                None => Ok(Effect::Reads),
            }
        }
        _ => Ok(Effect::Reads),
    }
}

fn check_each(pipelines: &Document, path: &Path<'_>, granted: Access) -> Result<Effect, DriverError> {
    pipelines
        .keys()
        .try_fold(Effect::Reads, |effect, key| Ok(effect.max(check_at(pipelines, key, path, granted)?)))
}

fn check_at(fields: &Document, key: &str, path: &Path<'_>, granted: Access) -> Result<Effect, DriverError> {
    match fields.get(key) {
        Some(Bson::Array(stages)) => check_stages(stages, &Path::Key(path, key), granted),
        // Not a pipeline, then: `whenMatched: "merge"`. Or a mistake, which the server names.
        _ => Ok(Effect::Reads),
    }
}
