//! A project's own database as a connection: the primary one of a type whose driver serves such databases, while the
//! project has none of that type. It has no row, so it can't be changed or deleted as others can.

use crate::{
    registry::{
        Connection, ConnectionId, ConnectionSelector, ConnectionStatus, EndpointParts, OwnDatabase, Registry,
        RegistryError, StoredEndpoint, StoredSecret, StoredSettings, database_password_place,
    },
    secrets::{Keyring, SealedFor},
};
use secrecy::ExposeSecret;
use serde_json::Map;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use studio_plugin_api::sync::lock;
use uuid::Builder;

/// The name by which `?connection=` finds it, unless a connection of its type has that name.
const IDENTIFIER: &str = "project";
/// The most databases whose versions are remembered.
const MOST_VERSIONS: usize = 20_000;

/// Makes the id of a project's own database as a connection of a type: always the same, and different for each project.
pub fn connection_id(project_id: &str, database_type: &str) -> ConnectionId {
    let digest = digest(["project database", project_id, database_type]);
    let (half, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    ConnectionId(Builder::from_custom_bytes(*half).into_uuid())
}

/// The projects' own databases.
pub struct ProjectDatabases {
    registry: Arc<dyn Registry>,
    keyring: Arc<Keyring>,
    versions: Mutex<Versions>,
}

impl ProjectDatabases {
    /// Serves the databases in this registry.
    pub fn new(registry: Arc<dyn Registry>, keyring: Arc<Keyring>) -> Self {
        Self { registry, keyring, versions: Mutex::default() }
    }

    /// Finds the project's own database, if the selector means it and it stands in for connections of the type.
    ///
    /// # Errors
    /// The registry's.
    pub async fn find(
        &self,
        reference: &str,
        database_type: &str,
        selector: &ConnectionSelector,
    ) -> Result<Option<Connection>, RegistryError> {
        let Some(own) = self.registry.find_project_database(reference).await? else { return Ok(None) };
        let is_meant = match selector {
            ConnectionSelector::Primary => true,
            ConnectionSelector::Id(id) => *id == connection_id(&own.project_id, database_type),
            ConnectionSelector::Identifier(name) => name == IDENTIFIER,
        };
        let primary = ConnectionSelector::Primary;
        if !is_meant || self.registry.find_connection(reference, database_type, &primary).await?.is_some() {
            return Ok(None);
        }
        Ok(Some(self.connection(reference, database_type, own)))
    }

    /// Finds the project's own database, whether it stands in for a connection or not.
    ///
    /// # Errors
    /// The registry's.
    pub async fn find_own(
        &self,
        reference: &str,
        database_type: &str,
    ) -> Result<Option<Connection>, RegistryError> {
        let own = self.registry.find_project_database(reference).await?;
        Ok(own.map(|own| self.connection(reference, database_type, own)))
    }

    fn connection(&self, reference: &str, database_type: &str, own: OwnDatabase) -> Connection {
        let OwnDatabase { project_id, database, password, created_at } = own;
        let id = connection_id(&project_id, database_type);
        let opened =
            password.as_ref().map(|stored| stored.open(&self.keyring, &database_password_place(reference)));
        // The password is sealed anew for this connection, in memory alone, so that it is like any other's. One that
        // does not open stays as it is, and fails where others fail.
        let password = match (&opened, password) {
            (Some(Ok(plain)), _) => {
                let sealed_for = SealedFor { record: &id.to_string(), field: "password" };
                Some(self.keyring.seal(&sealed_for, plain.expose_secret()))
            }
            (_, Some(StoredSecret::Sealed(sealed))) => Some(sealed),
            _ => None,
        };
        let secret = match (&opened, &password) {
            (Some(Ok(plain)), _) => plain.expose_secret(),
            (_, Some(sealed)) => sealed.as_str(),
            _ => "",
        };
        let port = database.port.to_string();
        let fingerprint = digest([&database.host, &port, &database.name, &database.user, secret]);
        let settings_version = lock(&self.versions).of(id, fingerprint);
        let created_at = created_at.unwrap_or_default();
        Connection {
            id,
            project_id,
            database_type: database_type.to_owned(),
            identifier: IDENTIFIER.to_owned(),
            settings: StoredSettings {
                endpoint: StoredEndpoint::Parts(EndpointParts {
                    host: database.host,
                    port: Some(database.port),
                    database_name: Some(database.name).filter(|name| !name.is_empty()),
                    username: Some(database.user).filter(|user| !user.is_empty()),
                    password,
                }),
                options: Map::new(),
            },
            is_primary: true,
            is_implicit: true,
            status: ConnectionStatus::Active,
            settings_version,
            updated_at: created_at.clone(),
            created_at,
        }
    }
}

/// Hashes the parts, each with its length before it, so that two lists of parts are never the same bytes.
fn digest<const PARTS: usize>(parts: [&str; PARTS]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Numbers the settings in the order in which they were seen, since their row has no version. A later version has a
/// greater number, as sessions need it.
#[derive(Default)]
struct Versions {
    last: i64,
    known: HashMap<ConnectionId, ([u8; 32], i64)>,
}

impl Versions {
    fn of(&mut self, id: ConnectionId, fingerprint: [u8; 32]) -> i64 {
        match self.known.get(&id) {
            Some((known, version)) if *known == fingerprint => *version,
            _ => {
                if self.known.len() >= MOST_VERSIONS {
                    self.known.clear();
                }
                self.last += 1;
                self.known.insert(id, (fingerprint, self.last));
                self.last
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_one_projects_and_types_own() {
        let id = connection_id("1", "thing");
        assert_eq!(id, connection_id("1", "thing"));
        assert_ne!(id, connection_id("2", "thing"));
        assert_ne!(id, connection_id("1", "other"));
        assert_ne!(connection_id("1t", "hing"), id);
        assert_eq!(id.0.get_version_num(), 8);
    }

    #[test]
    fn versions_go_up_with_every_change_and_stay_without() {
        let mut versions = Versions::default();
        let (one, other) = (connection_id("1", "thing"), connection_id("2", "thing"));
        let [first, second] = ["a", "b"].map(|text| digest([text]));
        let seen = [(one, first), (one, first), (other, first), (one, second), (one, first)];
        assert_eq!(seen.map(|(id, fingerprint)| versions.of(id, fingerprint)), [1, 1, 2, 3, 4]);
    }
}
