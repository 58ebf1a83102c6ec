//! The host's byte streams as a driver's network.

use super::bindings::studio::driver::net::{self, ByteStream, Failure, Reason};
use crate::{DriverError, ErrorCode, Network, Stream, network::Transport};
use std::time::Duration;

pub(super) fn network() -> Network {
    Network::of_streams(|tls| net::open(tls).map(Stream::new).map_err(DriverError::from))
}

impl Transport for ByteStream {
    fn read(&mut self, most: u32, timeout: Option<Duration>) -> Result<Vec<u8>, DriverError> {
        let milliseconds = timeout.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        Ok(ByteStream::read(self, most, milliseconds)?)
    }
    fn write(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        Ok(ByteStream::write(self, bytes)?)
    }
    fn shutdown(&mut self) -> Result<(), DriverError> {
        Ok(ByteStream::shutdown(self)?)
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        let reason = match failure.reason {
            Reason::Forbidden => return Self::new(ErrorCode::Forbidden, failure.message),
            Reason::NotResolved => "not_resolved",
            Reason::Refused => "refused",
            Reason::Timeout => "timeout",
            Reason::Tls => "tls",
            Reason::Closed => "closed",
            Reason::TooMany => "too_many_streams",
            Reason::Unsupported => "unsupported",
        };
        Self::connection(reason, failure.message)
    }
}
