//! Types, but for those of tables' rows.

use super::{
    Oid, Resource, list,
    selection::{InSchemas, in_schemas},
};
use crate::{Postgres, prefix::Prefix, statement::Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations.get("/types", list::<F, Types>).read().summary("List types")
}

/// Types.
pub(super) struct Types;

/// Which of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Filters {
    /// The arrays of each type too.
    include_array_types: bool,
    /// The system's own too.
    include_system_schemas: bool,
    /// These schemas alone.
    included_schemas: Option<Vec<String>>,
    /// All schemas but these.
    excluded_schemas: Option<Vec<String>>,
    /// At most so many.
    limit: Option<u64>,
    /// After leaving out so many.
    offset: Option<u64>,
}

const SELECT: &str = "\
with labels as (
  select enumtypid, array_agg(enumlabel::text order by enumsortorder) as names from pg_enum group by enumtypid
), fields as (
  select a.attrelid, json_agg(json_build_object('name', a.attname, 'type_id', a.atttypid::bigint) order by a.attnum)
    as list
  from pg_attribute a join pg_class c on c.oid = a.attrelid
  where c.relkind = 'c' and a.attnum > 0 and not a.attisdropped group by a.attrelid
)
select t.oid as id, t.typname as name, n.nspname as schema, format_type(t.oid, null) as format,
  coalesce(l.names, '{}') as enums, coalesce(f.list, '[]') as attributes,
  obj_description(t.oid, 'pg_type') as comment, nullif(t.typrelid, 0) as type_relation_id
from pg_type t join pg_namespace n on n.oid = t.typnamespace
  left join pg_class c on c.oid = t.typrelid
  left join labels l on l.enumtypid = t.oid
  left join fields f on f.attrelid = t.typrelid
where (c.oid is null or c.relkind = 'c')";

impl Resource for Types {
    const NAME: &'static str = "type";
    type Filters = Filters;
    type Key = Oid;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        let schemas = in_schemas("n.nspname");
        let text = format!(
            "{SELECT} and {schemas}
  and ($3::boolean or not exists (select from pg_type e where e.oid = t.typelem and e.typarray = t.oid))
order by t.oid limit $4::bigint offset $5::bigint"
        );
        let shared = InSchemas {
            include_system_schemas: filters.include_system_schemas,
            included_schemas: filters.included_schemas.clone(),
            excluded_schemas: filters.excluded_schemas.clone(),
            limit: filters.limit,
            offset: filters.offset,
        };
        let statement =
            shared.bind_schemas(Statement::new(text)).bind(filters.include_array_types.to_string());
        Ok(shared.bind_page(statement))
    }

    fn one(key: &Oid) -> Statement {
        Statement::new(format!("{SELECT} and t.oid = $1::oid")).bind(key.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_listed_only_when_asked_for() {
        let wanted = |filters: Filters| Types::list(&filters).unwrap().parameters.get(2).cloned().flatten();
        assert_eq!(wanted(Filters::default()).as_deref(), Some("false"));
        let filters = Filters { include_array_types: true, ..Filters::default() };
        assert_eq!(wanted(filters).as_deref(), Some("true"));
    }
}
