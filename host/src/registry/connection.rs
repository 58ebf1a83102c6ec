//! The types of connections. The queries are in `connections.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::secrets::Sealed;

/// The id of a connection. Its creator makes the id first, because the connection's secrets are sealed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub Uuid);

impl ConnectionId {
    /// Makes a new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for ConnectionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Whether a connection is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectionStatus {
    /// In use.
    #[default]
    Active,
    /// Switched off by an admin: no session is opened.
    Inactive,
    /// The last attempt to open a session failed, or most calls fail.
    Error,
    /// A session is being opened for the first time. The gateway reads this status, but never writes it.
    Connecting,
}

impl ConnectionStatus {
    /// Gives the status's name, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Error => "ERROR",
            Self::Connecting => "CONNECTING",
        }
    }

    /// Reads a status by its exact name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Inactive, Self::Error, Self::Connecting]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// Holds a connection's settings, each secret sealed for the connection's id and its field.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSettings {
    /// Where the database is and how to log in to it.
    pub endpoint: StoredEndpoint,
    /// The driver's options; the secret ones are sealed for [`super::option_below`].
    pub options: Map<String, Value>,
}

/// Says where a database is and how to log in to it: in parts or in one text, never both.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredEndpoint {
    /// Given in parts.
    Parts(EndpointParts),
    /// Given as one URL, sealed for `connection_string`.
    ConnectionString(Sealed),
}

/// Holds the parts of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointParts {
    /// Host name or address.
    pub host: String,
    /// TCP port; a row without one, which the gateway never writes, means the driver's usual port.
    pub port: Option<u16>,
    /// The database's name.
    pub database_name: Option<String>,
    /// The user to log in as.
    pub username: Option<String>,
    /// Sealed for `password`.
    pub password: Option<Sealed>,
}

impl StoredEndpoint {
    /// Returns the parts, if the endpoint is given in parts.
    pub fn parts(&self) -> Option<&EndpointParts> {
        match self {
            Self::Parts(parts) => Some(parts),
            Self::ConnectionString(_) => None,
        }
    }

    /// Returns the connection string, if the endpoint is given as one.
    pub fn connection_string(&self) -> Option<&Sealed> {
        match self {
            Self::Parts(_) => None,
            Self::ConnectionString(text) => Some(text),
        }
    }
}

/// One stored connection. It is not `Serialize`, so that its secrets cannot get into an answer by mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The id (not the ref) of its project.
    pub project_id: String,
    /// Which driver it is for, e.g. `redis`.
    pub database_type: String,
    /// Its name, unique in the project.
    pub identifier: String,
    /// Its endpoint and its options.
    pub settings: StoredSettings,
    /// Whether it is the connection that a route of its type uses if the request names none.
    pub is_primary: bool,
    /// Whether it is the project's own database, which has no row here.
    pub is_implicit: bool,
    /// Whether it is in use.
    pub status: ConnectionStatus,
    /// Grows with every change of a setting; open sessions are keyed by it.
    pub settings_version: i64,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// As `created_at`.
    pub updated_at: String,
}

impl Connection {
    /// Tells whether all settings are those of `other`, comparing secrets as they are sealed. Its status and whether it
    /// is primary are not settings.
    pub(super) fn is_set_as(&self, other: &Self) -> bool {
        let Self { identifier, settings, settings_version, .. } = self;
        (identifier, settings, settings_version)
            == (&other.identifier, &other.settings, &other.settings_version)
    }
}

/// A connection to be created.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// From [`ConnectionId::random`].
    pub id: ConnectionId,
    /// Which driver it is for.
    pub database_type: String,
    /// Its name, unique in the project.
    pub identifier: String,
    /// Its endpoint and its options.
    pub settings: StoredSettings,
    /// Whether it replaces the primary connection of its type. The first one of its type is primary in any case.
    pub is_primary: bool,
    /// Whether it is in use.
    pub status: ConnectionStatus,
}

/// The changes to make in a connection; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ConnectionChanges {
    /// A new name.
    pub identifier: Option<String>,
    /// All settings, replacing the old ones.
    pub settings: Option<StoredSettings>,
    /// `true` makes it the primary one of its type. `false` makes the oldest other one primary, if there is one.
    pub is_primary: Option<bool>,
    /// Switches it on or off. This is not a setting: open sessions keep their version.
    pub status: Option<ConnectionStatus>,
}

impl ConnectionChanges {
    /// Applies the changes to `connection`, except `is_primary`, which concerns other rows too. The version grows if a
    /// setting changed.
    pub(super) fn apply(self, connection: &mut Connection) {
        let mut changed = set(&mut connection.identifier, self.identifier);
        changed |= set(&mut connection.settings, self.settings);
        set(&mut connection.status, self.status);
        connection.settings_version += i64::from(changed);
    }
}

/// Puts `new` into `field` if there is a new value; tells whether that changed the field.
fn set<T: PartialEq>(field: &mut T, new: Option<T>) -> bool {
    match new {
        Some(new) if new != *field => {
            *field = new;
            true
        }
        _ => false,
    }
}

/// How a request names a connection of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionSelector {
    /// The request names none: the primary one.
    Primary,
    /// By id.
    Id(ConnectionId),
    /// By name.
    Identifier(String),
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items all pages have together.
    pub total: u64,
}
