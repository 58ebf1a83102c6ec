//! The sandbox's way to the server: one stream, which the host opens, and one exchange on it at a time.

mod channel;
mod login;
#[cfg(test)]
mod tests;

use crate::{errors, options::Target, packed::Packed, route::Route};
use channel::Channel;
use futures_util::lock::Mutex;
use redis::{Cmd, Value, cmd};
use std::iter;
use studio_plugin_api::{DriverError, Network};

/// The connection to one server, which is every place that a route may lead to.
pub(crate) struct Link {
    /// Out of its place while it is used: what fails or is given up half-way is dropped, so that nobody reads the
    /// answers to another's question.
    channel: Mutex<Option<Box<Channel>>>,
}

impl Link {
    pub(crate) async fn open(target: &Target, network: &Network) -> Result<Self, DriverError> {
        let channel = Channel::new(network.open(target.tls.is_some()).await?);
        let channel = login::log_in(channel, &target.login).await?;
        Ok(Self { channel: Mutex::new(Some(Box::new(channel))) })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.channel.try_lock().is_none_or(|channel| channel.is_some())
    }

    pub(crate) async fn ask(
        &self,
        commands: &Packed,
        _: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        let mut place = self.channel.lock().await;
        let mut channel = place.take().ok_or_else(errors::lost)?;
        channel.write(commands).await?;
        let answers = channel.answers(commands.len(), most, None).await?;
        *place = Some(channel);
        Ok(answers)
    }

    /// As [`ask`](Self::ask), for commands that are not copied into one piece: a long word is sent from where it is.
    pub(crate) async fn ask_one_by_one(
        &self,
        commands: impl Iterator<Item = &Cmd>,
        _: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        let mut place = self.channel.lock().await;
        let mut channel = place.take().ok_or_else(errors::lost)?;
        let answers = channel.exchange(commands, most, None).await?;
        *place = Some(channel);
        Ok(answers)
    }

    /// The commands between `MULTI` and `EXEC`, none of them copied.
    pub(crate) async fn transaction(
        &self,
        commands: &[Cmd],
        route: Route<'_>,
        most: u64,
    ) -> Result<Vec<Value>, DriverError> {
        // Where EXEC itself is refused, the connection does not stay in the transaction.
        let (begin, end) = (cmd("MULTI"), [cmd("EXEC"), cmd("DISCARD")]);
        self.ask_one_by_one(iter::once(&begin).chain(commands).chain(&end), route, most).await
    }

    /// Ends the stream: by that the host sees that the session is over, also where the call itself was answered.
    pub(crate) async fn end(&self) {
        if let Some(channel) = self.channel.lock().await.as_mut() {
            channel.end().await;
        }
    }
}
