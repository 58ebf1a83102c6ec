//! Other prefixes that a driver's operations are reached under, each with a shape of its own for answers.

use crate::ContractCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A prefix beside the driver's type: `/api/platform/<prefix>/` leads to the operations that the route table puts
/// [under it](crate::Operations::alias), on the same connections. For callers that were written for another service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The path segment. It is no database type and no other alias.
    pub prefix: String,
    /// What is around payloads and errors.
    #[serde(default)]
    pub envelope: Envelope,
    /// HTTP statuses, 400 to 599, of errors that have another one here than usual.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<ContractCode, u16>,
    /// Query parameters that an operation does not declare, and a slash at the end of a path, are overlooked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Request headers that operations are handed, in small letters; see [`Context::header`](crate::Context::header).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Request headers that name the database that is meant, in small letters; see [`Alias::connection_header`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection_headers: Vec<String>,
}

/// What is around payloads and errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// The gateway's own: `{"data": …}` and `{"error": {"code", "message", "details", "request_id"}}`.
    #[default]
    Data,
    /// None: the payload as it is, and `{"error": "<message>"}` with the details' fields beside it.
    Bare,
}

impl Alias {
    /// A prefix whose answers are in the gateway's envelope.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            envelope: Envelope::Data,
            statuses: BTreeMap::new(),
            lenient: false,
            headers: Vec::new(),
            connection_headers: Vec::new(),
        }
    }

    /// A prefix whose answers have no envelope.
    pub fn bare(prefix: &str) -> Self {
        Self { envelope: Envelope::Bare, ..Self::new(prefix) }
    }

    /// Gives errors of a code another status than usual, the host's own errors too.
    pub fn status(mut self, code: impl Into<ContractCode>, status: u16) -> Self {
        self.statuses.insert(code.into(), status);
        self
    }

    /// Overlooks what strict operations refuse, because the service that the prefix stands for does: query parameters
    /// that an operation does not declare, and a slash at the end of a path.
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Hands a request header to the operations, which read it by [`Context::header`](crate::Context::header).
    pub fn header(mut self, name: &str) -> Self {
        self.headers.push(name.to_ascii_lowercase());
        self
    }

    /// Lets a request header name the database: by its connection string, encrypted as CryptoJS does it with a
    /// passphrase. Where the host knows the passphrase, the string must name one of the project's connections by host,
    /// port, database and user; where it does not, the header is overlooked. Of several headers the first counts that is
    /// there; in those after the first, what is no encrypted text is overlooked.
    pub fn connection_header(mut self, name: &str) -> Self {
        self.connection_headers.push(name.to_ascii_lowercase());
        self
    }
}
