//! The driver's `tracing` events, carried to the host's log.

use super::{AbiLogRecord, HostObject};
use crate::log_bridge::LogRecord;
use std::cell::RefCell;
use tracing::{Level, level_filters::LevelFilter};

thread_local! {
    /// The request id of the call being polled on this thread.
    static CURRENT_REQUEST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// While it lives, records of this thread carry the request id.
pub(super) struct RequestScope {
    previous: String,
}

impl RequestScope {
    /// Takes the id out of `request_id` for the scope's time, so that no poll copies it.
    pub(super) fn enter(request_id: &mut String) -> Self {
        let id = std::mem::take(request_id);
        Self { previous: CURRENT_REQUEST.with(|current| current.replace(id)) }
    }

    /// Ends the scope and gives the id back.
    pub(super) fn leave(self, request_id: &mut String) {
        *request_id = CURRENT_REQUEST.with(|current| current.replace(self.previous));
    }
}

/// From the number on the border.
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
        request_id: CURRENT_REQUEST.with(|current| current.borrow().as_str().into()),
    });
}
