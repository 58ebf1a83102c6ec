//! The fourth step: it reads the body and finds the connection. The call then only lacks a session, or a kept reply.

use super::{Flow, FlowError, admitted::Admitted, in_time, nesting::is_deeper_than, query::NamedConnection};
use crate::{
    budgets::{Account, Held, Kind},
    connections::{destination::Destination, target::Target},
    directory::{Answer, Directory},
    plugins::Operation,
    registry::{Connection, ConnectionSelector, ConnectionStatus},
};
use axum::body::{Body, HttpBody};
use http::HeaderMap;
use http_body_util::BodyExt;
use secrecy::ExposeSecret;
use std::{pin::pin, sync::Arc, time::Instant};
use studio_plugin_api::{Call, DriverError, ErrorCode, manifest::Manifest};

/// Bytes that a body gets room for to begin with, unless it announces fewer.
const FIRST_PART: usize = 4096;
/// Bodies above so many bytes are checked against a schema on a blocking thread, not on one that serves all requests.
const LARGE_BODY: usize = 64 << 10;

/// A call that may be made, and where. Only [`locate`] makes one.
#[derive(Clone)]
pub(super) struct Located {
    pub(super) operation: Arc<Operation>,
    pub(super) call: Call,
    pub(super) target: Target,
    pub(super) account: Account,
    /// The body's room, held until the last clone of the call is gone.
    _room: Option<Arc<Held>>,
}

/// Finds the connection, which must not be switched off. Gives the request's headers too.
pub(super) async fn locate(
    flow: &Flow,
    admitted: Admitted,
    account: &Account,
) -> Result<(Located, HeaderMap), FlowError> {
    let (request, authorization, stub) = admitted.into_parts();
    let by = request.deadline.min(Instant::now() + *flow.budgets.settings().body);
    let (body, room) = read_body(request.body, flow.limits.max_body_bytes.get(), account, by).await?;
    let limit = flow.limits.max_nesting.get();
    if is_deeper_than(limit, &body) {
        return Err(FlowError::BodyTooDeep { limit });
    }
    let granted = authorization.granted();
    let connection = match stub.connection(&flow.gate, Instant::now()) {
        Some(connection) => connection,
        None => {
            let manifest = request.driver.manifest();
            let (reference, selector, named) = (&request.reference, &request.selector, &request.named);
            // Boxed, as all that a warm request does not do: it would make every request's future larger.
            let answer = Box::pin(find(flow, reference, manifest, selector, named.as_ref())).await?;
            flow.tickets.keep(&stub, authorization, &answer);
            answer
                .found
                .ok_or_else(|| FlowError::NoConnection(no_connection(&manifest.database_type, selector)))?
        }
    };
    if connection.status == ConnectionStatus::Inactive {
        return Err(FlowError::Inactive(connection.identifier.clone()));
    }
    let operation = request.operation;
    let call = Call {
        operation: operation.number,
        granted,
        path: request.path,
        query: request.query,
        body,
        deadline: request.deadline,
        max_reply_bytes: flow.limits.max_reply_bytes.get() as u64,
        request_id: request.request_id.into(),
    };
    let call = check_call(&operation, call).await?;
    let target = Target { connection, driver: request.driver };
    let located = Located { operation, call, target, account: account.clone(), _room: room.map(Arc::new) };
    Ok((located, request.headers))
}

/// Checks a call against the schemas that its driver declares, if the driver leaves that to the gateway.
async fn check_call(operation: &Arc<Operation>, call: Call) -> Result<Call, DriverError> {
    if !operation.checks_calls() {
        return Ok(call);
    }
    if call.body.len() <= LARGE_BODY {
        operation.check_call(&call)?;
        return Ok(call);
    }
    let operation = operation.clone();
    let checking = tokio::task::spawn_blocking(move || operation.check_call(&call).map(|()| call));
    checking.await.unwrap_or_else(|_| {
        let message = "the call could not be held to the driver's schemas";
        Err(DriverError::new(ErrorCode::DriverError, message))
    })
}

/// Finds the connection that is named, in either way, or the primary one.
async fn find(
    flow: &Flow,
    reference: &str,
    driver: &Manifest,
    selector: &ConnectionSelector,
    named: Option<&NamedConnection>,
) -> Result<Answer<Connection>, FlowError> {
    let (Some(key), Some(named)) = (&flow.connection_key, named) else {
        return Ok(flow.directory.connection(reference, driver, selector).await?);
    };
    if *selector != ConnectionSelector::Primary {
        let field = named.header.clone();
        let message = format!("a connection is named once, by `{field}` or by a query parameter");
        return Err(FlowError::Parameter { field, message });
    }
    let opened = key.open(&named.sealed);
    let destination = opened.and_then(|text| Destination::parse(text.expose_secret(), driver));
    find_named(&flow.directory, reference, driver, destination, named).await
}

/// Finds the connection that a header names. The error does not tell whether the header does not open or names no
/// connection of the project: otherwise the gateway would help to decrypt strings that somebody else sent. The wording
/// is postgres-meta's.
async fn find_named(
    directory: &Directory,
    reference: &str,
    driver: &Manifest,
    destination: Option<Destination>,
    named: &NamedConnection,
) -> Result<Answer<Connection>, FlowError> {
    let found = match destination {
        Some(destination) => Some(directory.connection_to(reference, driver, &destination).await?),
        None => None,
    };
    found.filter(|answer| answer.found.is_some()).ok_or_else(|| FlowError::Parameter {
        field: named.header.clone(),
        message: "failed to process upstream connection details".to_owned(),
    })
}

/// Reads a request's whole body, if it is within the limit in bytes and arrives in time. Room in the budget is taken
/// before memory is.
pub(crate) async fn read_body(
    body: Body,
    limit: usize,
    account: &Account,
    by: Instant,
) -> Result<(Vec<u8>, Option<Held>), FlowError> {
    // A body that is announced too large is not waited for.
    if body.size_hint().lower() > limit as u64 {
        return Err(FlowError::BodyTooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok((Vec::new(), None));
    }
    let reading = collect(body, limit, account.begin(Kind::Bodies));
    in_time(by, pin!(reading)).await.unwrap_or(Err(FlowError::BodyTooSlow))
}

async fn collect(mut body: Body, limit: usize, mut room: Held) -> Result<(Vec<u8>, Option<Held>), FlowError> {
    let most = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| FlowError::BodyCutShort)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > limit {
            return Err(FlowError::BodyTooLarge { limit });
        }
        let capacity = bytes.capacity();
        if length > capacity {
            let wanted = (capacity * 2).max(FIRST_PART).min(most).max(length);
            room.grow(wanted - capacity)?;
            bytes.reserve_exact(wanted - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, Some(room)))
}

fn no_connection(database_type: &str, selector: &ConnectionSelector) -> String {
    match selector {
        ConnectionSelector::Primary => format!("the project has no `{database_type}` connection yet"),
        ConnectionSelector::Id(id) => {
            format!("the project has no `{database_type}` connection with the id {id}")
        }
        ConnectionSelector::Identifier(name) => {
            format!("the project has no `{database_type}` connection named `{name}`")
        }
    }
}
