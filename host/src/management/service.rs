//! Creating, changing, deleting and testing connections.

use super::{
    input::{
        ChangeConnection, CreateConnection, GivenChange, GivenSettings, InvalidField, SettableStatus,
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
        NewConnection, Registry, RegistryError,
    },
    secrets::{Keyring, Place},
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
pub enum ServiceError {
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

/// What a connection test found.
#[derive(Debug)]
pub struct TestResult {
    /// From the start of connecting to the server's answer.
    pub latency: Duration,
    /// The server's facts, `version` among them, or why there are none.
    pub outcome: Result<Map<String, Value>, DriverError>,
}

/// Manages connections.
pub struct ConnectionService {
    directory: Arc<Directory>,
    keyring: Arc<Keyring>,
    sessions: Sessions,
    cache: Arc<ReplyCache>,
    addresses: AddressPolicy,
}

impl ConnectionService {
    /// Over these parts.
    pub fn new(
        directory: Arc<Directory>,
        keyring: Arc<Keyring>,
        sessions: Sessions,
        cache: Arc<ReplyCache>,
        addresses: AddressPolicy,
    ) -> Self {
        Self { directory, keyring, sessions, cache, addresses }
    }

    /// Creates a connection of the driver's type. The record gets its id for a target.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing is stored then.
    pub async fn create(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        body: CreateConnection,
        record: AuditRecord,
    ) -> Result<Connection, ServiceError> {
        check_identifier("identifier", &body.identifier)?;
        let mut connection = Connection {
            id: ConnectionId::random(),
            project_id: String::new(),
            database_type: driver.manifest().database_type.clone(),
            identifier: body.identifier.clone(),
            host: None,
            port: None,
            database_name: None,
            username: None,
            password: None,
            connection_string: None,
            options: Map::new(),
            is_primary: body.is_primary.unwrap_or(false),
            is_implicit: false,
            status: stored_status(body.status).unwrap_or_default(),
            settings_version: 0,
            created_at: String::new(),
            updated_at: String::new(),
        };
        self.put_settings(&mut connection, driver, body.into_settings()?)?;
        self.check(&connection, driver).await?;
        let new = NewConnection {
            id: connection.id,
            database_type: connection.database_type,
            identifier: connection.identifier,
            host: connection.host,
            port: connection.port,
            database_name: connection.database_name,
            username: connection.username,
            password: connection.password,
            connection_string: connection.connection_string,
            options: connection.options,
            is_primary: connection.is_primary,
            status: connection.status,
        };
        let record = AuditRecord { target: Some(new.id.to_string()), ..record };
        let reference = reference.to_owned();
        let change = |registry: Arc<dyn Registry>| async move {
            registry.create_connection(&reference, new, &record).await
        };
        // It takes over from the project's own database, if that stood in for it.
        let end = self.end();
        let then =
            move |created: &Connection| end(connection_id(&created.project_id, &created.database_type));
        Ok(self.directory.change(change, then).await?)
    }

    /// Ends what is open and kept of a connection.
    fn end(&self) -> impl FnOnce(ConnectionId) + Send + 'static {
        let (sessions, cache) = (self.sessions.clone(), self.cache.clone());
        move |id| {
            sessions.close(id);
            cache.forget([id]);
        }
    }

    /// Changes a connection. Sessions with the old settings take no new calls, and replies from them are dropped. When
    /// others change it at the same time, the outcome is that of one change after the other.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing is changed then.
    pub async fn change(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        id: ConnectionId,
        body: ChangeConnection,
        record: AuditRecord,
    ) -> Result<Connection, ServiceError> {
        if let Some(identifier) = &body.identifier {
            check_identifier("identifier", identifier)?;
        }
        let given = body.into_change()?;
        let mut attempt = 1;
        loop {
            match self.try_change(reference, driver, id, given.clone(), record.clone()).await {
                Err(ServiceError::Registry(RegistryError::Changed)) if attempt < TRIES => attempt += 1,
                result => return result,
            }
        }
    }

    /// Changes the connection as it is now, or not at all when it is another by then.
    async fn try_change(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        id: ConnectionId,
        given: GivenChange,
        record: AuditRecord,
    ) -> Result<Connection, ServiceError> {
        let GivenChange { identifier, is_primary, status, settings } = given;
        let status = stored_status(status);
        let before = self.find(reference, &driver.manifest().database_type, id).await?;
        let mut after = before.clone();
        self.put_settings(&mut after, driver, settings)?;
        redirection::refuse(&before, &after, driver)?;
        self.check(&after, driver).await?;
        let changes = ConnectionChanges {
            identifier,
            is_primary,
            status,
            host: differs(&before.host, after.host),
            port: differs(&before.port, after.port),
            database_name: differs(&before.database_name, after.database_name),
            username: differs(&before.username, after.username),
            password: differs(&before.password, after.password),
            connection_string: differs(&before.connection_string, after.connection_string),
            options: differs(&before.options, after.options),
        };
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

    /// Deletes a connection, closes its sessions and drops what was kept of its replies.
    ///
    /// # Errors
    /// [`ServiceError::NoConnection`], the registry's.
    pub async fn delete(
        &self,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
        record: AuditRecord,
    ) -> Result<(), ServiceError> {
        let (reference, database_type) = (reference.to_owned(), database_type.to_owned());
        let change = |registry: Arc<dyn Registry>| async move {
            registry.delete_connection(&reference, &database_type, id, &record).await
        };
        let end = self.end();
        self.directory.change(change, move |()| end(id)).await.map_err(|error| match error {
            RegistryError::NotFound { what: "connection" } => ServiceError::NoConnection(id.to_string()),
            error => error.into(),
        })
    }

    /// Connects with the stored settings, in a session of its own.
    ///
    /// # Errors
    /// [`ServiceError::NoConnection`], the registry's. That the database does not answer is a result, not an error.
    pub async fn test(
        &self,
        reference: &str,
        driver: &Arc<Driver>,
        id: ConnectionId,
    ) -> Result<TestResult, ServiceError> {
        let connection = Arc::new(self.find(reference, &driver.manifest().database_type, id).await?);
        let start = Instant::now();
        let outcome = self.sessions.test(&Target { connection, driver: driver.clone() }).await;
        Ok(TestResult { latency: start.elapsed(), outcome })
    }

    /// A connection as stored now.
    ///
    /// # Errors
    /// [`ServiceError::NoConnection`], the registry's.
    pub async fn find(
        &self,
        reference: &str,
        database_type: &str,
        id: ConnectionId,
    ) -> Result<Connection, ServiceError> {
        let selector = ConnectionSelector::Id(id);
        let found = self.directory.registry().find_connection(reference, database_type, &selector).await?;
        found.ok_or_else(|| ServiceError::NoConnection(id.to_string()))
    }

    /// Puts given settings into a connection, sealing what is secret.
    fn put_settings(
        &self,
        connection: &mut Connection,
        driver: &Driver,
        given: GivenSettings,
    ) -> Result<(), InvalidField> {
        let id = connection.id.to_string();
        let seal = |field, text: Option<SecretString>| {
            text.map(|text| self.keyring.seal(&Place { record: &id, field }, text.expose_secret()))
        };
        // A connection string stands instead of the parts, so giving one form takes the other away.
        if let (Some(Some(_)), None) = (&given.connection_string, &given.host) {
            (connection.host, connection.port, connection.database_name) = (None, None, None);
            (connection.username, connection.password) = (None, None);
        }
        if let (Some(Some(_)), None) = (&given.host, &given.connection_string) {
            connection.connection_string = None;
        }
        put(&mut connection.host, given.host);
        put(&mut connection.port, given.port);
        put(&mut connection.database_name, given.database_name);
        put(&mut connection.username, given.username);
        put(&mut connection.password, given.password.map(|text| seal("password", text)));
        put(
            &mut connection.connection_string,
            given.connection_string.map(|text| seal("connection_string", text)),
        );
        if let Some(given) = given.options {
            connection.options =
                options::replace(driver.options(), (&self.keyring, &id), &connection.options, given)?;
        }
        match (&connection.host, &connection.connection_string) {
            (Some(_), Some(_)) => Err(InvalidField::new(
                "connection_string",
                "stands instead of `host`: give one of them, not both",
            )),
            (None, None) => {
                Err(InvalidField::new("host", "is required, or a `connection_string` in its place"))
            }
            (Some(_), None) => {
                if connection.port.is_none() {
                    connection.port = driver.manifest().default_port;
                }
                match connection.port {
                    Some(_) => Ok(()),
                    None => Err(InvalidField::new("port", "is required: this database has no usual one")),
                }
            }
            (None, Some(_)) => {
                let part = [
                    ("port", connection.port.is_some()),
                    ("database_name", connection.database_name.is_some()),
                    ("username", connection.username.is_some()),
                    ("password", connection.password.is_some()),
                ];
                match part.iter().find(|(_, given)| *given) {
                    Some((field, _)) => {
                        Err(InvalidField::new(*field, "belongs into the `connection_string` here"))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Asks the address rules and the driver.
    async fn check(&self, connection: &Connection, driver: &Arc<Driver>) -> Result<(), ServiceError> {
        if let Some(host) = &connection.host {
            self.addresses.check_literal(host)?;
        }
        let target = Target { connection: Arc::new(connection.clone()), driver: driver.clone() };
        let settings = open_settings(&self.keyring, &target)?;
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

fn put<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

fn differs<T: PartialEq>(before: &T, after: T) -> Option<T> {
    (*before != after).then_some(after)
}
