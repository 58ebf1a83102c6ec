//! Privileges on tables and all that can be read like one.

use super::{
    BodyOf, Oid, Resource,
    grants::{self, Grant, grantee, privileges},
    list,
    selection::{InSchemas, bind_any_page, in_schemas, text},
};
use crate::{
    Postgres,
    lenient::{Given, Reading},
    prefix::Prefix,
    quote::qualified,
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{Body, Context, DriverError, Operations, RawJson};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/table-privileges", list::<F, TablePrivileges>)
        .read()
        .summary("List privileges on tables")
        .post("/table-privileges", grant::<F>)
        .write()
        .summary("Grant privileges on tables")
        .delete("/table-privileges", revoke::<F>)
        .write()
        .summary("Revoke privileges on tables")
}

/// Privileges on tables.
pub(super) struct TablePrivileges;

const SELECT: &str = "\
select c.oid as relation_id, n.nspname as schema, c.relname as name,
  case c.relkind when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized_view'
    when 'f' then 'foreign_table' when 'p' then 'partitioned_table' end as kind,
  coalesce((
    select json_agg(json_build_object(
      'grantor', pg_get_userbyid(x.grantor),
      'grantee', case x.grantee when 0 then 'PUBLIC' else pg_get_userbyid(x.grantee) end,
      'privilege_type', x.privilege_type,
      'is_grantable', x.is_grantable
    ))
    from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
  ), '[]') as privileges
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'f', 'p')";

impl Resource for TablePrivileges {
    const NAME: &'static str = "relation";
    type Filters = InSchemas;
    type Key = Oid;
    const LISTS: Reading = Reading::Checked;
    const BODIES: Reading = Reading::Checked;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let schemas = in_schemas("n.nspname");
        let text = format!("{SELECT} and {schemas} order by c.oid limit $3::bigint offset $4::bigint");
        Ok(bind_any_page(filters.bind_schemas(Statement::new(text)), filters.limit, filters.offset))
    }

    fn one(key: &Oid) -> Statement {
        Statement::new(format!("{SELECT} and c.oid = $1::oid")).bind(key.0.to_string())
    }
}

privileges!(Privilege: All "all", Select "select", Insert "insert", Update "update", Delete "delete",
    Truncate "truncate", References "references", Trigger "trigger", Maintain "maintain");

/// A privilege to be granted.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct New {
    /// The table's number in the catalogs.
    relation_id: u32,
    /// The role that gets it, or `public`.
    grantee: String,
    /// Which one.
    privilege_type: Privilege,
    /// Whether that role may grant it to others.
    #[serde(default)]
    is_grantable: bool,
}

/// A privilege to be revoked.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Revocation {
    /// The table's number in the catalogs.
    relation_id: u32,
    /// The role that loses it, or `public`.
    grantee: String,
    /// Which one.
    privilege_type: Privilege,
}

async fn grant<F: Prefix>(
    context: Context<Postgres>,
    new: Body<Given<F, BodyOf<TablePrivileges>, Vec<New>>>,
) -> Result<RawJson, DriverError> {
    grants::change::<F, _>(context, &new).await
}

async fn revoke<F: Prefix>(
    context: Context<Postgres>,
    revocations: Body<Given<F, BodyOf<TablePrivileges>, Vec<Revocation>>>,
) -> Result<RawJson, DriverError> {
    grants::change::<F, _>(context, &revocations).await
}

fn targets(ids: impl Iterator<Item = u32>) -> Statement {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    let text = "\
select c.oid::text as id, n.nspname as schema, c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any ($1::oid[]) and c.relkind in ('r', 'v', 'm', 'f', 'p')";
    Statement::new(text).bind_list(Some(&ids))
}

fn outcome(ids: impl Iterator<Item = u32>) -> Statement {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    Statement::new(format!("{SELECT} and c.oid = any ($1::oid[]) order by c.oid")).bind_list(Some(&ids))
}

fn missing(id: u32) -> DriverError {
    DriverError::not_found(format!("Cannot find a relation with ID {id}"))
}

fn name(target: &Value) -> String {
    qualified(text(target, "schema"), text(target, "name"))
}

impl Grant for New {
    fn targets(new: &[Self]) -> Statement {
        targets(new.iter().map(|new| new.relation_id))
    }
    fn outcome(new: &[Self]) -> Statement {
        outcome(new.iter().map(|new| new.relation_id))
    }
    fn target(&self) -> String {
        self.relation_id.to_string()
    }
    fn missing(&self) -> DriverError {
        missing(self.relation_id)
    }
    fn sql(&self, target: &Value) -> String {
        let option = if self.is_grantable { " with grant option" } else { "" };
        let (privilege, grantee) = (self.privilege_type.word(), grantee(&self.grantee));
        format!("grant {privilege} on table {} to {grantee}{option};", name(target))
    }
}

impl Grant for Revocation {
    fn targets(revocations: &[Self]) -> Statement {
        targets(revocations.iter().map(|revocation| revocation.relation_id))
    }
    fn outcome(revocations: &[Self]) -> Statement {
        outcome(revocations.iter().map(|revocation| revocation.relation_id))
    }
    fn target(&self) -> String {
        self.relation_id.to_string()
    }
    fn missing(&self) -> DriverError {
        missing(self.relation_id)
    }
    fn sql(&self, target: &Value) -> String {
        let (privilege, grantee) = (self.privilege_type.word(), grantee(&self.grantee));
        format!("revoke {privilege} on table {} from {grantee};", name(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote::identifier;
    use proptest::prelude::*;
    use serde_json::json;

    fn planned<G: Grant + for<'de> Deserialize<'de>>(grants: Value) -> Result<String, DriverError> {
        let targets = [
            json!({"id": "1", "schema": "s", "name": "t"}),
            json!({"id": "2", "schema": "s", "name": "u v"}),
        ];
        grants::plan::<G>(&serde_json::from_value::<Vec<G>>(grants).unwrap(), &targets)
    }

    #[test]
    fn privileges_are_granted_one_after_another() {
        let grants = json!([
            {"relation_id": 2, "grantee": "a b", "privilege_type": "SELECT", "is_grantable": true},
            {"relation_id": 1, "grantee": "PUBLIC", "privilege_type": "ALL"},
        ]);
        assert_eq!(
            planned::<New>(grants).unwrap(),
            r#"grant select on table "s"."u v" to "a b" with grant option;grant all on table "s"."t" to public;"#
        );
    }

    #[test]
    fn privileges_are_revoked() {
        let revocations = json!([{"relation_id": 1, "grantee": "public", "privilege_type": "MAINTAIN"}]);
        let wanted = r#"revoke maintain on table "s"."t" from public;"#;
        assert_eq!(planned::<Revocation>(revocations).unwrap(), wanted);
    }

    #[test]
    fn nothing_is_granted_on_what_is_not_there() {
        let grants = json!([{"relation_id": 9, "grantee": "x", "privilege_type": "SELECT"}]);
        assert_eq!(planned::<New>(grants).unwrap_err().message, "Cannot find a relation with ID 9");
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(schema: String, table: String, role: String) {
            prop_assume!(!role.eq_ignore_ascii_case("public"));
            let new = New { relation_id: 1, grantee: role.clone(), privilege_type: Privilege::Select, is_grantable: false };
            let sql = new.sql(&json!({"schema": schema, "name": table}));
            let wanted = format!("grant select on table {} to {};", qualified(&schema, &table), identifier(&role));
            prop_assert_eq!(sql, wanted);
        }
    }
}
