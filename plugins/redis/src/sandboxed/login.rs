//! Logging in over the host's stream, which keeps the time by itself.

use super::channel::Channel;
use crate::login::{self, Exchange, GREETING_BYTES, GREETING_TIMEOUT, unanswered};
use redis::{Cmd, RedisConnectionInfo, Value};
use studio_plugin_api::{DriverError, time::Instant};

/// A channel that is used until this moment.
struct Greeting {
    channel: Channel,
    deadline: Instant,
}

impl Exchange for Greeting {
    async fn exchange(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, DriverError> {
        self.channel.exchange(commands.iter(), GREETING_BYTES, Some(self.deadline)).await
    }
}

/// Logs in, and gives the channel back.
pub(super) async fn log_in(channel: Channel, login: &RedisConnectionInfo) -> Result<Channel, DriverError> {
    let mut greeting = Greeting { channel, deadline: Instant::now() + GREETING_TIMEOUT };
    match login::log_in(&mut greeting, login).await {
        Ok(()) => Ok(greeting.channel),
        Err(error) if error.details.get("reason").is_some_and(|reason| reason == "timeout") => {
            Err(unanswered())
        }
        Err(error) => Err(error),
    }
}
