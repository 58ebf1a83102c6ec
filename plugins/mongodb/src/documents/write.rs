//! Commands that change or delete many documents at once.
//!
//! The client library's own calls for these take no `maxTimeMS`, and a write of many documents is what needs it most.
//! Such writes can't be retried, so nothing is lost by sending the command as it is.

use crate::{
    MongoDb,
    errors::{self, ServerError},
    names::Namespace,
    number,
    session::{Failure, Running},
};
use bson::{Bson, Document, doc};
use studio_plugin_api::DriverError;

/// Sends `update` or `delete` with one statement, and gives its answer.
///
/// # Errors
/// What the server says of the statement; with an unknown outcome where some documents may have been changed.
pub(crate) async fn run(
    session: &MongoDb,
    running: &mut Running,
    namespace: Namespace<'_>,
    (command, statements): (&str, &str),
    statement: Document,
) -> Result<Document, Failure> {
    let database = session.client.database(namespace.database);
    let command = doc! { command: namespace.collection, statements: [statement] };
    let answer = running.change(&database, command).await?;
    let errors = answer.get_array("writeErrors").ok();
    match errors.and_then(|errors| errors.first()).and_then(Bson::as_document) {
        Some(error) => Err(refused(error).into()),
        None => Ok(answer),
    }
}

fn refused(error: &Document) -> DriverError {
    let server = ServerError {
        code: number::read(error, "code").and_then(|code| i32::try_from(code).ok()).unwrap_or_default(),
        name: error.get_str("codeName").ok(),
        message: error.get_str("errmsg").unwrap_or_default(),
        info: error.get_document("errInfo").ok().and_then(errors::info_of),
    };
    let before_any = server.is_before_any();
    let error = server.into_error();
    // Documents before the one that could not be changed were changed, and the server does not count them.
    if before_any { error } else { errors::outcome_unknown(error) }
}
