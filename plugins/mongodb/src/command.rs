//! Commands that the client library has no typed form for, or one that keeps back part of the server's reply.

use crate::session::{Failure, Running};
use bson::{Bson, Document};
use mongodb::{
    Database,
    error::{Error, ErrorKind, WriteFailure},
};
use studio_plugin_api::DriverError;

impl Running {
    /// Runs a command, for as long as the caller waits.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn command(
        &mut self,
        database: &Database,
        mut command: Document,
    ) -> Result<Document, Failure> {
        command.insert("maxTimeMS", self.max_time_ms());
        Ok(database.run_command(command).session(self.session()?).await?)
    }

    /// Runs a command that changes something, with the write concern of the connection.
    ///
    /// # Errors
    /// The server's, or the connection's; also where the change was made, but not by as many members of the replica set
    /// as the write concern asks for.
    pub(crate) async fn change(
        &mut self,
        database: &Database,
        mut command: Document,
    ) -> Result<Document, Failure> {
        if let Some(concern) = database.write_concern() {
            command.insert("writeConcern", bson::serialize_to_bson(concern)?);
        }
        let mut answer = self.command(database, command).await?;
        match answer.remove("writeConcernError") {
            Some(Bson::Document(concern)) => {
                let concern = WriteFailure::WriteConcernError(bson::deserialize_from_document(concern)?);
                Err(Error::from(ErrorKind::Write(concern)).into())
            }
            _ => Ok(answer),
        }
    }
}

/// Refuses options by their names: a command would take `writeConcern`, `$db` and the like from them too.
///
/// # Errors
/// `VALIDATION_ERROR` that names the first one that is not known.
pub(crate) fn refuse_unknown(field: &str, options: &Document, known: &[&str]) -> Result<(), DriverError> {
    match options.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => {
            let field = format!("{field}.{unknown}");
            let message = format!("`{field}`: there is no such option; there are {}", known.join(", "));
            Err(DriverError::validation(&field, message))
        }
        None => Ok(()),
    }
}
