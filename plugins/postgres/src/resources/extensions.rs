//! Extensions, installed and available.

use super::{
    BodyOf, Change, Creatable, KeyPath, Name, Removable, Resource, apply, create, list, read, remove,
    selection::{bind_page, required, text},
};
use crate::{
    Postgres,
    lenient::Given,
    prefix::Prefix,
    quote::{identifier, literal},
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{Body, Context, DriverError, Operations, Path, RawJson};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/extensions", list::<F, Extensions>)
        .read()
        .summary("List extensions, installed or available")
        .get("/extensions/{id}", read::<F, Extensions>)
        .read()
        .summary("Show an extension by its name")
        .post("/extensions", create::<F, Extensions>)
        .write()
        .summary("Install an extension")
        .patch("/extensions/{id}", change_extension::<F>)
        .write()
        .summary("Update an extension, or move it to another schema")
        .delete("/extensions/{id}", remove::<F, Extensions>)
        .write()
        .summary("Remove an extension")
}

/// Extensions.
pub(super) struct Extensions;

/// Which page of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Filters {
    /// At most so many.
    limit: Option<u64>,
    /// After leaving out so many.
    offset: Option<u64>,
}

const SELECT: &str = "\
select a.name, n.nspname as schema, a.default_version, x.extversion as installed_version, a.comment
from pg_available_extensions() a
  left join pg_extension x on x.extname = a.name left join pg_namespace n on n.oid = x.extnamespace";

impl Resource for Extensions {
    const NAME: &'static str = "extension";
    type Filters = Filters;
    type Key = Name;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        let text = format!("{SELECT} order by a.name limit $1::bigint offset $2::bigint");
        Ok(bind_page(Statement::new(text), filters.limit, filters.offset))
    }

    fn one(key: &Name) -> Statement {
        Statement::new(format!("{SELECT} where a.name = $1")).bind(key.0.clone())
    }

    fn missing(segment: &str) -> String {
        format!("Cannot find an extension named {segment}")
    }
}

/// An extension to be installed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct New {
    /// Its name.
    #[schemars(required)]
    name: Option<String>,
    /// The schema for what is in it.
    schema: Option<String>,
    /// The version; the default one unless given.
    version: Option<String>,
    /// The extensions that it needs too.
    cascade: Option<bool>,
}

impl Creatable for Extensions {
    type New = New;

    fn create(new: &New) -> Result<Change, DriverError> {
        let name = required("name", new.name.as_ref())?;
        let mut sql = format!("create extension {}", identifier(name));
        if let Some(schema) = &new.schema {
            sql += &format!(" schema {}", identifier(schema));
        }
        if let Some(version) = &new.version {
            sql += &format!(" version {}", literal(version));
        }
        if new.cascade == Some(true) {
            sql += " cascade";
        }
        Ok(Change { sql, then: Self::one(&Name(name.to_owned())) })
    }
}

/// What of an extension is to change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Patch {
    /// Whether to update it.
    update: Option<bool>,
    /// The version to update to; the default one unless given.
    version: Option<String>,
    /// The schema to move it to.
    schema: Option<String>,
}

/// `PATCH` of one: PostgreSQL says itself when it is not installed.
async fn change_extension<F: Prefix>(
    context: Context<Postgres>,
    path: Path<KeyPath>,
    patch: Body<Given<F, BodyOf<Extensions>, Patch>>,
) -> Result<RawJson, DriverError> {
    apply(&context, plan_change(&path.id, &patch)).await.map(RawJson::new).map_err(F::error)
}

fn plan_change(name: &str, patch: &Patch) -> Change {
    let quoted = identifier(name);
    let mut sql = String::new();
    if patch.update == Some(true) {
        let version = patch.version.as_deref().map(|version| format!(" to {}", literal(version)));
        sql += &format!("alter extension {quoted} update{};", version.unwrap_or_default());
    }
    if let Some(schema) = &patch.schema {
        sql += &format!("alter extension {quoted} set schema {};", identifier(schema));
    }
    Change { sql, then: Extensions::one(&Name(name.to_owned())) }
}

/// How to remove one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Options {
    /// With everything that needs it.
    cascade: bool,
}

impl Removable for Extensions {
    type Options = Options;

    fn remove(current: &Value, options: &Options) -> Result<String, DriverError> {
        let name = identifier(text(current, "name"));
        Ok(format!("drop extension {name}{}", if options.cascade { " cascade" } else { "" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> Result<Change, DriverError> {
        Extensions::create(&serde_json::from_value(new).unwrap())
    }

    #[test]
    fn an_extension_is_installed_as_asked() {
        let all = json!({"name": "uuid-ossp", "schema": "s", "version": "1'", "cascade": true});
        let wanted = r#"create extension "uuid-ossp" schema "s" version '1''' cascade"#;
        assert_eq!(created(all).unwrap().sql, wanted);
        assert_eq!(created(json!({"name": "x", "cascade": false})).unwrap().sql, r#"create extension "x""#);
        let error = created(json!({})).unwrap_err();
        assert_eq!(error.message, "SQL identifier cannot be null or undefined");
    }

    #[test]
    fn an_update_and_a_move_are_statements_of_their_own() {
        let patch = |patch| plan_change("x", &serde_json::from_value(patch).unwrap()).sql;
        assert_eq!(
            patch(json!({"update": true, "version": "2", "schema": "s"})),
            r#"alter extension "x" update to '2';alter extension "x" set schema "s";"#
        );
        assert_eq!(patch(json!({"update": true})), r#"alter extension "x" update;"#);
        assert_eq!(patch(json!({"version": "2"})), "");
    }

    #[test]
    fn what_needs_it_goes_too_only_when_asked() {
        let current = json!({"name": "x"});
        assert_eq!(
            Extensions::remove(&current, &Options { cascade: true }).unwrap(),
            r#"drop extension "x" cascade"#
        );
        assert_eq!(Extensions::remove(&current, &Options::default()).unwrap(), r#"drop extension "x""#);
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(name: String, schema: String) {
            let change = created(json!({"name": name, "schema": schema})).unwrap();
            let wanted = format!("create extension {} schema {}", identifier(&name), identifier(&schema));
            prop_assert_eq!(change.sql, wanted);
        }
    }
}
