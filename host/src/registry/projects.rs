//! Projects, and the users' rights on them.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::NewRow;
use super::store::{Quota, Store, optional_text, optional_time, text};
use super::{
    AuditRecord, ConnectionId, DeletedProject, NewProject, OwnDatabase, Page, Project, ProjectAccess,
    ProjectDatabase, RegistryError, StoredSecret, Visibility,
};
use crate::role::Role;
use crate::secrets::Sealed;

/// The operations on projects.
#[async_trait]
pub trait Projects: Send + Sync {
    /// Creates a project in an organization.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] organization; [`RegistryError::Duplicate`] of `ref`;
    /// [`RegistryError::Unacceptable`] when a Studio's table does not take a value.
    async fn create_project(&self, new: NewProject, record: &AuditRecord) -> Result<Project, RegistryError>;

    /// Lists the projects that are visible, by name.
    async fn list_projects(
        &self,
        visibility: &Visibility,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Project>, RegistryError>;

    /// Finds one project, by its ref.
    async fn find_project(&self, reference: &str) -> Result<Option<Project>, RegistryError>;

    /// Deletes a project with its connections, members and credentials; its audit trail stays.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project; [`RegistryError::StillReferenced`] when a table of a Studio refers to it.
    async fn delete_project(
        &self,
        reference: &str,
        record: &AuditRecord,
    ) -> Result<DeletedProject, RegistryError>;

    /// Gives the user's role on the project; `None` if there is no such project. Makes one query.
    async fn find_access(
        &self,
        reference: &str,
        user_id: &str,
    ) -> Result<Option<ProjectAccess>, RegistryError>;

    /// Gives the secret that the project's own API tokens are signed with, if it has one.
    async fn project_jwt_secret(&self, reference: &str) -> Result<Option<StoredSecret>, RegistryError>;

    /// Sets that secret, sealed for [`super::jwt_secret_place`].
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project.
    async fn set_project_jwt_secret(
        &self,
        reference: &str,
        secret: &Sealed,
        record: &AuditRecord,
    ) -> Result<(), RegistryError>;

    /// Finds the project's own database, if it has one, with the password that was stored at the same moment.
    async fn find_project_database(&self, reference: &str) -> Result<Option<OwnDatabase>, RegistryError>;
}

/// Nearly every column is cast or has a default, because an older Studio's columns may have other types or NULL.
const SELECT: &str = "
    SELECT CAST(p.id AS TEXT) AS id, CAST(p.organization_id AS TEXT) AS organization_id,
           COALESCE(CAST(o.slug AS TEXT), CAST(o.id AS TEXT)) AS organization_slug,
           COALESCE(CAST(p.name AS TEXT), CAST(p.ref AS TEXT)) AS name,
           COALESCE(CAST(p.slug AS TEXT), CAST(p.ref AS TEXT)) AS slug,
           CAST(p.ref AS TEXT) AS ref,
           NULLIF(CAST(p.database_host AS TEXT), '') AS database_host,
           CAST(p.database_port AS TEXT) AS database_port,
           COALESCE(CAST(p.database_name AS TEXT), '') AS database_name,
           COALESCE(CAST(p.database_user AS TEXT), '') AS database_user,
           COALESCE([p.status], 'UNKNOWN') AS status, [p.created_at] AS created_at
    FROM projects p LEFT JOIN organizations o ON o.id = p.organization_id";

/// PostgreSQL's port, for a row without a port.
const DEFAULT_PORT: u16 = 5432;

#[async_trait]
impl Projects for Store {
    async fn create_project(&self, new: NewProject, record: &AuditRecord) -> Result<Project, RegistryError> {
        self.explained(self.add_project(new, record)).await
    }

    async fn list_projects(
        &self,
        visibility: &Visibility,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Project>, RegistryError> {
        let visible = "$1 IS NULL OR EXISTS (
                SELECT 1 FROM organization_members m
                WHERE m.organization_id = p.organization_id AND CAST(m.user_id AS TEXT) = $1
                  AND LOWER(CAST(m.role AS TEXT)) IN (known roles))
            OR EXISTS (
                SELECT 1 FROM project_members m
                WHERE m.project_id = p.id AND CAST(m.user_id AS TEXT) = $1
                  AND LOWER(CAST(m.role AS TEXT)) IN (known roles))
            OR p.ref IN (SELECT jsonb_array_elements_text(CAST($2 AS jsonb)))";
        let (user_id, references) = match visibility {
            Visibility::All => (None, &[][..]),
            Visibility::Member { user_id, references } => (Some(user_id.as_str()), references.as_slice()),
        };
        let references = serde_json::Value::from(references).to_string();
        let count = format!("SELECT COUNT(*) AS total FROM projects p WHERE {visible}");
        let row =
            sqlx::query(self.sql(&count)).bind(user_id).bind(&references).fetch_one(&self.reader).await?;
        let total: i64 = row.try_get("total")?;
        let query = format!("{SELECT} WHERE {visible} ORDER BY name, ref LIMIT $3 OFFSET $4");
        let rows = sqlx::query(self.sql(&query))
            .bind(user_id)
            .bind(&references)
            .bind(i64::from(limit))
            .bind(i64::from(offset))
            .fetch_all(&self.reader)
            .await?;
        let items = rows.iter().map(project).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    async fn find_project(&self, reference: &str) -> Result<Option<Project>, RegistryError> {
        let row = sqlx::query(self.sql(&format!("{SELECT} WHERE p.ref = $1")))
            .bind(reference)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(project).transpose()
    }

    async fn delete_project(
        &self,
        reference: &str,
        record: &AuditRecord,
    ) -> Result<DeletedProject, RegistryError> {
        let mut transaction = self.begin().await?;
        let id = self.lock_project(&mut transaction, reference).await?;
        let rows = sqlx::query(self.sql(
            "SELECT CAST(id AS TEXT) AS id FROM database_connections
             WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
        ))
        .bind(reference)
        .fetch_all(&mut *transaction)
        .await?;
        let connection =
            |row| text(row, "id")?.parse::<ConnectionId>().map_err(|_| RegistryError::corrupt("id"));
        let connections = rows.iter().map(connection).collect::<Result<_, _>>()?;
        // A Studio's foreign keys may not cascade, so every table has its own statement.
        for query in [
            "DELETE FROM database_connections WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
            "DELETE FROM project_members WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
            "DELETE FROM credentials WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
            "DELETE FROM projects WHERE ref = $1",
        ] {
            let deleted = sqlx::query(query).bind(reference).execute(&mut *transaction).await;
            deleted.map_err(|error| match RegistryError::from(error) {
                RegistryError::NotFound { .. } => RegistryError::StillReferenced { table: None },
                RegistryError::Constraint { table, is_reference: true, .. } => {
                    RegistryError::StillReferenced { table: Some(table) }
                }
                error => error,
            })?;
        }
        self.commit(transaction, record).await?;
        Ok(DeletedProject { id, connections })
    }

    async fn find_access(
        &self,
        reference: &str,
        user_id: &str,
    ) -> Result<Option<ProjectAccess>, RegistryError> {
        // One row for each pair of memberships; an older Studio's table may hold several memberships of one user.
        let rows = sqlx::query(self.sql(
            "SELECT CAST(p.id AS TEXT) AS id, CAST(o.role AS TEXT) AS organization_role,
                    CAST(m.role AS TEXT) AS project_role
             FROM projects p
             LEFT JOIN organization_members o
                    ON o.organization_id = p.organization_id AND CAST(o.user_id AS TEXT) = $2
             LEFT JOIN project_members m ON m.project_id = p.id AND CAST(m.user_id AS TEXT) = $2
             WHERE p.ref = $1",
        ))
        .bind(reference)
        .bind(user_id)
        .fetch_all(&self.reader)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let project_id = text(first, "id")?;
        let mut role = None;
        for row in &rows {
            for column in ["organization_role", "project_role"] {
                role = role.max(optional_text(row, column)?.as_deref().and_then(Role::from_stored));
            }
        }
        Ok(Some(ProjectAccess { project_id, reference: reference.to_owned(), role }))
    }

    async fn project_jwt_secret(&self, reference: &str) -> Result<Option<StoredSecret>, RegistryError> {
        let row = sqlx::query(self.sql(
            "SELECT CAST(c.jwt_secret AS TEXT) AS jwt_secret
             FROM credentials c JOIN projects p ON p.id = c.project_id WHERE p.ref = $1 LIMIT 1",
        ))
        .bind(reference)
        .fetch_optional(&self.reader)
        .await?;
        stored_secret(row, "jwt_secret")
    }

    async fn set_project_jwt_secret(
        &self,
        reference: &str,
        secret: &Sealed,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        self.explained(self.write_jwt_secret(reference, secret, record)).await
    }

    async fn find_project_database(&self, reference: &str) -> Result<Option<OwnDatabase>, RegistryError> {
        let query = format!(
            "SELECT shown.*, CAST(secret.database_password AS TEXT) AS database_password
             FROM ({SELECT} WHERE p.ref = $1) shown JOIN projects secret ON secret.ref = shown.ref"
        );
        let row = sqlx::query(self.sql(&query)).bind(reference).fetch_optional(&self.reader).await?;
        let Some(row) = row else { return Ok(None) };
        let Project { id, database: Some(database), created_at, .. } = project(&row)? else {
            return Ok(None);
        };
        let password = stored_secret(Some(row), "database_password")?;
        Ok(Some(OwnDatabase { project_id: id, database, password, created_at }))
    }
}

impl Store {
    async fn add_project(&self, new: NewProject, record: &AuditRecord) -> Result<Project, RegistryError> {
        let database = new.database.unwrap_or(ProjectDatabase {
            host: String::new(),
            port: DEFAULT_PORT,
            name: String::new(),
            user: String::new(),
        });
        let mut transaction = self.begin().await?;
        let organization =
            sqlx::query(self.sql("SELECT 1 AS found FROM organizations WHERE CAST(id AS TEXT) = $1"))
                .bind(&new.organization_id)
                .fetch_optional(&mut *transaction)
                .await?;
        if organization.is_none() {
            return Err(RegistryError::NotFound { what: "organization" });
        }
        let quota = Quota {
            count: "SELECT COUNT(*) AS total FROM projects p WHERE CAST(p.organization_id AS TEXT) = $1",
            most: self.quotas.projects_per_organization,
            what: "projects of this organization",
        };
        self.leave_room(&mut transaction, quota, &new.organization_id).await?;
        // '' instead of the table's default, which must not give a database to a project without one.
        let row = NewRow::of("projects")
            .with("organization_id", new.organization_id)
            .with("name", new.name)
            .with("slug", new.reference.as_str())
            .with("ref", new.reference.as_str())
            .with("database_host", database.host)
            .with("database_port", database.port)
            .with("database_name", database.name)
            .with("database_user", database.user)
            .with("database_password", new.database_password.as_ref().map_or("", Sealed::as_str))
            .with_optional("postgres_meta_url", None::<&str>)
            .with_optional("supabase_url", None::<&str>);
        self.insert(&mut transaction, &row).await?;
        let row = sqlx::query(self.sql(&format!("{SELECT} WHERE p.ref = $1")))
            .bind(&new.reference)
            .fetch_one(&mut *transaction)
            .await?;
        self.commit(transaction, record).await?;
        project(&row)
    }

    async fn write_jwt_secret(
        &self,
        reference: &str,
        secret: &Sealed,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.begin().await?;
        let project_id = self.lock_project(&mut transaction, reference).await?;
        // No upsert, because an older Studio's table may have no unique key for it.
        let updated = sqlx::query(
            "UPDATE credentials SET jwt_secret = $2 WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
        )
        .bind(reference)
        .bind(secret.as_str())
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() == 0 {
            let credentials = NewRow::of("credentials")
                .with("project_id", project_id)
                .with_optional("anon_key", None::<&str>)
                .with_optional("service_role_key", None::<&str>)
                .with("jwt_secret", secret.as_str());
            self.insert(&mut transaction, &credentials).await?;
        }
        self.commit(transaction, record).await
    }
}

fn stored_secret(row: Option<AnyRow>, column: &str) -> Result<Option<StoredSecret>, RegistryError> {
    let Some(row) = row else { return Ok(None) };
    Ok(optional_text(&row, column)?.and_then(StoredSecret::from_stored))
}

fn project(row: &AnyRow) -> Result<Project, RegistryError> {
    let database = match optional_text(row, "database_host")? {
        None => None,
        Some(host) => Some(ProjectDatabase {
            host,
            port: match optional_text(row, "database_port")? {
                Some(port) => port.parse().map_err(|_| RegistryError::corrupt("database_port"))?,
                None => DEFAULT_PORT,
            },
            name: text(row, "database_name")?,
            user: text(row, "database_user")?,
        }),
    };
    Ok(Project {
        id: text(row, "id")?,
        organization_id: optional_text(row, "organization_id")?,
        organization_slug: optional_text(row, "organization_slug")?,
        name: text(row, "name")?,
        slug: text(row, "slug")?,
        reference: text(row, "ref")?,
        database,
        status: text(row, "status")?,
        created_at: optional_time(row, "created_at")?,
    })
}
