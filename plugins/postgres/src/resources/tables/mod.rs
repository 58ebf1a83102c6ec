//! Tables, partitioned ones and partitions among them.

mod changes;

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource,
    body::{property, read_text},
    change, create, list, read,
    relations::{Filters, Relations},
    remove,
    selection::text,
};
use crate::{Postgres, face::Face, quote::qualified, statement::Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one face.
pub(super) fn operations<F: Face>(operations: Operations<Postgres>) -> Operations<Postgres> {
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

/// A foreign key of several columns is shown once for each pair of them, as postgres-meta does it.
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
    joined: "left join (\
               select i.indrelid::int8 as id, json_agg(json_build_object('schema', t.schema, 'table_name', t.name, \
                        'name', a.attname, 'table_id', t.id) order by k.place) as keys \
               from pg_catalog.pg_index as i \
               join things as t on t.id = i.indrelid \
               cross join lateral unnest(i.indkey::int2[]) with ordinality as k (number, place) \
               join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.number \
               where i.indisprimary group by i.indrelid\
             ) as primary_key on primary_key.id = things.id \
             left join (\
               select ends.id, json_agg(json_build_object('id', f.oid::int8, 'constraint_name', f.conname, \
                        'source_schema', source_schema.nspname, 'source_table_name', source.relname, \
                        'source_column_name', source_column.attname, 'target_table_schema', target_schema.nspname, \
                        'target_table_name', target.relname, 'target_column_name', target_column.attname) \
                        order by f.oid, t.place, s.place) as relationships \
               from pg_catalog.pg_constraint as f \
               join pg_catalog.pg_class as source on source.oid = f.conrelid \
               join pg_catalog.pg_namespace as source_schema on source_schema.oid = source.relnamespace \
               join pg_catalog.pg_class as target on target.oid = f.confrelid \
               join pg_catalog.pg_namespace as target_schema on target_schema.oid = target.relnamespace \
               cross join lateral unnest(f.conkey) with ordinality as s (number, place) \
               cross join lateral unnest(f.confkey) with ordinality as t (number, place) \
               join pg_catalog.pg_attribute as source_column \
                 on source_column.attrelid = f.conrelid and source_column.attnum = s.number \
               join pg_catalog.pg_attribute as target_column \
                 on target_column.attrelid = f.confrelid and target_column.attnum = t.number \
               join lateral (select f.conrelid::int8 as id union select f.confrelid::int8) as ends \
                 on ends.id = any (array(select id from things)) \
               where f.contype = 'f' group by ends.id\
             ) as foreign_keys on foreign_keys.id = things.id",
    shown: ", coalesce(primary_key.keys, '[]') as primary_keys\
            , coalesce(foreign_keys.relationships, '[]') as relationships",
};

impl Resource for Tables {
    const NAME: &'static str = "table";
    type Filters = Filters;
    type Key = Oid;

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
