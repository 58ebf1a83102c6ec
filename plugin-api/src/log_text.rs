//! A `tracing` event as the plain text that crosses the border.

use std::fmt::{Debug, Write};
use tracing::{
    Event,
    field::{Field, Visit},
};

/// An event's message, and its other fields as `name=value name=value`.
#[derive(Default)]
pub(crate) struct LogText {
    pub(crate) message: String,
    pub(crate) fields: String,
}

impl LogText {
    pub(crate) fn of(event: &Event<'_>) -> Self {
        let mut text = Self::default();
        event.record(&mut text);
        text
    }
}

impl Visit for LogText {
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
