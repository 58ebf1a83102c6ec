//! The log: its settings become a subscriber of `tracing`, and its lines leave by [`writer`]'s thread.

mod request;
mod writer;

use crate::config::{LogFormat, LogSettings};
use prometheus_client::metrics::counter::Counter;
use request::{NamesRequest, Way};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};
use writer::LogWriter;

pub use request::{RequestLine, for_request, for_this_request};

/// The crates of the sandbox's engine, which log every step of compiling: at `trace`, a million lines a component.
/// Their lines below `warn` are written only when a directive names the crate.
const TALKATIVE: [&str; 3] = ["wasmtime", "cranelift", "regalloc2"];

/// The spans of a request's steps. Their times are eight lines a request, which are written only when a directive names
/// them.
const STEPS: &str = "studio_gateway::flow";

/// The most time that the end of the process waits for the log's reader, and a panic does: it may be the end too.
const LAST_LINES: Duration = Duration::from_secs(1);
const PANIC_LINES: Duration = Duration::from_millis(100);

/// The lines that were dropped. A process has one log, however many gateways it has.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Gives the count of log lines that were dropped because the log's reader was too slow.
pub fn dropped_lines() -> Counter {
    DROPPED.clone()
}

/// The log while it is written. Dropping it waits for the last lines to be written, for a second at most.
#[must_use]
pub struct Logging(Arc<LogWriter>);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Starts logging to standard error. Standard output is for a command's results.
///
/// # Errors
/// The system has no thread for it.
pub fn start_logging(settings: &LogSettings) -> io::Result<Logging> {
    start_logging_to(io::stderr(), settings)
}

/// Starts logging to any output. Only the first start in a process counts.
///
/// # Errors
/// The system has no thread for it.
pub fn start_logging_to(
    output: impl io::Write + Send + 'static,
    settings: &LogSettings,
) -> io::Result<Logging> {
    // The settings were checked when they were read.
    let mut filter = EnvFilter::try_new(settings.filter.as_str()).unwrap_or_else(|_| EnvFilter::new("info"));
    for target in TALKATIVE.into_iter().filter(|target| !settings.filter.as_str().contains(target)) {
        if let Ok(directive) = format!("{target}=warn").parse() {
            filter = filter.add_directive(directive);
        }
    }
    let shows_steps = settings.filter.as_str().contains(STEPS);
    let span_ends = if shows_steps { FmtSpan::CLOSE } else { FmtSpan::NONE };
    let writer = LogWriter::start(output, dropped_lines())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer.clone());
    let builder = builder.with_span_events(span_ends);
    let begun = match settings.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(shows_steps);
            builder.map_event_format(NamesRequest).try_init()
        }
        LogFormat::Pretty => builder.try_init(),
    };
    if begun.is_ok() {
        log_panics(writer.clone());
        if settings.format == LogFormat::Json {
            // Below `info` there are spans of the steps, and of libraries.
            let needs_no_span = LevelFilter::current() <= LevelFilter::INFO;
            Way { writer: writer.clone(), needs_no_span }.take();
        }
    }
    Ok(Logging(writer))
}

/// Sends the text of panics the same way: the usual hook writes it itself, and would wait for the log's reader.
fn log_panics(writer: Arc<LogWriter>) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let mut text = format!("thread '{name}' {panic}\n");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            text += &format!("stack backtrace:\n{backtrace}");
        }
        writer.take(text.as_bytes());
        writer.flush(PANIC_LINES);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, process::Command};

    #[test]
    fn panic_is_in_the_log_even_if_it_is_the_end() {
        const CHILD: &str = "STUDIO_GATEWAY_TEST_OF_PANICS";
        if env::var_os(CHILD).is_some() {
            let _logging = start_logging(&LogSettings::default()).unwrap();
            tracing::info!("the first word");
            let _ = std::panic::catch_unwind(|| panic!("the last word"));
            std::process::abort();
        }
        let name = "logging::tests::panic_is_in_the_log_even_if_it_is_the_end";
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "").output().unwrap();
        assert!(!output.status.success());
        let log = String::from_utf8(output.stderr).unwrap();
        let places = ["the first word", "panicked at host/src/logging/mod.rs", "the last word"];
        let places = places.map(|words| log.find(words).unwrap_or_else(|| panic!("no `{words}` in {log}")));
        assert!(places.is_sorted(), "{log}");
    }
}
