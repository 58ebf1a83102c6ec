//! What a viewer's SQL may be: a query, which a READ ONLY transaction keeps from changing tables, and which calls no
//! function that does more than a transaction can take back.
//!
//! `inspect.rs` looks at the text as PostgreSQL's own parser reads it, and finds every name that is called; `functions.rs`
//! asks the catalogs what those names stand for, because only the server knows the functions it has. `server.rs` finds
//! what developers leave to admins.

mod functions;
pub(crate) mod fuzzing;
mod inspect;
pub(crate) mod server;
pub(crate) mod words;

use crate::{Postgres, parser::deep};
use serde::Deserialize;
use studio_plugin_api::{Context, DriverError, ErrorCode};

/// Lets a viewer's text through, to be run as one statement in a READ ONLY transaction.
///
/// # Errors
/// `FORBIDDEN` for what is not a query, for several statements, and for functions that a viewer may not call;
/// `QUERY_ERROR` for what does not parse.
pub(crate) async fn check(context: &Context<Postgres>, sql: &str) -> Result<(), DriverError> {
    let called = deep::run(sql.to_owned(), inspect::inspect).await?;
    if called.is_empty() {
        return Ok(());
    }
    match context.row(context, &functions::question(&called)).await? {
        Some(row) => Err(refuse(&row)),
        None => Ok(()),
    }
}

/// The first of the functions that may not be called.
fn refuse(row: &[u8]) -> DriverError {
    #[derive(Deserialize)]
    struct Row {
        function: String,
    }
    match serde_json::from_slice::<Row>(row) {
        Ok(Row { function }) => {
            DriverError::forbidden(format!("`{function}` does more than read, and you may only read"))
                .with("function", function)
        }
        Err(error) => {
            DriverError::new(ErrorCode::DriverError, format!("a row of the catalogs is no JSON: {error}"))
        }
    }
}

#[cfg(test)]
mod tests;
