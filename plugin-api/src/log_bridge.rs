//! A driver's `tracing` events as the plain text that crosses the border.

use std::fmt::{Debug, Write};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// A subscriber that hands every event to the host, through `write`. Spans are not carried: a record belongs to a
/// request, which `request.rs` tells.
pub(crate) struct LogBridge<W> {
    pub(crate) level: LevelFilter,
    pub(crate) write: W,
}

impl<W: Fn(LogRecord<'_>) + 'static> LogBridge<W>
where
    Self: Send + Sync,
{
    /// Sets it for this copy of `tracing`, from now on. A subscriber that is set already stays.
    pub(crate) fn set(self) {
        let _ = tracing::subscriber::set_global_default(self);
    }
}

/// One event.
pub(crate) struct LogRecord<'a> {
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) message: String,
    /// The event's other fields, `name=value name=value`.
    pub(crate) fields: String,
}

impl<W: Fn(LogRecord<'_>) + 'static> Subscriber for LogBridge<W>
where
    Self: Send + Sync,
{
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
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        let mut record = LogRecord { level, target, message: String::new(), fields: String::new() };
        event.record(&mut record);
        (self.write)(record);
    }
}

impl Visit for LogRecord<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let space = if self.fields.is_empty() { "" } else { " " };
            write!(self.fields, "{space}{}={value:?}", field.name())
        };
    }
}
