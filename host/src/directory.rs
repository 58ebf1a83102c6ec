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
    time::{Duration, Instant},
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

/// How long an answer of the registry counts, or something that was made of answers.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    generation: u64,
    until: Instant,
}

impl Freshness {
    /// Makes the freshness of what was made of both.
    pub fn and(self, other: Self) -> Self {
        // The older of two generations does not come back.
        Self { generation: self.generation.min(other.generation), until: self.until.min(other.until) }
    }

    /// Makes it end after this time, if it would not end earlier.
    pub fn at_most(self, time: Duration) -> Self {
        let until = Instant::now().checked_add(time).unwrap_or(self.until);
        Self { until: self.until.min(until), ..self }
    }
}

/// An answer of the registry.
#[derive(Debug)]
pub struct Answer<T> {
    /// The thing that was asked for, if there is one.
    pub found: Option<Arc<T>>,
    /// How long the answer counts.
    pub freshness: Freshness,
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self { found: self.found.clone(), freshness: self.freshness }
    }
}

/// The registry's recent answers.
pub struct Directory {
    registry: Arc<dyn Registry>,
    keyring: Arc<Keyring>,
    project_databases: ProjectDatabases,
    generation: AtomicU64,
    access: Cache<String, Answer<ProjectAccess>>,
    connections: Cache<String, Answer<Connection>>,
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

    /// Tells whether something of this freshness still counts at this moment.
    pub fn is_fresh(&self, freshness: Freshness, now: Instant) -> bool {
        now < freshness.until && freshness.generation == self.generation.load(Ordering::SeqCst)
    }

    /// Finds the access that memberships give a user on a project, if there is such a project.
    ///
    /// # Errors
    /// The registry's.
    pub async fn access(
        &self,
        reference: &str,
        user: &str,
    ) -> Result<Answer<ProjectAccess>, Arc<RegistryError>> {
        let ask = self.registry.find_access(reference, user);
        self.answer(&self.access, &[reference, user], ask).await
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
    ) -> Result<Answer<Connection>, Arc<RegistryError>> {
        let database_type = driver.database_type.as_str();
        let ask = async {
            match self.registry.find_connection(reference, database_type, selector).await? {
                None if driver.project_database => {
                    self.project_databases.find(reference, database_type, selector).await
                }
                found => Ok(found),
            }
        };
        let parts: &[&str] = match selector {
            ConnectionSelector::Primary => &[reference, database_type],
            ConnectionSelector::Id(id) => &[reference, database_type, "id", &id.to_string()],
            ConnectionSelector::Identifier(name) => &[reference, database_type, "identifier", name],
        };
        self.answer(&self.connections, parts, ask).await
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
    ) -> Result<Answer<Connection>, Arc<RegistryError>> {
        let [host, port, database, user] = destination.parts();
        let parts: [&str; 7] =
            [reference, &driver.database_type, "destination", &host, &port, &database, &user];
        self.answer(&self.connections, &parts, self.find_destination(reference, driver, destination)).await
    }

    /// Gives the answer of the last second to the question that these parts name, or asks. Callers that ask the same at
    /// once share one answer.
    async fn answer<T: Send + Sync + 'static>(
        &self,
        answers: &Cache<String, Answer<T>>,
        parts: &[&str],
        ask: impl Future<Output = Result<Option<T>, RegistryError>>,
    ) -> Result<Answer<T>, Arc<RegistryError>> {
        let generation = self.generation.load(Ordering::SeqCst);
        let key = key(generation, parts);
        if let Some(known) = answers.get(&key).await {
            return Ok(known);
        }
        let ask = async {
            let freshness = Freshness { generation, until: Instant::now() + FRESH };
            Ok(Answer { found: ask.await?.map(Arc::new), freshness })
        };
        answers.try_get_with(key, ask).await
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
}

/// Makes the key of a question in a generation. Each part's length stands before it, so that two lists of parts never
/// make one key.
fn key(generation: u64, parts: &[&str]) -> String {
    let mut key = String::with_capacity(20 + parts.iter().map(|part| part.len() + 5).sum::<usize>());
    key.push_str(&generation.to_string());
    for part in parts {
        key.push('/');
        key.push_str(&part.len().to_string());
        key.push(':');
        key.push_str(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::QuotaSettings, registry};

    #[tokio::test]
    async fn answers_count_for_a_second_of_one_generation() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        let registry = registry::open(&url.into(), &QuotaSettings::default()).await.unwrap();
        registry.migrate().await.unwrap();
        let keyring = Keyring::parse(&"00".repeat(32).into(), &"".into()).unwrap();
        let directory = Arc::new(Directory::new(registry, Arc::new(keyring)));

        let before = Instant::now();
        let first = directory.access("nowhere", "nobody").await.unwrap().freshness;
        let after = Instant::now();
        assert!(directory.is_fresh(first, before + FRESH - Duration::from_millis(1)));
        assert!(!directory.is_fresh(first, after + FRESH));
        assert!(!directory.is_fresh(first.at_most(Duration::ZERO), Instant::now()));
        assert!(directory.is_fresh(first.at_most(Duration::MAX), before));

        directory.change(|_| async { Ok(()) }, |()| ()).await.unwrap();
        assert!(!directory.is_fresh(first, before));
        let second = directory.access("nowhere", "nobody").await.unwrap().freshness;
        assert!(directory.is_fresh(second, before));
        for both in [first.and(second), second.and(first)] {
            assert!(!directory.is_fresh(both, before), "as old as its oldest part");
        }
    }
}
