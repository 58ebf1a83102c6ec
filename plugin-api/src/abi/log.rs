//! The driver's `tracing` events, carried to the host's log.

use super::{AbiLogRecord, HostObject};
use crate::log_text::LogText;
use std::{cell::RefCell, sync::Arc};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter, span};

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

/// A subscriber that hands every event to the host. Spans are not carried: a record names its request instead.
pub(super) struct Bridge {
    pub(super) host: Arc<HostObject>,
    pub(super) level: LevelFilter,
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
        let text = LogText::of(event);
        let level = match *event.metadata().level() {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        };
        self.host.log(AbiLogRecord {
            level,
            target: event.metadata().target().into(),
            message: text.message.into(),
            fields: text.fields.into(),
            request_id: CURRENT_REQUEST.with(|current| current.borrow().as_str().into()),
        });
    }
}
