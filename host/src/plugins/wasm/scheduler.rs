//! Shares the processor among guests that compute.
//!
//! A thread ticks while guests run. A guest that computes on over a tick or two has used up its share: it is stopped at
//! its next step and put in line. Only so many guests from the line run at once that workers are left for everyone
//! else, each for one more share at a time. Nearly every call is done within its first share, or begins another after
//! waiting for its server, and never stands in line.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{JoinHandle, Thread},
    time::{Duration, Instant},
};
use studio_plugin_api::sync::lock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{EngineWeak, UpdateDeadline};

/// The time between two ticks.
const TICK: Duration = Duration::from_millis(1);
/// Ticks in a share. The first comes at any time after the share begins, so two are between one and two milliseconds.
pub(super) const SHARE: u64 = 2;
/// Shares that one call may begin anew after waiting for the host. After these, a call that computes and waits by turns
/// stands in line like one that only computes.
const FREE_SHARES: u32 = 20;
/// How long the thread goes on ticking after the last guest stopped, since the next one mostly comes soon.
const LINGER: Duration = Duration::from_millis(100);

/// The state that all guests share.
pub(super) struct Scheduler {
    running: Arc<Running>,
    lanes: Arc<Semaphore>,
}

struct Running {
    guests: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
    ticker: Mutex<Option<Thread>>,
}

impl Scheduler {
    /// Starts the ticking thread, which ends with this value.
    pub(super) fn start(engine: EngineWeak, workers: usize) -> std::io::Result<Self> {
        let running = Arc::new(Running {
            guests: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            ticker: Mutex::new(None),
        });
        let ticking = running.clone();
        let thread: JoinHandle<()> = std::thread::Builder::new()
            .name("wasm-ticks".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || tick(&engine, &ticking))?;
        *lock(&running.ticker) = Some(thread.thread().clone());
        let lanes = Arc::new(Semaphore::new((workers / 2).max(1)));
        Ok(Self { running, lanes })
    }

    /// Makes the turns of one instance.
    pub(super) fn schedule(&self) -> GuestSchedule {
        GuestSchedule { lanes: self.lanes.clone(), lane_state: Arc::default(), free_shares: FREE_SHARES }
    }

    /// Counts a guest as running until the value is dropped.
    pub(super) fn run(&self) -> RunningGuest<'_> {
        self.running.guests.fetch_add(1, Ordering::SeqCst);
        if self.running.asleep.load(Ordering::SeqCst)
            && self.running.asleep.swap(false, Ordering::SeqCst)
            && let Some(ticker) = &*lock(&self.running.ticker)
        {
            ticker.unpark();
        }
        RunningGuest(&self.running)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.running.stopped.store(true, Ordering::SeqCst);
        if let Some(ticker) = &*lock(&self.running.ticker) {
            ticker.unpark();
        }
    }
}

pub(super) struct RunningGuest<'a>(&'a Running);

impl Drop for RunningGuest<'_> {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &EngineWeak, running: &Running) {
    let mut last_guest = Instant::now();
    while !running.stopped.load(Ordering::SeqCst) {
        if running.guests.load(Ordering::SeqCst) > 0 {
            last_guest = Instant::now();
        } else if last_guest.elapsed() > LINGER {
            running.asleep.store(true, Ordering::SeqCst);
            // A guest that came between the two looks did not wake this thread.
            if running.guests.load(Ordering::SeqCst) == 0 && !running.stopped.load(Ordering::SeqCst) {
                std::thread::park();
            }
            running.asleep.store(false, Ordering::SeqCst);
            last_guest = Instant::now();
        }
        std::thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => break,
        }
    }
}

/// One instance's turns.
pub(super) struct GuestSchedule {
    lanes: Arc<Semaphore>,
    lane_state: Arc<Mutex<LaneState>>,
    free_shares: u32,
}

/// An instance's place in the line.
#[derive(Default)]
pub(super) struct LaneState {
    _lane: Option<OwnedSemaphorePermit>,
    /// Whether it is waiting for a lane.
    in_line: bool,
    /// Whether the guest has waited for the host since its share began.
    has_waited: bool,
}

impl GuestSchedule {
    /// Begins a call, for which the guest gets its first [`SHARE`].
    pub(super) fn begin(&mut self) -> Arc<Mutex<LaneState>> {
        self.free_shares = FREE_SHARES;
        lock(&self.lane_state).has_waited = false;
        self.lane_state.clone()
    }

    /// Ends a share: begins a free one, or lets others run and waits for a lane.
    pub(super) fn again(&mut self) -> UpdateDeadline {
        if std::mem::take(&mut lock(&self.lane_state).has_waited) && self.free_shares > 0 {
            self.free_shares -= 1;
            return UpdateDeadline::Continue(SHARE);
        }
        let (lanes, lane_state) = (self.lanes.clone(), self.lane_state.clone());
        let waiting = async move {
            *lock(&lane_state) = LaneState { _lane: None, in_line: true, has_waited: false };
            tokio::task::yield_now().await;
            let lane = lanes.acquire_owned().await.ok();
            *lock(&lane_state) = LaneState { _lane: lane, in_line: false, has_waited: false };
        };
        UpdateDeadline::YieldCustom(SHARE, Box::pin(waiting))
    }
}

/// Runs a guest's call. While it waits for the host, in any function, it is not in line.
pub(super) async fn run_in_line<T>(lane_state: Arc<Mutex<LaneState>>, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        let mut lane_state = lock(&lane_state);
        if polled.is_ready() || !lane_state.in_line {
            *lane_state = LaneState { _lane: None, in_line: false, has_waited: true };
        }
        polled
    })
    .await
}
