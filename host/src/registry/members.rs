//! Members of projects.

use async_trait::async_trait;

use super::rows::NewRow;
use super::store::{Quota, Store, optional_text, text};
use super::{AuditRecord, Member, MemberVia, RegistryError};
use crate::role::Role;

/// The operations on members.
#[async_trait]
pub trait Members: Send + Sync {
    /// Lists all memberships that give a role on the project, by user id, the organization's before the project's own.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project.
    async fn list_members(&self, reference: &str) -> Result<Vec<Member>, RegistryError>;

    /// Makes the user a member of the project with this role, or changes the role. A membership in the organization
    /// stays as it is; the higher role counts.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project; [`RegistryError::Unacceptable`] of `user_id` or `role` when a Studio's
    /// table does not take it. A role is written by the table's own name for it.
    async fn put_member(
        &self,
        reference: &str,
        user_id: &str,
        role: Role,
        record: &AuditRecord,
    ) -> Result<(), RegistryError>;

    /// Ends the user's membership in the project, not in its organization.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] project or member.
    async fn remove_member(
        &self,
        reference: &str,
        user_id: &str,
        record: &AuditRecord,
    ) -> Result<(), RegistryError>;
}

#[async_trait]
impl Members for Store {
    async fn list_members(&self, reference: &str) -> Result<Vec<Member>, RegistryError> {
        // The first part shows that the project exists: it gives one row without a user.
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

    async fn put_member(
        &self,
        reference: &str,
        user_id: &str,
        role: Role,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        self.explained(self.write_member(reference, user_id, role, record)).await
    }

    async fn remove_member(
        &self,
        reference: &str,
        user_id: &str,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.begin().await?;
        self.lock_project(&mut transaction, reference).await?;
        let removed = sqlx::query(self.sql(
            "DELETE FROM project_members
             WHERE project_id = (SELECT id FROM projects WHERE ref = $1) AND CAST(user_id AS TEXT) = $2",
        ))
        .bind(reference)
        .bind(user_id)
        .execute(&mut *transaction)
        .await?;
        if removed.rows_affected() == 0 {
            return Err(RegistryError::NotFound { what: "member" });
        }
        self.commit(transaction, record).await
    }
}

impl Store {
    /// Adds or changes a membership. Without an upsert, for which a Studio's table may lack a unique key; the project's
    /// lock keeps other writers out.
    async fn write_member(
        &self,
        reference: &str,
        user_id: &str,
        role: Role,
        record: &AuditRecord,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.begin().await?;
        let project_id = self.lock_project(&mut transaction, reference).await?;
        let found = sqlx::query(self.sql(
            "SELECT 1 AS found FROM project_members
             WHERE project_id = (SELECT id FROM projects WHERE ref = $1) AND CAST(user_id AS TEXT) = $2",
        ))
        .bind(reference)
        .bind(user_id)
        .fetch_all(&mut *transaction)
        .await?;
        if found.is_empty() {
            let quota = Quota {
                count: "SELECT COUNT(*) AS total FROM project_members
                        WHERE project_id = (SELECT id FROM projects WHERE ref = $1)",
                most: self.quotas.members_per_project,
                what: "members of this project",
            };
            self.leave_room(&mut transaction, quota, reference).await?;
        }
        let membership =
            NewRow::of("project_members").with("project_id", project_id).with("user_id", user_id);
        self.write_membership(&mut transaction, &membership, role, !found.is_empty()).await?;
        self.commit(transaction, record).await
    }
}
