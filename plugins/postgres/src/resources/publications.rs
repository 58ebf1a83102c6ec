//! Publications of logical replication.

use super::{
    Change, Changeable, Creatable, Oid, Removable, Resource, change, create, list, read, remove,
    selection::{bind_page, required, text},
};
use crate::{
    Postgres,
    lenient::SQL_BOOLEAN,
    prefix::Prefix,
    quote::{identifier, qualified},
    statement::Statement,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use studio_plugin_api::{DriverError, Operations};

/// The rows of the resource's operations, for one prefix.
pub(super) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/publications", list::<F, Publications>)
        .read()
        .summary("List publications")
        .get("/publications/{id}", read::<F, Publications>)
        .read()
        .summary("Show a publication")
        .post("/publications", create::<F, Publications>)
        .write()
        .summary("Create a publication")
        .patch("/publications/{id}", change::<F, Publications>)
        .write()
        .summary("Change a publication")
        .delete("/publications/{id}", remove::<F, Publications>)
        .write()
        .summary("Drop a publication")
}

/// Publications.
pub(super) struct Publications;

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
select p.oid as id, p.pubname as name, pg_get_userbyid(p.pubowner) as owner,
  p.pubinsert as publish_insert, p.pubupdate as publish_update,
  p.pubdelete as publish_delete, p.pubtruncate as publish_truncate,
  case when not p.puballtables then coalesce((
    select json_agg(json_build_object('id', c.oid::bigint, 'name', c.relname, 'schema', n.nspname) order by r.oid)
    from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
    where r.prpubid = p.oid
  ), '[]') end as tables
from pg_publication p";

impl Resource for Publications {
    const NAME: &'static str = "publication";
    type Filters = Filters;
    type Key = Oid;

    fn list(filters: &Filters) -> Result<Statement, DriverError> {
        let text = format!("{SELECT} order by p.oid limit $1::bigint offset $2::bigint");
        Ok(bind_page(Statement::new(text), filters.limit, filters.offset))
    }

    fn one(key: &Oid) -> Statement {
        Statement::new(format!("{SELECT} where p.oid = $1::oid")).bind(key.0.to_string())
    }
}

/// A publication to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct New {
    /// Its name.
    #[schemars(required)]
    name: Option<String>,
    /// Whether inserts are published.
    publish_insert: bool,
    /// Whether updates are published.
    publish_update: bool,
    /// Whether deletions are published.
    publish_delete: bool,
    /// Whether truncations are published.
    publish_truncate: bool,
    /// Its tables, `schema.table`; all tables unless given.
    tables: Option<Vec<String>>,
}

impl Creatable for Publications {
    type New = New;

    fn create(new: &New) -> Result<Change, DriverError> {
        let name = required("name", new.name.as_ref())?;
        let published = [new.publish_insert, new.publish_update, new.publish_delete, new.publish_truncate];
        let tables = new.tables.as_ref().map(|tables| tables.iter().map(|table| written(table)).collect());
        Ok(Change { sql: plan_create(name, tables, published), then: named(name) })
    }
}

/// What of a publication is to change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct Patch {
    /// Its name.
    name: Option<String>,
    /// The role that owns it.
    owner: Option<String>,
    /// Whether inserts are published.
    #[schemars(extend("x-reads" = SQL_BOOLEAN))]
    publish_insert: Option<bool>,
    /// Whether updates are published.
    #[schemars(extend("x-reads" = SQL_BOOLEAN))]
    publish_update: Option<bool>,
    /// Whether deletions are published.
    #[schemars(extend("x-reads" = SQL_BOOLEAN))]
    publish_delete: Option<bool>,
    /// Whether truncations are published.
    #[schemars(extend("x-reads" = SQL_BOOLEAN))]
    publish_truncate: Option<bool>,
    /// Its tables, `schema.table`; null for all tables.
    #[serde(deserialize_with = "given")]
    tables: Option<Option<Vec<String>>>,
}

/// Tells null, which is given, from what is not.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

impl Changeable for Publications {
    type Patch = Patch;

    fn change(current: &Value, patch: &Patch) -> Result<Change, DriverError> {
        let name = text(current, "name");
        let quoted = identifier(name);
        let publishes = |given: Option<bool>, field: &str| {
            given.unwrap_or_else(|| current.get(field).and_then(Value::as_bool).unwrap_or_default())
        };
        let published = [
            publishes(patch.publish_insert, "publish_insert"),
            publishes(patch.publish_update, "publish_update"),
            publishes(patch.publish_delete, "publish_delete"),
            publishes(patch.publish_truncate, "publish_truncate"),
        ];
        let current_tables = current.get("tables").and_then(Value::as_array);
        let tables = patch
            .tables
            .as_ref()
            .map(|tables| tables.as_ref().map(|tables| tables.iter().map(|table| written(table)).collect()));
        let mut sql = match (current_tables, tables) {
            // PostgreSQL has no other way from all tables to some, or back.
            (None, Some(Some(tables))) => recreate(current, Some(tables), published),
            (Some(_), Some(None)) => recreate(current, None, published),
            (current_tables, tables) => {
                let tables = tables.flatten();
                let tables = tables.map(|tables: Vec<String>| set_tables(&quoted, &tables, current_tables));
                let publish = publish(published);
                format!("alter publication {quoted} set ({publish});{}", tables.unwrap_or_default())
            }
        };
        if let Some(owner) = &patch.owner {
            sql += &format!("alter publication {quoted} owner to {};", identifier(owner));
        }
        let new = patch.name.as_deref().unwrap_or(name);
        if new != name {
            sql += &format!("alter publication {quoted} rename to {};", identifier(new));
        }
        Ok(Change { sql, then: named(new) })
    }
}

impl Removable for Publications {
    type Options = NoOptions;

    fn remove(current: &Value, _: &NoOptions) -> Result<String, DriverError> {
        Ok(format!("drop publication {}", identifier(text(current, "name"))))
    }
}

/// A removal has no parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct NoOptions {}

fn named(name: &str) -> Statement {
    Statement::new(format!("{SELECT} where p.pubname = $1")).bind(name.to_owned())
}

/// A table as bodies have it: its name, after its schema's and a dot where there is one.
fn written(table: &str) -> String {
    table.split_once('.').map_or_else(|| identifier(table), |(schema, name)| qualified(schema, name))
}

fn plan_create(name: &str, tables: Option<Vec<String>>, published: [bool; 4]) -> String {
    let tables = match tables {
        None => " for all tables".to_owned(),
        Some(tables) if tables.is_empty() => String::new(),
        Some(tables) => format!(" for table {}", tables.join(", ")),
    };
    format!("create publication {}{tables} with ({});", identifier(name), publish(published))
}

fn recreate(current: &Value, tables: Option<Vec<String>>, published: [bool; 4]) -> String {
    let name = text(current, "name");
    format!(
        "drop publication {quoted};{}alter publication {quoted} owner to {};",
        plan_create(name, tables, published),
        identifier(text(current, "owner")),
        quoted = identifier(name),
    )
}

fn set_tables(publication: &str, tables: &[String], current: Option<&Vec<Value>>) -> String {
    if !tables.is_empty() {
        return format!("alter publication {publication} set table {};", tables.join(", "));
    }
    let current: Vec<_> = current
        .into_iter()
        .flatten()
        .map(|table| qualified(text(table, "schema"), text(table, "name")))
        .collect();
    match current.is_empty() {
        true => String::new(),
        false => format!("alter publication {publication} drop table {};", current.join(", ")),
    }
}

fn publish(published: [bool; 4]) -> String {
    let kinds = ["insert", "update", "delete", "truncate"].into_iter().zip(published);
    let kinds: Vec<_> = kinds.filter_map(|(kind, published)| published.then_some(kind)).collect();
    format!("publish = '{}'", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> Result<Change, DriverError> {
        Publications::create(&serde_json::from_value(new).unwrap())
    }

    fn changed(tables: Value, patch: Value) -> String {
        let current = json!({"id": 7, "name": "p", "owner": "o", "publish_insert": true, "tables": tables});
        Publications::change(&current, &serde_json::from_value(patch).unwrap()).unwrap().sql
    }

    #[test]
    fn a_publication_is_for_all_tables_for_some_or_for_none_yet() {
        let sql = |new| created(new).unwrap().sql;
        assert_eq!(
            sql(json!({"name": "p"})),
            r#"create publication "p" for all tables with (publish = '');"#
        );
        assert_eq!(sql(json!({"name": "p", "tables": []})), r#"create publication "p" with (publish = '');"#);
        assert_eq!(
            sql(
                json!({"name": "p", "tables": ["t", "s.t.u"], "publish_insert": true, "publish_truncate": true})
            ),
            r#"create publication "p" for table "t", "s"."t.u" with (publish = 'insert, truncate');"#
        );
        assert!(created(json!({"tables": []})).is_err());
    }

    #[test]
    fn what_is_published_is_kept_unless_given() {
        let change = changed(json!([]), json!({"publish_delete": true, "owner": "o p", "name": "q"}));
        assert_eq!(
            change,
            "alter publication \"p\" set (publish = 'insert, delete');\
             alter publication \"p\" owner to \"o p\";alter publication \"p\" rename to \"q\";"
        );
    }

    #[test]
    fn tables_are_replaced_and_the_last_ones_dropped() {
        let tables = json!([{"schema": "s", "name": "t"}]);
        let set = changed(tables.clone(), json!({"tables": ["s.u"]}));
        assert!(set.ends_with(r#"alter publication "p" set table "s"."u";"#));
        let emptied = changed(tables, json!({"tables": []}));
        assert!(emptied.ends_with(r#"alter publication "p" drop table "s"."t";"#));
        assert!(!changed(json!([]), json!({"tables": []})).contains("table"));
    }

    #[test]
    fn a_publication_is_made_anew_between_all_tables_and_some() {
        assert_eq!(
            changed(json!([]), json!({"tables": null})),
            "drop publication \"p\";create publication \"p\" for all tables with (publish = 'insert');\
             alter publication \"p\" owner to \"o\";"
        );
        assert!(changed(Value::Null, json!({"tables": []})).starts_with("drop publication"));
        assert!(!changed(Value::Null, json!({"tables": null})).contains("drop"));
        assert!(!changed(Value::Null, json!({})).contains("drop"));
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(name: String, schema in "[^.]*", table: String) {
            let change = created(json!({"name": name, "tables": [format!("{schema}.{table}")]})).unwrap();
            let (name, table) = (identifier(&name), qualified(&schema, &table));
            prop_assert_eq!(change.sql, format!("create publication {name} for table {table} with (publish = '');"));
        }
    }
}
