//! Applies the migrations.

use std::fmt::Write;

use sqlx::AnyConnection;
use sqlx::migrate::{Migrate, Migration, Migrator};

use super::RegistryError;
use super::dialect::Dialect;
use super::store::Store;
use super::survey::{foreign_tables, obstacles};

/// Migrations whose text was changed after they had been applied somewhere: the version and the old text's checksum. A
/// later migration makes the new text's changes there.
const SUPERSEDED: [(i64, &str); 2] = [
    (
        1,
        "72261ecd0782ebe77fc45bdd15203a59eb1b8aff08cff738ae19acb5f559d8db\
         43b8b307869bddc2b9fb6d27e204f04e",
    ),
    (
        2,
        "93f1dc23c638c85a50edd3a3b3903ac4295cbee1f3aa673d885ea0a4f0baca3d\
         a26044b2f2483e9561c4542a34d6e0ed",
    ),
];

/// Takes the lock that a migrating gateway holds until its transaction ends. The number is the gateway's own.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7237411098532906)";

/// The migrations to be applied.
pub(super) struct Plan {
    /// How many migrations are missing.
    pub(super) pending: usize,
    migrator: Migrator,
}

impl Store {
    /// Implements [`super::Registry::migrate`].
    pub(super) async fn apply_migrations(&self) -> Result<usize, RegistryError> {
        let pending = {
            let mut connection = self.reader.acquire().await?;
            self.plan_migrations(&mut connection).await?.pending
        };
        if pending == 0 {
            return Ok(0);
        }
        // One transaction around all of them; sqlx's own transactions become savepoints. In SQLite, other gateways wait
        // for the file's write lock. READ COMMITTED: after the wait, this one must see the changes of the one before.
        let mut transaction = match self.dialect {
            Dialect::Sqlite => self.begin().await?,
            Dialect::Postgres => self.writer.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?,
        };
        if self.dialect == Dialect::Postgres {
            sqlx::query(LOCK).execute(&mut *transaction).await?;
        }
        let mut plan = self.plan_migrations(&mut transaction).await?;
        if plan.pending == 0 {
            return Ok(0);
        }
        if self.dialect == Dialect::Postgres {
            let obstacles = obstacles(&mut transaction).await?;
            if !obstacles.is_empty() {
                return Err(RegistryError::Unfit(obstacles));
            }
            // CREATE SCHEMA needs a right on the database even if the schema exists, so it is used only if need be.
            let query = "SELECT 1 AS found FROM pg_namespace WHERE nspname = 'platform'";
            if sqlx::query(query).fetch_optional(&mut *transaction).await?.is_none() {
                plan.migrator.create_schema("platform");
            }
        }
        // `run_direct` is `run` for a connection in hand; the compiler cannot follow `run`'s bounds from here.
        plan.migrator.run_direct(None, &mut *transaction, false).await?;
        transaction.commit().await?;
        Ok(plan.pending)
    }

    /// Compares the applied migrations with the embedded ones.
    pub(super) async fn plan_migrations(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Plan, RegistryError> {
        if self.dialect == Dialect::Postgres {
            let foreign = foreign_tables(connection).await?;
            if !foreign.is_empty() {
                return Err(RegistryError::Unfit(foreign));
            }
        }
        let found =
            sqlx::query(self.dialect.find_migrations_table()).fetch_optional(&mut *connection).await?;
        let applied = match found {
            Some(_) => connection.list_applied_migrations(self.dialect.migrations_table()).await?,
            None => Vec::new(),
        };
        let mut ours: Vec<Migration> = embedded(self.dialect).iter().cloned().collect();
        if let Some(unknown) =
            applied.iter().find(|applied| ours.iter().all(|our| our.version != applied.version))
        {
            return Err(RegistryError::Migration(format!(
                "migration {} was applied by another version of the gateway, and is not known to this one",
                unknown.version
            )));
        }
        let mut pending = 0;
        for migration in &mut ours {
            match applied.iter().find(|applied| applied.version == migration.version) {
                None => pending += 1,
                Some(applied) if applied.checksum == migration.checksum => {}
                Some(applied)
                    if SUPERSEDED.contains(&(applied.version, hexadecimal(&applied.checksum).as_str())) =>
                {
                    migration.checksum = applied.checksum.clone();
                }
                Some(applied) => {
                    return Err(RegistryError::Migration(format!(
                        "migration {} was applied with another text than this version of the gateway has",
                        applied.version
                    )));
                }
            }
        }
        let mut migrator = Migrator::with_migrations(ours);
        migrator.dangerous_set_table_name(self.dialect.migrations_table());
        // sqlx would release its lock before our transaction is committed.
        migrator.set_locking(false);
        Ok(Plan { pending, migrator })
    }
}

/// Gives the embedded migrations.
fn embedded(dialect: Dialect) -> Migrator {
    match dialect {
        Dialect::Sqlite => sqlx::migrate!("../migrations/sqlite"),
        Dialect::Postgres => sqlx::migrate!("../migrations/postgres"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
