//! The queries about connections. The types are in `connection.rs`.

use async_trait::async_trait;
use sqlx::{Any, Row, Transaction};

use super::connection_rows::{bind_settings, connection};
use super::store::{Quota, Store};
use super::{
    AuditRecord, Connection, ConnectionChanges, ConnectionId, ConnectionSelector, ConnectionStatus,
    NewConnection, Page, RegistryError,
};

/// The operations on connections. Among a project's connections of one type, exactly one is always primary.
#[async_trait]
pub trait Connections: Send + Sync {
    /// Lists the connections of a project, of one type or of all, the oldest first. Without such a project the list is
    /// empty.
    async fn list_connections(
        &self,
        reference: &str,
        database_type: Option<&str>,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Connection>, RegistryError>;

    /// Finds one connection of a project and a type.
    async fn find_connection(
        &self,
        reference: &str,
        database_type: &str,
        selector: &ConnectionSelector,
    ) -> Result<Option<Connection>, RegistryError>;

    /// Creates a connection. It becomes primary if `new` says so, or if it is the first of its type.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project; [`RegistryError::Duplicate`] of `identifier` or `id`.
    async fn create_connection(
        &self,
        reference: &str,
        new: NewConnection,
        record: &AuditRecord,
    ) -> Result<Connection, RegistryError>;

    /// Changes a connection that the caller read as `before`; `settings_version` grows if a setting (not `is_primary`
    /// or `status`) changes.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project or connection; [`RegistryError::Duplicate`] of `identifier`;
    /// [`RegistryError::Changed`] when a setting differs from `before`: then nothing is changed, because the caller
    /// checked the change against `before`, not against the present settings.
    async fn update_connection(
        &self,
        reference: &str,
        before: &Connection,
        changes: ConnectionChanges,
        record: &AuditRecord,
    ) -> Result<Connection, RegistryError>;

    /// Deletes a connection; if it was primary, the oldest remaining one of its type becomes primary.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project or connection.
    async fn delete_connection(
        &self,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
        record: &AuditRecord,
    ) -> Result<(), RegistryError>;

    /// Stores whether a connection works, if its settings still have this version and nobody switched it off. Tells
    /// whether that changed its status.
    async fn set_connection_status(
        &self,
        id: ConnectionId,
        settings_version: i64,
        status: ConnectionStatus,
    ) -> Result<bool, RegistryError>;
}

const SELECT: &str = "
    SELECT CAST(c.id AS TEXT) AS id, CAST(c.project_id AS TEXT) AS project_id, c.database_type, c.identifier, c.host,
           c.port, c.database_name, c.username, c.password, c.connection_string, c.options,
           CAST(c.is_primary AS INTEGER) AS is_primary, c.status, c.settings_version,
           CAST(c.created_at AS TEXT) AS created_at, CAST(c.updated_at AS TEXT) AS updated_at
    FROM database_connections c";

/// Selects the rows of a list: those of a project ($1) and a type ($2), or of every type.
const LISTED: &str = "
    WHERE c.project_id = (SELECT id FROM projects WHERE ref = $1)
      AND ($2 IS NULL OR c.database_type = $2)";

/// Selects the rows that share one primary: those of a project ($1) and a type ($2).
const SIBLINGS: &str = "project_id = (SELECT id FROM projects WHERE ref = $1) AND database_type = $2";

#[async_trait]
impl Connections for Store {
    async fn list_connections(
        &self,
        reference: &str,
        database_type: Option<&str>,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Connection>, RegistryError> {
        let query = format!("SELECT COUNT(*) AS total FROM database_connections c {LISTED}");
        let row =
            sqlx::query(self.sql(&query)).bind(reference).bind(database_type).fetch_one(&self.reader).await?;
        let total: i64 = row.try_get("total")?;
        let query = format!("{SELECT} {LISTED} ORDER BY c.created_at, c.id LIMIT $3 OFFSET $4");
        let rows = sqlx::query(self.sql(&query))
            .bind(reference)
            .bind(database_type)
            .bind(i64::from(limit))
            .bind(i64::from(offset))
            .fetch_all(&self.reader)
            .await?;
        let items = rows.iter().map(connection).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    async fn find_connection(
        &self,
        reference: &str,
        database_type: &str,
        selector: &ConnectionSelector,
    ) -> Result<Option<Connection>, RegistryError> {
        let (condition, name) = match selector {
            ConnectionSelector::Primary => ("is_primary AND $3 = ''", String::new()),
            ConnectionSelector::Id(id) => ("id = CAST($3 AS uuid)", id.to_string()),
            ConnectionSelector::Identifier(identifier) => ("identifier = $3", identifier.clone()),
        };
        let row = sqlx::query(self.sql(&format!("{SELECT} WHERE {SIBLINGS} AND {condition}")))
            .bind(reference)
            .bind(database_type)
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(connection).transpose()
    }

    async fn create_connection(
        &self,
        reference: &str,
        new: NewConnection,
        record: &AuditRecord,
    ) -> Result<Connection, RegistryError> {
        let mut transaction = self.begin().await?;
        self.lock_project(&mut transaction, reference).await?;
        let quota = Quota {
            count: "SELECT COUNT(*) AS total FROM database_connections
                    WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
            most: self.quotas.connections_per_project,
            what: "connections of this project",
        };
        self.leave_room(&mut transaction, quota, reference).await?;
        if new.is_primary {
            self.demote_primary(&mut transaction, reference, &new.database_type).await?;
        }
        let query = sqlx::query(self.sql(&format!(
            "INSERT INTO database_connections (project_id, id, database_type, identifier, host, port, database_name,
                 username, password, connection_string, options, status, created_at, updated_at, is_primary)
             SELECT p.id, CAST($3 AS uuid), $2, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp(),
                    clock_timestamp(),
                    NOT EXISTS (SELECT 1 FROM database_connections WHERE {SIBLINGS} AND is_primary)
             FROM projects p WHERE p.ref = $1"
        )))
        .bind(reference)
        .bind(&new.database_type)
        .bind(new.id.to_string())
        .bind(new.identifier);
        bind_settings(query, new.settings).bind(new.status.as_str()).execute(&mut *transaction).await?;
        let created = self.read_by_id(&mut transaction, reference, &new.database_type, new.id).await?;
        self.commit(transaction, record).await?;
        Ok(created)
    }

    async fn update_connection(
        &self,
        reference: &str,
        before: &Connection,
        changes: ConnectionChanges,
        record: &AuditRecord,
    ) -> Result<Connection, RegistryError> {
        let (id, database_type) = (before.id, before.database_type.as_str());
        let mut transaction = self.begin().await?;
        self.lock_project(&mut transaction, reference).await?;
        let mut connection = self.read_by_id(&mut transaction, reference, database_type, id).await?;
        if !connection.is_set_as(before) {
            return Err(RegistryError::Changed);
        }
        let make_primary = changes.is_primary;
        changes.apply(&mut connection);
        let query = sqlx::query(self.sql(
            "UPDATE database_connections
             SET identifier = $2, host = $3, port = $4, database_name = $5, username = $6, password = $7,
                 connection_string = $8, options = $9, status = $10, settings_version = $11,
                 updated_at = clock_timestamp()
             WHERE id = CAST($1 AS uuid)",
        ))
        .bind(id.to_string())
        .bind(connection.identifier);
        bind_settings(query, connection.settings)
            .bind(connection.status.as_str())
            .bind(connection.settings_version)
            .execute(&mut *transaction)
            .await?;
        match make_primary {
            Some(true) if !connection.is_primary => {
                self.demote_primary(&mut transaction, reference, database_type).await?;
                self.make_primary(&mut transaction, id).await?;
            }
            Some(false) if connection.is_primary => {
                self.demote_primary(&mut transaction, reference, database_type).await?;
                if !self.promote_oldest(&mut transaction, reference, database_type, Some(id)).await? {
                    self.make_primary(&mut transaction, id).await?;
                }
            }
            _ => {}
        }
        let updated = self.read_by_id(&mut transaction, reference, database_type, id).await?;
        self.commit(transaction, record).await?;
        Ok(updated)
    }

    async fn delete_connection(
        &self,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.begin().await?;
        self.lock_project(&mut transaction, reference).await?;
        let connection = self.read_by_id(&mut transaction, reference, database_type, id).await?;
        sqlx::query(self.sql("DELETE FROM database_connections WHERE id = CAST($1 AS uuid)"))
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        if connection.is_primary {
            self.promote_oldest(&mut transaction, reference, database_type, None).await?;
        }
        self.commit(transaction, record).await
    }

    async fn set_connection_status(
        &self,
        id: ConnectionId,
        settings_version: i64,
        status: ConnectionStatus,
    ) -> Result<bool, RegistryError> {
        let updated = sqlx::query(self.sql(
            "UPDATE database_connections SET status = $3, updated_at = clock_timestamp()
             WHERE id = CAST($1 AS uuid) AND settings_version = $2 AND status <> $3 AND status <> 'INACTIVE'",
        ))
        .bind(id.to_string())
        .bind(settings_version)
        .bind(status.as_str())
        .execute(&self.writer)
        .await?;
        Ok(updated.rows_affected() > 0)
    }
}

/// Steps inside a transaction that holds the project's lock.
impl Store {
    /// Reads a connection and locks its row too, since its status and its seals change without the project's lock.
    async fn read_by_id(
        &self,
        transaction: &mut Transaction<'static, Any>,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
    ) -> Result<Connection, RegistryError> {
        let query = format!("{SELECT} WHERE {SIBLINGS} AND id = CAST($3 AS uuid) FOR NO KEY UPDATE");
        let row = sqlx::query(self.sql(&query))
            .bind(reference)
            .bind(database_type)
            .bind(id.to_string())
            .fetch_optional(&mut **transaction)
            .await?;
        connection(&row.ok_or(RegistryError::NotFound { what: "connection" })?)
    }

    /// Takes primacy from the connection of the type that has it.
    async fn demote_primary(
        &self,
        transaction: &mut Transaction<'static, Any>,
        reference: &str,
        database_type: &str,
    ) -> Result<(), RegistryError> {
        sqlx::query(self.sql(&format!(
            "UPDATE database_connections SET is_primary = FALSE, updated_at = clock_timestamp()
             WHERE {SIBLINGS} AND is_primary"
        )))
        .bind(reference)
        .bind(database_type)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    async fn make_primary(
        &self,
        transaction: &mut Transaction<'static, Any>,
        id: ConnectionId,
    ) -> Result<(), RegistryError> {
        sqlx::query(self.sql(
            "UPDATE database_connections SET is_primary = TRUE, updated_at = clock_timestamp()
             WHERE id = CAST($1 AS uuid)",
        ))
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Makes the oldest connection of the type primary, other than `except`. Tells whether there was one.
    async fn promote_oldest(
        &self,
        transaction: &mut Transaction<'static, Any>,
        reference: &str,
        database_type: &str,
        except: Option<ConnectionId>,
    ) -> Result<bool, RegistryError> {
        let promoted = sqlx::query(self.sql(&format!(
            "UPDATE database_connections SET is_primary = TRUE, updated_at = clock_timestamp()
             WHERE id = (SELECT id FROM database_connections
                         WHERE {SIBLINGS} AND ($3 IS NULL OR id <> CAST($3 AS uuid))
                         ORDER BY created_at, id LIMIT 1)"
        )))
        .bind(reference)
        .bind(database_type)
        .bind(except.map(|id| id.to_string()))
        .execute(&mut **transaction)
        .await?;
        Ok(promoted.rows_affected() > 0)
    }
}
