//! The driver's `tracing` events and panics, carried to the host's log.

use super::bindings::studio::driver::log::{self, Level as HostLevel};
use crate::log_text::LogText;
use std::sync::Once;
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter, span};

/// Once in an instance's life.
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
        // It fails only where the driver has set a subscriber itself; that one stays.
        let _ = tracing::subscriber::set_global_default(Bridge { level });
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    });
}

/// A subscriber that hands every event to the host. Spans are not carried: the host knows the request.
struct Bridge {
    level: LevelFilter,
}

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            Level::ERROR => HostLevel::Error,
            Level::WARN => HostLevel::Warn,
            Level::INFO => HostLevel::Info,
            Level::DEBUG => HostLevel::Debug,
            Level::TRACE => HostLevel::Trace,
        };
        let text = LogText::of(event);
        log::write(level, event.metadata().target(), &text.message, &text.fields);
    }
}
