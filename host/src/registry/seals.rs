//! The sealed values of every table, for key rotation.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::any::AnyRow;

use super::options::{rewrite_option_strings, stored_options};
use super::store::{Store, optional_text, text};
use super::{RegistryError, database_password_place, jwt_secret_place};
use crate::secrets::{Keyring, OpenError, Sealed, SealedFor};

/// The operations on sealed values.
#[async_trait]
pub trait Seals: Send + Sync {
    /// Lists the ids of all keys under which values are sealed, sorted, each once.
    async fn list_key_ids(&self) -> Result<Vec<String>, RegistryError>;

    /// Seals every value again that is not under `keyring`'s current key, reading `batch` rows at a time. A row is
    /// written only if it still holds the value that was read, and each row is committed alone: gateways may run
    /// meanwhile, and after an interruption the next run goes on from there. Plain values of an older Studio stay as
    /// they are. A row that changes meanwhile is skipped; call again until nothing is resealed.
    async fn reseal(&self, keyring: &Keyring, batch: u32) -> Result<Resealed, RegistryError>;
}

/// The result of a run of [`Seals::reseal`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many values this run sealed under the current key.
    pub resealed: u64,
    /// The values that do not open, as `<record> <field>: <reason>`. They stay as they are.
    pub unreadable: Vec<String>,
}

/// A column that holds one sealed value for each project.
struct ProjectSecret {
    /// Reads `ref` and `secret` of a batch ($2) of projects after the ref $1, in the ref's order.
    select: &'static str,
    /// Writes $3 into the row of project $1 if it still holds $2.
    swap: &'static str,
    /// Gives the place that the value is sealed for, from the project's ref.
    sealed_for: fn(&str) -> SealedFor<'_>,
}

const PROJECT_SECRETS: [ProjectSecret; 2] = [
    ProjectSecret {
        select: "SELECT CAST(ref AS TEXT) AS ref, CAST(database_password AS TEXT) AS secret FROM projects
                 WHERE ref > $1 ORDER BY projects.ref LIMIT $2",
        swap: "UPDATE projects SET database_password = $3 WHERE ref = $1 AND database_password = $2",
        sealed_for: database_password_place,
    },
    ProjectSecret {
        select: "SELECT CAST(p.ref AS TEXT) AS ref, CAST(c.jwt_secret AS TEXT) AS secret
                 FROM projects p LEFT JOIN credentials c ON c.project_id = p.id
                 WHERE p.ref > $1 ORDER BY p.ref LIMIT $2",
        swap: "UPDATE credentials SET jwt_secret = $3
               WHERE project_id = (SELECT id FROM projects WHERE ref = $1) AND jwt_secret = $2",
        sealed_for: jwt_secret_place,
    },
];

const SELECT_CONNECTIONS: &str = "
    SELECT CAST(id AS TEXT) AS id, password, connection_string, options FROM database_connections
    WHERE id > CAST($1 AS uuid) ORDER BY database_connections.id LIMIT $2";

const SWAP_CONNECTION: &str = "
    UPDATE database_connections SET password = $5, connection_string = $6, options = $7
    WHERE id = CAST($1 AS uuid) AND COALESCE(password, '') = $2 AND COALESCE(connection_string, '') = $3
      AND options = $4";

/// An id below every connection's: the first batch starts after it.
const FIRST_ID: &str = "00000000-0000-0000-0000-000000000000";
/// How many rows are read at a time if nothing is written.
const SCAN_BATCH: u32 = 1000;

#[async_trait]
impl Seals for Store {
    async fn list_key_ids(&self) -> Result<Vec<String>, RegistryError> {
        let mut key_ids = std::collections::BTreeSet::new();
        let mut note = |text: &str| {
            if let Ok(sealed) = text.parse::<Sealed>() {
                key_ids.insert(sealed.key_id().to_owned());
            }
        };
        for secret in &PROJECT_SECRETS {
            let mut after = String::new();
            loop {
                let rows = self.batch(secret.select, &after, SCAN_BATCH).await?;
                let Some(last) = rows.last() else { break };
                after = text(last, "ref")?;
                for row in &rows {
                    note(&optional_text(row, "secret")?.unwrap_or_default());
                }
            }
        }
        let mut after = FIRST_ID.to_owned();
        loop {
            let rows = self.batch(SELECT_CONNECTIONS, &after, SCAN_BATCH).await?;
            let Some(last) = rows.last() else { break };
            after = text(last, "id")?;
            for row in &rows {
                note(&optional_text(row, "password")?.unwrap_or_default());
                note(&optional_text(row, "connection_string")?.unwrap_or_default());
                let mut options = stored_options(&text(row, "options")?)?;
                rewrite_option_strings(&mut options, &mut |_, value| {
                    note(value);
                    Ok::<_, RegistryError>(None)
                })?;
            }
        }
        Ok(key_ids.into_iter().collect())
    }

    async fn reseal(&self, keyring: &Keyring, batch: u32) -> Result<Resealed, RegistryError> {
        let batch = batch.max(1);
        let mut done = Resealed::default();
        for secret in &PROJECT_SECRETS {
            let mut after = String::new();
            loop {
                let rows = self.batch(secret.select, &after, batch).await?;
                let Some(last) = rows.last() else { break };
                after = text(last, "ref")?;
                for row in &rows {
                    self.reseal_project_secret(keyring, secret, row, &mut done).await?;
                }
            }
        }
        let mut after = FIRST_ID.to_owned();
        loop {
            let rows = self.batch(SELECT_CONNECTIONS, &after, batch).await?;
            let Some(last) = rows.last() else { break };
            after = text(last, "id")?;
            for row in &rows {
                self.reseal_connection(keyring, row, &mut done).await?;
            }
        }
        Ok(done)
    }
}

impl Store {
    async fn batch(&self, query: &str, after: &str, size: u32) -> Result<Vec<AnyRow>, RegistryError> {
        let query = sqlx::query(self.sql(query)).bind(after).bind(i64::from(size));
        Ok(query.fetch_all(&self.reader).await?)
    }

    async fn reseal_project_secret(
        &self,
        keyring: &Keyring,
        secret: &ProjectSecret,
        row: &AnyRow,
        done: &mut Resealed,
    ) -> Result<(), RegistryError> {
        let reference = text(row, "ref")?;
        let old = optional_text(row, "secret")?.unwrap_or_default();
        let mut values = Values { keyring, changed: 0, unreadable: &mut done.unreadable };
        let Some(new) = values.reseal(&(secret.sealed_for)(&reference), &old) else { return Ok(()) };
        let swapped = sqlx::query(self.sql(secret.swap))
            .bind(&reference)
            .bind(old)
            .bind(new)
            .execute(&self.writer)
            .await?;
        done.resealed += u64::from(swapped.rows_affected() > 0);
        Ok(())
    }

    async fn reseal_connection(
        &self,
        keyring: &Keyring,
        row: &AnyRow,
        done: &mut Resealed,
    ) -> Result<(), RegistryError> {
        let id = text(row, "id")?;
        let password = optional_text(row, "password")?;
        let connection_string = optional_text(row, "connection_string")?;
        let options = text(row, "options")?;

        let mut values = Values { keyring, changed: 0, unreadable: &mut done.unreadable };
        let new_password = values.reseal_optional(&id, "password", password.as_deref());
        let new_connection_string =
            values.reseal_optional(&id, "connection_string", connection_string.as_deref());
        let mut new_options = stored_options(&options)?;
        rewrite_option_strings(&mut new_options, &mut |field, value| {
            Ok::<_, RegistryError>(values.reseal(&SealedFor { record: &id, field }, value))
        })?;
        let changed = values.changed;
        if changed == 0 {
            return Ok(());
        }

        let swapped = sqlx::query(self.sql(SWAP_CONNECTION))
            .bind(&id)
            .bind(password.unwrap_or_default())
            .bind(connection_string.unwrap_or_default())
            .bind(options)
            .bind(new_password)
            .bind(new_connection_string)
            .bind(Value::Object(new_options).to_string())
            .execute(&self.writer)
            .await?;
        if swapped.rows_affected() > 0 {
            done.resealed += changed;
        }
        Ok(())
    }
}

/// The values of one row while they are sealed again.
struct Values<'a> {
    keyring: &'a Keyring,
    /// How many were sealed again.
    changed: u64,
    /// The list of values that do not open.
    unreadable: &'a mut Vec<String>,
}

impl Values<'_> {
    /// Seals `value` under the current key; `None` if it is under that key already, is not sealed, or does not open.
    fn reseal(&mut self, sealed_for: &SealedFor<'_>, value: &str) -> Option<String> {
        let sealed = value.parse::<Sealed>().ok().filter(|sealed| !self.keyring.is_current(sealed))?;
        match self.keyring.open(sealed_for, &sealed) {
            Ok(secret) => {
                self.changed += 1;
                Some(
                    self.keyring
                        .seal(sealed_for, secrecy::ExposeSecret::expose_secret(&secret))
                        .as_str()
                        .to_owned(),
                )
            }
            Err(error) => {
                self.note_unreadable(sealed_for, &error);
                None
            }
        }
    }

    /// Gives the new value of a column that may be NULL.
    fn reseal_optional(&mut self, record: &str, field: &str, value: Option<&str>) -> Option<String> {
        let value = value?;
        Some(self.reseal(&SealedFor { record, field }, value).unwrap_or_else(|| value.to_owned()))
    }

    fn note_unreadable(&mut self, sealed_for: &SealedFor<'_>, error: &OpenError) {
        self.unreadable.push(format!("{} {}: {error}", sealed_for.record, sealed_for.field));
    }
}
