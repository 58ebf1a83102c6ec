//! The registry's tests: one suite, run on both databases.

mod connections;
mod faults;
mod migrations;
mod opening;
mod people;
mod postgres_database;
mod projects;
mod seals;
mod studio;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::Row;
use tempfile::TempDir;

use self::postgres_database::PostgresDatabase;
use super::store::Store;
use super::*;
use crate::role::Role;
use crate::secrets::{Keyring, SealedFor};

/// Makes each test function, which takes a `Fixture`, a test on SQLite and a test on PostgreSQL.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Fixture::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Fixture::postgres().await).await;
            })*
        }
    };
}
use on_both_databases;

/// A registry in a fresh database.
struct Fixture {
    store: Store,
    url: SecretString,
    _database: Database,
}

/// The database, which is dropped with the fixture.
#[expect(dead_code, reason = "held for their Drop")]
enum Database {
    Sqlite(TempDir),
    Postgres(PostgresDatabase),
}

impl Fixture {
    async fn sqlite() -> Self {
        let fixture = Self::empty_sqlite().await;
        fixture.store.migrate().await.unwrap();
        fixture
    }

    async fn postgres() -> Self {
        let fixture = Self::empty_postgres().await;
        fixture.store.migrate().await.unwrap();
        fixture
    }

    async fn empty_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = SecretString::from(format!("sqlite:{}", folder.path().join("new/gateway.db").display()));
        Self {
            store: Store::open(&url, QuotaSettings::default()).await.unwrap(),
            url,
            _database: Database::Sqlite(folder),
        }
    }

    async fn empty_postgres() -> Self {
        let database = PostgresDatabase::create();
        let url = SecretString::from(database.url());
        Self {
            store: Store::open(&url, QuotaSettings::default()).await.unwrap(),
            url,
            _database: Database::Postgres(database),
        }
    }

    /// Gives the registry as the rest of the gateway uses it.
    fn registry(&self) -> &dyn Registry {
        &self.store
    }

    /// Runs statements as another program with the database open would.
    async fn execute(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&self.store.writer).await.unwrap();
    }

    /// Runs a query and gives its one text.
    async fn read(&self, query: &'static str) -> String {
        sqlx::query(query).fetch_one(&self.store.reader).await.unwrap().try_get(0).unwrap()
    }

    /// Adds an organization `acme` of user `olga`, with a project `shop` in it.
    async fn with_project(self) -> Self {
        let organization = self.registry().create_organization(acme(), &record()).await.unwrap();
        self.registry().create_project(shop(&organization.id), &record()).await.unwrap();
        self
    }
}

async fn open(url: &SecretString) -> Result<std::sync::Arc<dyn Registry>, RegistryError> {
    super::open(url, &QuotaSettings::default()).await
}

/// Makes the record of a change.
fn record() -> AuditRecord {
    AuditRecord {
        at: jiff::Timestamp::now(),
        user_id: Some("user:olga".to_owned()),
        action: "change".to_owned(),
        project_ref: None,
        target: None,
        result: "ok".to_owned(),
        remote_address: None,
        request_id: None,
    }
}

/// Changes a connection, starting from its present state.
async fn update(
    registry: &dyn Registry,
    database_type: &str,
    id: ConnectionId,
    changes: ConnectionChanges,
) -> Result<Connection, RegistryError> {
    let selector = ConnectionSelector::Id(id);
    let before = registry.find_connection("shop", database_type, &selector).await?.unwrap();
    registry.update_connection("shop", &before, changes, &record()).await
}

fn acme() -> NewOrganization {
    NewOrganization {
        name: "Acme".to_owned(),
        slug: "acme".to_owned(),
        billing_email: Some("bills@acme.test".to_owned()),
        owner: "olga".to_owned(),
    }
}

fn shop(organization_id: &str) -> NewProject {
    NewProject {
        organization_id: organization_id.to_owned(),
        name: "Shop".to_owned(),
        reference: "shop".to_owned(),
        database: None,
        database_password: None,
    }
}

/// Gives an endpoint on this machine.
fn local() -> EndpointParts {
    EndpointParts {
        host: "127.0.0.1".to_owned(),
        port: Some(6379),
        database_name: None,
        username: None,
        password: None,
    }
}

fn in_parts(parts: EndpointParts) -> StoredSettings {
    StoredSettings { endpoint: StoredEndpoint::Parts(parts), options: serde_json::Map::new() }
}

fn new_connection(database_type: &str, identifier: &str) -> NewConnection {
    NewConnection {
        id: ConnectionId::random(),
        database_type: database_type.to_owned(),
        identifier: identifier.to_owned(),
        settings: in_parts(local()),
        is_primary: false,
        status: ConnectionStatus::Active,
    }
}

fn keyring(current: u8, retired: &[u8]) -> Keyring {
    let key = |byte: &u8| format!("{byte:02x}").repeat(32);
    let retired: Vec<_> = retired.iter().map(key).collect();
    Keyring::parse(&key(&current).into(), &retired.join(",").into()).unwrap()
}

fn duplicate(field: &str) -> RegistryError {
    RegistryError::Duplicate { field: field.to_owned() }
}

/// Asserts that a time is RFC 3339, UTC, with milliseconds, and less than an hour from now.
fn assert_recent(time: &str) {
    let parsed: jiff::Timestamp = time.parse().unwrap();
    assert_eq!(format!("{parsed:.3}"), time);
    assert!(jiff::Timestamp::now().duration_since(parsed).abs().as_secs() < 3600, "{time}");
}
