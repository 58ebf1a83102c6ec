//! Organizations.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::NewRow;
use super::store::{Quota, Store, optional_text, optional_time, text};
use super::{AuditRecord, NewOrganization, Organization, Page, RegistryError, Visibility};
use crate::role::Role;

/// The operations on organizations.
#[async_trait]
pub trait Organizations: Send + Sync {
    /// Creates an organization and makes its owner a member.
    ///
    /// # Errors
    /// [`RegistryError::Duplicate`] of `slug`; [`RegistryError::Unacceptable`] when a Studio's tables do not take a
    /// value; its field is `user_id` if the value is the owner's id.
    async fn create_organization(
        &self,
        new: NewOrganization,
        record: &AuditRecord,
    ) -> Result<Organization, RegistryError>;

    /// Lists the organizations that are visible, by name.
    async fn list_organizations(
        &self,
        visibility: &Visibility,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Organization>, RegistryError>;

    /// Finds one organization, by id or slug. If one's id is another's slug, the id wins: nobody can choose an id.
    async fn find_organization(&self, slug_or_id: &str) -> Result<Option<Organization>, RegistryError>;

    /// Gives the user's role in the organization that [`Organizations::find_organization`] finds.
    async fn organization_role(&self, slug_or_id: &str, user_id: &str)
    -> Result<Option<Role>, RegistryError>;
}

/// `billing_email` is '' if there is none, because an older Studio's column may be NOT NULL.
const SELECT: &str = "
    SELECT CAST(o.id AS TEXT) AS id, CAST(o.name AS TEXT) AS name,
           COALESCE(CAST(o.slug AS TEXT), CAST(o.id AS TEXT)) AS slug,
           NULLIF([o.billing_email], '') AS billing_email,
           [o.created_at] AS created_at, [o.updated_at] AS updated_at
    FROM organizations o";

/// Finds one organization by its id or, failing that, its slug.
const BY_SLUG_OR_ID: &str = "
    WHERE CAST(o.id AS TEXT) = $1 OR o.slug = $1
    ORDER BY CASE WHEN CAST(o.id AS TEXT) = $1 THEN 0 ELSE 1 END
    LIMIT 1";

#[async_trait]
impl Organizations for Store {
    async fn create_organization(
        &self,
        new: NewOrganization,
        record: &AuditRecord,
    ) -> Result<Organization, RegistryError> {
        self.explained(self.add_organization(new, record)).await
    }

    async fn list_organizations(
        &self,
        visibility: &Visibility,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Organization>, RegistryError> {
        let visible = "$1 IS NULL OR EXISTS (
            SELECT 1 FROM organization_members m
            WHERE m.organization_id = o.id AND CAST(m.user_id AS TEXT) = $1
              AND LOWER(CAST(m.role AS TEXT)) IN (known roles))";
        let user_id = match visibility {
            Visibility::All => None,
            Visibility::Member { user_id, .. } => Some(user_id.as_str()),
        };
        let count = format!("SELECT COUNT(*) AS total FROM organizations o WHERE {visible}");
        let row = sqlx::query(self.sql(&count)).bind(user_id).fetch_one(&self.reader).await?;
        let total: i64 = row.try_get("total")?;
        let query = format!("{SELECT} WHERE {visible} ORDER BY name, id LIMIT $2 OFFSET $3");
        let rows = sqlx::query(self.sql(&query))
            .bind(user_id)
            .bind(i64::from(limit))
            .bind(i64::from(offset))
            .fetch_all(&self.reader)
            .await?;
        let items = rows.iter().map(organization).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    async fn find_organization(&self, slug_or_id: &str) -> Result<Option<Organization>, RegistryError> {
        let row = sqlx::query(self.sql(&format!("{SELECT} {BY_SLUG_OR_ID}")))
            .bind(slug_or_id)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(organization).transpose()
    }

    async fn organization_role(
        &self,
        slug_or_id: &str,
        user_id: &str,
    ) -> Result<Option<Role>, RegistryError> {
        let rows = sqlx::query(self.sql(&format!(
            "SELECT CAST(m.role AS TEXT) AS role FROM organization_members m
             WHERE m.organization_id = (SELECT o.id FROM organizations o {BY_SLUG_OR_ID})
               AND CAST(m.user_id AS TEXT) = $2"
        )))
        .bind(slug_or_id)
        .bind(user_id)
        .fetch_all(&self.reader)
        .await?;
        let roles = rows.iter().map(|row| optional_text(row, "role")).collect::<Result<Vec<_>, _>>()?;
        Ok(roles.iter().flatten().filter_map(|role| Role::from_stored(role)).max())
    }
}

impl Store {
    async fn add_organization(
        &self,
        new: NewOrganization,
        record: &AuditRecord,
    ) -> Result<Organization, RegistryError> {
        let mut transaction = self.begin().await?;
        let quota = Quota {
            count: "SELECT COUNT(*) AS total FROM organization_members m
                    WHERE CAST(m.user_id AS TEXT) = $1 AND LOWER(CAST(m.role AS TEXT)) = 'owner'",
            most: self.quotas.organizations_per_user,
            what: "organizations of this owner",
        };
        self.leave_room(&mut transaction, quota, &new.owner).await?;
        let row = NewRow::of("organizations")
            .with("name", new.name)
            .with("slug", new.slug)
            .with_optional("billing_email", new.billing_email);
        let id = self.insert_for_id(&mut transaction, &row).await?;
        let member = NewRow::of("organization_members")
            .with("organization_id", id.as_str())
            .with("user_id", new.owner);
        self.write_membership(&mut transaction, &member, Role::Owner, false).await?;
        let row = sqlx::query(self.sql(&format!("{SELECT} WHERE CAST(o.id AS TEXT) = $1")))
            .bind(&id)
            .fetch_one(&mut *transaction)
            .await?;
        self.commit(transaction, record).await?;
        organization(&row)
    }
}

fn organization(row: &AnyRow) -> Result<Organization, RegistryError> {
    Ok(Organization {
        id: text(row, "id")?,
        name: text(row, "name")?,
        slug: text(row, "slug")?,
        billing_email: optional_text(row, "billing_email")?,
        created_at: optional_time(row, "created_at")?,
        updated_at: optional_time(row, "updated_at")?,
    })
}
