//! The projects' own signing secrets, read from the registry.

use async_trait::async_trait;
use secrecy::SecretString;

use super::{ProjectSecrets, SecretUnavailable};
use crate::directory::Directory;
use crate::registry::{StoredSecret, jwt_secret_place};

#[async_trait]
impl ProjectSecrets for Directory {
    async fn jwt_secret(&self, reference: &str) -> Result<Option<SecretString>, SecretUnavailable> {
        let stored = self.registry().project_jwt_secret(reference).await.map_err(|error| {
            tracing::error!(%error, "a project's token secret could not be read");
            SecretUnavailable
        })?;
        let open = |stored: StoredSecret| stored.open(self.keyring(), &jwt_secret_place(reference));
        stored.map(open).transpose().map_err(|error| {
            tracing::error!(project = reference, %error, "a project's token secret does not open");
            SecretUnavailable
        })
    }
}
