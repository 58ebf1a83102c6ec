//! Roles, which are the whole server's: changing them is for admins.

mod plan;

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource, change, create, list, read, remove,
    selection::{bind_page, id, text},
};
use crate::{Postgres, extent, lenient::Reading, prefix::Prefix, quote::identifier, statement::Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/roles", list::<F, Roles>)
        .read()
        .summary("List roles")
        .get("/roles/{id}", read::<F, Roles>)
        .read()
        .summary("Show a role")
        .post("/roles", create::<F, Roles>)
        .admin()
        .summary("Create a role")
        .patch("/roles/{id}", change::<F, Roles>)
        .admin()
        .summary("Change a role")
        .delete("/roles/{id}", remove::<F, Roles>)
        .admin()
        .summary("Drop a role")
}

/// Roles.
pub(super) struct Roles;

/// Which of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Filters {
    /// PostgreSQL's own too, whose names start with `pg_`.
    include_default_roles: bool,
    /// Taken, as postgres-meta takes it, but roles are in no schema.
    #[serde(rename = "include_system_schemas")]
    _include_system_schemas: bool,
    /// At most so many.
    limit: Option<u64>,
    /// After leaving out so many.
    offset: Option<u64>,
}

const SELECT: &str = "\
select r.oid as id, r.rolname as name, r.rolsuper as is_superuser, r.rolcreatedb as can_create_db,
  r.rolcreaterole as can_create_role, r.rolinherit as inherit_role, r.rolcanlogin as can_login,
  r.rolreplication as is_replication_role, r.rolbypassrls as can_bypass_rls,
  (select count(*) from pg_stat_activity a where a.usesysid = r.oid) as active_connections,
  case when r.rolconnlimit = -1 then current_setting('max_connections')::integer else r.rolconnlimit end
    as connection_limit,
  '********' as password, r.rolvaliduntil as valid_until,
  (select json_object_agg(split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)) from unnest(r.rolconfig) s)
    as config
from pg_roles r";

impl Resource for Roles {
    const NAME: &'static str = "role";
    type Filters = Filters;
    type Key = Oid;
    const BODIES: Reading = Reading::Checked;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        let text = format!(
            "{SELECT} where $1::boolean or not starts_with(r.rolname::text, 'pg_') \
             order by r.oid limit $2::bigint offset $3::bigint"
        );
        let statement = Statement::new(text).bind(filters.include_default_roles.to_string());
        Ok(bind_page(statement, filters.limit, filters.offset))
    }

    fn one(key: &Oid) -> Statement {
        numbered(key.0.to_string())
    }
}

/// What a role may be and do.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Attributes {
    /// Whether nothing is forbidden to it.
    is_superuser: Option<bool>,
    /// Whether it may create databases.
    can_create_db: Option<bool>,
    /// Whether it may create roles.
    can_create_role: Option<bool>,
    /// Whether it has the rights of the roles that it is a member of.
    inherit_role: Option<bool>,
    /// Whether it may log in.
    can_login: Option<bool>,
    /// Whether it may start replication.
    is_replication_role: Option<bool>,
    /// Whether row-level security does not hold for it.
    can_bypass_rls: Option<bool>,
    /// How many connections it may have at once; −1 for as many as there are.
    connection_limit: Option<i32>,
    /// Its password.
    password: Option<String>,
    /// When its password expires.
    valid_until: Option<String>,
}

/// A role to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct New {
    /// Its name.
    name: String,
    /// What it may be and do.
    #[serde(flatten)]
    attributes: Attributes,
    /// The roles that it becomes a member of.
    member_of: Option<Vec<String>>,
    /// The roles that become its members.
    members: Option<Vec<String>>,
    /// The roles that become its members, and may make others so.
    admins: Option<Vec<String>>,
    /// Its own settings; a list has commas in it.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    #[serde(default, deserialize_with = "extent::bounded")]
    config: Option<Map<String, Value>>,
}

impl Creatable for Roles {
    type New = New;

    fn create(new: &New) -> Result<Change, DriverError> {
        let then = Statement::new(format!("{SELECT} where r.rolname = $1")).bind(new.name.clone());
        Ok(Change { sql: plan::create(new), then })
    }
}

/// What of a role is to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Patch {
    /// Its name.
    name: Option<String>,
    /// What it may be and do.
    #[serde(flatten)]
    attributes: Attributes,
    /// Changes to its own settings.
    config: Option<Vec<ConfigChange>>,
}

/// A change to one setting.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct ConfigChange {
    /// What to do with it.
    op: ConfigOperation,
    /// The setting's name.
    path: String,
    /// Its value, but for a removal; a list has commas in it.
    value: Option<String>,
}

/// What a change does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "studio_plugin_api::schemars")]
enum ConfigOperation {
    Add,
    Replace,
    Remove,
}

impl Changeable for Roles {
    type Patch = Patch;

    fn change(current: &Value, patch: &Patch) -> Result<Change, DriverError> {
        Ok(Change { sql: plan::change(text(current, "name"), patch)?, then: numbered(id(current)) })
    }
}

/// How to remove one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Options {
    /// Taken, as postgres-meta takes it, but PostgreSQL drops no role that is in use.
    #[serde(rename = "cascade")]
    _cascade: bool,
}

impl Removable for Roles {
    type Options = Options;

    fn remove(current: &Value, _: &Options) -> Result<String, DriverError> {
        Ok(format!("drop role {}", identifier(text(current, "name"))))
    }
}

fn numbered(id: String) -> Statement {
    Statement::new(format!("{SELECT} where r.oid = $1::oid")).bind(id)
}
