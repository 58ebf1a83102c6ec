//! Writes the records of guests to the gateway's log: some are dropped when there are too many, and long ones are cut.

use crate::plugins::{driver_log::LogRecord, error::beginning};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::{
    borrow::Cow,
    io,
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use studio_plugin_api::sync::lock;
use tokio::io::AsyncWrite;
use tracing::{Level, level_filters::LevelFilter};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Records a second for one driver, and how many may come at once. More than that are counted and dropped.
const RECORDS_A_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
const RECORDS_AT_ONCE: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// The most bytes of one record's text.
const LONGEST: usize = 8192;

/// The log of one driver.
#[derive(Clone)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    /// The id of the request that the session serves.
    request_id: Arc<Mutex<String>>,
}

struct Shared {
    driver: String,
    limiter: DefaultDirectRateLimiter,
    dropped: AtomicU64,
}

impl Journal {
    pub(super) fn new(driver: &str) -> Self {
        let quota = Quota::per_second(RECORDS_A_SECOND).allow_burst(RECORDS_AT_ONCE);
        let shared = Shared {
            driver: driver.to_owned(),
            limiter: RateLimiter::direct(quota),
            dropped: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), request_id: Arc::default() }
    }

    /// Gives the same log for another session.
    pub(super) fn for_session(&self) -> Self {
        Self { shared: self.shared.clone(), request_id: Arc::default() }
    }

    /// Names the request that the next records belong to.
    pub(super) fn set_request(&self, request_id: &str) {
        request_id.clone_into(&mut lock(&self.request_id));
    }

    /// Writes one record of the guest, if the rate allows it.
    pub(super) fn write(&self, level: Level, target: &str, message: &str, fields: &str) {
        if level > LevelFilter::current() {
            return;
        }
        if self.shared.limiter.check().is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let driver = &self.shared.driver;
        let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(target: "driver", %driver, dropped, "the driver writes too much: records were dropped");
        }
        self.emit(level, target, message, fields);
    }

    /// Writes a record of the gateway's about the guest, however much the guest wrote itself.
    pub(super) fn report(&self, message: &str, reason: &str) {
        self.emit(Level::ERROR, "sandbox", message, reason);
    }

    fn emit(&self, level: Level, target: &str, message: &str, fields: &str) {
        let driver = &self.shared.driver;
        let (message, fields, target) = (tidy(message), tidy(fields), tidy(target));
        let request_id = lock(&self.request_id).clone();
        let request_id = &request_id;
        LogRecord { driver, request_id, target: &target, message: &message, fields: &fields }.write(level);
    }
}

/// Cuts a text to the room there is, and puts it on one line: a second line could pass for a record of the gateway's.
fn tidy(text: &str) -> Cow<'_, str> {
    let text = beginning(text, LONGEST);
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.into()
}

/// A standard output whose lines are records.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) journal: Journal,
    pub(super) level: Level,
    pub(super) name: &'static str,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines { output: self.clone(), line: Vec::new() })
    }
}

struct Lines {
    output: Output,
    line: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            self.output.journal.write(self.output.level, self.output.name, &text, "");
        }
    }
}

impl AsyncWrite for Lines {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for &byte in bytes {
            if byte == b'\n' || self.line.len() >= LONGEST {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end_line();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}
