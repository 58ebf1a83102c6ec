//! Room for work that takes memory and time without waiting for anything: what all calls of the process may take together,
//! each on a thread of its own.
//!
//! A parser can't be interrupted. So how much one has to do is bounded before it begins, its room stays taken until its
//! thread has ended, also when nobody waits any more, and between two steps it looks whether anybody does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use studio_plugin_api::{DriverError, ErrorCode};
use tokio::sync::{Semaphore, oneshot};

/// A level takes up to 4 KiB, measured over what the grammar can nest, with optimization; a token up to three levels.
const STACK: usize = 128 << 20;
/// What most texts need at the most. They do not wait behind those that need more.
const LIGHT: usize = 8 << 20;
/// What all of those may take together, in KiB.
const LIGHT_ROOM: u32 = 32 << 10;
/// What all others may take together, in KiB: a little more than the largest of them.
const HEAVY_ROOM: u32 = 160 << 10;
/// What a thread takes whatever it does, in KiB.
const THREAD: u32 = 512;

static LIGHT_LANE: Semaphore = Semaphore::const_new(LIGHT_ROOM as usize);
static HEAVY_LANE: Semaphore = Semaphore::const_new(HEAVY_ROOM as usize);
/// What takes long rather than much is done one after the other.
static ONE_BY_ONE: Semaphore = Semaphore::const_new(1);

/// What a piece of work takes.
#[derive(Debug)]
pub(crate) struct Room {
    lane: &'static Semaphore,
    permits: u32,
}

impl Room {
    /// For what takes up to so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        let (lane, most) = match bytes <= LIGHT {
            true => (&LIGHT_LANE, LIGHT_ROOM),
            false => (&HEAVY_LANE, HEAVY_ROOM),
        };
        let permits = u32::try_from(bytes / 1024).unwrap_or(most).saturating_add(THREAD).min(most);
        Self { lane, permits }
    }

    /// For what takes up to a second or two: writing down what is in a database, laying out a long text.
    pub(crate) fn one_by_one() -> Self {
        Self { lane: &ONE_BY_ONE, permits: 1 }
    }
}

/// Whether anybody still waits for what is being worked on.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// Goes on to the next step only when somebody waits for it.
    ///
    /// # Errors
    /// One that nobody sees.
    pub(crate) fn check(&self) -> Result<(), DriverError> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(DriverError::new(ErrorCode::Timeout, "nobody waits for it any more")),
        }
    }
}

/// Says when it is dropped that nobody waits.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs something on a thread with a big stack, once there is room for it. Callers get room in the order in which they
/// came.
///
/// # Errors
/// `DRIVER_ERROR` when there is no thread to have; and those of `work`.
pub(crate) async fn run<T: Send + 'static>(
    room: Room,
    work: impl FnOnce(&Wanted) -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    let permit =
        room.lane.acquire_many(room.permits).await.map_err(|_| failed("there is no room for the work"))?;
    let wanted = Wanted::default();
    let _waiting = Waiting(wanted.0.clone());
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("parser".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let result = wanted.check().and_then(|()| work(&wanted));
            drop(permit);
            // Nobody may be waiting any more.
            drop(sender.send(result));
        })
        .map_err(|error| failed(&format!("no thread for the work: {error}")))?;
    receiver.await.map_err(|_| failed("the work was given up"))?
}

fn failed(message: &str) -> DriverError {
    DriverError::new(ErrorCode::DriverError, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    #[tokio::test]
    async fn room_stays_taken_until_an_absent_callers_work_has_ended() {
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let large = HEAVY_ROOM as usize * 1024;
        let leaving = run(Room::of(large), move |wanted| {
            begun.send(()).unwrap();
            may_end.recv().unwrap();
            wanted.check()
        });
        assert!(tokio::time::timeout(Duration::from_millis(200), leaving).await.is_err());
        has_begun.recv().unwrap();
        // What is small goes by.
        run(Room::of(1), |_| Ok(())).await.unwrap();
        let next = tokio::spawn(run(Room::of(large), |_| Ok("done")));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!next.is_finished());
        end.send(()).unwrap();
        assert_eq!(next.await.unwrap().unwrap(), "done");
    }

    #[tokio::test]
    async fn work_is_told_that_its_caller_left() {
        let (told, is_told) = mpsc::channel();
        let leaving = run(Room::of(1), move |wanted| {
            while wanted.check().is_ok() {
                std::thread::yield_now();
            }
            told.send(()).unwrap();
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), leaving).await.is_err());
        is_told.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
