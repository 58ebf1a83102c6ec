//! What the registry knows about organizations, projects and people. (Connections: see `connection.rs`.)

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::ConnectionId;
use crate::role::Role;
use crate::secrets::{Keyring, OpenError, Place, Sealed};

/// Which organizations or projects a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Every one.
    All,
    /// Those that the user has a role on.
    Member {
        /// The user.
        user_id: String,
        /// Projects that the user's token opens besides; they do not show their organization.
        references: Vec<String>,
    },
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization {
    /// A UUID, or a number in an older Studio's database.
    pub id: String,
    /// For people to read.
    pub name: String,
    /// Unique; the id where an older Studio's row has none.
    pub slug: String,
    /// Where bills go.
    pub billing_email: Option<String>,
    /// RFC 3339, UTC, milliseconds; absent where an older Studio's row has none.
    pub created_at: Option<String>,
    /// As `created_at`.
    pub updated_at: Option<String>,
}

/// An organization to be.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    /// For people to read.
    pub name: String,
    /// Unique.
    pub slug: String,
    /// Where bills go.
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
    /// For people to read.
    pub name: String,
    /// As its `ref`, in projects made here; what an older Studio chose, in others.
    pub slug: String,
    /// What URLs and tokens call it; unique.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its own PostgreSQL database, if it has one.
    pub database: Option<ProjectDatabase>,
    /// Studio's word for its state, e.g. `ACTIVE_HEALTHY`.
    pub status: String,
    /// RFC 3339, UTC, milliseconds; absent where an older Studio's row has none.
    pub created_at: Option<String>,
}

/// Where a project's own database is. The password is apart, in [`OwnDatabase`].
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

/// A project's own database, with all that a connection to it needs.
#[derive(Debug, Clone)]
pub struct OwnDatabase {
    /// The project's id.
    pub project_id: String,
    /// Where it is.
    pub database: ProjectDatabase,
    /// Its password, if it has one; sealed for [`database_password_place`], or as an older Studio wrote it.
    pub password: Option<StoredSecret>,
    /// As the project's.
    pub created_at: Option<String>,
}

/// A project to be.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The id (not the slug) of its organization.
    pub organization_id: String,
    /// For people to read.
    pub name: String,
    /// What URLs and tokens will call it; unique.
    pub reference: String,
    /// Its own PostgreSQL database, if it has one.
    pub database: Option<ProjectDatabase>,
    /// That database's password, sealed for [`database_password_place`].
    pub database_password: Option<Sealed>,
}

/// What went with a project that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedProject {
    /// The project's id.
    pub id: String,
    /// Its connections.
    pub connections: Vec<ConnectionId>,
}

/// What one user may do on one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectAccess {
    /// The project's id.
    pub project_id: String,
    /// The project's ref.
    pub reference: String,
    /// The higher of the user's roles in the organization and in the project; none when neither gives one.
    pub role: Option<Role>,
}

/// One membership that gives a role on a project. A user with two of them is listed twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user, as the token's `sub` has it.
    pub user_id: String,
    /// What the membership gives.
    pub role: Role,
    /// Where it is.
    pub via: MemberVia,
}

/// Where a membership is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberVia {
    /// In the project's organization.
    Organization,
    /// In the project itself.
    Project,
}

/// A secret of a project as it is stored.
#[derive(Debug, Clone)]
pub enum StoredSecret {
    /// Sealed by the gateway.
    Sealed(Sealed),
    /// Plain, as an older Studio wrote it. It is left so: that Studio still reads it.
    Plain(SecretString),
}

impl StoredSecret {
    /// Tells the two forms apart; nothing when `text` is empty.
    pub(super) fn from_stored(text: String) -> Option<Self> {
        match text.parse() {
            _ if text.is_empty() => None,
            Ok(sealed) => Some(Self::Sealed(sealed)),
            Err(_) => Some(Self::Plain(text.into())),
        }
    }

    /// The secret itself.
    ///
    /// # Errors
    /// [`OpenError`], when it is sealed and does not open at `place`.
    pub fn open(&self, keyring: &Keyring, place: &Place<'_>) -> Result<SecretString, OpenError> {
        match self {
            Self::Sealed(sealed) => keyring.open(place, sealed),
            Self::Plain(plain) => Ok(plain.expose_secret().into()),
        }
    }
}

/// Where a project's own database password is sealed.
pub fn database_password_place(reference: &str) -> Place<'_> {
    Place { record: reference, field: "database_password" }
}

/// Where a project's JWT secret is sealed.
pub fn jwt_secret_place(reference: &str) -> Place<'_> {
    Place { record: reference, field: "jwt_secret" }
}

/// One line of the audit trail. Never a value.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// When it happened; stored to the millisecond.
    pub at: jiff::Timestamp,
    /// Who did it; none before authentication.
    pub user_id: Option<String>,
    /// What, e.g. `connection.create`.
    pub action: String,
    /// In which project.
    pub project_ref: Option<String>,
    /// To what, e.g. a connection's id.
    pub target: Option<String>,
    /// How it ended: `ok`, or the error's code.
    pub result: String,
    /// The caller's address.
    pub remote_address: Option<String>,
    /// The request, as in the log.
    pub request_id: Option<String>,
}
