//! Schemas.

use super::{
    Change, Changeable, CreatableWithin, Oid, Removable, Resource,
    body::{property, read_text},
    change, create_within, list, read, remove,
    selection::{bind_any_page, id, text},
};
use crate::{Postgres, lenient::Reading, prefix::Prefix, quote::identifier, statement::Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/schemas", list::<F, Schemas>)
        .read()
        .summary("List schemas")
        .get("/schemas/{id}", read::<F, Schemas>)
        .read()
        .summary("Show a schema")
        .post("/schemas", create_within::<F, Schemas>)
        .write()
        .summary("Create a schema")
        .patch("/schemas/{id}", change::<F, Schemas>)
        .write()
        .summary("Rename a schema, or give it to someone else")
        .delete("/schemas/{id}", remove::<F, Schemas>)
        .write()
        .summary("Drop a schema")
}

/// Schemas that the user may look into.
struct Schemas;

/// Which of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Filters {
    /// The system's own too.
    include_system_schemas: bool,
    /// At most so many.
    limit: Option<u64>,
    /// After leaving out so many.
    offset: Option<u64>,
}

const SELECT: &str = "\
select namespace.oid::int8 as id, namespace.nspname as name, pg_catalog.pg_get_userbyid(namespace.nspowner) as owner
from pg_catalog.pg_namespace as namespace
where namespace.nspname !~ '^pg_(toast_)?temp_'
  and (pg_catalog.pg_has_role(namespace.nspowner, 'USAGE')
    or pg_catalog.has_schema_privilege(namespace.oid, 'CREATE, USAGE'))";

/// What is left of those without the system's own.
const OWN: &str = "namespace.nspname not in ('information_schema', 'pg_catalog', 'pg_toast')";

impl Resource for Schemas {
    const NAME: &'static str = "schema";
    type Filters = Filters;
    type Key = Oid;
    const LISTS: Reading = Reading::Checked;
    const BODIES: Reading = Reading::Checked;
    const REMOVALS: Reading = Reading::Checked;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        let text = format!(
            "{SELECT} and ($1::boolean or {OWN}) order by namespace.oid limit $2::bigint offset $3::bigint"
        );
        let statement = Statement::new(text).bind(filters.include_system_schemas.to_string());
        Ok(bind_any_page(statement, filters.limit, filters.offset))
    }

    fn one(key: &Oid) -> Statement {
        numbered(key.0.to_string())
    }
}

/// A schema to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct New {
    /// Its name.
    #[serde(deserialize_with = "read_text")]
    #[schemars(required)]
    name: Option<String>,
    /// Whose it is to be: `postgres`, unless given, or the user where there is no such role or it is out of reach.
    #[serde(deserialize_with = "read_text")]
    owner: Option<String>,
}

impl CreatableWithin for Schemas {
    type New = New;

    fn parent(_: &New) -> Result<Statement, DriverError> {
        Ok(Statement::new(
            "select coalesce(min(rolname::text), current_user::text) as owner from pg_catalog.pg_roles \
             where rolname = 'postgres' and pg_catalog.pg_has_role(oid, 'MEMBER')",
        ))
    }

    fn create(parent: Option<&Value>, new: &New) -> Result<Change, DriverError> {
        let name = property("name", new.name.as_ref())?;
        let usual = parent.map(|row| text(row, "owner")).unwrap_or_default();
        let owner = identifier(new.owner.as_deref().unwrap_or(usual));
        let then = Statement::new(format!("{SELECT} and namespace.nspname = $1")).bind(name.clone());
        Ok(Change { sql: format!("create schema {} authorization {owner}", identifier(name)), then })
    }
}

/// What of a schema is to change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Patch {
    /// Its name.
    #[serde(deserialize_with = "read_text")]
    name: Option<String>,
    /// Whose it is.
    #[serde(deserialize_with = "read_text")]
    owner: Option<String>,
}

impl Changeable for Schemas {
    type Patch = Patch;

    fn change(current: &Value, patch: &Patch) -> Result<Change, DriverError> {
        let name = text(current, "name");
        let schema = identifier(name);
        let mut sql = String::new();
        if let Some(owner) = &patch.owner {
            sql += &format!("alter schema {schema} owner to {};", identifier(owner));
        }
        if let Some(new) = patch.name.as_deref().filter(|new| *new != name) {
            sql += &format!("alter schema {schema} rename to {};", identifier(new));
        }
        Ok(Change { sql, then: numbered(id(current)) })
    }
}

/// How to remove one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Options {
    /// With everything in it.
    cascade: bool,
}

impl Removable for Schemas {
    type Options = Options;

    fn remove(current: &Value, options: &Options) -> Result<String, DriverError> {
        let schema = identifier(text(current, "name"));
        Ok(format!("drop schema {schema} {}", if options.cascade { "cascade" } else { "restrict" }))
    }
}

fn numbered(id: String) -> Statement {
    Statement::new(format!("{SELECT} and {OWN} and namespace.oid = $1::oid")).bind(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> Result<Change, DriverError> {
        Schemas::create(Some(&json!({"owner": "me"})), &serde_json::from_value(new).unwrap())
    }

    fn changed(patch: Value) -> String {
        let current = json!({"id": 7, "name": "s", "owner": "me"});
        let change = Schemas::change(&current, &serde_json::from_value(patch).unwrap()).unwrap();
        assert_eq!(change.then.parameters, [Some("7".to_owned())]);
        change.sql
    }

    #[test]
    fn a_schema_is_given_to_someone() {
        let new = json!({"name": "a \"b\"", "owner": "you"});
        assert_eq!(created(new).unwrap().sql, r#"create schema "a ""b""" authorization "you""#);
        let least = created(json!({"name": "s"})).unwrap();
        assert_eq!(least.sql, r#"create schema "s" authorization "me""#);
        assert_eq!(least.then.parameters, [Some("s".to_owned())]);
        let nameless = created(json!({"owner": "me"})).unwrap_err();
        assert_eq!(nameless.message, "body must have required property 'name'");
    }

    #[test]
    fn a_schema_is_given_away_before_it_is_renamed() {
        assert_eq!(changed(json!({})), "");
        assert_eq!(changed(json!({"name": "s"})), "");
        assert_eq!(
            changed(json!({"name": "t", "owner": "a b"})),
            r#"alter schema "s" owner to "a b";alter schema "s" rename to "t";"#
        );
    }

    #[test]
    fn a_schema_is_dropped_with_its_content_only_when_told_to() {
        let current = json!({"id": 7, "name": "s"});
        let removed = |cascade| Schemas::remove(&current, &Options { cascade }).unwrap();
        assert_eq!(removed(false), r#"drop schema "s" restrict"#);
        assert_eq!(removed(true), r#"drop schema "s" cascade"#);
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(name: String, owner: String) {
            let change = created(json!({"name": name, "owner": owner})).unwrap();
            let wanted = format!("create schema {} authorization {}", identifier(&name), identifier(&owner));
            prop_assert_eq!(change.sql, wanted);
        }
    }
}
