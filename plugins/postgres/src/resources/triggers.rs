//! Triggers.

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource, change, create, list, read, remove,
    selection::{InSchemas, id, in_schemas, keyword, names, required, text},
};
use crate::{
    Postgres,
    lenient::{FALSE_IS_ABSENT, TEXT_OR_ABSENT},
    prefix::Prefix,
    quote::{identifier, literal, qualified},
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/triggers", list::<F, Triggers>)
        .read()
        .summary("List triggers")
        .get("/triggers/{id}", read::<F, Triggers>)
        .read()
        .summary("Show a trigger")
        .post("/triggers", create::<F, Triggers>)
        .write()
        .summary("Create a trigger")
        .patch("/triggers/{id}", change::<F, Triggers>)
        .write()
        .summary("Rename, enable or disable a trigger")
        .delete("/triggers/{id}", remove::<F, Triggers>)
        .write()
        .summary("Drop a trigger")
}

/// Triggers, but not those of constraints.
pub(super) struct Triggers;

/// `tgtype` is a set of bits: 1 each row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate, 64 instead.
/// `tgargs` are texts with a zero byte after each, which no text in PostgreSQL can hold: they are split as hexadecimal
/// digits, a space after each byte so that no half of two bytes is taken for one.
const SELECT: &str = r"
select t.oid as id, t.tgrelid as table_id,
  case t.tgenabled when 'O' then 'ORIGIN' when 'R' then 'REPLICA' when 'A' then 'ALWAYS' when 'D' then 'DISABLED'
    end as enabled_mode,
  array(
    select convert_from(decode(a.bytes, 'hex'), getdatabaseencoding())
    from unnest(string_to_array(regexp_replace(encode(t.tgargs, 'hex'), '(..)', '\1 ', 'g'), '00 '))
      with ordinality a(bytes, position)
    where a.position <= t.tgnargs order by a.position
  ) as function_args,
  t.tgname as name, c.relname as table, n.nspname as schema,
  case when t.tgqual is not null
    then substring(pg_get_triggerdef(t.oid) from ' WHEN \((.+)\) EXECUTE FUNCTION ') end as condition,
  case when t.tgtype & 1 > 0 then 'ROW' else 'STATEMENT' end as orientation,
  case when t.tgtype & 64 > 0 then 'INSTEAD OF' when t.tgtype & 2 > 0 then 'BEFORE' else 'AFTER' end as activation,
  array(
    select e.name from (values (4, 'INSERT'), (8, 'DELETE'), (16, 'UPDATE'), (32, 'TRUNCATE')) e(bit, name)
    where t.tgtype & e.bit > 0 order by e.bit
  ) as events,
  f.proname as function_name, fn.nspname as function_schema
from pg_trigger t
  join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_proc f on f.oid = t.tgfoid join pg_namespace fn on fn.oid = f.pronamespace
where not t.tgisinternal";

impl Resource for Triggers {
    const NAME: &'static str = "trigger";
    type Filters = InSchemas;
    type Key = Oid;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let schemas = in_schemas("n.nspname");
        let text = format!("{SELECT} and {schemas} order by t.oid limit $3::bigint offset $4::bigint");
        Ok(filters.bind_page(filters.bind_schemas(Statement::new(text))))
    }

    fn one(key: &Oid) -> Statement {
        numbered(key.0.to_string())
    }
}

/// A trigger to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct New {
    /// Its name.
    #[schemars(required)]
    name: Option<String>,
    /// The table or view that it is for.
    #[schemars(required)]
    table: Option<String>,
    /// That one's schema, `public` unless given.
    schema: Option<String>,
    /// The function that it calls.
    #[schemars(required)]
    function_name: Option<String>,
    /// The function's schema, `public` unless given.
    function_schema: Option<String>,
    /// What the function is called with.
    #[serde(default)]
    function_args: Vec<String>,
    /// `BEFORE`, `AFTER` or `INSTEAD OF`.
    activation: String,
    /// `INSERT`, `UPDATE`, `UPDATE OF column, …`, `DELETE`, `TRUNCATE`.
    events: Vec<String>,
    /// `STATEMENT`, unless given, or `ROW`.
    #[schemars(extend("x-reads" = FALSE_IS_ABSENT))]
    orientation: Option<String>,
    /// The condition for calling it.
    #[schemars(extend("x-reads" = FALSE_IS_ABSENT))]
    condition: Option<String>,
}

impl Creatable for Triggers {
    type New = New;

    fn create(new: &New) -> Result<Change, DriverError> {
        let name = required("name", new.name.as_ref())?;
        let table = required("table", new.table.as_ref())?;
        let schema = new.schema.as_deref().unwrap_or("public");
        let function = required("function_name", new.function_name.as_ref())?;
        let function_schema = new.function_schema.as_deref().unwrap_or("public");
        let mut sql = format!(
            "create trigger {} {} {} on {}",
            identifier(name),
            keyword("activation", &new.activation)?,
            new.events.join(" or "),
            qualified(schema, table),
        );
        if let Some(orientation) = &new.orientation {
            sql += &format!(" for each {}", keyword("orientation", orientation)?);
        }
        if let Some(condition) = &new.condition {
            sql += &format!(" when ({condition})");
        }
        let arguments: Vec<_> = new.function_args.iter().map(|argument| literal(argument)).collect();
        sql +=
            &format!(" execute function {}({})", qualified(function_schema, function), arguments.join(", "));
        let then = format!("{SELECT} and n.nspname = $1 and c.relname = $2 and t.tgname = $3");
        let then = Statement::new(then).bind(schema.to_owned()).bind(table.to_owned()).bind(name.to_owned());
        Ok(Change { sql, then })
    }
}

/// What of a trigger is to change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Patch {
    /// Its name.
    #[schemars(extend("x-reads" = FALSE_IS_ABSENT))]
    name: Option<String>,
    /// When it fires: `ORIGIN`, `REPLICA`, `ALWAYS` or `DISABLED`; another word changes nothing.
    #[schemars(extend("x-reads" = TEXT_OR_ABSENT))]
    enabled_mode: Option<String>,
}

impl Changeable for Triggers {
    type Patch = Patch;

    fn change(current: &Value, patch: &Patch) -> Result<Change, DriverError> {
        let (name, table) = names(current);
        let enabled = match patch.enabled_mode.as_deref() {
            Some("ORIGIN") => Some("enable"),
            Some("REPLICA") => Some("enable replica"),
            Some("ALWAYS") => Some("enable always"),
            Some("DISABLED") => Some("disable"),
            _ => None,
        };
        let mut sql = String::new();
        if let Some(enabled) = enabled {
            // Where a view has triggers, they are always enabled, and PostgreSQL says so.
            sql += &format!("alter table {table} {enabled} trigger {name};");
        }
        if let Some(new) = patch.name.as_deref().filter(|new| *new != text(current, "name")) {
            sql += &format!("alter trigger {name} on {table} rename to {};", identifier(new));
        }
        Ok(Change { sql, then: numbered(id(current)) })
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

impl Removable for Triggers {
    type Options = Options;

    fn remove(current: &Value, options: &Options) -> Result<String, DriverError> {
        let (name, table) = names(current);
        Ok(format!("drop trigger {name} on {table}{}", if options.cascade { " cascade" } else { "" }))
    }
}

fn numbered(id: String) -> Statement {
    Statement::new(format!("{SELECT} and t.oid = $1::oid")).bind(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> Result<Change, DriverError> {
        Triggers::create(&serde_json::from_value(new).unwrap())
    }

    fn changed(patch: Value) -> String {
        let current = json!({"id": 7, "schema": "s", "table": "t", "name": "n"});
        Triggers::change(&current, &serde_json::from_value(patch).unwrap()).unwrap().sql
    }

    #[test]
    fn a_trigger_is_created_with_what_was_given() {
        let all = json!({"name": "n", "schema": "s", "table": "t", "function_schema": "fs", "function_name": "f",
            "function_args": ["a", "it's"], "activation": "before", "events": ["INSERT", "UPDATE OF a, b"],
            "orientation": "row", "condition": "new.a > 1"});
        assert_eq!(
            created(all).unwrap().sql,
            "create trigger \"n\" before INSERT or UPDATE OF a, b on \"s\".\"t\" for each row when (new.a > 1) \
             execute function \"fs\".\"f\"('a', 'it''s')"
        );
        let least = json!({"name": "n", "table": "t", "function_name": "f", "activation": "AFTER", "events": ["DELETE"]});
        assert_eq!(
            created(least).unwrap().sql,
            r#"create trigger "n" AFTER DELETE on "public"."t" execute function "public"."f"()"#
        );
        let nameless = json!({"table": "t", "function_name": "f", "activation": "AFTER", "events": []});
        assert_eq!(created(nameless).unwrap_err().message, "SQL identifier cannot be null or undefined");
    }

    #[test]
    fn a_trigger_is_switched_before_it_is_renamed() {
        assert_eq!(changed(json!({"enabled_mode": "BOGUS", "name": "n"})), "");
        assert_eq!(
            changed(json!({"enabled_mode": "REPLICA", "name": "m"})),
            r#"alter table "s"."t" enable replica trigger "n";alter trigger "n" on "s"."t" rename to "m";"#
        );
        assert_eq!(
            changed(json!({"enabled_mode": "DISABLED"})),
            r#"alter table "s"."t" disable trigger "n";"#
        );
        assert_eq!(changed(json!({"enabled_mode": "ORIGIN"})), r#"alter table "s"."t" enable trigger "n";"#);
        assert_eq!(
            changed(json!({"enabled_mode": "ALWAYS"})),
            r#"alter table "s"."t" enable always trigger "n";"#
        );
    }

    proptest! {
        #[test]
        fn odd_names_and_arguments_are_quoted(name: String, table: String, function: String, argument: String) {
            let change = created(json!({"name": name, "table": table, "function_name": function,
                "function_args": [argument], "activation": "AFTER", "events": ["INSERT"]})).unwrap();
            let wanted = format!(
                "create trigger {} AFTER INSERT on {} execute function {}({})",
                identifier(&name), qualified("public", &table), qualified("public", &function), literal(&argument),
            );
            prop_assert_eq!(change.sql, wanted);
        }
    }
}
