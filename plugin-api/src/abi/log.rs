//! The driver's `tracing` events, carried to the host's log.

use super::{AbiLogRecord, HostObject};
use crate::{log_bridge::LogRecord, request};
use tracing::{Level, level_filters::LevelFilter};

/// Reads a level from its number on the border.
pub(super) fn level_filter(level: u8) -> LevelFilter {
    match level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Hands the host a record of this thread.
pub(super) fn write(host: &HostObject, record: LogRecord<'_>) {
    host.log(AbiLogRecord {
        level: match record.level {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        },
        target: record.target.into(),
        message: record.message.into(),
        fields: record.fields.into(),
        request_id: request::with_current_id(|id| id.into()),
    });
}
