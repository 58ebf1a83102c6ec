//! The SQL that creates and changes tables.

use super::{ReplicaIdentity, TablePatch};
use crate::quote::{identifier, literal, qualified};

pub(super) fn create(schema: &str, name: &str, comment: Option<&str>) -> String {
    let table = qualified(schema, name);
    let mut sql = format!("CREATE TABLE {table} ();");
    if let Some(comment) = comment {
        sql.push_str(&format!("COMMENT ON TABLE {table} IS {};", literal(comment)));
    }
    sql
}

/// What names the table comes first and its own name last, so that all of it can use the one that it has.
pub(super) fn change(schema: &str, name: &str, patch: &TablePatch) -> String {
    let table = qualified(schema, name);
    let mut statements = Vec::new();
    let mut alter = |action: String| statements.push(format!("ALTER TABLE {table} {action};"));
    if let Some(enabled) = patch.rls_enabled {
        alter(format!("{} ROW LEVEL SECURITY", if enabled { "ENABLE" } else { "DISABLE" }));
    }
    if let Some(forced) = patch.rls_forced {
        alter(format!("{} ROW LEVEL SECURITY", if forced { "FORCE" } else { "NO FORCE" }));
    }
    if let Some(identity) = patch.replica_identity {
        let identity = match identity {
            ReplicaIdentity::Default => "DEFAULT".to_owned(),
            ReplicaIdentity::Full => "FULL".to_owned(),
            ReplicaIdentity::Nothing => "NOTHING".to_owned(),
            ReplicaIdentity::Index => {
                let index = patch.replica_identity_index.as_deref().unwrap_or("undefined");
                format!("USING INDEX {}", identifier(index))
            }
        };
        alter(format!("REPLICA IDENTITY {identity}"));
    }
    if let Some(keys) = &patch.primary_keys {
        statements.push(drop_primary_key(&table));
        if !keys.is_empty() {
            let names: Vec<String> = keys.iter().map(|key| identifier(&key.name)).collect();
            statements.push(format!("ALTER TABLE {table} ADD PRIMARY KEY ({});", names.join(", ")));
        }
    }
    if let Some(comment) = &patch.comment {
        statements.push(format!("COMMENT ON TABLE {table} IS {};", literal(comment)));
    }
    let moved = patch.schema.as_deref().filter(|moved| *moved != schema);
    if let Some(moved) = moved {
        statements.push(format!("ALTER TABLE {table} SET SCHEMA {};", identifier(moved)));
    }
    if let Some(renamed) = patch.name.as_deref().filter(|renamed| *renamed != name) {
        let table = qualified(moved.unwrap_or(schema), name);
        statements.push(format!("ALTER TABLE {table} RENAME TO {};", identifier(renamed)));
    }
    statements.concat()
}

/// A primary key's constraint has a name of its own, which only the catalog knows.
fn drop_primary_key(table: &str) -> String {
    let body = format!(
        "DECLARE name text; BEGIN \
         SELECT conname INTO name FROM pg_catalog.pg_constraint \
         WHERE conrelid = {table}::pg_catalog.regclass AND contype = 'p'; \
         IF FOUND THEN EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', {table}, name); END IF; \
         END",
        table = literal(table)
    );
    format!("DO {};", literal(&body))
}

#[cfg(test)]
mod tests {
    use super::{super::KeyColumn, *};
    use serde_json::json;

    fn patch(patch: serde_json::Value) -> TablePatch {
        serde_json::from_value(patch).unwrap()
    }

    #[test]
    fn table_is_created_with_its_comment() {
        assert_eq!(
            create("a", "x\"y", Some("it's")),
            r#"CREATE TABLE "a"."x""y" ();COMMENT ON TABLE "a"."x""y" IS 'it''s';"#
        );
        assert_eq!(create("a", "b", None), r#"CREATE TABLE "a"."b" ();"#);
    }

    #[test]
    fn table_is_renamed_last_where_it_has_moved_to() {
        let sql = change(
            "a",
            "t",
            &patch(json!({"name": "u", "schema": "b", "rls_enabled": true, "rls_forced": false})),
        );
        assert_eq!(
            sql,
            "ALTER TABLE \"a\".\"t\" ENABLE ROW LEVEL SECURITY;ALTER TABLE \"a\".\"t\" NO FORCE ROW LEVEL SECURITY;\
             ALTER TABLE \"a\".\"t\" SET SCHEMA \"b\";ALTER TABLE \"b\".\"t\" RENAME TO \"u\";"
        );
    }

    #[test]
    fn null_removes_a_comment_and_absence_keeps_it() {
        assert_eq!(change("a", "t", &patch(json!({"comment": null}))), "COMMENT ON TABLE \"a\".\"t\" IS '';");
        assert_eq!(change("a", "t", &patch(json!({}))), "");
    }

    #[test]
    fn primary_key_is_replaced() {
        let keys = TablePatch {
            primary_keys: Some(vec![
                KeyColumn { name: "a".to_owned() },
                KeyColumn { name: "b\"".to_owned() },
            ]),
            ..TablePatch::default()
        };
        let sql = change("s", "it's", &keys);
        assert!(sql.starts_with("DO 'DECLARE"), "{sql}");
        assert!(sql.ends_with(r#"ALTER TABLE "s"."it's" ADD PRIMARY KEY ("a", "b""");"#), "{sql}");
    }
}
