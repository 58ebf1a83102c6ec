//! Tables, partitioned ones and partitions among them.

mod changes;

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource,
    body::{property, read_text},
    change, create, list, read,
    relations::{Filters, ListOfEach, Relations},
    remove,
    selection::text,
};
use crate::{Postgres, lenient::Reading, prefix::Prefix, quote::qualified, statement::Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/tables", list::<F, Tables>)
        .read()
        .summary("List tables")
        .post("/tables", create::<F, Tables>)
        .write()
        .summary("Create a table")
        .get("/tables/{id}", read::<F, Tables>)
        .read()
        .summary("Show a table")
        .patch("/tables/{id}", change::<F, Tables>)
        .write()
        .summary("Change a table")
        .delete("/tables/{id}", remove::<F, Tables>)
        .write()
        .summary("Drop a table")
}

struct Tables;

const TABLES: Relations = Relations {
    kinds: "'r', 'p'",
    visible: "(pg_catalog.pg_has_role(relation.relowner, 'USAGE') \
              or pg_catalog.has_table_privilege(relation.oid, \
                   'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') \
              or pg_catalog.has_any_column_privilege(relation.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))",
    lists_columns: true,
    fields: ", relation.relrowsecurity as rls_enabled, relation.relforcerowsecurity as rls_forced\
             , case relation.relreplident when 'd' then 'DEFAULT' when 'i' then 'INDEX' when 'f' then 'FULL' \
                 else 'NOTHING' end as replica_identity\
             , room.bytes, pg_catalog.pg_size_pretty(room.bytes) as size\
             , pg_catalog.pg_stat_get_live_tuples(relation.oid) as live_rows_estimate\
             , pg_catalog.pg_stat_get_dead_tuples(relation.oid) as dead_rows_estimate\
             , pg_catalog.obj_description(relation.oid, 'pg_class') as comment",
    measured: "cross join lateral (select pg_catalog.pg_total_relation_size(relation.oid) as bytes offset 0) as room",
    lists: &[
        ListOfEach { name: "primary_keys", query: primary_keys },
        ListOfEach { name: "relationships", query: relationships },
    ],
};

fn primary_keys(condition: &str) -> String {
    format!(
        "select relation.oid::int8, namespace.nspname as schema, relation.relname as table_name, \
           attribute.attname as name, relation.oid::int8 as table_id \
         from pg_catalog.pg_index as key \
         join pg_catalog.pg_class as relation on relation.oid = key.indrelid \
         join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
         cross join lateral unnest(key.indkey::int2[]) with ordinality as part (number, place) \
         join pg_catalog.pg_attribute as attribute \
           on attribute.attrelid = key.indrelid and attribute.attnum = part.number \
         where key.indisprimary and {condition} order by relation.oid, part.place"
    )
}

/// Foreign keys, each at both of its ends. One of several columns is shown once for each pair of them, as postgres-meta
/// does it.
fn relationships(condition: &str) -> String {
    format!(
        "select relation.oid::int8, key.oid::int8 as id, key.conname as constraint_name, \
           source_schema.nspname as source_schema, source.relname as source_table_name, \
           source_column.attname as source_column_name, target_schema.nspname as target_table_schema, \
           target.relname as target_table_name, target_column.attname as target_column_name \
         from pg_catalog.pg_constraint as key \
         join pg_catalog.pg_class as source on source.oid = key.conrelid \
         join pg_catalog.pg_namespace as source_schema on source_schema.oid = source.relnamespace \
         join pg_catalog.pg_class as target on target.oid = key.confrelid \
         join pg_catalog.pg_namespace as target_schema on target_schema.oid = target.relnamespace \
         cross join lateral unnest(key.conkey) with ordinality as s (number, place) \
         cross join lateral unnest(key.confkey) with ordinality as t (number, place) \
         join pg_catalog.pg_attribute as source_column \
           on source_column.attrelid = key.conrelid and source_column.attnum = s.number \
         join pg_catalog.pg_attribute as target_column \
           on target_column.attrelid = key.confrelid and target_column.attnum = t.number \
         cross join lateral (select key.conrelid as id union select key.confrelid) as ends \
         join pg_catalog.pg_class as relation on relation.oid = ends.id \
         join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
         where key.contype = 'f' and {condition} order by relation.oid, key.oid, t.place, s.place"
    )
}

impl Resource for Tables {
    const NAME: &'static str = "table";
    type Filters = Filters;
    type Key = Oid;
    const LISTS: Reading = Reading::Checked;
    const BODIES: Reading = Reading::Checked;
    const REMOVALS: Reading = Reading::Checked;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        Ok(TABLES.list(filters))
    }
    fn one(key: &Oid) -> Statement {
        TABLES.one(key.0)
    }
}

/// A table to create; it has no columns yet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct NewTable {
    /// Its name.
    #[serde(deserialize_with = "read_text")]
    #[schemars(required)]
    name: Option<String>,
    /// The schema that it is in. Default: `public`.
    #[serde(deserialize_with = "read_text")]
    schema: Option<String>,
    /// What it is for.
    #[serde(deserialize_with = "read_text")]
    comment: Option<String>,
}

/// What identifies an updated or deleted row to who replicates it (PostgreSQL's manual, ALTER TABLE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(crate = "studio_plugin_api::schemars")]
enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// `replica_identity_index`.
    Index,
    /// All columns.
    Full,
    /// Nothing.
    Nothing,
}

/// A column of a primary key.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct KeyColumn {
    /// Its name.
    name: String,
}

/// What to change; what is absent stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct TablePatch {
    /// Its new name.
    #[serde(deserialize_with = "read_text")]
    name: Option<String>,
    /// The schema to move it to.
    #[serde(deserialize_with = "read_text")]
    schema: Option<String>,
    /// Whether row level security applies.
    rls_enabled: Option<bool>,
    /// Whether it applies to the table's owner too.
    rls_forced: Option<bool>,
    /// What identifies a row to who replicates it.
    replica_identity: Option<ReplicaIdentity>,
    /// The index for a `replica_identity` of `INDEX`.
    #[serde(deserialize_with = "read_text")]
    replica_identity_index: Option<String>,
    /// The columns of the primary key, instead of those that it has; none: no primary key.
    primary_keys: Option<Vec<KeyColumn>>,
    /// What it is for; null removes it.
    #[serde(deserialize_with = "read_text")]
    comment: Option<String>,
}

/// How to drop it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct DropOptions {
    /// What depends on it too.
    cascade: bool,
}

impl Creatable for Tables {
    type New = NewTable;

    fn create(new: &NewTable) -> Result<Change, DriverError> {
        let name = property("name", new.name.as_ref())?;
        let schema = new.schema.as_deref().unwrap_or("public");
        let sql = changes::create(schema, name, new.comment.as_deref());
        Ok(Change { sql, then: TABLES.named(schema, name) })
    }
}

impl Changeable for Tables {
    type Patch = TablePatch;

    fn change(current: &Value, patch: &TablePatch) -> Result<Change, DriverError> {
        let (schema, name) = (text(current, "schema"), text(current, "name"));
        let id = current.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let sql = changes::change(schema, name, patch);
        Ok(Change { sql, then: TABLES.one(id.unwrap_or_default()) })
    }
}

impl Removable for Tables {
    type Options = DropOptions;

    fn remove(current: &Value, options: &DropOptions) -> Result<String, DriverError> {
        let table = qualified(text(current, "schema"), text(current, "name"));
        Ok(format!("DROP TABLE {table} {}", if options.cascade { "CASCADE" } else { "RESTRICT" }))
    }
}
