//! The host's functions that a guest may call.

use super::{
    bindings::studio::driver::{
        clocks::{self, Datetime},
        log::{self, Level as GuestLevel},
        net::{self, ByteStream, Failure, Reason},
        random, types,
    },
    network::{broken_stream, failure},
    state::{MOST_RANDOM, State},
    stream::Streams,
};
use std::time::{Duration, Instant, SystemTime};
use tracing::{Level, level_filters::LevelFilter};
use wasmtime::component::Resource;

impl types::Host for State {}

impl log::Host for State {
    fn max_level(&mut self) -> wasmtime::Result<Option<GuestLevel>> {
        Ok(LevelFilter::current().into_level().map(|level| match level {
            Level::ERROR => GuestLevel::Error,
            Level::WARN => GuestLevel::Warn,
            Level::INFO => GuestLevel::Info,
            Level::DEBUG => GuestLevel::Debug,
            Level::TRACE => GuestLevel::Trace,
        }))
    }

    fn write(
        &mut self,
        level: GuestLevel,
        target: String,
        message: String,
        fields: String,
    ) -> wasmtime::Result<()> {
        let level = match level {
            GuestLevel::Error => Level::ERROR,
            GuestLevel::Warn => Level::WARN,
            GuestLevel::Info => Level::INFO,
            GuestLevel::Debug => Level::DEBUG,
            GuestLevel::Trace => Level::TRACE,
        };
        self.journal.write(level, &target, &message, &fields);
        Ok(())
    }
}

impl clocks::Host for State {
    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() })
    }

    async fn sleep(&mut self, nanoseconds: u64) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_nanos(nanoseconds)).await;
        Ok(())
    }
}

impl random::Host for State {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > MOST_RANDOM {
            wasmtime::bail!("{length} random bytes were asked for, and {MOST_RANDOM} are the most");
        }
        let mut bytes = vec![0; length as usize];
        getrandom::fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl net::Host for State {
    async fn open(&mut self, tls: bool) -> wasmtime::Result<Result<Resource<ByteStream>, Failure>> {
        if !self.streams.has_room() {
            return Ok(Err(failure(Reason::TooMany, "a session may not have more streams open")));
        }
        let opened = self.egress.open(tls).await;
        Ok(opened.map(|stream| Resource::new_own(self.streams.insert(stream))))
    }
}

impl net::HostByteStream for State {
    async fn read(
        &mut self,
        stream: Resource<ByteStream>,
        most: u32,
        timeout: Option<u32>,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        let Self { streams, timers, .. } = self;
        let reading = find(streams, &stream)?.read(most);
        let read = match timeout {
            None => reading.await,
            Some(milliseconds) => {
                let by = Instant::now() + Duration::from_millis(milliseconds.into());
                match timers.within(by, reading).await {
                    Some(read) => read,
                    None => return Ok(Err(failure(Reason::Timeout, "the server did not answer in time"))),
                }
            }
        };
        Ok(read.map_err(|error| broken_stream(&error)))
    }

    async fn write(
        &mut self,
        stream: Resource<ByteStream>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let written = find(&mut self.streams, &stream)?.write(&bytes).await;
        Ok(written.map_err(|error| broken_stream(&error)))
    }

    async fn shutdown(&mut self, stream: Resource<ByteStream>) -> wasmtime::Result<Result<(), Failure>> {
        let ended = find(&mut self.streams, &stream)?.shutdown().await;
        Ok(ended.map_err(|error| broken_stream(&error)))
    }

    fn drop(&mut self, stream: Resource<ByteStream>) -> wasmtime::Result<()> {
        self.streams.remove(stream.rep());
        Ok(())
    }
}

fn find<'a>(streams: &'a mut Streams, stream: &Resource<ByteStream>) -> wasmtime::Result<&'a mut ByteStream> {
    streams.get(stream.rep()).ok_or_else(|| wasmtime::format_err!("there is no such stream"))
}
