//! The form in which a payload is sent to the caller.

use super::Payload;
use http::HeaderValue;
use studio_plugin_api::{
    DriverError, ErrorCode,
    alias::{Alias, Envelope},
    manifest::OperationManifest,
    reply::MISPLACED_PAYLOAD,
};

/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Tells how an operation's payloads are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyFormat {
    /// JSON in the gateway's envelope.
    Data,
    /// The payload as it is, of this media type.
    Bare(HeaderValue),
}

impl ReplyFormat {
    /// Finds the format of an operation, by the alias that it is under.
    pub(super) fn of(operation: &OperationManifest, alias: Option<&Alias>) -> Self {
        match alias.map(|alias| alias.envelope) {
            Some(Envelope::Bare) => {
                let media_type = operation.media_type.as_deref();
                Self::Bare(media_type.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or(JSON))
            }
            Some(Envelope::Data) | None => Self::Data,
        }
    }

    /// Tells whether every payload but that of `NoContent` is a JSON text.
    fn is_json(&self) -> bool {
        match self {
            Self::Data => true,
            Self::Bare(media_type) => *media_type == JSON,
        }
    }

    /// Checks that a driver's payload is one that the contract allows for the operation. The bytes inside stay unread.
    ///
    /// # Errors
    /// `DRIVER_ERROR` for a payload where none may be, or none where one must be.
    pub fn check(&self, payload: Payload) -> Result<Payload, DriverError> {
        match payload.fits(self.is_json()) {
            true => Ok(payload),
            false => Err(DriverError::new(ErrorCode::DriverError, MISPLACED_PAYLOAD)),
        }
    }
}
