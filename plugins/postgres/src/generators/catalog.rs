//! What the catalogs say.

use super::rows::{Constraint, Found, Function, Relation, Schema, Type, View};
use crate::{Postgres, statement::Statement};
use serde::de::DeserializeOwned;
use studio_plugin_api::{Context, DriverError, ErrorCode};

/// What the catalogs said, as JSON.
pub(super) struct Read {
    schemas: Vec<u8>,
    relations: Vec<u8>,
    types: Vec<u8>,
    functions: Vec<u8>,
    constraints: Vec<u8>,
    views: Vec<u8>,
}

/// How much the catalogs may say of one database, in bytes. Ten thousand tables have half as much.
const LARGEST: u64 = 32 << 20;

/// Reads all there is in some schemas; what refers to what only where it is `wanted`.
///
/// # Errors
/// As the server has it, and `RESULT_TOO_LARGE`.
pub(super) async fn read(
    context: &Context<Postgres>,
    included: Option<Vec<String>>,
    excluded: Option<Vec<String>>,
    wanted: References,
) -> Result<Read, DriverError> {
    let filtered = |text: &'static str| {
        Statement::new(text).bind_list(included.as_deref()).bind_list(excluded.as_deref())
    };
    let limit = LARGEST.min(context.max_reply_bytes());
    let mut left = limit;
    let mut ask = async |statement: Statement| {
        let rows =
            context.rows_within(context, &statement, left).await.map_err(|error| match error.code {
                ErrorCode::ResultTooLarge => DriverError::result_too_large(limit),
                _ => error,
            })?;
        left = left.saturating_sub(rows.len() as u64);
        Ok::<_, DriverError>(rows)
    };
    let (schemas, relations) = (ask(filtered(SCHEMAS)).await?, ask(filtered(RELATIONS)).await?);
    let (types, functions) = (ask(Statement::new(TYPES)).await?, ask(filtered(FUNCTIONS)).await?);
    let (constraints, views) = match wanted {
        References::Wanted => (ask(filtered(CONSTRAINTS)).await?, ask(filtered(VIEWS)).await?),
        References::Unwanted => (b"[]".to_vec(), b"[]".to_vec()),
    };
    Ok(Read { schemas, relations, types, functions, constraints, views })
}

/// Whether what refers to what is to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum References {
    Wanted,
    Unwanted,
}

impl Read {
    /// What that means.
    ///
    /// # Errors
    /// `DRIVER_ERROR` for what no server of PostgreSQL says.
    pub(super) fn understand(self) -> Result<Found, DriverError> {
        Ok(Found {
            schemas: parse::<Schema>(self.schemas)?,
            relations: parse::<Relation>(self.relations)?,
            types: parse::<Type>(self.types)?,
            functions: parse::<Function>(self.functions)?,
            constraints: parse::<Constraint>(self.constraints)?,
            views: parse::<View>(self.views)?,
        })
    }
}

fn parse<T: DeserializeOwned>(rows: Vec<u8>) -> Result<Vec<T>, DriverError> {
    serde_json::from_slice(&rows).map_err(|error| {
        DriverError::new(ErrorCode::DriverError, format!("the catalogs are not as expected: {error}"))
    })
}

/// Schemas that are not the system's, of those asked for.
macro_rules! in_schemas {
    ($query:literal, $rest:literal) => {
        concat!(
            $query,
            " where namespace.nspname not in ('information_schema', 'pg_catalog', 'pg_toast') ",
            "and namespace.nspname !~ '^pg_(toast_)?temp_' ",
            "and ($1::text[] is null or namespace.nspname = any ($1::text[])) ",
            "and ($2::text[] is null or not namespace.nspname = any ($2::text[])) ",
            $rest
        )
    };
}

pub(super) const SCHEMAS: &str = in_schemas!(
    "select namespace.nspname as name from pg_catalog.pg_namespace namespace",
    "and (pg_catalog.pg_has_role(namespace.nspowner, 'USAGE')
       or pg_catalog.has_schema_privilege(namespace.oid, 'CREATE, USAGE'))"
);

pub(super) const RELATIONS: &str = in_schemas!(
    "select relation.oid as id, namespace.nspname as schema, relation.relname as name,
       relation.relkind::text as kind,
       pg_catalog.pg_relation_is_updatable(relation.oid, true) & 8 = 8 as insertable,
       pg_catalog.pg_relation_is_updatable(relation.oid, true) & 4 = 4 as updatable,
       coalesce(own.columns, '[]') as columns
     from pg_catalog.pg_class relation
     join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
     left join (
       select attribute.attrelid, pg_catalog.json_agg(pg_catalog.json_build_object(
           'number', attribute.attnum,
           'name', attribute.attname,
           'type', pg_catalog.json_build_object('schema', type_schema.nspname, 'name', type.typname),
           'nullable', not (attribute.attnotnull or declared.typtype = 'd' and declared.typnotnull),
           'has_default', attribute.atthasdef and attribute.attgenerated = '',
           'identity', attribute.attidentity,
           'generated', attribute.attgenerated <> '',
           'writable', table_of.relkind in ('r', 'p', 'f')
             or pg_catalog.pg_column_is_updatable(attribute.attrelid, attribute.attnum, false)
             or exists (select from pg_catalog.pg_trigger instead where instead.tgrelid = attribute.attrelid
               and instead.tgtype & 64 <> 0 and instead.tgtype & 20 <> 0 and not instead.tgisinternal)
             or exists (select from pg_catalog.pg_rewrite rule where rule.ev_class = attribute.attrelid
               and rule.is_instead and rule.ev_type in ('2', '3') and rule.ev_qual::text = '<>')
         ) order by attribute.attnum) as columns
       from pg_catalog.pg_attribute attribute
       join pg_catalog.pg_class table_of on table_of.oid = attribute.attrelid
         and table_of.relkind in ('r', 'p', 'f', 'v', 'm')
       join pg_catalog.pg_type declared on declared.oid = attribute.atttypid
       join pg_catalog.pg_type type
         on type.oid = case when declared.typtype = 'd' then declared.typbasetype else declared.oid end
       join pg_catalog.pg_namespace type_schema on type_schema.oid = type.typnamespace
       where attribute.attnum > 0 and not attribute.attisdropped
         and table_of.relnamespace <> 'pg_catalog'::pg_catalog.regnamespace
         and (pg_catalog.pg_has_role(table_of.relowner, 'USAGE') or pg_catalog.has_column_privilege(
           attribute.attrelid, attribute.attnum, 'SELECT, INSERT, UPDATE, REFERENCES'))
       group by attribute.attrelid
     ) own on own.attrelid = relation.oid",
    "and relation.relkind in ('r', 'p', 'f', 'v', 'm')
     and (pg_catalog.pg_has_role(relation.relowner, 'USAGE')
       or pg_catalog.has_table_privilege(relation.oid,
         'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
       or pg_catalog.has_any_column_privilege(relation.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))"
);

pub(super) const TYPES: &str = "\
select namespace.nspname as schema, type.typname as name, type.typtype::text as kind, type.typrelid as relation,
  coalesce(relation.relkind::text, '') as relation_kind, coalesce(labels.list, '[]') as labels,
  coalesce(attributes.list, '[]') as attributes
from pg_catalog.pg_type type
join pg_catalog.pg_namespace namespace on namespace.oid = type.typnamespace
left join pg_catalog.pg_class relation on relation.oid = type.typrelid
left join (
  select enumtypid, pg_catalog.json_agg(enumlabel order by enumsortorder) as list
  from pg_catalog.pg_enum group by enumtypid
) labels on labels.enumtypid = type.oid
left join (
  select attribute.attrelid, pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', attribute.attname,
      'type', pg_catalog.json_build_object('schema', type_schema.nspname, 'name', attribute_type.typname),
      'format', pg_catalog.format_type(attribute_type.oid, null)
    ) order by attribute.attnum) as list
  from pg_catalog.pg_attribute attribute
  join pg_catalog.pg_class composite on composite.oid = attribute.attrelid and composite.relkind = 'c'
  join pg_catalog.pg_type attribute_type on attribute_type.oid = attribute.atttypid
  join pg_catalog.pg_namespace type_schema on type_schema.oid = attribute_type.typnamespace
  where attribute.attnum > 0 and not attribute.attisdropped
  group by attribute.attrelid
) attributes on attributes.attrelid = type.typrelid";

pub(super) const FUNCTIONS: &str = in_schemas!(
    "select namespace.nspname as schema, function.proname as name,
       coalesce(pg_catalog.pg_get_function_arguments(function.oid), '') as signature,
       coalesce(arguments.list, '[]') as arguments,
       pg_catalog.json_build_object('schema', return_schema.nspname, 'name', return_type.typname) as returns,
       return_type.typrelid as returns_relation, function.proretset as returns_set,
       function.proretset and function.prorows > 1 as returns_many_rows
     from pg_catalog.pg_proc function
     join pg_catalog.pg_namespace namespace on namespace.oid = function.pronamespace
     join pg_catalog.pg_type return_type on return_type.oid = function.prorettype
     join pg_catalog.pg_namespace return_schema on return_schema.oid = return_type.typnamespace
     left join lateral (
       select pg_catalog.json_agg(pg_catalog.json_build_object(
           'name', coalesce(function.proargnames[given.place], ''),
           'mode', given.mode::text,
           'type', pg_catalog.json_build_object('schema', type_schema.nspname, 'name', type.typname),
           'format', pg_catalog.format_type(type.oid, null),
           'type_id', type.oid::int8,
           'relation', type.typrelid::int8,
           'optional', given.mode in ('i', 'b', 'v') and given.inputs > function.pronargs - function.pronargdefaults
         ) order by given.place) as list
       from (
         select type, place, coalesce(mode, 'i') as mode,
           pg_catalog.count(*) filter (where coalesce(mode, 'i') in ('i', 'b', 'v')) over (order by place) as inputs
         from rows from (
           unnest(coalesce(function.proallargtypes, function.proargtypes::oid[])), unnest(function.proargmodes)
         ) with ordinality as listed (type, mode, place)
       ) given
       join pg_catalog.pg_type type on type.oid = given.type
       join pg_catalog.pg_namespace type_schema on type_schema.oid = type.typnamespace
     ) arguments on true",
    "and function.prokind = 'f' and return_type.typname not in ('trigger', 'event_trigger')"
);

pub(super) const CONSTRAINTS: &str = in_schemas!(
    "select key.conname as name, key.contype::text as kind, key.conrelid as relation,
       pg_catalog.to_json(key.conkey) as columns, key.confrelid as referenced_relation,
       pg_catalog.to_json(key.confkey) as referenced_columns
     from pg_catalog.pg_constraint key
     join pg_catalog.pg_namespace namespace on namespace.oid = key.connamespace",
    "and key.contype in ('p', 'u', 'f') and (key.contype <> 'f' or key.conparentid = 0)"
);

pub(super) const VIEWS: &str = in_schemas!(
    "select relation.oid as id, rule.ev_action::text as tree
     from pg_catalog.pg_rewrite rule
     join pg_catalog.pg_class relation on relation.oid = rule.ev_class and relation.relkind in ('v', 'm')
     join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace",
    "and rule.rulename = '_RETURN'"
);
