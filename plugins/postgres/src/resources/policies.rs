//! Row-level security policies.

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource, change, create, list, read, remove,
    selection::{InSchemas, id, in_schemas, keyword, names, required, text},
};
use crate::{
    Postgres,
    lenient::SQL,
    prefix::Prefix,
    quote::{identifier, qualified},
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/policies", list::<F, Policies>)
        .read()
        .summary("List row-level security policies")
        .get("/policies/{id}", read::<F, Policies>)
        .read()
        .summary("Show a row-level security policy")
        .post("/policies", create::<F, Policies>)
        .write()
        .summary("Create a row-level security policy")
        .patch("/policies/{id}", change::<F, Policies>)
        .write()
        .summary("Change a row-level security policy")
        .delete("/policies/{id}", remove::<F, Policies>)
        .write()
        .summary("Drop a row-level security policy")
}

/// Row-level security policies.
pub(super) struct Policies;

const SELECT: &str = "\
select p.oid as id, n.nspname as schema, c.relname as table, c.oid as table_id, p.polname as name,
  case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end as action,
  case when p.polroles = '{0}'::oid[] then array['public']
    else array(select r.rolname::text from pg_roles r where r.oid = any (p.polroles) order by 1) end as roles,
  case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE'
    else 'ALL' end as command,
  pg_get_expr(p.polqual, p.polrelid) as definition, pg_get_expr(p.polwithcheck, p.polrelid) as check
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace";

impl Resource for Policies {
    const NAME: &'static str = "policy";
    type Filters = InSchemas;
    type Key = Oid;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let schemas = in_schemas("n.nspname");
        let text = format!("{SELECT} where {schemas} order by p.oid limit $3::bigint offset $4::bigint");
        Ok(filters.bind_page(filters.bind_schemas(Statement::new(text))))
    }

    fn one(key: &Oid) -> Statement {
        Statement::new(format!("{SELECT} where p.oid = $1::oid")).bind(key.0.to_string())
    }
}

/// A policy to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct New {
    /// Its name.
    #[schemars(required)]
    name: Option<String>,
    /// The table that it is for.
    #[schemars(required)]
    table: Option<String>,
    /// The table's schema, `public` unless given.
    schema: Option<String>,
    /// The condition on rows that are there.
    #[schemars(extend("x-reads" = SQL))]
    definition: Option<String>,
    /// The condition on rows that are written.
    #[schemars(extend("x-reads" = SQL))]
    check: Option<String>,
    /// `PERMISSIVE`, unless given, or `RESTRICTIVE`.
    action: Option<String>,
    /// `ALL`, unless given, `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    command: Option<String>,
    /// The roles that it is for; everyone unless given.
    roles: Option<Vec<String>>,
}

impl Creatable for Policies {
    type New = New;

    fn create(new: &New) -> Result<Change, DriverError> {
        let name = required("name", new.name.as_ref())?;
        let table = required("table", new.table.as_ref())?;
        let schema = new.schema.as_deref().unwrap_or("public");
        let mut sql = format!("create policy {} on {}", identifier(name), qualified(schema, table));
        if let Some(action) = &new.action {
            sql += &format!(" as {}", keyword("action", action)?);
        }
        if let Some(command) = &new.command {
            sql += &format!(" for {}", keyword("command", command)?);
        }
        sql += &clauses(new.roles.as_deref(), new.definition.as_deref(), new.check.as_deref());
        let then = format!("{SELECT} where n.nspname = $1 and c.relname = $2 and p.polname = $3");
        let then = Statement::new(then).bind(schema.to_owned()).bind(table.to_owned()).bind(name.to_owned());
        Ok(Change { sql, then })
    }
}

/// What of a policy is to change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Patch {
    /// Its name.
    name: Option<String>,
    /// The condition on rows that are there.
    #[schemars(extend("x-reads" = SQL))]
    definition: Option<String>,
    /// The condition on rows that are written.
    #[schemars(extend("x-reads" = SQL))]
    check: Option<String>,
    /// The roles that it is for.
    roles: Option<Vec<String>>,
}

impl Changeable for Policies {
    type Patch = Patch;

    fn change(current: &Value, patch: &Patch) -> Result<Change, DriverError> {
        let (name, table) = names(current);
        let changes = clauses(patch.roles.as_deref(), patch.definition.as_deref(), patch.check.as_deref());
        let mut sql = String::new();
        if !changes.is_empty() {
            sql += &format!("alter policy {name} on {table}{changes};");
        }
        if let Some(new) = patch.name.as_deref().filter(|new| *new != text(current, "name")) {
            sql += &format!("alter policy {name} on {table} rename to {};", identifier(new));
        }
        let then = Statement::new(format!("{SELECT} where p.oid = $1::oid")).bind(id(current));
        Ok(Change { sql, then })
    }
}

impl Removable for Policies {
    type Options = NoOptions;

    fn remove(current: &Value, _: &NoOptions) -> Result<String, DriverError> {
        let (name, table) = names(current);
        Ok(format!("drop policy {name} on {table}"))
    }
}

/// A removal has no parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct NoOptions {}

fn clauses(roles: Option<&[String]>, definition: Option<&str>, check: Option<&str>) -> String {
    let mut sql = String::new();
    if let Some(roles) = roles.filter(|roles| !roles.is_empty()) {
        // Quoted or not, `public` is everyone.
        let roles: Vec<_> = roles.iter().map(|role| identifier(role)).collect();
        sql += &format!(" to {}", roles.join(", "));
    }
    if let Some(definition) = definition {
        sql += &format!(" using ({definition})");
    }
    if let Some(check) = check {
        sql += &format!(" with check ({check})");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> Result<Change, DriverError> {
        Policies::create(&serde_json::from_value(new).unwrap())
    }

    fn changed(patch: Value) -> String {
        let current = json!({"id": 7, "schema": "s", "table": "t", "name": "p"});
        Policies::change(&current, &serde_json::from_value(patch).unwrap()).unwrap().sql
    }

    #[test]
    fn a_policy_is_created_with_what_was_given() {
        let all = json!({"name": "p", "schema": "s", "table": "t", "action": "restrictive", "command": "UPDATE",
            "roles": ["public", "a b"], "definition": "x > 1", "check": "true"});
        assert_eq!(
            created(all).unwrap().sql,
            r#"create policy "p" on "s"."t" as restrictive for UPDATE to "public", "a b" using (x > 1) with check (true)"#
        );
        let least = created(json!({"name": "p", "table": "t"})).unwrap();
        assert_eq!(least.sql, r#"create policy "p" on "public"."t""#);
        assert!(created(json!({"table": "t"})).is_err());
    }

    #[test]
    fn only_what_is_given_changes() {
        assert_eq!(changed(json!({})), "");
        assert_eq!(
            changed(json!({"name": "q", "check": "true"})),
            r#"alter policy "p" on "s"."t" with check (true);alter policy "p" on "s"."t" rename to "q";"#
        );
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(name: String, table: String, schema: String) {
            let change = created(json!({"name": name, "table": table, "schema": schema})).unwrap();
            let wanted = format!("create policy {} on {}", identifier(&name), qualified(&schema, &table));
            prop_assert_eq!(change.sql, wanted);
        }
    }
}
