//! Requests in the log: the one line of each, and the id in other lines that are logged for it.
//!
//! As JSON both go past the usual ways of `tracing`, a span around a request and an event at its end, which cost more than
//! all else that is done around one. The lines are the same.

use super::writer::LogWriter;
use std::{
    fmt,
    io::Write as _,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tracing::{Event, Instrument, Level, Span, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// How requests are logged, once that is known.
static WAY: OnceLock<Way> = OnceLock::new();

tokio::task_local! {
    /// The id of the request that this task works for.
    static REQUEST: Arc<str>;
}

/// A way of logging requests past `tracing`.
pub(super) struct Way {
    /// Takes the lines.
    pub(super) writer: Arc<LogWriter>,
    /// There are no spans but the requests' own.
    pub(super) needs_no_span: bool,
}

impl Way {
    /// Makes it the way of this process.
    pub(super) fn take(self) {
        let _ = WAY.set(self);
    }
}

/// Holds all that is logged about a request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// Its id. In JSON, it needs no escapes, nor do the method and the code.
    pub request_id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The error's code, or nothing.
    pub code: &'a str,
    /// Its client.
    pub remote: IpAddr,
    /// How long it took.
    pub time: Duration,
}

impl RequestLine<'_> {
    /// Logs it.
    pub fn log(&self) {
        let Self { request_id, method, path, status, code, ref remote, time } = *self;
        match WAY.get() {
            Some(way) if tracing::enabled!(target: "request", Level::INFO) => way.writer.take(&self.json()),
            Some(_) => {}
            None => tracing::info!(
                target: "request",
                request_id,
                %method,
                path,
                status,
                code,
                %remote,
                milliseconds = time.as_secs_f64() * 1000.0,
            ),
        }
    }

    fn json(&self) -> Vec<u8> {
        let Self { request_id, method, path, status, code, remote, time } = self;
        let now = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now());
        let mut line = Vec::with_capacity(320 + path.len());
        line.extend_from_slice(b"{\"timestamp\":\"");
        line.extend(digits::<4>(now.year().unsigned_abs().into()));
        for (sign, part) in [
            (b'-', now.month()),
            (b'-', now.day()),
            (b'T', now.hour()),
            (b':', now.minute()),
            (b':', now.second()),
        ] {
            line.push(sign);
            line.extend(digits::<2>(part.unsigned_abs().into()));
        }
        line.push(b'.');
        line.extend(digits::<6>(now.subsec_nanosecond().unsigned_abs() / 1000));
        line.extend_from_slice(b"Z\",\"level\":\"INFO\",\"request_id\":\"");
        line.extend_from_slice(request_id.as_bytes());
        line.extend_from_slice(b"\",\"method\":\"");
        line.extend_from_slice(method.as_bytes());
        line.extend_from_slice(b"\",\"path\":");
        // Text is always JSON, and writing into a vector can't fail, here and below.
        let _ = serde_json::to_writer(&mut line, path);
        line.extend_from_slice(b",\"status\":");
        line.extend(digits::<3>((*status).into()));
        line.extend_from_slice(b",\"code\":\"");
        line.extend_from_slice(code.as_bytes());
        let _ = write!(line, "\",\"remote\":\"{remote}\",\"milliseconds\":{}.", time.as_millis() as u64);
        line.extend(digits::<6>(time.subsec_nanos() % 1_000_000));
        line.extend_from_slice(b",\"target\":\"request\"}\n");
        line
    }
}

/// Writes the last digits of a number.
fn digits<const COUNT: usize>(mut number: u32) -> [u8; COUNT] {
    let mut text = [b'0'; COUNT];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    text
}

/// Has the lines that are logged in this work tell the id of its request.
pub async fn for_request<F: Future>(id: Arc<str>, work: F) -> F::Output {
    let span = match WAY.get() {
        Some(way) if way.needs_no_span => Span::none(),
        _ => tracing::info_span!("request", request_id = %id),
    };
    REQUEST.scope(id, work.instrument(span)).await
}

/// Has lines tell the id of the request of this task, where the work goes on in another one.
pub fn for_this_request<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let (id, work) = (REQUEST.try_with(Arc::clone).ok(), work.in_current_span());
    async move {
        match id {
            Some(id) => REQUEST.scope(id, work).await,
            None => work.await,
        }
    }
}

/// A form of JSON lines that names the request, as it would be named if it had a span.
pub(super) struct NamesRequest<E>(pub(super) E);

impl<S, N, E> FormatEvent<S, N> for NamesRequest<E>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    E: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let id = match context.lookup_current() {
            None => REQUEST.try_with(Arc::clone).ok(),
            Some(_) => None,
        };
        let Some(id) = id else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let fields = line.strip_suffix("}\n").ok_or(fmt::Error)?;
        writeln!(writer, r#"{fields},"spans":[{{"request_id":"{id}","name":"request"}}]}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };

    /// Gives the lines that are logged meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        let output = Arc::new(Mutex::new(Vec::new()));
        let writer = output.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || Shared(writer.clone()));
        let builder = builder.json().flatten_event(true).with_current_span(false);
        tracing::subscriber::with_default(builder.map_event_format(NamesRequest).finish(), work);
        let lines = output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(lines.clone()).unwrap()
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Gives a line's fields in their order. Digits of the time of day become zeros: it is another one in each line.
    fn fields(line: &str) -> Vec<(String, Value)> {
        let line = line.strip_suffix('\n').unwrap();
        let mut fields: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        let time = fields["timestamp"].as_str().unwrap().replace(|sign: char| sign.is_ascii_digit(), "0");
        fields["timestamp"] = time.into();
        let mut fields: Vec<_> = fields.into_iter().collect();
        fields.sort_by_key(|(name, _)| line.find(&format!("\"{name}\":")));
        fields
    }

    proptest! {
        #[test]
        fn line_of_a_request_is_as_tracing_writes_it(
            path in "\\PC{0,40}|[ -~]{0,40}|/[a\"\\\\\u{1}\n\u{7f}]{0,9}",
            status in 100_u16..1000,
            v6: bool,
            nanoseconds in 0_u64..100_000_000_000,
        ) {
            let remote = if v6 { "2001:db8::1" } else { "192.0.2.1" }.parse().unwrap();
            let time = Duration::from_nanos(nanoseconds);
            let line = RequestLine {
                request_id: "a-1", method: "GET", path: &path, status, code: "NOT_FOUND", remote, time
            };
            let mut usual = fields(&logged(|| line.log()));
            let mut own = fields(&String::from_utf8(line.json()).unwrap());
            let milliseconds = [&mut usual, &mut own].map(|fields| {
                let place = fields.iter().position(|(name, _)| name == "milliseconds").unwrap();
                std::mem::take(&mut fields[place].1).as_f64().unwrap()
            });
            prop_assert!((milliseconds[0] - milliseconds[1]).abs() < 1e-6, "{milliseconds:?}");
            prop_assert_eq!(usual, own);
        }
    }

    #[test]
    fn line_logged_for_a_request_is_as_in_its_span() {
        let say = || tracing::warn!(number = 7, "something odd");
        let usual = logged(|| tracing::info_span!("request", request_id = %"a-1").in_scope(say));
        let own = logged(|| REQUEST.sync_scope("a-1".into(), say));
        assert_eq!(fields(&usual), fields(&own));
        assert!(own.contains("a-1"), "{own}");
        let alone = logged(say);
        assert!(!alone.contains("span"), "{alone}");
    }

    #[tokio::test]
    async fn work_in_another_task_is_still_for_its_request() {
        let id = async || REQUEST.try_with(Arc::clone).ok();
        let found = REQUEST.scope("a-1".into(), async { tokio::spawn(for_this_request(id())).await });
        assert_eq!(found.await.unwrap().as_deref(), Some("a-1"));
        assert_eq!(tokio::spawn(for_this_request(id())).await.unwrap(), None);
    }
}
