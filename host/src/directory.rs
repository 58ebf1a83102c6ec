//! Keeps the registry's recent answers, so that a warm request does not ask the registry.
//!
//! An answer counts for one second, or until this gateway changes anything: a change starts a new generation, and an
//! answer counts only in the generation in which it was asked for. Changes by others (the command line, another gateway
//! on the same database) are seen within that second.

use crate::{
    connections::{destination::Destination, project_database::ProjectDatabases},
    logging::for_this_request,
    registry::{Connection, ConnectionSelector, ProjectAccess, Registry, RegistryError},
    secrets::Keyring,
};
use moka::future::Cache;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use studio_plugin_api::manifest::Manifest;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long a change may take. It waits for other changes, and for a disk.
const CHANGE: Duration = Duration::from_secs(20);
/// Connections that are looked through at a time.
const PAGE: u32 = 1000;
/// The most answers kept of each kind.
const MOST_ANSWERS: u64 = 20_000;

/// The registry's recent answers.
pub struct Directory {
    registry: Arc<dyn Registry>,
    keyring: Arc<Keyring>,
    project_databases: ProjectDatabases,
    generation: AtomicU64,
    access: Cache<String, Option<Arc<ProjectAccess>>>,
    connections: Cache<String, Option<Arc<Connection>>>,
}

impl Directory {
    /// Makes a directory in front of this registry.
    pub fn new(registry: Arc<dyn Registry>, keyring: Arc<Keyring>) -> Self {
        Self {
            project_databases: ProjectDatabases::new(registry.clone(), keyring.clone()),
            registry,
            keyring,
            generation: AtomicU64::new(0),
            access: Cache::builder().max_capacity(MOST_ANSWERS).time_to_live(FRESH).build(),
            connections: Cache::builder().max_capacity(MOST_ANSWERS).time_to_live(FRESH).build(),
        }
    }

    /// Gives the registry itself, for questions that are not asked on every request.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// Gives the keyring that opens the secrets in the registry.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Changes the registry, and calls `then` when that succeeds. Every request that begins after the change is
    /// acknowledged sees it. All of it goes on to its end when the caller leaves meanwhile.
    ///
    /// # Errors
    /// That of `change`.
    pub async fn change<T: Send + 'static, Change>(
        self: &Arc<Self>,
        change: impl FnOnce(Arc<dyn Registry>) -> Change,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, RegistryError>
    where
        Change: Future<Output = Result<T, RegistryError>> + Send + 'static,
    {
        let (directory, change) = (self.clone(), change(self.registry.clone()));
        let work = async move {
            let result = tokio::time::timeout(CHANGE, change).await.unwrap_or(Err(RegistryError::Unanswered));
            // Also after an error: a commit may have failed after it was done.
            directory.generation.fetch_add(1, Ordering::SeqCst);
            result.inspect(then)
        };
        let ended = tokio::spawn(for_this_request(work)).await;
        ended.unwrap_or_else(|error| Err(RegistryError::Failed(format!("the change broke off: {error}"))))
    }

    /// Finds the access that memberships give a user on a project; `None` when there is no such project.
    ///
    /// # Errors
    /// The registry's.
    pub async fn access(
        &self,
        reference: &str,
        user: &str,
    ) -> Result<Option<Arc<ProjectAccess>>, Arc<RegistryError>> {
        let key = self.key(&[reference, user]);
        if let Some(known) = self.access.get(&key).await {
            return Ok(known);
        }
        let ask = async { Ok(self.registry.find_access(reference, user).await?.map(Arc::new)) };
        self.access.try_get_with(key, ask).await
    }

    /// Finds a project's connection of a driver's type, or the project's own database where that stands in for one.
    ///
    /// # Errors
    /// The registry's.
    pub async fn connection(
        &self,
        reference: &str,
        driver: &Manifest,
        selector: &ConnectionSelector,
    ) -> Result<Option<Arc<Connection>>, Arc<RegistryError>> {
        let database_type = driver.database_type.as_str();
        let key = match selector {
            ConnectionSelector::Primary => self.key(&[reference, database_type]),
            ConnectionSelector::Id(id) => self.key(&[reference, database_type, "id", &id.to_string()]),
            ConnectionSelector::Identifier(name) => self.key(&[reference, database_type, "identifier", name]),
        };
        if let Some(known) = self.connections.get(&key).await {
            return Ok(known);
        }
        let ask = async {
            let found = match self.registry.find_connection(reference, database_type, selector).await? {
                None if driver.project_database => {
                    self.project_databases.find(reference, database_type, selector).await?
                }
                found => found,
            };
            Ok(found.map(Arc::new))
        };
        self.connections.try_get_with(key, ask).await
    }

    /// Finds the connection of a project and a driver's type that leads to this place. The primary one goes before
    /// others, and connections that people made go before the project's own database.
    ///
    /// # Errors
    /// The registry's.
    pub async fn connection_to(
        &self,
        reference: &str,
        driver: &Manifest,
        destination: &Destination,
    ) -> Result<Option<Arc<Connection>>, Arc<RegistryError>> {
        let [host, port, database, user] = destination.parts();
        let key =
            self.key(&[reference, &driver.database_type, "destination", &host, &port, &database, &user]);
        if let Some(known) = self.connections.get(&key).await {
            return Ok(known);
        }
        let ask = async { Ok(self.find_destination(reference, driver, destination).await?.map(Arc::new)) };
        self.connections.try_get_with(key, ask).await
    }

    async fn find_destination(
        &self,
        reference: &str,
        driver: &Manifest,
        destination: &Destination,
    ) -> Result<Option<Connection>, RegistryError> {
        let leads_there = |connection: &Connection| {
            Destination::of(connection, driver, &self.keyring).as_ref() == Some(destination)
        };
        let database_type = driver.database_type.as_str();
        let mut found: Option<Connection> = None;
        for page in 0.. {
            let offset = page * PAGE;
            let listed = self.registry.list_connections(reference, Some(database_type), PAGE, offset).await?;
            let is_last = listed.items.len() < PAGE as usize;
            for connection in listed.items.into_iter().filter(leads_there) {
                if connection.is_primary || found.is_none() {
                    found = Some(connection);
                }
            }
            if is_last || found.as_ref().is_some_and(|found| found.is_primary) {
                break;
            }
        }
        match found {
            None if driver.project_database => {
                Ok(self.project_databases.find_own(reference, database_type).await?.filter(leads_there))
            }
            found => Ok(found),
        }
    }

    /// Gives a project's own database as a connection of a type, while it stands in for one.
    ///
    /// # Errors
    /// The registry's.
    pub async fn project_database(
        &self,
        reference: &str,
        database_type: &str,
    ) -> Result<Option<Connection>, RegistryError> {
        self.project_databases.find(reference, database_type, &ConnectionSelector::Primary).await
    }

    /// Makes a key of this generation. Each part's length stands before it, so that two lists of parts never make one
    /// key.
    fn key(&self, parts: &[&str]) -> String {
        let mut key = String::with_capacity(20 + parts.iter().map(|part| part.len() + 5).sum::<usize>());
        key.push_str(&self.generation.load(Ordering::SeqCst).to_string());
        for part in parts {
            key.push('/');
            key.push_str(&part.len().to_string());
            key.push(':');
            key.push_str(part);
        }
        key
    }
}
