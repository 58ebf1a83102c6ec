//! Watches how long drivers keep the threads that run them, and logs those that block.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use studio_plugin_api::sync::lock;
use tokio::runtime::{Handle, RuntimeFlavor};

/// The time between two looks of the watching thread.
const LOOK: Duration = Duration::from_millis(20);
/// How long a driver may keep a thread before it counts as blocking.
pub(super) const BLOCKS_AFTER: Duration = Duration::from_secs(1);
/// A driver that goes on blocking is logged again after this many times as long.
const TOLD_AGAIN: u32 = 10;

/// A task that a driver is given, as the log names it.
#[derive(Debug)]
pub struct Task {
    driver: Arc<str>,
    /// `GET /keys`, `connect`.
    name: Arc<str>,
    request_id: Arc<str>,
    /// Threads that it keeps now.
    threads: AtomicUsize,
}

impl Task {
    /// Makes a task of this driver.
    pub(super) fn new(driver: &Arc<str>, name: &Arc<str>, request_id: impl Into<Arc<str>>) -> Arc<Self> {
        let (driver, name, request_id) = (driver.clone(), name.clone(), request_id.into());
        Arc::new(Self { driver, name, request_id, threads: AtomicUsize::new(0) })
    }

    /// Tells whether the driver has a thread for the task at this moment.
    pub(super) fn has_thread(&self) -> bool {
        self.threads.load(Ordering::Acquire) > 0
    }

    fn tell(&self, event: &Event) {
        let Self { driver, name, request_id, .. } = self;
        match event {
            Event::Blocks(time) => tracing::warn!(
                target: "driver", %driver, %request_id,
                "driver blocks: {name} has not returned for {:.1} s", time.as_secs_f64()
            ),
            Event::Returned(time) => tracing::warn!(
                target: "driver", %driver, %request_id,
                "driver blocked: {name} returned after {:.1} s", time.as_secs_f64()
            ),
        }
    }
}

enum Event {
    Blocks(Duration),
    Returned(Duration),
}

/// One thread that a driver keeps.
struct DriverThread {
    task: Arc<Task>,
    since: Instant,
    /// The time after which it is logged next.
    tell_after: Duration,
}

/// All threads that drivers keep. A slot is used again once it is empty.
#[derive(Default)]
struct DriverThreads {
    slots: Vec<Option<DriverThread>>,
    empty: Vec<usize>,
}

/// Watches all drivers of a catalog.
#[derive(Default)]
pub(super) struct Watch {
    threads: Mutex<DriverThreads>,
}

impl Watch {
    /// Starts the watching thread, which ends with the watch.
    pub(super) fn start() -> Arc<Self> {
        let watch = Arc::new(Self::default());
        let runtime =
            Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let weak = Arc::downgrade(&watch);
        let started = std::thread::Builder::new()
            .name("driver-watch".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || look_on(&weak, runtime.as_ref()));
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to watch drivers: one that blocks may delay others");
        }
        watch
    }

    /// Notes that a driver has this thread, until the guard is dropped.
    pub(super) fn note<'a>(&'a self, task: &'a Arc<Task>) -> Noted<'a> {
        task.threads.fetch_add(1, Ordering::AcqRel);
        let thread =
            Some(DriverThread { task: task.clone(), since: Instant::now(), tell_after: BLOCKS_AFTER });
        let mut threads = self.lock();
        let slot = threads.empty.pop().unwrap_or_else(|| {
            threads.slots.push(None);
            threads.slots.len() - 1
        });
        if let Some(empty) = threads.slots.get_mut(slot) {
            *empty = thread;
        }
        Noted { watch: self, task, slot }
    }

    /// Counts the threads that are blocked now, by driver.
    pub(super) fn blocking(&self) -> BTreeMap<String, usize> {
        let mut blocking = BTreeMap::new();
        for thread in self.lock().slots.iter().flatten() {
            if thread.since.elapsed() >= BLOCKS_AFTER {
                *blocking.entry(thread.task.driver.to_string()).or_default() += 1;
            }
        }
        blocking
    }

    /// Takes the tasks that have blocked for so long that it is time to log them.
    fn take_overdue(&self) -> Vec<(Arc<Task>, Duration)> {
        let mut overdue = Vec::new();
        for thread in self.lock().slots.iter_mut().flatten() {
            let time = thread.since.elapsed();
            if time >= thread.tell_after {
                thread.tell_after = thread.tell_after.max(time) * TOLD_AGAIN;
                overdue.push((thread.task.clone(), time));
            }
        }
        overdue
    }

    fn is_idle(&self) -> bool {
        let threads = self.lock();
        threads.slots.len() == threads.empty.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DriverThreads> {
        lock(&self.threads)
    }
}

fn look_on(watch: &Weak<Watch>, runtime: Option<&Handle>) {
    while let Some(watch) = watch.upgrade() {
        if !watch.is_idle() {
            if let Some(runtime) = runtime {
                // Any task will do: the worker that wakes for it looks after I/O when it is done.
                runtime.spawn(async {});
            }
            for (task, time) in watch.take_overdue() {
                task.tell(&Event::Blocks(time));
            }
        }
        drop(watch);
        std::thread::sleep(LOOK);
    }
}

/// A note that a driver has this thread. It ends when it is dropped, also when the driver panics.
pub(super) struct Noted<'a> {
    watch: &'a Watch,
    task: &'a Arc<Task>,
    slot: usize,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        let mut threads = self.watch.lock();
        let thread = threads.slots.get_mut(self.slot).and_then(Option::take);
        threads.empty.push(self.slot);
        drop(threads);
        self.task.threads.fetch_sub(1, Ordering::AcqRel);
        if let Some(DriverThread { since, tell_after, .. }) = thread
            && tell_after > BLOCKS_AFTER
        {
            self.task.tell(&Event::Returned(since.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_kept_threads_count_as_blocking_and_are_reported_seldom() {
        let watch = Watch::default();
        let (driver, name): (Arc<str>, Arc<str>) = ("probe".into(), "GET /block".into());
        let task = Task::new(&driver, &name, "id");
        let first = watch.note(&task);
        assert!(task.has_thread() && !watch.is_idle());
        assert_eq!((watch.take_overdue().len(), watch.blocking().len()), (0, 0));
        watch.lock().slots[0].as_mut().unwrap().since = Instant::now() - BLOCKS_AFTER;
        let second = watch.note(&task);
        assert_eq!(watch.blocking().into_iter().collect::<Vec<_>>(), [("probe".to_owned(), 1)]);
        assert_eq!((watch.take_overdue().len(), watch.take_overdue().len()), (1, 0));
        drop(first);
        assert!(task.has_thread(), "the other one");
        drop(second);
        assert!(!task.has_thread() && watch.is_idle() && watch.blocking().is_empty());
        drop(watch.note(&task));
        assert_eq!(watch.lock().slots.len(), 2, "places are used again");
    }
}
