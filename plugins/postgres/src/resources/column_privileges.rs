//! Privileges on columns: those on their tables, which hold for each column, and their own.

use super::{
    BodyOf, Name, Resource,
    grants::{self, Grant, grantee, privileges},
    list,
    selection::{InSchemas, bind_any_page, in_schemas, text},
};
use crate::{
    Postgres,
    lenient::{Given, Reading},
    prefix::Prefix,
    quote::{identifier, qualified},
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{Body, Context, DriverError, Operations, RawJson};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/column-privileges", list::<F, ColumnPrivileges>)
        .read()
        .summary("List privileges on columns")
        .post("/column-privileges", grant::<F>)
        .write()
        .summary("Grant privileges on columns")
        .delete("/column-privileges", revoke::<F>)
        .write()
        .summary("Revoke privileges on columns")
}

/// Privileges on columns.
pub(super) struct ColumnPrivileges;

/// The query for columns of relations (`c`, in the schema `n`) and then columns (`a`) that meet conditions.
fn select(relations: &str, columns: &str) -> String {
    format!(
        "\
with relations as (
  select c.oid, n.nspname, c.relname, coalesce(c.relacl, acldefault('r', c.relowner)) as acl
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'f', 'p') and {relations}
), columns as (
  select r.oid, r.nspname, r.relname, a.attnum, a.attname, a.attacl
  from relations r join pg_attribute a on a.attrelid = r.oid
  where a.attnum > 0 and not a.attisdropped and {columns}
), granted as (
  select k.oid, k.attnum, x.grantor, x.grantee, x.privilege_type, x.is_grantable
  from (select r.oid, (aclexplode(r.acl)).* from relations r) x join columns k on k.oid = x.oid
  where x.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
  union
  select k.oid, k.attnum, x.grantor, x.grantee, x.privilege_type, x.is_grantable
  from columns k cross join aclexplode(k.attacl) x
), listed as (
  select g.oid, g.attnum, json_agg(json_build_object(
    'grantor', pg_get_userbyid(g.grantor),
    'grantee', case g.grantee when 0 then 'PUBLIC' else pg_get_userbyid(g.grantee) end,
    'privilege_type', g.privilege_type,
    'is_grantable', g.is_grantable
  )) as privileges
  from granted g group by g.oid, g.attnum
)
select concat(k.oid, '.', k.attnum) as column_id, k.nspname as relation_schema, k.relname as relation_name,
  k.attname as column_name, l.privileges
from columns k join listed l on l.oid = k.oid and l.attnum = k.attnum
order by 1"
    )
}

impl Resource for ColumnPrivileges {
    const NAME: &'static str = "column";
    type Filters = InSchemas;
    type Key = Name;
    const LISTS: Reading = Reading::Checked;
    const BODIES: Reading = Reading::Checked;

    fn list(filters: &InSchemas) -> Result<Statement, DriverError> {
        let text = format!("{} limit $3::bigint offset $4::bigint", select(&in_schemas("n.nspname"), "true"));
        Ok(bind_any_page(filters.bind_schemas(Statement::new(text)), filters.limit, filters.offset))
    }

    fn one(key: &Name) -> Statement {
        outcome([key.0.as_str()].into_iter())
    }
}

privileges!(Privilege: All "all", Select "select", Insert "insert", Update "update", References "references");

/// A privilege to be granted.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct New {
    /// The column's id: its table's number in the catalogs, a dot and its own number in the table.
    column_id: String,
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
    /// The column's id: its table's number in the catalogs, a dot and its own number in the table.
    column_id: String,
    /// The role that loses it, or `public`.
    grantee: String,
    /// Which one.
    privilege_type: Privilege,
}

async fn grant<F: Prefix>(
    context: Context<Postgres>,
    new: Body<Given<F, BodyOf<ColumnPrivileges>, Vec<New>>>,
) -> Result<RawJson, DriverError> {
    grants::change::<F, _>(context, &new).await
}

async fn revoke<F: Prefix>(
    context: Context<Postgres>,
    revocations: Body<Given<F, BodyOf<ColumnPrivileges>, Vec<Revocation>>>,
) -> Result<RawJson, DriverError> {
    grants::change::<F, _>(context, &revocations).await
}

/// The numbers of the tables, and the ids of the columns; what is no id is no column's.
fn ids<'a>(columns: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<String>) {
    let known = columns.filter_map(|column| {
        let (table, number) = column.split_once('.')?;
        let table: u32 = table.parse().ok()?;
        number.parse::<u16>().ok().map(|_| (table.to_string(), column.to_owned()))
    });
    known.unzip()
}

fn targets<'a>(columns: impl Iterator<Item = &'a str>) -> Statement {
    let text = "\
select concat(c.oid, '.', a.attnum) as id, n.nspname as schema, c.relname as name, a.attname as column
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where c.oid = any ($1::oid[]) and a.attnum > 0 and not a.attisdropped";
    Statement::new(text).bind_list(Some(&ids(columns).0))
}

fn outcome<'a>(columns: impl Iterator<Item = &'a str>) -> Statement {
    let (tables, columns) = ids(columns);
    let text = select("c.oid = any ($1::oid[])", "concat(r.oid, '.', a.attnum) = any ($2::text[])");
    Statement::new(text).bind_list(Some(&tables)).bind_list(Some(&columns))
}

fn missing(id: &str) -> DriverError {
    match ids([id].into_iter()).1.is_empty() {
        true => DriverError::field("column_id", "must be a table's number, a dot and a column's"),
        false => DriverError::not_found(format!("Cannot find a column with ID {id}")),
    }
}

fn names(target: &Value) -> (String, String) {
    (identifier(text(target, "column")), qualified(text(target, "schema"), text(target, "name")))
}

impl Grant for New {
    fn targets(new: &[Self]) -> Statement {
        targets(new.iter().map(|new| new.column_id.as_str()))
    }
    fn outcome(new: &[Self]) -> Statement {
        outcome(new.iter().map(|new| new.column_id.as_str()))
    }
    fn target(&self) -> String {
        self.column_id.clone()
    }
    fn missing(&self) -> DriverError {
        missing(&self.column_id)
    }
    fn sql(&self, target: &Value) -> String {
        let option = if self.is_grantable { " with grant option" } else { "" };
        let (privilege, grantee, (column, table)) =
            (self.privilege_type.word(), grantee(&self.grantee), names(target));
        format!("grant {privilege} ({column}) on table {table} to {grantee}{option};")
    }
}

impl Grant for Revocation {
    fn targets(revocations: &[Self]) -> Statement {
        targets(revocations.iter().map(|revocation| revocation.column_id.as_str()))
    }
    fn outcome(revocations: &[Self]) -> Statement {
        outcome(revocations.iter().map(|revocation| revocation.column_id.as_str()))
    }
    fn target(&self) -> String {
        self.column_id.clone()
    }
    fn missing(&self) -> DriverError {
        missing(&self.column_id)
    }
    fn sql(&self, target: &Value) -> String {
        let (privilege, grantee, (column, table)) =
            (self.privilege_type.word(), grantee(&self.grantee), names(target));
        format!("revoke {privilege} ({column}) on table {table} from {grantee};")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn planned<G: Grant + for<'de> Deserialize<'de>>(grants: Value) -> Result<String, DriverError> {
        let targets = [json!({"id": "1.2", "schema": "s", "name": "t", "column": "a b"})];
        grants::plan::<G>(&serde_json::from_value::<Vec<G>>(grants).unwrap(), &targets)
    }

    #[test]
    fn privileges_are_granted_and_revoked_column_by_column() {
        let grants =
            json!([{"column_id": "1.2", "grantee": "r", "privilege_type": "ALL", "is_grantable": true}]);
        let wanted = r#"grant all ("a b") on table "s"."t" to "r" with grant option;"#;
        assert_eq!(planned::<New>(grants).unwrap(), wanted);
        let revocations = json!([{"column_id": "1.2", "grantee": "Public", "privilege_type": "UPDATE"}]);
        let wanted = r#"revoke update ("a b") on table "s"."t" from public;"#;
        assert_eq!(planned::<Revocation>(revocations).unwrap(), wanted);
        let missing = json!([{"column_id": "1.9", "grantee": "r", "privilege_type": "ALL"}]);
        assert_eq!(planned::<New>(missing).unwrap_err().message, "Cannot find a column with ID 1.9");
    }

    #[test]
    fn what_is_no_id_of_a_column_is_not_asked_for() {
        let (tables, columns) = ids(["1.2", "x", "1.x", "99999999999.1"].into_iter());
        assert_eq!((tables, columns), (vec!["1".to_owned()], vec!["1.2".to_owned()]));
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(schema: String, table: String, column: String) {
            let revocation = Revocation {
                column_id: "1.2".to_owned(), grantee: "public".to_owned(), privilege_type: Privilege::Select,
            };
            let sql = revocation.sql(&json!({"schema": schema, "name": table, "column": column}));
            let (column, table) = (identifier(&column), qualified(&schema, &table));
            prop_assert_eq!(sql, format!("revoke select ({column}) on table {table} from public;"));
        }
    }
}
