//! Other prefixes under which a driver's operations are reached, each with its own shape of answers.

use crate::ContractCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A prefix beside the driver's type: `/api/platform/<prefix>/` leads to the operations that the route table puts
/// [under it](crate::Operations::alias), on the same connections. It serves callers that were written for another
/// service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The path segment. It is no database type and no other alias.
    pub prefix: String,
    /// The shape of payloads and errors.
    #[serde(default)]
    pub envelope: Envelope,
    /// HTTP statuses, 400 to 599, of errors that have another status here than usual.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<ContractCode, u16>,
    /// Whether query parameters that an operation does not declare, and a slash at the end of a path, are ignored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Request headers that operations are given, in lower case; see [`Context::header`](crate::Context::header).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Request headers that name the database of a request, in lower case; see [`Alias::connection_header`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection_headers: Vec<String>,
}

/// The shape of payloads and errors.
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
    /// Makes a prefix whose answers are in the gateway's envelope.
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

    /// Makes a prefix whose answers have no envelope.
    pub fn bare(prefix: &str) -> Self {
        Self { envelope: Envelope::Bare, ..Self::new(prefix) }
    }

    /// Gives errors of a code another status than usual, also the errors that the host itself makes.
    pub fn status(mut self, code: impl Into<ContractCode>, status: u16) -> Self {
        self.statuses.insert(code.into(), status);
        self
    }

    /// Ignores two things that are refused elsewhere, because the service that the prefix stands for ignores them:
    /// query parameters that an operation does not declare, and a slash at the end of a path.
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Hands a request header to the operations, which read it by [`Context::header`](crate::Context::header).
    pub fn header(mut self, name: &str) -> Self {
        self.headers.push(name.to_ascii_lowercase());
        self
    }

    /// Lets a request header name the database, by its connection string, encrypted as CryptoJS does it with a
    /// passphrase. Where the host knows the passphrase, the string must name one of the project's connections by host,
    /// port, database and user; where it does not, the header is ignored. If the alias has several such headers, the
    /// first one that is in the request and not empty counts; all but the first declared one are ignored if their value
    /// is no encrypted text.
    pub fn connection_header(mut self, name: &str) -> Self {
        self.connection_headers.push(name.to_ascii_lowercase());
        self
    }
}
