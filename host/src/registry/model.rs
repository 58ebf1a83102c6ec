//! The types of organizations, projects and people. (Connections: see `connection.rs`.)

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::ConnectionId;
use crate::role::Role;
use crate::secrets::{Keyring, OpenError, Sealed, SealedFor};

/// Which organizations or projects a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// All of them.
    All,
    /// Those on which the user has a role.
    Member {
        /// The user.
        user_id: String,
        /// Further projects that the user's token gives access to; their organizations are not shown.
        references: Vec<String>,
    },
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization {
    /// A UUID, or a number in an older Studio's database.
    pub id: String,
    /// The name for people to read.
    pub name: String,
    /// Unique; the id if an older Studio's row has none.
    pub slug: String,
    /// The address for bills.
    pub billing_email: Option<String>,
    /// RFC 3339, UTC, milliseconds; absent if an older Studio's row has no value.
    pub created_at: Option<String>,
    /// As `created_at`.
    pub updated_at: Option<String>,
}

/// An organization to be created.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    /// The name for people to read.
    pub name: String,
    /// Unique.
    pub slug: String,
    /// The address for bills.
    pub billing_email: Option<String>,
    /// The user who becomes its owner.
    pub owner: String,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    /// A UUID, or a number in an older Studio's database.
    pub id: String,
    /// The organization it belongs to; absent only in rows of an older Studio.
    pub organization_id: Option<String>,
    /// That organization's slug.
    pub organization_slug: Option<String>,
    /// The name for people to read.
    pub name: String,
    /// Equal to `ref` in projects made here; an older Studio may have chosen another.
    pub slug: String,
    /// The project's name in URLs and tokens; unique.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its own PostgreSQL database, if it has one.
    pub database: Option<ProjectDatabase>,
    /// The Studio's word for the project's state, e.g. `ACTIVE_HEALTHY`.
    pub status: String,
    /// RFC 3339, UTC, milliseconds; absent if an older Studio's row has no value.
    pub created_at: Option<String>,
}

/// The place of a project's own database. The password is kept apart, in [`OwnDatabase`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectDatabase {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database's name.
    pub name: String,
    /// The user to log in as.
    pub user: String,
}

/// A project's own database, with everything that a connection to it needs.
#[derive(Debug, Clone)]
pub struct OwnDatabase {
    /// The project's id.
    pub project_id: String,
    /// Its host, port, name and user.
    pub database: ProjectDatabase,
    /// Its password, if it has one; sealed for [`database_password_place`], or as an older Studio wrote it.
    pub password: Option<StoredSecret>,
    /// The project's creation time.
    pub created_at: Option<String>,
}

/// A project to be created.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The id (not the slug) of its organization.
    pub organization_id: String,
    /// The name for people to read.
    pub name: String,
    /// The project's name in URLs and tokens; unique.
    pub reference: String,
    /// Its own PostgreSQL database, if it has one.
    pub database: Option<ProjectDatabase>,
    /// That database's password, sealed for [`database_password_place`].
    pub database_password: Option<Sealed>,
}

/// The ids of a deleted project and of its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedProject {
    /// The project's id.
    pub id: String,
    /// Its connections.
    pub connections: Vec<ConnectionId>,
}

/// The role of one user on one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectAccess {
    /// The project's id.
    pub project_id: String,
    /// The project's ref.
    pub reference: String,
    /// The higher of the user's roles in the organization and in the project; `None` if the user has neither.
    pub role: Option<Role>,
}

/// One membership that gives a role on a project. A user with two memberships is listed twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user, as the token's `sub` has it.
    pub user_id: String,
    /// The role that the membership gives.
    pub role: Role,
    /// The place of the membership.
    pub via: MemberVia,
}

/// The place of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberVia {
    /// In the project's organization.
    Organization,
    /// In the project itself.
    Project,
}

/// A project's secret in its stored form.
#[derive(Debug, Clone)]
pub enum StoredSecret {
    /// Sealed by the gateway.
    Sealed(Sealed),
    /// Plain, as an older Studio wrote it. It stays so, because that Studio still reads it.
    Plain(SecretString),
}

impl StoredSecret {
    /// Tells the two forms apart; gives `None` if `text` is empty.
    pub(super) fn from_stored(text: String) -> Option<Self> {
        match text.parse() {
            _ if text.is_empty() => None,
            Ok(sealed) => Some(Self::Sealed(sealed)),
            Err(_) => Some(Self::Plain(text.into())),
        }
    }

    /// Gives the secret in plain text.
    ///
    /// # Errors
    /// [`OpenError`] when it is sealed and does not open at `sealed_for`.
    pub fn open(&self, keyring: &Keyring, sealed_for: &SealedFor<'_>) -> Result<SecretString, OpenError> {
        match self {
            Self::Sealed(sealed) => keyring.open(sealed_for, sealed),
            Self::Plain(plain) => Ok(plain.expose_secret().into()),
        }
    }
}

/// Gives the place that a project's own database password is sealed for.
pub fn database_password_place(reference: &str) -> SealedFor<'_> {
    SealedFor { record: reference, field: "database_password" }
}

/// Gives the place that a project's JWT secret is sealed for.
pub fn jwt_secret_place(reference: &str) -> SealedFor<'_> {
    SealedFor { record: reference, field: "jwt_secret" }
}

/// One record of the audit trail. It never holds a stored value or a secret.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// When it happened; stored to the millisecond.
    pub at: jiff::Timestamp,
    /// The caller; `None` before authentication.
    pub user_id: Option<String>,
    /// The action, e.g. `connection.create`.
    pub action: String,
    /// The project of the action.
    pub project_ref: Option<String>,
    /// The object of the action, e.g. a connection's id.
    pub target: Option<String>,
    /// The result: `ok`, or the error's code.
    pub result: String,
    /// The caller's address.
    pub remote_address: Option<String>,
    /// The request's id, as in the log.
    pub request_id: Option<String>,
}
