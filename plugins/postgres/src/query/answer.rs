//! What a caller of `postgres/` gets of a query: rows, and what they are made of.

use crate::{
    Postgres,
    json::write_text,
    pool::Borrowed,
    results::{Column, ResultSet, Rows},
    statement::Statement,
};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use studio_plugin_api::Context;
use tokio::time::timeout;
use tokio_postgres::types::Type;

/// How long the names of types may take, which are left out rather than waited for; and their bytes.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);
const NAMES_SIZE: u64 = 1 << 20;

/// Writes what a statement answered.
pub(super) fn write_set(mut set: ResultSet, names: &HashMap<u32, String>, json: &mut Vec<u8>) {
    // The server calls an array's type by that of its elements, after an underscore.
    let is_array = |column: &Column| names.get(&column.type_oid).is_some_and(|name| name.starts_with('_'));
    set.rows.close_arrays(is_array);
    let mut rest = Vec::new();
    write_rest(&set, names, &mut rest);
    json.extend_from_slice(b"{\"rows\":");
    json.append(&mut set.rows.into_array());
    json.append(&mut rest);
}

/// Writes what follows the rows.
fn write_rest(set: &ResultSet, names: &HashMap<u32, String>, json: &mut Vec<u8>) {
    json.extend_from_slice(b",\"fields\":[");
    for (index, column) in set.rows.columns().iter().enumerate() {
        json.extend_from_slice(if index > 0 { b",{\"name\":" } else { b"{\"name\":" });
        write_text(column.name.as_bytes(), json);
        json.extend_from_slice(b",\"data_type_id\":");
        json.extend_from_slice(column.type_oid.to_string().as_bytes());
        json.extend_from_slice(b",\"data_type\":");
        match Type::from_oid(column.type_oid) {
            Some(known) => write_text(known.name().as_bytes(), json),
            None => match names.get(&column.type_oid) {
                Some(name) => write_text(name.as_bytes(), json),
                None => json.extend_from_slice(b"null"),
            },
        }
        if let Some(key) = &column.renamed {
            json.extend_from_slice(b",\"key\":");
            write_text(key.as_bytes(), json);
        }
        json.push(b'}');
    }
    json.extend_from_slice(b"],\"command\":");
    write_text(set.command.as_bytes(), json);
    json.extend_from_slice(b",\"row_count\":");
    match set.row_count {
        Some(count) => json.extend_from_slice(count.to_string().as_bytes()),
        None => json.extend_from_slice(b"null"),
    }
    if set.leaves_out_copy {
        json.extend_from_slice(b",\"warning\":");
        write_text("the rows of COPY … TO STDOUT are not in the answer: select them".as_bytes(), json);
    }
    json.push(b'}');
}

/// The names of the types that are not PostgreSQL's own, as far as they can be had: what a caller ran is done, and asking
/// for a name must not make it fail.
pub(super) async fn name_types(
    context: &Context<Postgres>,
    connection: &mut Borrowed,
    sets: &[ResultSet],
) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    let mut unknown = BTreeSet::new();
    for column in sets.iter().flat_map(|set| set.rows.columns()) {
        let oid = column.type_oid;
        if Type::from_oid(oid).is_some() || names.contains_key(&oid) {
            continue;
        }
        match context.type_names.get(oid) {
            Some(name) => drop(names.insert(oid, name)),
            None => drop(unknown.insert(oid)),
        }
    }
    if unknown.is_empty() {
        return names;
    }
    let oids: Vec<_> = unknown.iter().map(u32::to_string).collect();
    let question = Statement::new(
        "select oid::int8 as oid, typname::text as name from pg_catalog.pg_type where oid = any($1::oid[])",
    );
    let question = question.bind_list(Some(&oids));
    let asking = async {
        match connection.settle().await {
            true => context.look_up(connection, &question, NAMES_SIZE).await.ok(),
            false => None,
        }
    };
    // The caller's own time is kept for what was done.
    let time = NAMES_TIMEOUT.min(context.time_left() / 2);
    let rows = timeout(time, asking).await.ok().flatten().map(Rows::into_array).unwrap_or_default();
    #[derive(Deserialize)]
    struct Named {
        oid: u32,
        name: String,
    }
    for Named { oid, name } in serde_json::from_slice::<Vec<Named>>(&rows).unwrap_or_default() {
        context.type_names.learn(oid, &name);
        names.insert(oid, name);
    }
    names
}
