//! Creating, changing, deleting and testing connections.

use super::{
    input::{
        ChangeConnection, CreateConnection, GivenConnection, GivenSettings, InvalidField, SettableStatus,
        check_identifier,
    },
    options, redirection,
};
use crate::{
    addresses::{AddressError, AddressPolicy},
    cache::ReplyCache,
    connections::{
        project_database::connection_id,
        settings::{SettingsError, check_declared, open_settings},
        target::Target,
    },
    directory::Directory,
    plugins::Driver,
    registry::{
        AuditRecord, Connection, ConnectionChanges, ConnectionId, ConnectionSelector, ConnectionStatus,
        NewConnection, Registry, RegistryError, StoredSettings,
    },
    secrets::{Keyring, SealedFor},
    sessions::Sessions,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use studio_plugin_api::DriverError;

/// How often a change is tried on a connection that others keep changing.
const TRIES: u32 = 5;
/// How long a driver may take to look at settings.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// Why a connection could not be managed.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// A field does not fit.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// The driver refuses the settings.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The address is forbidden.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Stored secrets do not open.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no such connection.
    #[error("there is no connection `{0}` of this type in the project")]
    NoConnection(String),
    /// The registry's.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// The result of a connection test.
#[derive(Debug)]
pub struct TestResult {
    /// From the start of connecting to the server's answer.
    pub latency: Duration,
    /// The server's facts, `version` among them, or why there are none.
    pub outcome: Result<Map<String, Value>, DriverError>,
}

/// Manages connections.
pub struct ConnectionManager {
    directory: Arc<Directory>,
    keyring: Arc<Keyring>,
    sessions: Sessions,
    cache: Arc<ReplyCache>,
    addresses: AddressPolicy,
}

impl ConnectionManager {
    /// Makes a service that works with these parts.
    pub fn new(
        directory: Arc<Directory>,
        keyring: Arc<Keyring>,
        sessions: Sessions,
        cache: Arc<ReplyCache>,
        addresses: AddressPolicy,
    ) -> Self {
        Self { directory, keyring, sessions, cache, addresses }
    }

    /// Creates a connection of the driver's type. The record's target becomes its id.
    ///
    /// # Errors
    /// [`ManagementError`]; nothing is stored then.
    pub async fn create(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        body: CreateConnection,
        record: AuditRecord,
    ) -> Result<Connection, ManagementError> {
        check_identifier("identifier", &body.identifier)?;
        let id = ConnectionId::random();
        let GivenConnection { identifier, is_primary, status, settings } = body.check()?;
        let settings = self.seal_settings(id, driver, None, settings)?;
        self.check(id, &settings, driver).await?;
        let new = NewConnection {
            id,
            database_type: driver.manifest().database_type.clone(),
            identifier,
            settings,
            is_primary: is_primary.unwrap_or(false),
            status: stored_status(status).unwrap_or_default(),
        };
        let record = AuditRecord { target: Some(new.id.to_string()), ..record };
        let reference = reference.to_owned();
        let change = |registry: Arc<dyn Registry>| async move {
            registry.create_connection(&reference, new, &record).await
        };
        // The new connection takes over from the project's own database, if that stood in for it.
        let end = self.end();
        let then =
            move |created: &Connection| end(connection_id(&created.project_id, &created.database_type));
        Ok(self.directory.change(change, then).await?)
    }

    /// Closes a connection's sessions and drops its kept replies.
    fn end(&self) -> impl FnOnce(ConnectionId) + Send + 'static {
        let (sessions, cache) = (self.sessions.clone(), self.cache.clone());
        move |id| {
            sessions.close(id);
            cache.forget([id]);
        }
    }

    /// Changes a connection. Sessions with the old settings take no new calls, and replies from them are dropped. Two
    /// changes at the same time have the outcome of one after the other.
    ///
    /// # Errors
    /// [`ManagementError`]; nothing is changed then.
    pub async fn change(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        id: ConnectionId,
        body: ChangeConnection,
        record: AuditRecord,
    ) -> Result<Connection, ManagementError> {
        if let Some(identifier) = &body.identifier {
            check_identifier("identifier", identifier)?;
        }
        let given = body.check()?;
        let mut attempt = 1;
        loop {
            match self.try_change(reference, driver, id, given.clone(), record.clone()).await {
                Err(ManagementError::Registry(RegistryError::Changed)) if attempt < TRIES => attempt += 1,
                result => return result,
            }
        }
    }

    /// Changes the connection as it is now, or not at all if it was changed meanwhile.
    async fn try_change(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        id: ConnectionId,
        given: GivenConnection<Option<String>>,
        record: AuditRecord,
    ) -> Result<Connection, ManagementError> {
        let GivenConnection { identifier, is_primary, status, settings } = given;
        let status = stored_status(status);
        let before = self.find(reference, &driver.manifest().database_type, id).await?;
        let settings = self.seal_settings(id, driver, Some(&before.settings), settings)?;
        redirection::refuse(&before.settings, &settings, driver)?;
        self.check(id, &settings, driver).await?;
        let changes = ConnectionChanges { identifier, settings: Some(settings), is_primary, status };
        let (reference, version) = (reference.to_owned(), before.settings_version);
        let change = |registry: Arc<dyn Registry>| async move {
            registry.update_connection(&reference, &before, changes, &record).await
        };
        let end = self.end();
        let then = move |changed: &Connection| {
            if changed.settings_version != version || changed.status == ConnectionStatus::Inactive {
                end(changed.id);
            }
        };
        Ok(self.directory.change(change, then).await?)
    }

    /// Deletes a connection, closes its sessions and drops its kept replies.
    ///
    /// # Errors
    /// [`ManagementError::NoConnection`], the registry's.
    pub async fn delete(
        &self,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
        record: AuditRecord,
    ) -> Result<(), ManagementError> {
        let (reference, database_type) = (reference.to_owned(), database_type.to_owned());
        let change = |registry: Arc<dyn Registry>| async move {
            registry.delete_connection(&reference, &database_type, id, &record).await
        };
        let end = self.end();
        self.directory.change(change, move |()| end(id)).await.map_err(|error| match error {
            RegistryError::NotFound { what: "connection" } => ManagementError::NoConnection(id.to_string()),
            error => error.into(),
        })
    }

    /// Connects with the stored settings, in a separate session.
    ///
    /// # Errors
    /// [`ManagementError::NoConnection`], the registry's. If the database does not answer, that is a result, not an
    /// error.
    pub async fn test(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        id: ConnectionId,
    ) -> Result<TestResult, ManagementError> {
        let connection = Arc::new(self.find(reference, &driver.manifest().database_type, id).await?);
        let start = Instant::now();
        let outcome = self.sessions.test(&Target { connection, driver: driver.clone() }).await;
        Ok(TestResult { latency: start.elapsed(), outcome })
    }

    /// Reads a connection as it is stored now.
    ///
    /// # Errors
    /// [`ManagementError::NoConnection`], the registry's.
    pub async fn find(
        &self,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
    ) -> Result<Connection, ManagementError> {
        let selector = ConnectionSelector::Id(id);
        let found = self.directory.registry().find_connection(reference, database_type, &selector).await?;
        found.ok_or_else(|| ManagementError::NoConnection(id.to_string()))
    }

    /// Makes settings of those given and those before, and seals the secrets.
    fn seal_settings(
        &self,
        id: ConnectionId,
        driver: &Driver,
        before: Option<&StoredSettings>,
        given: GivenSettings,
    ) -> Result<StoredSettings, InvalidField> {
        let id = id.to_string();
        let none = Map::new();
        let options = before.map_or(&none, |before| &before.options);
        let options = match given.options {
            Some(given) => options::replace(driver.option_rules(), (&self.keyring, &id), options, given)?,
            None => options.clone(),
        };
        let seal = |field, text: SecretString| {
            self.keyring.seal(&SealedFor { record: &id, field }, text.expose_secret())
        };
        let before = before.map(|before| &before.endpoint);
        let endpoint = given.endpoint.over(before, driver.manifest().default_port, seal)?;
        Ok(StoredSettings { endpoint, options })
    }

    /// Checks settings by the address rules and by the driver.
    async fn check(
        &self,
        id: ConnectionId,
        settings: &StoredSettings,
        driver: &Driver,
    ) -> Result<(), ManagementError> {
        if let Some(parts) = settings.endpoint.parts() {
            self.addresses.check_literal(&parts.host)?;
        }
        let settings = open_settings(&self.keyring, id, settings, driver)?;
        check_declared(&settings, driver)?;
        match tokio::time::timeout(CHECK_TIME, driver.instance().check(settings)).await {
            Ok(result) => Ok(result?),
            Err(_) => {
                let (driver, seconds) = (&driver.manifest().database_type, CHECK_TIME.as_secs_f64());
                tracing::warn!(
                    target: "driver", %driver,
                    "driver blocks: its check of settings has not returned for {seconds:.1} s"
                );
                let message = "the driver did not check the settings in time";
                Err(DriverError::new(studio_plugin_api::ErrorCode::DriverError, message).into())
            }
        }
    }
}

fn stored_status(status: Option<SettableStatus>) -> Option<ConnectionStatus> {
    status.map(|status| match status {
        SettableStatus::Active => ConnectionStatus::Active,
        SettableStatus::Inactive => ConnectionStatus::Inactive,
    })
}
