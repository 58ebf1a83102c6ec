//! The SQL that creates a role and changes one.

use super::{Attributes, ConfigOperation, New, Patch};
use crate::quote::{identifier, literal};
use serde_json::Value;
use studio_plugin_api::DriverError;

pub(super) fn create(new: &New) -> String {
    let role = identifier(&new.name);
    let mut sql = format!("create role {role}{}", attributes(&new.attributes));
    for (clause, roles) in [("in role", &new.member_of), ("role", &new.members), ("admin", &new.admins)] {
        let roles: Vec<_> = roles.iter().flatten().map(|role| identifier(role)).collect();
        if !roles.is_empty() {
            sql += &format!(" {clause} {}", roles.join(", "));
        }
    }
    sql += ";";
    for (setting, value) in new.config.iter().flatten() {
        let value = match value {
            Value::String(value) => value.clone(),
            value => value.to_string(),
        };
        if !setting.is_empty() && !value.is_empty() {
            sql += &set(&role, setting, &value);
        }
    }
    sql
}

pub(super) fn change(name: &str, patch: &Patch) -> Result<String, DriverError> {
    let role = identifier(name);
    let mut sql = String::new();
    let attributes = attributes(&patch.attributes);
    if !attributes.is_empty() {
        sql += &format!("alter role {role}{attributes};");
    }
    for change in patch.config.iter().flatten() {
        let value = change.value.as_deref().filter(|value| !value.is_empty());
        sql += &match (change.op, value) {
            _ if change.path.is_empty() => {
                let value = change.value.as_deref().unwrap_or("undefined");
                return Err(DriverError::validation("config", format!("Invalid config value {value}")));
            }
            (ConfigOperation::Remove, _) => format!("alter role {role} reset {};", identifier(&change.path)),
            (_, Some(value)) => set(&role, &change.path, value),
            (_, None) => {
                return Err(DriverError::validation(
                    "config",
                    format!("`{}` is given no value", change.path),
                ));
            }
        };
    }
    // Last, since all before it know the role by its old name.
    if let Some(new) = patch.name.as_deref().filter(|new| *new != name) {
        sql += &format!("alter role {role} rename to {};", identifier(new));
    }
    Ok(sql)
}

fn attributes(attributes: &Attributes) -> String {
    let mut sql = String::new();
    for (given, attribute) in [
        (attributes.is_superuser, "superuser"),
        (attributes.can_create_db, "createdb"),
        (attributes.can_create_role, "createrole"),
        (attributes.inherit_role, "inherit"),
        (attributes.can_login, "login"),
        (attributes.is_replication_role, "replication"),
        (attributes.can_bypass_rls, "bypassrls"),
    ] {
        if let Some(given) = given {
            sql += &format!(" {}{attribute}", if given { "" } else { "no" });
        }
    }
    if let Some(limit) = attributes.connection_limit {
        sql += &format!(" connection limit {limit}");
    }
    if let Some(password) = &attributes.password {
        sql += &format!(" password {}", literal(password));
    }
    if let Some(until) = &attributes.valid_until {
        sql += &format!(" valid until {}", literal(until));
    }
    sql
}

/// Each part of a list is a constant of its own: `search_path` takes the whole for one name otherwise.
fn set(role: &str, setting: &str, value: &str) -> String {
    let parts: Vec<_> = value.split(',').map(|part| literal(part.trim())).collect();
    format!("alter role {role} set {} = {};", identifier(setting), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> String {
        create(&serde_json::from_value(new).unwrap())
    }

    fn changed(patch: Value) -> Result<String, DriverError> {
        change("r", &serde_json::from_value(patch).unwrap())
    }

    #[test]
    fn a_role_is_created_with_what_was_given() {
        assert_eq!(created(json!({"name": "r"})), r#"create role "r";"#);
        let attributes = json!({"name": "r", "is_superuser": false, "can_create_db": true, "can_create_role": true,
            "inherit_role": false, "can_login": true, "is_replication_role": true, "can_bypass_rls": true,
            "connection_limit": 3, "password": "it's", "valid_until": "2030-01-01"});
        assert_eq!(
            created(attributes),
            "create role \"r\" nosuperuser createdb createrole noinherit login replication bypassrls \
             connection limit 3 password 'it''s' valid until '2030-01-01';"
        );
        let others = json!({"name": "r", "member_of": ["a b"], "members": ["c", "d"], "admins": ["e"],
            "config": {"search_path": "x, y", "work_mem": 64, "empty": ""}});
        assert_eq!(
            created(others),
            "create role \"r\" in role \"a b\" role \"c\", \"d\" admin \"e\";\
             alter role \"r\" set \"search_path\" = 'x', 'y';alter role \"r\" set \"work_mem\" = '64';"
        );
    }

    #[test]
    fn only_what_is_given_changes_and_the_name_last() {
        assert_eq!(changed(json!({})).unwrap(), "");
        let patch = json!({"name": "q", "can_login": false, "config": [{"op": "remove", "path": "a"},
            {"op": "add", "path": "b", "value": "1"}, {"op": "replace", "path": "c", "value": "2,3"}]});
        assert_eq!(
            changed(patch).unwrap(),
            "alter role \"r\" nologin;alter role \"r\" reset \"a\";alter role \"r\" set \"b\" = '1';\
             alter role \"r\" set \"c\" = '2', '3';alter role \"r\" rename to \"q\";"
        );
    }

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        let nameless = changed(json!({"config": [{"op": "add", "path": "", "value": "x"}]}));
        assert_eq!(nameless.unwrap_err().message, "Invalid config value x");
        assert!(changed(json!({"config": [{"op": "add", "path": "x"}]})).is_err());
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(name: String, member: String, password: String) {
            let sql = created(json!({"name": name, "members": [member], "password": password}));
            let (name, member) = (identifier(&name), identifier(&member));
            prop_assert_eq!(sql, format!("create role {name} password {} role {member};", literal(&password)));
        }
    }
}
