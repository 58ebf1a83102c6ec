//! The registry: the organizations, projects, members and connections, in SQLite or PostgreSQL.
//!
//! [`open`] gives an `Arc<dyn Registry>`. Its operations are grouped by resource, with a trait and a file for each; the
//! methods of all traits can be called on `dyn Registry` without importing the traits. There is one implementation,
//! `Store`, over `sqlx::Any`; `dialect.rs` holds the differences between the databases.
//!
//! Every method may fail with [`RegistryError::Unavailable`], `Failed` or `Corrupt`; its documentation names only the
//! errors beyond these. A method that makes a change for somebody takes the audit record of it. When it returns `Ok`,
//! both are committed durably; on any error, neither is stored.

mod audit;
mod catalog;
mod connection;
mod connection_rows;
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

/// How long the database may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The whole platform database.
#[async_trait]
pub trait Registry: Organizations + Projects + Members + Connections + Seals + Audit {
    /// Checks that the database answers. Waits at most 3 seconds.
    async fn ping(&self) -> Result<(), RegistryError>;

    /// Applies the missing migrations, all or none, and returns their number. If several gateways start at once, one
    /// applies them and the others wait. If none is missing, it only reads the list of applied ones.
    ///
    /// # Errors
    /// [`RegistryError::Unfit`] when the gateway can't use a table with a name that it needs, or may not make tables;
    /// [`RegistryError::Migration`] when a migration fails, or when another version of the gateway applied migrations
    /// that differ from these.
    async fn migrate(&self) -> Result<usize, RegistryError>;

    /// Counts the migrations that [`Registry::migrate`] would apply. Changes nothing.
    async fn pending_migrations(&self) -> Result<usize, RegistryError>;

    /// Reports the tables, their owners, and the rights that the gateway's login lacks. Changes nothing.
    async fn survey(&self) -> Result<Survey, RegistryError>;
}

/// Opens the platform database that `url` (the setting `DATABASE_URL`) names: `sqlite:<path>`, whose file and folder
/// are made if they do not exist, or `postgres://…`. Does not migrate it.
///
/// # Errors
/// [`RegistryError::Url`] when `url` names neither; [`RegistryError::Unavailable`] when the database does not answer.
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
