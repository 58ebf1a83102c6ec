//! Which rows of a list are asked for: by schema, and page by page.

use crate::{
    quote::{identifier, qualified},
    statement::Statement,
};
use schemars::JsonSchema;
use serde::Deserialize;
use studio_plugin_api::DriverError;

/// Schemas that lists leave out unless they are asked for.
const SYSTEM_SCHEMAS: [&str; 3] = ["information_schema", "pg_catalog", "pg_toast"];

/// The parameters of a list of things that lie in schemas.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(super) struct InSchemas {
    /// The system's own too.
    pub(super) include_system_schemas: bool,
    /// These schemas alone.
    pub(super) included_schemas: Option<Vec<String>>,
    /// All schemas but these.
    pub(super) excluded_schemas: Option<Vec<String>>,
    /// At most so many.
    pub(super) limit: Option<u64>,
    /// After leaving out so many.
    pub(super) offset: Option<u64>,
}

/// Takes the schemas that were asked for, `$1` to `$2`; `schema` is the schema's name in the query.
pub(super) fn in_schemas(schema: &str) -> String {
    format!(
        "($1::text[] is null or {schema} = any ($1::text[])) and ($2::text[] is null or {schema} <> all ($2::text[]))"
    )
}

impl InSchemas {
    /// Binds `$1` and `$2` of [`in_schemas`]. Schemas that are named outright are shown, whatever else is excluded.
    pub(super) fn bind_schemas(&self, statement: Statement) -> Statement {
        if let Some(included) = self.included_schemas.as_deref() {
            return statement.bind_list(Some(included)).bind(None);
        }
        let system =
            SYSTEM_SCHEMAS.iter().filter(|_| !self.include_system_schemas).map(|name| (*name).to_owned());
        let excluded: Vec<String> = system.chain(self.excluded_schemas.iter().flatten().cloned()).collect();
        statement.bind(None).bind_list(Some(&excluded))
    }

    /// Binds the page, the last two parameters: `limit … offset …`.
    pub(super) fn bind_page(&self, statement: Statement) -> Statement {
        bind_page(statement, self.limit, self.offset)
    }
}

/// Binds a page; nothing stands for everything.
pub(super) fn bind_page(statement: Statement, limit: Option<u64>, offset: Option<u64>) -> Statement {
    statement.bind(limit.map(|count| count.to_string())).bind(offset.map(|count| count.to_string()))
}

/// Binds a page where a limit of 0 stands for everything too, as it does to postgres-meta for some lists: of relations,
/// columns, schemas and privileges.
pub(super) fn bind_any_page(statement: Statement, limit: Option<u64>, offset: Option<u64>) -> Statement {
    bind_page(statement, limit.filter(|count| *count > 0), offset)
}

/// A field of a body that must be there, where postgres-meta says so in these words.
///
/// # Errors
/// `VALIDATION_ERROR` when it is not.
pub(super) fn required<'a>(field: &str, name: Option<&'a String>) -> Result<&'a str, DriverError> {
    name.map(String::as_str)
        .ok_or_else(|| DriverError::validation(field, "SQL identifier cannot be null or undefined"))
}

/// A word of SQL that a body may give in any case: `instead of`. What is no word of SQL, PostgreSQL says itself.
///
/// # Errors
/// `VALIDATION_ERROR` for anything but letters and spaces.
pub(super) fn keyword<'a>(field: &str, words: &'a str) -> Result<&'a str, DriverError> {
    match words.chars().all(|letter| letter.is_ascii_alphabetic() || letter == ' ') {
        true => Ok(words),
        false => Err(DriverError::field(field, format!("`{words}` is no keyword"))),
    }
}

/// A text field of a catalog row.
pub(super) fn text<'a>(row: &'a serde_json::Value, field: &str) -> &'a str {
    row.get(field).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// What a catalog row of something on a table is called, and its table, as SQL has them.
pub(super) fn names(row: &serde_json::Value) -> (String, String) {
    (identifier(text(row, "name")), qualified(text(row, "schema"), text(row, "table")))
}

/// The number of a catalog row in its catalog, as a parameter.
pub(super) fn id(row: &serde_json::Value) -> String {
    row.get("id").map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(filters: &InSchemas) -> Vec<Option<String>> {
        filters.bind_page(filters.bind_schemas(Statement::new(""))).parameters
    }

    #[test]
    fn system_schemas_are_left_out_unless_asked_for() {
        let system = r#"{"information_schema","pg_catalog","pg_toast"}"#;
        assert_eq!(bound(&InSchemas::default()), [None, Some(system.to_owned()), None, None]);
        let all = InSchemas { include_system_schemas: true, limit: Some(3), ..InSchemas::default() };
        assert_eq!(bound(&all), [None, Some("{}".to_owned()), Some("3".to_owned()), None]);
    }

    #[test]
    fn named_schemas_are_shown_whatever_is_excluded() {
        let both = InSchemas {
            included_schemas: Some(vec!["pg_catalog".to_owned()]),
            excluded_schemas: Some(vec!["pg_catalog".to_owned()]),
            ..InSchemas::default()
        };
        assert_eq!(bound(&both).first(), Some(&Some(r#"{"pg_catalog"}"#.to_owned())));
        assert_eq!(bound(&both).get(1), Some(&None));
    }

    #[test]
    fn keywords_are_words_alone() {
        assert_eq!(keyword("activation", "instead of").unwrap(), "instead of");
        assert!(keyword("activation", "before; drop").is_err());
    }
}
