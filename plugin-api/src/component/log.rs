//! The driver's `tracing` events and panics, carried to the host's log.

use super::bindings::studio::driver::log::{self, Level as HostLevel};
use crate::log_bridge::{LogBridge, LogRecord};
use std::sync::Once;
use tracing::{Level, level_filters::LevelFilter};

/// Starts the log, once in an instance's life.
pub(super) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let level = match log::max_level() {
            None => LevelFilter::OFF,
            Some(HostLevel::Error) => LevelFilter::ERROR,
            Some(HostLevel::Warn) => LevelFilter::WARN,
            Some(HostLevel::Info) => LevelFilter::INFO,
            Some(HostLevel::Debug) => LevelFilter::DEBUG,
            Some(HostLevel::Trace) => LevelFilter::TRACE,
        };
        LogBridge { level, write }.set();
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    });
}

fn write(record: LogRecord<'_>) {
    let level = match record.level {
        Level::ERROR => HostLevel::Error,
        Level::WARN => HostLevel::Warn,
        Level::INFO => HostLevel::Info,
        Level::DEBUG => HostLevel::Debug,
        Level::TRACE => HostLevel::Trace,
    };
    log::write(level, record.target, &record.message, &record.fields);
}
