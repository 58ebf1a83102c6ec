//! What a viewer's SQL may be: a query, which a READ ONLY transaction keeps from changing tables, and which calls no
//! function that does more than a transaction can take back.
//!
//! A function that runs a text is refused too, however it is reached: what a viewer may write, it would run.
//!
//! `inspect.rs` looks at the text as PostgreSQL's own parser reads it, and finds every name that is called, and
//! the operators and types behind which a function may be; `functions.rs`
//! asks the catalogs what those names stand for, because only the server knows the functions it has. `server.rs` finds
//! what developers leave to admins.

mod functions;
pub(crate) mod fuzzing;
mod inspect;
pub(crate) mod server;
pub(crate) mod words;

use crate::{Postgres, parser::deep};
use serde::Deserialize;
use studio_plugin_api::{Context, DriverError};

/// Lets a viewer's text through, to be run as one statement in a READ ONLY transaction.
///
/// # Errors
/// `FORBIDDEN` for what is not a query, for several statements, and for functions that a viewer may not call;
/// `QUERY_ERROR` for what does not parse.
pub(crate) async fn check(context: &Context<Postgres>, sql: &str) -> Result<(), DriverError> {
    let mentioned = deep::run(sql.to_owned(), inspect::inspect).await?;
    if mentioned.is_harmless() {
        return Ok(());
    }
    let row = context.row(context, &functions::question(&mentioned)).await?;
    judge(row.as_deref(), mentioned.called.len())
}

/// Lets through what the server found nothing in, having looked at all of it.
fn judge(row: Option<&[u8]>, asked: usize) -> Result<(), DriverError> {
    #[derive(Deserialize)]
    struct Row {
        function: Option<String>,
        asked: usize,
    }
    match row.map(serde_json::from_slice::<Row>) {
        Some(Ok(Row { function: None, asked: looked_at })) if looked_at == asked => Ok(()),
        Some(Ok(Row { function: Some(function), .. })) => {
            let message = format!("`{function}` does more than read, and you may only read");
            Err(DriverError::forbidden(message).with("function", function))
        }
        Some(Ok(_)) | Some(Err(_)) | None => {
            let message = "the server does not say what this calls, and you may only read";
            Err(DriverError::forbidden(message))
        }
    }
}

#[cfg(test)]
mod tests;
