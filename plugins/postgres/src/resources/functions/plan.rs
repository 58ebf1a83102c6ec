//! The SQL that creates a function and changes one.

use super::{
    super::selection::{keyword, text},
    New, Patch,
};
use crate::quote::{identifier, literal, qualified};
use serde_json::Value;
use studio_plugin_api::DriverError;

pub(super) fn create(name: &str, new: &New) -> Result<String, DriverError> {
    let definition =
        new.definition.as_ref().ok_or_else(|| DriverError::field("definition", "a function has one"))?;
    let arguments = new.args.as_deref().unwrap_or_default().join(", ");
    let mut sql = format!(
        "create function {name}({arguments}) returns {} language {} {} security {}",
        new.return_type.as_deref().unwrap_or("void"),
        language(new.language.as_deref().unwrap_or("sql")),
        keyword("behavior", new.behavior.as_deref().unwrap_or("VOLATILE"))?,
        if new.security_definer == Some(true) { "definer" } else { "invoker" },
    );
    for (setting, value) in new.config_params.iter().flatten() {
        let value = match value {
            Value::String(value) if value.eq_ignore_ascii_case("from current") => "from current".to_owned(),
            Value::String(value) => format!("to {value}"),
            value => format!("to {value}"),
        };
        sql += &format!(" set {} {value}", identifier(setting));
    }
    Ok(format!("{sql} as {}", literal(definition)))
}

pub(super) fn change(current: &Value, patch: &Patch) -> Result<String, DriverError> {
    let (schema, name) = (text(current, "schema"), text(current, "name"));
    let arguments = text(current, "identity_argument_types");
    let mut sql = String::new();
    if let Some(definition) = &patch.definition {
        sql += &redefine(current, definition)?;
    }
    let new_name = patch.name.as_deref().unwrap_or(name);
    if new_name != name {
        let name = qualified(schema, name);
        sql += &format!("alter function {name}({arguments}) rename to {};", identifier(new_name));
    }
    if let Some(new_schema) = patch.schema.as_deref().filter(|new_schema| *new_schema != schema) {
        let name = qualified(schema, new_name);
        sql += &format!("alter function {name}({arguments}) set schema {};", identifier(new_schema));
    }
    Ok(sql)
}

/// PostgreSQL's own statement for the function with another body: everything else about it stays.
fn redefine(current: &Value, definition: &str) -> Result<String, DriverError> {
    let statement = text(current, "complete_statement").trim_end();
    let body = text(current, "definition");
    let head = statement
        .rfind("$function")
        .and_then(|end| statement.get(end..))
        .and_then(|delimiter| statement.strip_suffix(delimiter)?.strip_suffix(body)?.strip_suffix(delimiter));
    // A body in the SQL standard's form is no text, and comes last.
    let standard = || {
        let (head, _) =
            statement.split_once("\nBEGIN ATOMIC\n").or_else(|| statement.split_once("\nRETURN "))?;
        body.is_empty().then(|| format!("{head}\nAS "))
    };
    match head.map(str::to_owned).or_else(standard) {
        Some(head) => Ok(format!("{head}{};", literal(definition))),
        None => Err(DriverError::validation(
            "definition",
            format!(
                "the definition of a function in language {} can't be changed",
                text(current, "language")
            ),
        )),
    }
}

/// A language's name, in any case as SQL has it.
fn language(name: &str) -> String {
    identifier(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{Changeable, Creatable},
        super::Functions,
        *,
    };
    use proptest::prelude::*;
    use serde_json::json;

    fn created(new: Value) -> Result<String, DriverError> {
        Functions::create(&serde_json::from_value(new).unwrap()).map(|change| change.sql)
    }

    fn changed(statement: &str, definition: &str, patch: Value) -> Result<String, DriverError> {
        let current = json!({"id": 7, "schema": "s", "name": "f", "identity_argument_types": "a integer",
            "language": "sql", "complete_statement": statement, "definition": definition});
        Functions::change(&current, &serde_json::from_value(patch).unwrap()).map(|change| change.sql)
    }

    #[test]
    fn a_function_is_created_with_what_was_given() {
        let all = json!({"name": "f", "schema": "s", "args": ["a int", "b text default 'x'"],
            "definition": "select 'a\\b'", "return_type": "setof text", "language": "SQL", "behavior": "stable",
            "security_definer": true, "config_params": {"search_path": "s, public", "work_mem": "from current"}});
        assert_eq!(
            created(all).unwrap(),
            "create function \"s\".\"f\"(a int, b text default 'x') returns setof text language \"sql\" stable \
             security definer set \"search_path\" to s, public set \"work_mem\" from current as E'select ''a\\\\b'''"
        );
        assert_eq!(
            created(json!({"name": "f", "definition": ""})).unwrap(),
            "create function \"public\".\"f\"() returns void language \"sql\" VOLATILE security invoker as ''"
        );
        assert!(created(json!({"definition": ""})).is_err());
    }

    #[test]
    fn a_function_is_renamed_before_it_is_moved() {
        assert_eq!(changed("", "", json!({"name": "f", "schema": "s"})).unwrap(), "");
        assert_eq!(
            changed("", "", json!({"name": "g", "schema": "t"})).unwrap(),
            "alter function \"s\".\"f\"(a integer) rename to \"g\";\
             alter function \"s\".\"g\"(a integer) set schema \"t\";"
        );
    }

    #[test]
    fn a_new_body_leaves_everything_else() {
        let old = "create s.f()\n STRICT\nAS $functionx$select $function$1$function$$functionx$\n";
        let new = changed(old, "select $function$1$function$", json!({"definition": "select '2'"}));
        assert_eq!(new.unwrap(), "create s.f()\n STRICT\nAS 'select ''2''';");
    }

    #[test]
    fn a_body_in_the_standards_form_becomes_a_text() {
        let old = "create s.f()\n LANGUAGE sql\nBEGIN ATOMIC\n SELECT 1;\nEND\n";
        let new = changed(old, "", json!({"definition": "select 2"}));
        assert_eq!(new.unwrap(), "create s.f()\n LANGUAGE sql\nAS 'select 2';");
        let old = "create s.f(a integer)\n RETURNS integer\n LANGUAGE sql\nRETURN (a + 1)\n";
        let new = changed(old, "", json!({"definition": "select 2"}));
        assert_eq!(new.unwrap(), "create s.f(a integer)\n RETURNS integer\n LANGUAGE sql\nAS 'select 2';");
        assert!(changed("int4pl", "", json!({"definition": "x"})).is_err());
    }

    proptest! {
        #[test]
        fn odd_names_are_quoted(name: String, schema: String, setting: String, definition: String) {
            let sql = created(json!({"name": name, "schema": schema, "definition": definition,
                "config_params": {setting.clone(): "1"}})).unwrap();
            let wanted = format!(
                "create function {}() returns void language \"sql\" VOLATILE security invoker set {} to 1 as {}",
                qualified(&schema, &name), identifier(&setting), literal(&definition),
            );
            prop_assert_eq!(sql, wanted);
        }

        #[test]
        fn any_body_is_found_again(body in "[^$]*", new: String) {
            let old = format!("create s.f()\nAS $function${body}$function$\n");
            let wanted = format!("create s.f()\nAS {};", literal(&new));
            prop_assert_eq!(changed(&old, &body, json!({"definition": new})).unwrap(), wanted);
        }
    }
}
