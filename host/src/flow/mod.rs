//! The path of a driver request, read downward. Each step takes the value that the step before made; the types' fields
//! are private to their steps, so that a request that was not authorized cannot reach a session. The first step finds
//! the [`Operation`]; the others carry it along and look nothing up again.
//!
//! ```text
//! request -> Request -> Authorized -> Admitted -> Located ----------> Ready -> Reply -> response
//!                                                         \-> kept -----------/
//! ```

mod admitted;
mod audit;
mod authorized;
mod cached;
mod deadline;
pub(crate) mod fuzzing;
mod located;
mod nesting;
mod query;
mod ready;
mod reply;
mod request;
mod ticket;

use crate::{
    audit::AuditTrail,
    budgets::{Budgets, ClientConnections, Spent},
    cache::ReplyCache,
    config::LimitSettings,
    connections::sealed_string::ConnectionKey,
    directory::Directory,
    identity::{Gate, GateError, TokenError},
    limits::{RateLimitHeaders, RateLimits, Refusal},
    plugins::Operation,
    registry::RegistryError,
    sessions::Sessions,
    telemetry::Metrics,
};
use axum::{body::Body, response::Response};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Instant,
};
use studio_plugin_api::{ContractCode, DriverError, ErrorCode, HostCode};
use tracing::{Instrument, debug_span};

pub(crate) use deadline::time_for;
pub(crate) use located::read_body;
pub(crate) use query::read_query;
pub use request::RequestFacts;
pub(crate) use request::find_prefix;
pub use ticket::Tickets;

use admitted::Admitted;
use audit::CallRecord;
use located::Located;
use reply::Reply;
use request::Request;

/// The reason given when a budget of the gateway has no room.
pub(crate) const BUSY: &str = "busy";

/// Holds the parts that the steps use.
pub struct Flow {
    /// Authorizes callers.
    pub gate: Arc<Gate>,
    /// Remembers what was found out about requests a moment ago.
    pub tickets: Tickets,
    /// Limits how often callers may ask.
    pub rate_limits: Arc<RateLimits>,
    /// Finds the connection that a request names.
    pub directory: Arc<Directory>,
    /// Opens connection strings that callers send encrypted; without it, those are ignored.
    pub connection_key: Option<ConnectionKey>,
    /// The kept replies.
    pub cache: Arc<ReplyCache>,
    /// The open sessions.
    pub sessions: Sessions,
    /// Bounds on one request.
    pub limits: LimitSettings,
    /// Bounds on all requests together.
    pub budgets: Arc<Budgets>,
    /// The connections that requests come by.
    pub clients: Arc<ClientConnections>,
    /// The trail that writes are noted in.
    pub audit: AuditTrail,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Why a driver request got no reply.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// No driver of this type is in service.
    #[error("there is no database type `{0}` here")]
    UnknownType(String),
    /// The driver has no such path.
    #[error("there is nothing at this path")]
    UnknownPath,
    /// The path is known, the method is not.
    #[error("this path does not take this method")]
    WrongMethod {
        /// The value for `Allow`.
        allow: String,
    },
    /// A path or query parameter does not fit.
    #[error("{message}")]
    Parameter {
        /// Which.
        field: String,
        /// The form that would be right.
        message: String,
    },
    /// The caller is not let through.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The caller asks too often.
    #[error(transparent)]
    TooOften(#[from] Box<Refusal>),
    /// The body is over the limit.
    #[error("the request body is larger than the limit of {limit} bytes")]
    BodyTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The body nests deeper than the limit.
    #[error("the request body nests objects and arrays deeper than the limit of {limit} levels")]
    BodyTooDeep {
        /// In levels.
        limit: usize,
    },
    /// The client stopped sending.
    #[error("the request body did not arrive whole")]
    BodyCutShort,
    /// The client sends too slowly.
    #[error("the request body did not arrive in time")]
    BodyTooSlow,
    /// A budget of the gateway has no room.
    #[error("{spent}")]
    Busy {
        /// Which.
        spent: Spent,
        /// The outcome of a call that was made and may have changed something.
        outcome: Option<&'static str>,
    },
    /// The project has no such connection.
    #[error("{0}")]
    NoConnection(String),
    /// The connection is switched off.
    #[error("the connection `{0}` is INACTIVE; an admin can set its status to ACTIVE")]
    Inactive(String),
    /// The registry could not say.
    #[error(transparent)]
    Registry(#[from] Arc<RegistryError>),
    /// The driver's, or the session's.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The whole request passed its deadline before the driver was called.
    #[error("the request passed its deadline")]
    Deadline,
}

/// Tells how far a driver request came.
#[derive(Default)]
pub struct Served {
    /// Its operation, once that is known.
    pub operation: Option<Arc<Operation>>,
    /// The rest of its caller's limits, once they let it through.
    pub rate_limit_headers: Option<RateLimitHeaders>,
}

impl Flow {
    /// Serves one driver request.
    pub async fn serve(
        &self,
        request: http::Request<Body>,
        facts: RequestFacts,
    ) -> (Served, Result<Response, FlowError>) {
        let mut served = Served::default();
        let result = async {
            let route = || request::route(&self.limits, request, facts);
            let request = debug_span!("route").in_scope(route)?;
            served.operation = Some(request.operation.clone());
            let deadline = request.deadline;
            let (admitted, rate_limit_headers) = by(deadline, pin!(self.admit(Box::new(request)))).await?;
            served.rate_limit_headers = rate_limit_headers;
            self.run(admitted, deadline).await
        }
        .await;
        (served, result)
    }

    async fn admit(&self, request: Box<Request>) -> Result<(Admitted, Option<RateLimitHeaders>), FlowError> {
        let authorize = authorized::authorize(&self.gate, &self.tickets, request);
        let authorized = authorize.instrument(debug_span!("authorize")).await?;
        debug_span!("admit").in_scope(|| admitted::admit(&self.rate_limits, authorized))
    }

    async fn run(&self, admitted: Admitted, deadline: Instant) -> Result<Response, FlowError> {
        let operation = admitted.authorized().request().operation.clone();
        let may_write = admitted.authorized().may_write();
        if may_write {
            // A write begins only when the audit trail has room for its record.
            let has_room = async {
                self.audit.room().await;
                Ok(())
            };
            by(deadline, pin!(has_room)).await?;
        }
        let record = CallRecord::begin(&self.audit, admitted.authorized());
        let account = self.budgets.project(&admitted.authorized().request().reference);
        let result = async {
            let locate = located::locate(self, admitted, &account).instrument(debug_span!("locate"));
            let (located, headers) = by(deadline, pin!(locate)).await?;
            match operation.caching {
                Some(caching) => cached::answer(self, located, &headers, caching).await,
                None => self.call(located).await,
            }
        }
        .await;
        record.finish(result.as_ref().map_err(FlowError::code));
        let mut reply = result?;
        let take_room = reply.take_room(&account, &self.clients, deadline);
        if let Err(spent) = take_room.instrument(debug_span!("reply")).await {
            let outcome = (may_write && !reply.only_read()).then_some("done");
            return Err(FlowError::Busy { spent, outcome });
        }
        Ok(reply.into_response(&operation.format, account))
    }

    /// Makes a call for its caller alone, past the cache.
    async fn call(&self, located: Located) -> Result<Reply, FlowError> {
        let connection = located.target.connection.id;
        let made = ready::make(&self.sessions, &self.cache, &self.metrics, located).await?;
        Ok(Reply::new(made.payload, made.share, connection))
    }
}

impl From<Spent> for FlowError {
    fn from(spent: Spent) -> Self {
        Self::Busy { spent, outcome: None }
    }
}

/// Ends a step that would pass the request's deadline.
async fn by<T>(
    deadline: Instant,
    step: Pin<&mut impl Future<Output = Result<T, FlowError>>>,
) -> Result<T, FlowError> {
    in_time(deadline, step).await.unwrap_or(Err(FlowError::Deadline))
}

/// Waits for a step until this moment; `None` if it is not done by then. A step that is done at once needs no timer.
/// It stays where it is, since each place that a future moves through makes the request's own future larger.
async fn in_time<T>(moment: Instant, mut step: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let first = poll_fn(|context| Poll::Ready(step.as_mut().poll(context))).await;
    match first {
        Poll::Ready(result) => Some(result),
        Poll::Pending => tokio::time::timeout_at(moment.into(), step).await.ok(),
    }
}

impl FlowError {
    /// Returns the code for the audit trail and, for most errors, the client; some have another status there.
    pub fn code(&self) -> ContractCode {
        let code = match self {
            Self::Gate(GateError::Token(TokenError::KeysUnavailable)) => {
                return HostCode::InternalError.into();
            }
            Self::Gate(GateError::Token(_)) => return HostCode::Unauthenticated.into(),
            Self::Gate(GateError::Registry(_)) | Self::Registry(_) => return HostCode::InternalError.into(),
            Self::TooOften(_) | Self::Busy { .. } => return HostCode::RateLimited.into(),
            Self::UnknownType(_) | Self::UnknownPath | Self::WrongMethod { .. } | Self::NoConnection(_) => {
                ErrorCode::NotFound
            }
            Self::Parameter { .. } | Self::BodyCutShort | Self::BodyTooDeep { .. } => {
                ErrorCode::ValidationError
            }
            Self::Gate(GateError::NoProject(_)) => ErrorCode::NotFound,
            Self::Gate(GateError::RoleTooLow { .. } | GateError::NotForYou(_)) => ErrorCode::Forbidden,
            Self::BodyTooLarge { .. } => ErrorCode::PayloadTooLarge,
            Self::Inactive(_) => ErrorCode::Conflict,
            Self::Driver(error) => error.code,
            Self::Deadline | Self::BodyTooSlow => ErrorCode::Timeout,
        };
        code.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};

    #[tokio::test]
    async fn step_that_is_done_at_once_is_never_too_late() {
        let past = Instant::now();
        assert_eq!(in_time(past, pin!(async { 1 })).await, Some(1));
        assert_eq!(in_time(past + Duration::from_secs(60), pin!(tokio::task::yield_now())).await, Some(()));
        assert_eq!(in_time(past, pin!(pending::<()>())).await, None);
    }
}
