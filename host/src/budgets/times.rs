//! How long a client may take.

use crate::config::BudgetSettings;
use std::time::Duration;

/// How long clients may take, for each thing they do.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// To send anything.
    pub first_byte: Duration,
    /// For a head.
    pub head: Duration,
    /// For a body. A request times its body itself; this is for the rest of a body after the answer.
    pub body: Duration,
    /// Between requests.
    pub idle: Duration,
    /// To take anything.
    pub no_progress: Duration,
    /// Bytes a second to take after that.
    pub least_rate: u32,
}

impl Times {
    /// Takes the times from the settings.
    pub fn new(settings: &BudgetSettings) -> Self {
        Self {
            first_byte: *settings.first_byte,
            head: *settings.head,
            body: *settings.body,
            idle: *settings.idle,
            no_progress: *settings.no_progress,
            least_rate: settings.least_rate.get(),
        }
    }
}
