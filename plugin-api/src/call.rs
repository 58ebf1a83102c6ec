//! One call of an operation, as plain values.

use crate::time::Instant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// The rights that an operation needs, or that a caller was granted. Ordered: a higher one includes the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Reads only; must leave the database as it was.
    Read,
    /// Reads and changes data.
    Write,
    /// Also changes the server or drops whole databases.
    Admin,
}

/// A call as the host hands it over: authenticated, authorized and routed, with the token and the user left behind.
#[derive(Debug, Clone)]
pub struct Call {
    /// Index into the manifest's `operations`.
    pub operation: u32,
    /// The most that the caller may do. `Access::Read` means read-only: the driver enforces it.
    pub granted: Access,
    /// The values of the path template's parameters in their order, percent-decoded to bytes.
    pub path: Vec<Vec<u8>>,
    /// Query parameters in the order given, decoded; the host's own (`connection`, `connection_id`) are taken out. Behind
    /// them the request's headers that the alias hands on, named with [`HEADER_PREFIX`](crate::parameters::HEADER_PREFIX).
    pub query: Vec<(String, String)>,
    /// The request body as it came.
    pub body: Vec<u8>,
    /// When the caller stops waiting. The host drops the call's future then.
    pub deadline: Instant,
    /// The largest payload, in bytes, that the host will pass on. A driver that can tell early answers
    /// `RESULT_TOO_LARGE` instead of building a larger one.
    pub max_reply_bytes: u64,
    /// The `x-request-id` under which everything about this call is logged.
    pub request_id: Arc<str>,
}

impl Call {
    /// Returns the time left until the deadline; zero when it has passed.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
