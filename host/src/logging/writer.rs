//! The way of log lines out of the process: a bounded buffer, and one thread that writes it. A slow or stopped reader of
//! the log delays that thread and nobody else.

use prometheus_client::metrics::counter::Counter;
use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};
use studio_plugin_api::sync::lock;

/// The most bytes that wait to be written; as many may be on their way out. A line that does not fit is dropped.
const MOST_WAITING: usize = 4 << 20;
/// How long the thread waits for more lines before it writes: all of them cost one wake and one write.
const GATHERING: Duration = Duration::from_millis(5);
/// A buffer of more bytes is given back once it is written.
const MOST_KEPT: usize = 256 << 10;

/// The buffer, shared by all who write lines and the thread that hands them on.
pub(super) struct LogWriter {
    buffer: Mutex<Buffer>,
    /// Tells the thread that there are lines, or that somebody waits for them to be written.
    came: Condvar,
    /// Tells those who wait that lines are written.
    left: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    /// The lines in `waiting`.
    lines: u64,
    /// The bytes taken since the start, and how many of them are through.
    taken: u64,
    through: u64,
    /// Somebody waits until all is written.
    is_urgent: bool,
}

impl LogWriter {
    /// Starts the thread. It counts the lines that were dropped: for want of room, or because `output` did not take them.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn start(output: impl Write + Send + 'static, dropped: Counter) -> io::Result<Arc<Self>> {
        let (came, left) = (Condvar::new(), Condvar::new());
        let writer = Arc::new(Self { buffer: Mutex::default(), came, left, dropped });
        let shared = writer.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_out(output))?;
        Ok(writer)
    }

    /// Takes a line, or drops it.
    pub(super) fn take(&self, line: &[u8]) {
        let mut buffer = lock(&self.buffer);
        if buffer.waiting.len() + line.len() > MOST_WAITING {
            self.dropped.inc();
            return;
        }
        let is_first = buffer.waiting.is_empty();
        buffer.waiting.extend_from_slice(line);
        buffer.lines += 1;
        buffer.taken += line.len() as u64;
        drop(buffer);
        if is_first {
            self.came.notify_one();
        }
    }

    /// Waits until all lines that were taken so far are written, but no longer than this.
    pub(super) fn flush(&self, most: Duration) {
        let mut buffer = lock(&self.buffer);
        let taken = buffer.taken;
        buffer.is_urgent = true;
        self.came.notify_one();
        let waits = |buffer: &mut Buffer| buffer.through < taken;
        drop(self.left.wait_timeout_while(buffer, most, waits).unwrap_or_else(PoisonError::into_inner));
    }

    fn write_out(&self, mut output: impl Write) {
        let (mut batch, mut told) = (Vec::new(), self.dropped.get());
        loop {
            let lines = self.next(&mut batch);
            if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
                self.dropped.inc_by(lines);
            }
            lock(&self.buffer).through += batch.len() as u64;
            self.left.notify_all();
            batch.clear();
            if batch.capacity() > MOST_KEPT {
                batch = Vec::new();
            }
            let dropped = self.dropped.get();
            if dropped > told {
                tracing::warn!(lines = dropped - told, "the log's reader is too slow: lines were dropped");
                told = dropped;
            }
        }
    }

    /// Waits for lines, and then a little for more; takes all of them.
    fn next(&self, batch: &mut Vec<u8>) -> u64 {
        let is_empty = |buffer: &mut Buffer| buffer.waiting.is_empty();
        let buffer =
            self.came.wait_while(lock(&self.buffer), is_empty).unwrap_or_else(PoisonError::into_inner);
        let gathers = |buffer: &mut Buffer| !buffer.is_urgent;
        let waited = self.came.wait_timeout_while(buffer, GATHERING, gathers);
        let (mut buffer, _) = waited.unwrap_or_else(PoisonError::into_inner);
        buffer.is_urgent = false;
        mem::swap(&mut buffer.waiting, batch);
        mem::take(&mut buffer.lines)
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Read},
        time::Instant,
    };

    /// Longer than any wait here, however loaded the machine is.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn started() -> (io::PipeReader, Arc<LogWriter>, Counter) {
        let (reader, output) = io::pipe().unwrap();
        let dropped = Counter::default();
        (reader, LogWriter::start(output, dropped.clone()).unwrap(), dropped)
    }

    #[test]
    fn lines_of_many_threads_come_whole_and_each_threads_in_order() {
        const THREADS: usize = 4;
        const LINES: usize = 20_000;
        let (reader, writer, dropped) = started();
        let reading = thread::spawn(move || {
            BufReader::new(reader).lines().take(THREADS * LINES).collect::<io::Result<Vec<_>>>().unwrap()
        });
        let writing: Vec<_> = (0..THREADS)
            .map(|thread| {
                let writer = writer.clone();
                thread::spawn(move || {
                    for number in 0..LINES {
                        writer.take(format!("{thread} {number}\n").as_bytes());
                    }
                })
            })
            .collect();
        writing.into_iter().for_each(|thread| thread.join().unwrap());
        let lines = reading.join().unwrap();
        for thread in 0..THREADS {
            let own = lines.iter().filter(|line| line.starts_with(&format!("{thread} ")));
            assert!(own.cloned().eq((0..LINES).map(|number| format!("{thread} {number}"))));
        }
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn stopped_reader_stalls_nobody_and_lost_lines_are_counted() {
        const LINE: &[u8] = &{
            let mut line = [b'x'; 1024];
            line[1023] = b'\n';
            line
        };
        let lines = 4 * MOST_WAITING / LINE.len();
        let (mut reader, writer, dropped) = started();
        // Would never return if it waited for the reader.
        (0..lines).for_each(|_| writer.take(LINE));
        let lost = usize::try_from(dropped.get()).unwrap();
        assert!(lost >= lines / 4 && lost < lines, "{lost} of {lines} lines were dropped");
        let begin = Instant::now();
        writer.flush(Duration::from_millis(50));
        assert!(begin.elapsed() < PATIENCE);

        // All others come whole once they are read, and new ones too.
        let mut found = vec![0; (lines - lost) * LINE.len()];
        reader.read_exact(&mut found).unwrap();
        assert!(found.chunks(LINE.len()).all(|line| line == LINE));
        writer.take(b"the end\n");
        let mut end = [0; 8];
        reader.read_exact(&mut end).unwrap();
        assert_eq!(&end, b"the end\n");
        assert_eq!(usize::try_from(dropped.get()).unwrap(), lost);
    }

    #[test]
    fn flush_returns_once_the_lines_before_it_are_written() {
        let (mut reader, writer, _) = started();
        for number in 0..100 {
            let line = format!("{number}\n");
            writer.take(line.as_bytes());
            writer.flush(PATIENCE);
            // More may not be in the pipe, less would block.
            let mut found = vec![0; line.len()];
            reader.read_exact(&mut found).unwrap();
            assert_eq!(found, line.as_bytes());
            let buffer = lock(&writer.buffer);
            assert_eq!(buffer.through, buffer.taken);
        }
    }

    #[test]
    fn lines_that_nobody_can_read_count_as_dropped() {
        let (reader, writer, dropped) = started();
        drop(reader);
        (0..3).for_each(|_| writer.take(b"a line\n"));
        writer.flush(PATIENCE);
        assert_eq!(dropped.get(), 3);
    }
}
