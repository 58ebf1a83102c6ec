//! The registry: which organizations, projects, members and connections there are, in SQLite or PostgreSQL.
//!
//! [`open`] gives an `Arc<dyn Registry>`. What it can do is grouped by resource, a trait and a file each; the methods of
//! all of them are there on `dyn Registry` without importing the traits. There is one implementation, `Store`, over
//! `sqlx::Any`; `dialect.rs` holds what differs between the databases.
//!
//! Every method may fail with [`RegistryError::Unavailable`], `Failed` or `Corrupt`; its documentation names only the
//! errors beyond these. A method that changes something on behalf of somebody takes the record of it, and has committed
//! both, durably, when it returns `Ok`; on any error, neither is there.

mod audit;
mod catalog;
mod connection;
mod connections;
mod dialect;
mod error;
mod layout;
mod members;
mod migrations;
mod model;
mod options;
mod organizations;
mod pool;
mod projects;
mod roles;
mod row_security;
mod rows;
mod seals;
mod store;
mod survey;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use self::store::Store;
use crate::config::QuotaSettings;

pub use audit::Audit;
pub use connection::{
    Connection, ConnectionChanges, ConnectionId, ConnectionSelector, ConnectionStatus, EndpointParts,
    NewConnection, Page, StoredEndpoint, StoredSettings,
};
pub use connections::Connections;
pub use error::RegistryError;
pub use members::Members;
pub use model::{
    AuditRecord, DeletedProject, Member, MemberVia, NewOrganization, NewProject, Organization, OwnDatabase,
    Project, ProjectAccess, ProjectDatabase, StoredSecret, Visibility, database_password_place,
    jwt_secret_place,
};
pub use options::{Rewrite, option_below, rewrite_option_strings, rewrite_options_below};
pub use organizations::Organizations;
pub use projects::Projects;
pub use seals::{Resealed, Seals};
pub use survey::{Problem, Survey};

/// How long a sign of life may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The platform database, whole.
#[async_trait]
pub trait Registry: Organizations + Projects + Members + Connections + Seals + Audit {
    /// Asks the database for a sign of life. Waits at most 3 seconds.
    async fn ping(&self) -> Result<(), RegistryError>;

    /// Applies the migrations that are missing, all or none, and says how many. When several gateways start at once, one
    /// does it and the others wait. Where none is missing, it takes no more than reading the list of them.
    ///
    /// # Errors
    /// [`RegistryError::Unfit`] when the database has tables by our names that are not ours, or none may be made;
    /// [`RegistryError::Migration`] when one fails, or when the database was migrated by another version of the gateway
    /// whose migrations are not the same.
    async fn migrate(&self) -> Result<usize, RegistryError>;

    /// How many migrations [`Registry::migrate`] would apply. Changes nothing.
    async fn pending_migrations(&self) -> Result<usize, RegistryError>;

    /// What there is, whose it is, and what the gateway's login lacks. Changes nothing.
    async fn survey(&self) -> Result<Survey, RegistryError>;
}

/// Opens the platform database that `url` (the setting `DATABASE_URL`) names: `sqlite:<path>`, whose file and folder are
/// made when absent, or `postgres://…`. Does not migrate it.
///
/// # Errors
/// [`RegistryError::Url`] when it names neither; [`RegistryError::Unavailable`] when the database does not answer.
pub async fn open(url: &SecretString, quotas: &QuotaSettings) -> Result<Arc<dyn Registry>, RegistryError> {
    Ok(Arc::new(Store::open(url, quotas.clone()).await?))
}

#[async_trait]
impl Registry for Store {
    async fn ping(&self) -> Result<(), RegistryError> {
        let query = async { Ok(sqlx::query("SELECT 1 AS one").execute(&self.reader).await.map(drop)?) };
        match tokio::time::timeout(PING_TIMEOUT, query).await {
            Ok(result) => result,
            Err(_) => Err(RegistryError::Unavailable("no answer in time".to_owned())),
        }
    }

    async fn migrate(&self) -> Result<usize, RegistryError> {
        self.apply_migrations().await
    }

    async fn pending_migrations(&self) -> Result<usize, RegistryError> {
        let mut transaction = self.reader.begin_with(self.dialect.begin_to_look()).await?;
        Ok(self.plan_migrations(&mut transaction).await?.pending)
    }

    async fn survey(&self) -> Result<Survey, RegistryError> {
        self.look_around().await
    }
}
