//! What is sent in a connection for a caller, and how the answer to it is read.

use crate::{
    errors::{Failure, ServerError, code},
    pool::{Borrowed, Connections},
    proof::Proof,
    quote::identifier,
    results::Receiver,
    statement::Statement,
    wire::Wire,
};
use postgres_protocol::message::backend::Message;

/// Puts a connection back to how it was when it was opened: settings, role, prepared statements, cursors, temporary
/// tables, `LISTEN`, advisory locks, sequences (PostgreSQL's manual, DISCARD).
const CLEAN: &str = "DISCARD ALL";
/// The tags of statements after which what was done before them stays.
const COMMITS: [&str; 3] = ["COMMIT", "PREPARE TRANSACTION", "COMMIT PREPARED"];

/// What a caller sends.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// One or several statements without parameters.
    Simple(String),
    /// One statement with parameters.
    Extended(Statement),
    /// One statement that may change nothing, as this role where one is named.
    ReadOnly(Statement, Option<String>),
    /// One statement that is proved to leave its connection as it is.
    Proved(Statement, Proof),
}

impl Input {
    /// What is sent.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Simple(text) => text,
            Self::Extended(statement) | Self::ReadOnly(statement, _) | Self::Proved(statement, _) => {
                &statement.text
            }
        }
    }
}

/// Runs what a caller sent, and has the connection cleaned after it. `statement_timeout` is in milliseconds; zero is none,
/// nothing leaves what the connection or the login has.
pub(crate) async fn send(
    connection: &mut Borrowed,
    input: &Input,
    statement_timeout: Option<u64>,
    limit: u64,
    receiver: &mut impl Receiver,
) -> Result<(), Failure> {
    connection
        .run(async |wire| {
            wire.bound_messages(limit);
            wire.put_forgetting()?;
            wire.expect_traces();
            let sent = put_input(wire, input, statement_timeout)?;
            // Up to the answer to it, its transaction is open.
            let sent_rollback = matches!(input, Input::ReadOnly(..));
            let result = exchange(wire, sent, receiver).await.map_err(Failure::after_sending);
            // What is left unread, or broken, is the borrower's to deal with.
            let is_answered = matches!(result, Ok(()) | Err(Failure::Refused(_)));
            if is_answered && !sent_rollback && !wire.is_outside_transactions() {
                wire.put_simple("ROLLBACK")?;
                put_cleaning(wire)?;
                wire.flush().await?;
            }
            result
        })
        .await
}

/// Runs a statement that is proved to leave its connection as it is, which is cleaned only now and then.
pub(crate) async fn send_proved(
    connections: &Connections,
    connection: &mut Borrowed,
    (statement, proof): (&Statement, Proof),
    limit: u64,
    receiver: &mut impl Receiver,
) -> Result<(), Failure> {
    connection
        .run(async |wire| {
            wire.bound_messages(limit);
            let is_due = wire.is_due_for_cleaning();
            let is_named = wire.put_proved(statement, proof, connections.prepares() && !is_due)?;
            if is_due {
                put_cleaning(wire)?;
            }
            let mut result = exchange_proved(wire, receiver).await;
            if let Err(Failure::Refused(error)) = &result
                && !wire.note_proved(statement)
            {
                wire.put_close(statement)?;
                // Its plan, or the types of its parameters, may be those of tables that changed since; or a pooler is in
                // between; or the error has its name. It was not begun, so that nothing is done twice.
                if is_named {
                    if error.is_about_preparing() {
                        connections.stop_preparing();
                    }
                    wire.put_proved(statement, proof, false)?;
                    result = exchange_proved(wire, receiver).await;
                }
            }
            wire.note_proved(statement);
            let is_answered = matches!(result, Ok(()) | Err(Failure::Refused(_)));
            if is_answered && (wire.has_changed_settings() || !wire.is_outside_transactions()) {
                tracing::debug!("a connection is cleaned whose settings changed under a harmless statement");
                wire.put_simple("ROLLBACK")?;
                put_cleaning(wire)?;
                wire.flush().await?;
            }
            result
        })
        .await
}

async fn exchange_proved(wire: &mut Wire, receiver: &mut impl Receiver) -> Result<(), Failure> {
    wire.flush().await?;
    read_answer(wire, receiver, 0).await.map_err(Failure::after_sending)
}

/// How to read the answer to what was sent.
struct Sent {
    /// How many statements of the driver's come before the caller's.
    preludes: usize,
    /// It may copy, and nothing was put in line after it.
    may_copy: bool,
}

/// Puts in line what a caller sent, and what cleans the connection after it unless it may copy.
fn put_input(wire: &mut Wire, input: &Input, statement_timeout: Option<u64>) -> Result<Sent, Failure> {
    let mut preludes = 0;
    match input {
        Input::Simple(text) => {
            put_timeout(wire, statement_timeout)?;
            wire.put_simple(text)?;
        }
        Input::Extended(statement) | Input::Proved(statement, _) => {
            put_timeout(wire, statement_timeout)?;
            wire.put_extended(statement)?;
            wire.put_sync();
        }
        Input::ReadOnly(statement, role) => {
            // In one line of the extended protocol: when the first fails, the next is not done.
            wire.put_extended(&Statement::new("BEGIN READ ONLY"))?;
            preludes += 1;
            if let Some(time) = statement_timeout {
                wire.put_extended(&Statement::new(format!("SET LOCAL statement_timeout = {time}")))?;
                preludes += 1;
            }
            if let Some(role) = role {
                wire.put_extended(&Statement::new(format!("SET LOCAL ROLE {}", identifier(role))))?;
                preludes += 1;
            }
            wire.put_extended(statement)?;
            wire.put_sync();
            wire.put_simple("ROLLBACK")?;
        }
    }
    // A statement that copies takes what follows it for data. What may change nothing is a query, which copies nothing.
    let may_copy = !matches!(input, Input::ReadOnly(..))
        && input.text().as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"copy"));
    if !may_copy {
        put_cleaning(wire)?;
    }
    Ok(Sent { preludes, may_copy })
}

async fn exchange(wire: &mut Wire, sent: Sent, receiver: &mut impl Receiver) -> Result<(), Failure> {
    let Sent { preludes, may_copy } = sent;
    wire.flush().await?;
    let result = read_answer(wire, receiver, preludes).await;
    if may_copy && matches!(result, Ok(()) | Err(Failure::Refused(_))) && wire.is_outside_transactions() {
        put_cleaning(wire)?;
        wire.flush().await?;
    }
    result
}

fn put_timeout(wire: &mut Wire, statement_timeout: Option<u64>) -> Result<(), Failure> {
    match statement_timeout {
        Some(time) => wire.put_aside(&format!("SET statement_timeout = {time}")),
        None => Ok(()),
    }
}

/// Puts in line what cleans the connection.
pub(crate) fn put_cleaning(wire: &mut Wire) -> Result<(), Failure> {
    wire.put_simple(CLEAN)?;
    wire.forget_traces();
    Ok(())
}

/// Reads up to the next `ReadyForQuery`. Of the first `preludes` statements nobody is told.
pub(crate) async fn read_answer(
    wire: &mut Wire,
    receiver: &mut impl Receiver,
    preludes: usize,
) -> Result<(), Failure> {
    let mut refusal = None;
    let mut preludes = preludes;
    let (mut is_heard, mut is_after_commit) = (false, false);
    loop {
        let message = wire.receive().await?;
        let was_heard = std::mem::replace(&mut is_heard, true);
        match message {
            Message::RowDescription(body) => receiver.describe(&body)?,
            Message::DataRow(body) => receiver.take(&body)?,
            Message::CommandComplete(_) if preludes > 0 => preludes -= 1,
            Message::CommandComplete(body) => {
                let tag = body.tag()?;
                is_after_commit |= COMMITS.contains(&tag);
                receiver.complete(tag)?;
            }
            Message::CopyOutResponse(_) => receiver.leave_out_copy(),
            Message::CopyInResponse(_) => {
                wire.put_copy_fail("No source stream defined")?;
                wire.flush().await?;
            }
            Message::ErrorResponse(body) => {
                let mut error = ServerError::read(&body)?;
                error.is_after_commit = is_after_commit;
                if error.ends_the_connection() {
                    let is_unheard = !was_heard && error.code() == code::IDLE_SESSION_TIMEOUT;
                    return Err(if is_unheard { Failure::Unheard(error) } else { Failure::Ended(error) });
                }
                refusal.get_or_insert(error);
            }
            Message::ReadyForQuery(_) => return refusal.map_or(Ok(()), |error| Err(Failure::Refused(error))),
            _ => {}
        }
    }
}
