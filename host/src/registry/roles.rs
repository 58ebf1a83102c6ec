//! The names of roles in a table that may be a Studio's.

use sqlx::{Acquire, AnyConnection};

use super::RegistryError;
use super::dialect::Dialect;
use super::rows::NewRow;
use super::store::{Store, text};
use crate::role::Role;

/// The names that a column takes: the values of an enum, and texts in the checks of the column or its type.
const NAMES: &str = "
    SELECT CAST(e.enumlabel AS TEXT) AS source, 'name' AS kind, CAST(e.enumsortorder AS TEXT) AS place
    FROM pg_enum e
    JOIN pg_attribute a ON a.atttypid = e.enumtypid
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'platform' AND c.relname = $1 AND a.attname = 'role' AND NOT a.attisdropped
    UNION ALL
    SELECT pg_get_constraintdef(k.oid), 'check', CAST(k.conname AS TEXT)
    FROM pg_constraint k
    JOIN pg_class c ON c.relname = $1
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'platform'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'role' AND NOT a.attisdropped
    WHERE k.contype = 'c' AND (k.conrelid = c.oid AND a.attnum = ANY (k.conkey) OR k.contypid = a.atttypid)
    ORDER BY kind, place";

impl Role {
    /// Gives the role's possible names in a Studio's table, the most likely first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Viewer => &["viewer", "read_only", "member"],
            Self::Developer => &["developer"],
            Self::Admin => &["admin"],
            Self::Owner => &["owner"],
        }
    }
}

impl Store {
    /// Lists the role names that a table declares; empty if it declares none.
    pub(super) async fn role_names(
        &self,
        connection: &mut AnyConnection,
        table: &str,
    ) -> Result<Vec<String>, RegistryError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for row in sqlx::query(NAMES).bind(table).fetch_all(connection).await? {
            let source = text(&row, "source")?;
            if text(&row, "kind")? == "name" {
                names.push(source);
            } else {
                // Every other piece is inside quotes.
                let words = source.split('\'').skip(1).step_by(2);
                let is_name =
                    |word: &&str| word.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
                names.extend(words.filter(is_name).map(str::to_owned));
            }
        }
        Ok(names)
    }

    /// Writes a membership with the first name of the role that the table takes: adds it, or changes it if it `exists`.
    pub(super) async fn write_membership(
        &self,
        connection: &mut AnyConnection,
        membership: &NewRow,
        role: Role,
        exists: bool,
    ) -> Result<(), RegistryError> {
        let taken = self.role_names(connection, membership.table).await?;
        let mut tries: Vec<&str> = Vec::new();
        let listed = role.names().iter().filter_map(|name| {
            taken.iter().find(|taken| taken.eq_ignore_ascii_case(name)).map(String::as_str)
        });
        for name in listed.chain(role.names().iter().copied()) {
            if !tries.contains(&name) {
                tries.push(name);
            }
        }
        if self.dialect == Dialect::Sqlite {
            tries.truncate(1);
        }
        let mut refusal = RegistryError::unacceptable("role", "has no name");
        for name in tries {
            let mut attempt = connection.begin().await?;
            let named = membership.clone().with("role", name);
            let written = match exists {
                true => self.update_role(&mut attempt, &named).await,
                false => self.insert(&mut attempt, &named).await,
            };
            match written {
                Ok(()) => return Ok(attempt.commit().await?),
                Err(
                    error @ (RegistryError::Constraint { is_reference: false, .. }
                    | RegistryError::Unacceptable { .. }),
                ) => {
                    attempt.rollback().await?;
                    // Something other than the role is wrong, and would stay wrong.
                    if matches!(&error, RegistryError::Unacceptable { field, .. } if field != "value") {
                        return Err(error);
                    }
                    refusal = error;
                }
                Err(error) => return Err(error),
            }
        }
        match refusal {
            RegistryError::Constraint { ref table, ref name, .. }
                if !self.is_check_of_role(connection, table, name).await? =>
            {
                Err(refusal)
            }
            _ => Err(RegistryError::unacceptable(
                "role",
                format!(
                    "`{}` is none that the platform database's table `{}` takes: it takes {}",
                    role.as_str(),
                    membership.table,
                    if taken.is_empty() { "others".to_owned() } else { taken.join(", ") }
                ),
            )),
        }
    }

    async fn update_role(
        &self,
        connection: &mut AnyConnection,
        membership: &NewRow,
    ) -> Result<(), RegistryError> {
        let columns = self.columns(connection, membership).await?;
        let kind = |name: &str| {
            let column = columns.iter().find(|column| column.name == name);
            column.map_or("TEXT", |column| column.kind.as_str())
        };
        // A Studio's table may hold several rows for one user: all get the same role.
        let statement = format!(
            "UPDATE {} SET role = CAST(CAST($1 AS jsonb) ->> 'role' AS {})
             WHERE project_id = CAST(CAST($1 AS jsonb) ->> 'project_id' AS {})
               AND user_id = CAST(CAST($1 AS jsonb) ->> 'user_id' AS {})",
            membership.table,
            kind("role"),
            kind("project_id"),
            kind("user_id")
        );
        sqlx::query(self.sql(&statement)).bind(membership.values()).execute(connection).await?;
        Ok(())
    }

    async fn is_check_of_role(
        &self,
        connection: &mut AnyConnection,
        table: &str,
        constraint: &str,
    ) -> Result<bool, RegistryError> {
        // A domain's check names no table.
        if table.is_empty() {
            return Ok(true);
        }
        let rows = sqlx::query(NAMES).bind(table).fetch_all(connection).await?;
        let mut checks = rows.iter().map(|row| text(row, "place"));
        checks.try_fold(false, |found, place| Ok(found || place? == constraint))
    }
}
