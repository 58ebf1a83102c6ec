//! New rows in tables that may be a Studio's: its columns may have other types, and it may have columns that the
//! gateway does not know, or lack some that it does.

use serde_json::{Map, Value};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::RegistryError;
use super::dialect::Dialect;
use super::store::{Store, optional_text, text};

/// A row to be inserted.
#[derive(Debug, Clone)]
pub(super) struct NewRow {
    pub(super) table: &'static str,
    /// Columns and their values. `None` means the table's default, or '' if the column needs a value and has no
    /// default.
    given: Vec<(&'static str, Option<Value>)>,
}

impl NewRow {
    /// Makes a row of this table, without values yet.
    pub(super) fn of(table: &'static str) -> Self {
        Self { table, given: Vec::new() }
    }

    /// Adds a value.
    pub(super) fn with(self, column: &'static str, value: impl Into<Value>) -> Self {
        self.with_optional(column, Some(value))
    }

    /// Adds a value; `None` means the table's own default, if it has one.
    pub(super) fn with_optional(mut self, column: &'static str, value: Option<impl Into<Value>>) -> Self {
        self.given.push((column, value.map(Into::into)));
        self
    }

    /// Gives all values as a JSON object.
    pub(super) fn values(&self) -> String {
        let given = self.given.iter();
        let values: Map<String, Value> =
            given.filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect();
        Value::Object(values).to_string()
    }

    fn given(&self, column: &str) -> Option<&Option<Value>> {
        self.given.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// The name as SQL writes it, in quotes if need be.
    quoted: String,
    /// Its type, as `CAST` writes it.
    pub(super) kind: String,
    /// The most characters that it takes.
    longest: Option<usize>,
    /// Whether it needs a value and the table has no default for it.
    is_required: bool,
}

impl Column {
    /// Refuses a value that the column does not take, as far as this can be known beforehand.
    fn check(&self, table: &str, value: &Value) -> Result<(), RegistryError> {
        let Some(text) = value.as_str() else { return Ok(()) };
        if self.longest.is_some_and(|longest| text.chars().count() > longest) {
            let longest = self.longest.unwrap_or_default();
            return Err(RegistryError::unacceptable(
                &self.name,
                format!("must have at most {longest} characters in the platform database's table `{table}`"),
            ));
        }
        // In lower case: the database returns it so, and it is compared with the text in the caller's token.
        if self.kind == "uuid" && Uuid::try_parse(text).map(|uuid| uuid.to_string()).as_deref() != Ok(text) {
            return Err(RegistryError::unacceptable(
                &self.name,
                format!("must be a uuid in lower case, as the platform database's table `{table}` has them"),
            ));
        }
        Ok(())
    }

    /// Gives a value for a column of which the gateway knows only the name and type.
    fn made_up(&self) -> Option<&'static str> {
        match (self.name.as_str(), self.kind.as_str()) {
            ("id", "uuid") => Some("gen_random_uuid()"),
            ("id", "text" | "character varying") => Some("CAST(gen_random_uuid() AS TEXT)"),
            (_, "timestamp with time zone" | "timestamp without time zone" | "date") => {
                Some("clock_timestamp()")
            }
            _ => None,
        }
    }
}

const COLUMNS: &str = "
    SELECT CAST(a.attname AS TEXT) AS name, quote_ident(a.attname) AS quoted, format_type(a.atttypid, NULL) AS kind,
           CASE WHEN a.atttypid = CAST('varchar' AS regtype) AND a.atttypmod > 4
                THEN CAST(a.atttypmod - 4 AS TEXT) END AS longest,
           CASE WHEN (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND a.attidentity = '' AND t.typdefault IS NULL
                THEN 'yes' END AS is_required
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'platform' AND c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

impl Store {
    /// Lists the columns of a row's table; in the gateway's own file, those that the row has values for.
    pub(super) async fn columns(
        &self,
        connection: &mut AnyConnection,
        row: &NewRow,
    ) -> Result<Vec<Column>, RegistryError> {
        if self.dialect == Dialect::Sqlite {
            let own = |name: &str| Column {
                name: name.to_owned(),
                quoted: name.to_owned(),
                kind: "TEXT".to_owned(),
                longest: None,
                is_required: false,
            };
            return Ok(row.given.iter().map(|(name, _)| own(name)).collect());
        }
        let rows = sqlx::query(COLUMNS).bind(row.table).fetch_all(connection).await?;
        let columns = rows.iter().map(|row| {
            Ok(Column {
                name: text(row, "name")?,
                quoted: text(row, "quoted")?,
                kind: text(row, "kind")?,
                longest: optional_text(row, "longest")?.and_then(|longest| longest.parse().ok()),
                is_required: optional_text(row, "is_required")?.is_some(),
            })
        });
        columns.collect()
    }

    /// Adds a row.
    pub(super) async fn insert(
        &self,
        connection: &mut AnyConnection,
        row: &NewRow,
    ) -> Result<(), RegistryError> {
        let (statement, values) = self.insertion(connection, row).await?;
        sqlx::query(self.sql(&statement)).bind(values).execute(connection).await?;
        Ok(())
    }

    /// Adds a row and returns its id.
    pub(super) async fn insert_for_id(
        &self,
        connection: &mut AnyConnection,
        row: &NewRow,
    ) -> Result<String, RegistryError> {
        let (statement, values) = self.insertion(connection, row).await?;
        let statement = format!("{statement} RETURNING CAST(id AS TEXT) AS id");
        let row = sqlx::query(self.sql(&statement)).bind(values).fetch_one(connection).await?;
        text(&row, "id")
    }

    /// Writes the statement, and its one parameter: all values as a JSON object.
    async fn insertion(
        &self,
        connection: &mut AnyConnection,
        row: &NewRow,
    ) -> Result<(String, String), RegistryError> {
        let columns = self.columns(connection, row).await?;
        let table = row.table;
        for (name, value) in &row.given {
            if value.is_some() && !columns.iter().any(|column| column.name == *name) {
                let reason = format!("has no column in the platform database's table `{table}`");
                return Err(RegistryError::unacceptable(name, reason));
            }
        }
        let (mut names, mut expressions, mut values) = (Vec::new(), Vec::new(), Map::new());
        for column in &columns {
            let value = match row.given(&column.name) {
                Some(Some(value)) => {
                    column.check(table, value)?;
                    value.clone()
                }
                Some(None) if column.is_required => Value::from(""),
                None if column.is_required => {
                    // For any other required column, a trigger of the table gives a value, or the table refuses and
                    // names the column.
                    if let Some(expression) = column.made_up() {
                        names.push(column.quoted.as_str());
                        expressions.push(expression.to_owned());
                    }
                    continue;
                }
                _ => continue,
            };
            names.push(column.quoted.as_str());
            expressions.push(format!("CAST(CAST($1 AS jsonb) ->> '{}' AS {})", column.name, column.kind));
            values.insert(column.name.clone(), value);
        }
        let statement =
            format!("INSERT INTO {table} ({}) SELECT {}", names.join(", "), expressions.join(", "));
        Ok((statement, Value::Object(values).to_string()))
    }

    /// Runs `work`, and explains a refusal that names only a constraint. The transaction of `work` must be over by
    /// then, because the explanation needs another connection.
    pub(super) async fn explained<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>> + Send,
    ) -> Result<T, RegistryError> {
        match work.await {
            Err(RegistryError::Constraint { table, name, is_reference }) => {
                Err(self.explain(table, name, is_reference).await)
            }
            result => result,
        }
    }

    async fn explain(&self, table: String, name: String, is_reference: bool) -> RegistryError {
        let found = sqlx::query(CONSTRAINT).bind(&table).bind(&name).fetch_optional(&self.reader).await;
        let Ok(Some(row)) = found else {
            return RegistryError::Constraint { table, name, is_reference };
        };
        let read = |column| optional_text(&row, column).ok().flatten().unwrap_or_default();
        let (field, definition, referenced) = (read("field"), read("definition"), read("referenced"));
        if field.is_empty() {
            return RegistryError::Constraint { table, name, is_reference };
        }
        let reason = match referenced.as_str() {
            "" => format!(
                "is not what the platform database takes: the table `{table}` has the constraint `{name}`, \
                 {definition}"
            ),
            "users" => {
                "is not in the platform database's table `users`; whoever it is must sign up in the Studio \
                        first, or be added there by its administrator"
                    .to_owned()
            }
            other => format!("is not in the platform database's table `{other}`, which `{table}` refers to"),
        };
        RegistryError::Unacceptable { field, reason }
    }
}

const CONSTRAINT: &str = "
    SELECT CAST((SELECT a.attname FROM pg_attribute a
                 WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]) AS TEXT) AS field,
           pg_get_constraintdef(k.oid) AS definition, CAST(referenced.relname AS TEXT) AS referenced
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class referenced ON referenced.oid = k.confrelid
    WHERE n.nspname = 'platform' AND c.relname = $1 AND k.conname = $2";
