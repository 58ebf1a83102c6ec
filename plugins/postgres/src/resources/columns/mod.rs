//! Columns of tables, views, materialized views and foreign tables.

mod changes;
mod types;

use super::{
    Change, Changeable, CreatableWithin, Key, Removable, Resource,
    body::{property, read_given, read_integer, read_text},
    change, create_within, list, read, remove,
    selection::{InSchemas, bind_any_page, in_schemas, text},
};
use crate::{
    Postgres,
    lenient::{FALSE_IS_NULL, Reading},
    prefix::Prefix,
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/columns", list::<F, Columns>)
        .read()
        .summary("List columns")
        .get("/columns/{id}", read::<F, ShownColumns>)
        .read()
        .summary("Show a column, or a table's first one")
        .post("/columns", create_within::<F, Columns>)
        .write()
        .summary("Add a column to a table")
        .patch("/columns/{id}", change::<F, Columns>)
        .write()
        .summary("Change a column")
        .delete("/columns/{id}", remove::<F, Columns>)
        .write()
        .summary("Drop a column")
}

/// Columns, each named by its table's number and its own there: `16384.2`.
struct Columns;

/// Columns as they are read, where a table's number alone stands for the first one.
struct ShownColumns;

/// The kinds of relations (`relkind`) whose columns are shown.
const KINDS: &str = "'r', 'v', 'm', 'f', 'p'";

/// The query for the columns of many relations of these kinds, given a condition on `relation` (`pg_class`) and
/// `namespace` (`pg_namespace`), and what to select of `columns`. A page may follow it.
pub(super) fn query_for_many(selected: &str, kinds: &str, condition: &str) -> String {
    // Rows that are ready before the first is sent come in large pieces, each of which wakes the reader.
    let columns = query(kinds, condition);
    format!("select {selected} from ({columns} offset 0) as columns order by table_id, ordinal_position")
}

/// The query for the columns of relations of these kinds, given a condition on `relation` (`pg_class`), `namespace`
/// (`pg_namespace`) and `attribute` (`pg_attribute`); an order may follow it. What a domain is based on is shown in its
/// stead, as `information_schema.columns` has it.
fn query(kinds: &str, condition: &str) -> String {
    format!(
        "select relation.oid::int8 as table_id, namespace.nspname as schema, relation.relname as table, \
           relation.oid::text || '.' || attribute.attnum::text as id, attribute.attnum as ordinal_position, \
           attribute.attname as name, pg_catalog.pg_get_expr(initial.adbin, initial.adrelid) as default_value, \
           case when base.typelem <> 0 and base.typlen = -1 then 'ARRAY' \
             when base.typnamespace = 'pg_catalog'::regnamespace then pg_catalog.format_type(base.oid, null) \
             else 'USER-DEFINED' end as data_type, \
           base.typname as format, attribute.attidentity <> '' as is_identity, \
           case attribute.attidentity when 'a' then 'ALWAYS' when 'd' then 'BY DEFAULT' end as identity_generation, \
           attribute.attgenerated <> '' as is_generated, \
           not (attribute.attnotnull or type.typtype = 'd' and type.typnotnull) as is_nullable, \
           relation.relkind in ('r', 'p') or relation.relkind in ('v', 'f') \
             and pg_catalog.pg_column_is_updatable(relation.oid, attribute.attnum, false) as is_updatable, \
           coalesce(alone.is_unique, false) as is_unique, coalesce(labels.names, '{{}}') as enums, \
           pg_catalog.pg_get_expr(restriction.conbin, restriction.conrelid, true) as check, \
           note.description as comment \
         from pg_catalog.pg_class as relation \
         join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
         join pg_catalog.pg_attribute as attribute on attribute.attrelid = relation.oid \
         join pg_catalog.pg_type as type on type.oid = attribute.atttypid \
         join pg_catalog.pg_type as base \
           on base.oid = case type.typtype when 'd' then type.typbasetype else type.oid end \
         left join pg_catalog.pg_attrdef as initial \
           on initial.adrelid = attribute.attrelid and initial.adnum = attribute.attnum \
         left join (\
           select conrelid, conkey[1] as position, bool_or(contype = 'u') as is_unique, \
             min(oid) filter (where contype = 'c') as check_id \
           from pg_catalog.pg_constraint where contype in ('c', 'u') and cardinality(conkey) < 2 \
           group by conrelid, conkey[1]\
         ) as alone on alone.conrelid = attribute.attrelid and alone.position = attribute.attnum \
         left join pg_catalog.pg_constraint as restriction on restriction.oid = alone.check_id \
         left join (\
           select enumtypid, array_agg(enumlabel::text order by enumsortorder) as names \
           from pg_catalog.pg_enum group by enumtypid\
         ) as labels on labels.enumtypid = \
           case when base.typelem <> 0 and base.typlen = -1 then base.typelem else base.oid end \
         left join pg_catalog.pg_description as note on note.objoid = attribute.attrelid \
           and note.classoid = 'pg_catalog.pg_class'::regclass and note.objsubid = attribute.attnum \
         where relation.relkind in ({kinds}) and attribute.attnum > 0 and not attribute.attisdropped \
           and not pg_catalog.pg_is_other_temp_schema(namespace.oid) \
           and (pg_catalog.pg_has_role(relation.relowner, 'USAGE') or pg_catalog.has_column_privilege(\
             relation.oid, attribute.attnum, 'SELECT, INSERT, UPDATE, REFERENCES')) \
           and {condition}"
    )
}

impl Resource for Columns {
    const NAME: &'static str = "column";
    type Filters = InSchemas;
    type Key = ColumnId;
    const LISTS: Reading = Reading::Checked;
    const BODIES: Reading = Reading::Checked;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let columns = query_for_many("*", KINDS, &in_schemas("namespace.nspname"));
        let text = columns + " limit $3::bigint offset $4::bigint";
        Ok(bind_any_page(filters.bind_schemas(Statement::new(text)), filters.limit, filters.offset))
    }

    fn one(key: &ColumnId) -> Statement {
        Statement::new(query(KINDS, "relation.oid = $1::oid and attribute.attnum = $2::int4"))
            .bind(key.table.to_string())
            .bind(key.position.to_string())
    }
}

/// What names a column: its table's number, and its own there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ColumnId {
    table: u32,
    position: u16,
}

impl ColumnId {
    /// The one that a row of the query is about.
    fn of(row: &Value) -> Option<Self> {
        Self::read(text(row, "id"))
    }
}

impl Key for ColumnId {
    fn read(segment: &str) -> Option<Self> {
        let (table, position) = segment.split_once('.')?;
        Some(Self { table: table.parse().ok()?, position: position.parse().ok()? })
    }
}

impl Resource for ShownColumns {
    const NAME: &'static str = Columns::NAME;
    type Filters = InSchemas;
    type Key = ShownId;
    const LISTS: Reading = Reading::Checked;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        Columns::list(filters)
    }

    fn one(key: &ShownId) -> Statement {
        match key {
            ShownId::Column(id) => Columns::one(id),
            ShownId::First(table) => {
                let first = query(KINDS, "relation.oid = $1::oid") + " order by attribute.attnum limit 1";
                Statement::new(first).bind(table.to_string())
            }
        }
    }
}

/// What names a column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShownId {
    Column(ColumnId),
    First(u32),
}

impl Key for ShownId {
    fn read(segment: &str) -> Option<Self> {
        match segment.parse() {
            Ok(table) => Some(Self::First(table)),
            Err(_) => ColumnId::read(segment).map(Self::Column),
        }
    }
}

/// How `default_value` is meant.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "studio_plugin_api::schemars")]
enum DefaultFormat {
    /// As a value.
    #[default]
    Literal,
    /// As SQL.
    Expression,
}

/// Who may give a value to an identity column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
enum IdentityGeneration {
    /// The sequence gives one where the row has none.
    #[default]
    #[serde(rename = "BY DEFAULT")]
    ByDefault,
    /// The sequence alone.
    #[serde(rename = "ALWAYS")]
    Always,
}

impl IdentityGeneration {
    fn sql(self) -> &'static str {
        match self {
            Self::ByDefault => "BY DEFAULT",
            Self::Always => "ALWAYS",
        }
    }
}

/// A column to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct NewColumn {
    /// The number of its table.
    #[serde(deserialize_with = "read_integer")]
    #[schemars(required)]
    table_id: Option<i64>,
    /// Its name.
    #[serde(deserialize_with = "read_text")]
    #[schemars(required)]
    name: Option<String>,
    /// Its type: `int4`, `text[]`, or with its schema, quoted as SQL wants it.
    #[serde(rename = "type", deserialize_with = "read_text")]
    #[schemars(required)]
    kind: Option<String>,
    /// What it is where a row does not say.
    #[serde(deserialize_with = "read_given")]
    default_value: Option<Value>,
    /// How that is meant: `literal`, unless given, or `expression`.
    default_value_format: DefaultFormat,
    /// Whether a sequence of its own gives it its values.
    is_identity: bool,
    /// `BY DEFAULT`, unless given, or `ALWAYS`.
    identity_generation: IdentityGeneration,
    /// Whether it may be null; as PostgreSQL has it unless given.
    is_nullable: Option<bool>,
    /// Whether it is the primary key.
    is_primary_key: bool,
    /// Whether no two rows may have the same.
    is_unique: bool,
    /// What it is for.
    #[serde(deserialize_with = "read_text")]
    comment: Option<String>,
    /// The condition on it.
    #[serde(deserialize_with = "read_text")]
    check: Option<String>,
}

impl CreatableWithin for Columns {
    type New = NewColumn;

    fn parent(new: &NewColumn) -> Result<Statement, DriverError> {
        let table = property("table_id", new.table_id.as_ref())?;
        Ok(Statement::new(
            "select relation.relname as name, namespace.nspname as schema \
             from pg_catalog.pg_class as relation \
             join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace \
             where relation.oid = $1::oid and relation.relkind in ('r', 'p')",
        )
        .bind(table.to_string()))
    }

    fn create(parent: Option<&Value>, new: &NewColumn) -> Result<Change, DriverError> {
        let id = property("table_id", new.table_id.as_ref())?;
        let name = property("name", new.name.as_ref())?;
        let kind = property("type", new.kind.as_ref())?;
        let table =
            parent.ok_or_else(|| DriverError::not_found(format!("Cannot find a table with ID {id}")))?;
        let sql = changes::create(table, name, kind, new)?;
        let then = Statement::new(query(KINDS, "relation.oid = $1::oid and attribute.attname = $2"));
        Ok(Change { sql, then: then.bind(id.to_string()).bind(name.clone()) })
    }
}

/// What of a column is to change; what is absent stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct ColumnPatch {
    /// Its name.
    #[serde(deserialize_with = "read_text")]
    name: Option<String>,
    /// Its type, which values are cast to.
    #[serde(rename = "type", deserialize_with = "read_text")]
    kind: Option<String>,
    /// Whether it is to have no default.
    drop_default: bool,
    /// What it is where a row does not say.
    #[serde(deserialize_with = "read_given")]
    default_value: Option<Value>,
    /// How that is meant: `literal`, unless given, or `expression`.
    default_value_format: DefaultFormat,
    /// Whether a sequence of its own gives it its values.
    is_identity: Option<bool>,
    /// `BY DEFAULT` or `ALWAYS`.
    identity_generation: Option<IdentityGeneration>,
    /// Whether it may be null.
    is_nullable: Option<bool>,
    /// Whether no two rows may have the same.
    is_unique: Option<bool>,
    /// What it is for; null removes it.
    #[serde(deserialize_with = "read_text")]
    comment: Option<String>,
    /// The condition on it, instead of the first that it has; null: none.
    #[serde(deserialize_with = "read_given")]
    #[schemars(with = "Option<String>", extend("x-reads" = FALSE_IS_NULL))]
    check: Option<Option<String>>,
}

impl Changeable for Columns {
    type Patch = ColumnPatch;

    fn change(current: &Value, patch: &ColumnPatch) -> Result<Change, DriverError> {
        let id = ColumnId::of(current)
            .ok_or_else(|| DriverError::not_found(format!("Cannot find a {}", Self::NAME)))?;
        Ok(Change { sql: changes::change(current, id, patch), then: Self::one(&id) })
    }
}

/// How to drop one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Options {
    /// With everything that needs it.
    cascade: bool,
}

impl Removable for Columns {
    type Options = Options;

    fn remove(current: &Value, options: &Options) -> Result<String, DriverError> {
        Ok(changes::remove(current, options.cascade))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_by_table_and_position() {
        let id = ColumnId { table: 16384, position: 2 };
        assert_eq!(ColumnId::read("16384.2"), Some(id));
        for odd in ["", "16384", ".2", "16384.", "a.2", "16384.-2", "16384.2.3", "16384.99999"] {
            assert_eq!(ColumnId::read(odd), None, "{odd}");
        }
        assert_eq!(ShownId::read("16384.2"), Some(ShownId::Column(id)));
        assert_eq!(ShownId::read("16384"), Some(ShownId::First(16384)));
        assert_eq!(Columns::one(&id).parameters, [Some("16384".to_owned()), Some("2".to_owned())]);
    }

    #[test]
    fn null_is_told_from_absence() {
        let patch: ColumnPatch = serde_json::from_str(r#"{"check": null, "comment": null}"#).unwrap();
        assert_eq!(
            (patch.check, patch.comment, patch.default_value),
            (Some(None), Some(String::new()), None)
        );
        let new: NewColumn = serde_json::from_str(r#"{"table_id": "7", "default_value": null}"#).unwrap();
        assert_eq!((new.table_id, new.default_value, new.comment), (Some(7), Some(Value::Null), None));
    }
}
