//! Members of projects.

use async_trait::async_trait;

use super::store::{Store, optional_text, text};
use super::{Member, MemberVia, RegistryError, Role};

/// What the registry does with members.
#[async_trait]
pub trait Members: Send + Sync {
    /// Everyone who has a role on the project, by user id, the organization's members before the project's own.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project.
    async fn list_members(&self, reference: &str) -> Result<Vec<Member>, RegistryError>;

    /// Makes the user a member of the project with this role, or changes the role. An organization's membership is not
    /// touched; the higher role counts.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project; [`RegistryError::Unacceptable`] when an older Studio's table does not take the
    /// user id or the role.
    async fn put_member(&self, reference: &str, user_id: &str, role: Role) -> Result<(), RegistryError>;

    /// Ends the user's membership in the project, not in its organization. Tells whether there was one.
    async fn remove_member(&self, reference: &str, user_id: &str) -> Result<bool, RegistryError>;
}

#[async_trait]
impl Members for Store {
    async fn list_members(&self, reference: &str) -> Result<Vec<Member>, RegistryError> {
        // The first part is there for the project's existence: it gives one row without a user.
        let rows = sqlx::query(self.sql(
            "SELECT 'project' AS via, CAST(NULL AS TEXT) AS user_id, CAST(NULL AS TEXT) AS role
             FROM projects p WHERE p.ref = $1
             UNION ALL
             SELECT 'organization', CAST(m.user_id AS TEXT), CAST(m.role AS TEXT)
             FROM projects p JOIN organization_members m ON m.organization_id = p.organization_id WHERE p.ref = $1
             UNION ALL
             SELECT 'project', CAST(m.user_id AS TEXT), CAST(m.role AS TEXT)
             FROM projects p JOIN project_members m ON m.project_id = p.id WHERE p.ref = $1
             ORDER BY user_id, via",
        ))
        .bind(reference)
        .fetch_all(&self.reader)
        .await?;
        if rows.is_empty() {
            return Err(RegistryError::NotFound { what: "project" });
        }
        let mut members = Vec::new();
        for row in &rows {
            let role = optional_text(row, "role")?.as_deref().and_then(Role::from_stored);
            if let (Some(user_id), Some(role)) = (optional_text(row, "user_id")?, role) {
                let via =
                    if text(row, "via")? == "project" { MemberVia::Project } else { MemberVia::Organization };
                members.push(Member { user_id, role, via });
            }
        }
        Ok(members)
    }

    async fn put_member(&self, reference: &str, user_id: &str, role: Role) -> Result<(), RegistryError> {
        let put = sqlx::query(self.sql(
            "INSERT INTO project_members (project_id, user_id, role)
             SELECT p.id, typed.user_id, typed.role
             FROM projects p, jsonb_populate_record(CAST(NULL AS project_members), jsonb_build_object('user_id', $2, 'role', $3)) typed
             WHERE p.ref = $1
             ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role",
        ))
        .bind(reference)
        .bind(user_id)
        .bind(role.as_str())
        .execute(&self.writer)
        .await?;
        if put.rows_affected() == 0 { Err(RegistryError::NotFound { what: "project" }) } else { Ok(()) }
    }

    async fn remove_member(&self, reference: &str, user_id: &str) -> Result<bool, RegistryError> {
        let removed = sqlx::query(self.sql(
            "DELETE FROM project_members
             WHERE project_id = (SELECT id FROM projects WHERE ref = $1) AND CAST(user_id AS TEXT) = $2",
        ))
        .bind(reference)
        .bind(user_id)
        .execute(&self.writer)
        .await?;
        Ok(removed.rows_affected() > 0)
    }
}
