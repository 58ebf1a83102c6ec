//! Writes the records of drivers of either kind to the gateway's log.

use std::fmt::Display;
use tracing::Level;

/// One record of a driver.
pub(super) struct LogRecord<'a, T: ?Sized> {
    pub(super) driver: &'a str,
    pub(super) request_id: &'a str,
    /// The place in the driver's source.
    pub(super) target: &'a T,
    pub(super) message: &'a T,
    /// `name=value name=value`.
    pub(super) fields: &'a T,
}

impl<T: Display + ?Sized> LogRecord<'_, T> {
    /// Writes the record.
    pub(super) fn write(&self, level: Level) {
        let Self { driver, request_id, target, message, fields } = self;
        macro_rules! emit {
            ($level:ident) => {
                tracing::event!(
                    target: "driver",
                    Level::$level,
                    %driver,
                    %request_id,
                    module = %target,
                    %fields,
                    "{message}"
                )
            };
        }
        match level {
            Level::ERROR => emit!(ERROR),
            Level::WARN => emit!(WARN),
            Level::INFO => emit!(INFO),
            Level::DEBUG => emit!(DEBUG),
            Level::TRACE => emit!(TRACE),
        }
    }
}
