//! Functions, but neither procedures nor aggregates.

mod plan;

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource, change, create, list, read, remove,
    selection::{InSchemas, id, in_schemas, required, text},
};
use crate::{
    Postgres, extent,
    lenient::{FALSE_IS_ABSENT, TEXT_OR_ABSENT},
    prefix::Prefix,
    quote::qualified,
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/functions", list::<F, Functions>)
        .read()
        .summary("List functions")
        .get("/functions/{id}", read::<F, Functions>)
        .read()
        .summary("Show a function")
        .post("/functions", create::<F, Functions>)
        .write()
        .summary("Create a function")
        .patch("/functions/{id}", change::<F, Functions>)
        .write()
        .summary("Rename or move a function, or change its definition")
        .delete("/functions/{id}", remove::<F, Functions>)
        .write()
        .summary("Drop a function")
}

/// Functions.
pub(super) struct Functions;

/// Whether an argument has a default is told by its place among the arguments that go in, as postgres-meta tells it.
const SELECT: &str = "\
select p.oid as id, n.nspname as schema, p.proname as name, l.lanname as language,
  case when l.lanname = 'internal' then '' else p.prosrc end as definition,
  case when l.lanname = 'internal' then p.prosrc else pg_get_functiondef(p.oid) end as complete_statement,
  coalesce(a.list, '[]') as args,
  pg_get_function_arguments(p.oid) as argument_types,
  pg_get_function_identity_arguments(p.oid) as identity_argument_types,
  p.prorettype as return_type_id, pg_get_function_result(p.oid) as return_type,
  nullif(r.typrelid, 0) as return_type_relation_id,
  p.proretset as is_set_returning_function,
  nullif(p.prorows, 0) as prorows,
  case p.provolatile when 'i' then 'IMMUTABLE' when 's' then 'STABLE' when 'v' then 'VOLATILE' end as behavior,
  p.prosecdef as security_definer,
  (select json_object_agg(split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)) from unnest(p.proconfig) s)
    as config_params
from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  join pg_language l on l.oid = p.prolang
  join pg_type r on r.oid = p.prorettype
  left join lateral (
    select json_agg(json_build_object(
      'mode', case p.proargmodes[a.position] when 'o' then 'out' when 'b' then 'inout' when 'v' then 'variadic'
        when 't' then 'table' else 'in' end,
      'name', coalesce(p.proargnames[a.position], ''),
      'type_id', a.type::bigint,
      'has_default', case when a.position <= p.pronargs then a.position > p.pronargs - p.pronargdefaults end
    ) order by a.position) as list
    from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality a(type, position)
  ) a on true
where p.prokind = 'f'";

impl Resource for Functions {
    const NAME: &'static str = "function";
    type Filters = InSchemas;
    type Key = Oid;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let schemas = in_schemas("n.nspname");
        let text = format!("{SELECT} and {schemas} order by p.oid limit $3::bigint offset $4::bigint");
        Ok(filters.bind_page(filters.bind_schemas(Statement::new(text))))
    }

    fn one(key: &Oid) -> Statement {
        numbered(key.0.to_string())
    }
}

/// A function to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct New {
    /// Its name.
    #[schemars(required)]
    name: Option<String>,
    /// Its schema, `public` unless given.
    schema: Option<String>,
    /// Its arguments, as SQL has them: `a integer`, `b text default 'x'`.
    args: Option<Vec<String>>,
    /// Its body.
    #[schemars(required)]
    definition: Option<String>,
    /// What it returns, `void` unless given.
    return_type: Option<String>,
    /// The language of its body, `sql` unless given.
    language: Option<String>,
    /// `VOLATILE`, unless given, `STABLE` or `IMMUTABLE`.
    behavior: Option<String>,
    /// Whether it runs with its owner's rights.
    security_definer: Option<bool>,
    /// Settings while it runs, as SQL has them after `TO`; `FROM CURRENT` takes what is set now.
    #[serde(default, deserialize_with = "extent::bounded")]
    config_params: Option<Map<String, Value>>,
}

impl Creatable for Functions {
    type New = New;

    fn create(new: &New) -> Result<Change, DriverError> {
        let name = required("name", new.name.as_ref())?;
        let schema = new.schema.as_deref().unwrap_or("public");
        // Its arguments' types are as the body wrote them, so it is found as the newest one of its name.
        let then = format!("{SELECT} and n.nspname = $1 and p.proname = $2 order by p.oid desc limit 1");
        let then = Statement::new(then).bind(schema.to_owned()).bind(name.to_owned());
        Ok(Change { sql: plan::create(&qualified(schema, name), new)?, then })
    }
}

/// What of a function is to change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Patch {
    /// Its name.
    #[schemars(extend("x-reads" = FALSE_IS_ABSENT))]
    name: Option<String>,
    /// Its schema.
    #[schemars(extend("x-reads" = FALSE_IS_ABSENT))]
    schema: Option<String>,
    /// Its body.
    #[schemars(extend("x-reads" = TEXT_OR_ABSENT))]
    definition: Option<String>,
}

impl Changeable for Functions {
    type Patch = Patch;

    fn change(current: &Value, patch: &Patch) -> Result<Change, DriverError> {
        Ok(Change { sql: plan::change(current, patch)?, then: numbered(id(current)) })
    }
}

/// How to remove one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Options {
    /// With everything that needs it.
    cascade: bool,
}

impl Removable for Functions {
    type Options = Options;

    fn remove(current: &Value, options: &Options) -> Result<String, DriverError> {
        let name = qualified(text(current, "schema"), text(current, "name"));
        let arguments = text(current, "identity_argument_types");
        Ok(format!("drop function {name}({arguments}){}", if options.cascade { " cascade" } else { "" }))
    }
}

fn numbered(id: String) -> Statement {
    Statement::new(format!("{SELECT} and p.oid = $1::oid")).bind(id)
}
