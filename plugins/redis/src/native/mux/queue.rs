//! What calls have for the server and was not written yet.

use super::{Failure, Waiting};
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};
use studio_plugin_api::sync::lock;
use tokio::sync::Notify;

/// Calls whose commands wait to be written: room for the full pipeline of a busy gateway.
const CALLS: usize = 1024;
/// Bytes of commands that wait to be written. What one call sends is taken whole where there are fewer.
pub(super) const BYTES: usize = 1 << 20;
/// Bytes whose room is kept for the next commands.
pub(super) const KEPT: usize = 64 << 10;

/// The commands of all calls, one behind the other, and whose they are.
pub(super) struct Queue {
    state: Mutex<State>,
    open: AtomicBool,
    /// Tells those who wait for room.
    room: Notify,
}

#[derive(Default)]
struct State {
    commands: Vec<u8>,
    calls: VecDeque<Queued>,
    /// Wakes the task, where that has nothing left to write.
    task: Option<Waker>,
    /// Why nothing is written any more.
    ended: Option<Failure>,
}

struct Queued {
    /// Where its commands end in those of all.
    end: usize,
    waiting: Waiting,
}

impl Default for Queue {
    fn default() -> Self {
        Self { state: Mutex::default(), open: AtomicBool::new(true), room: Notify::new() }
    }
}

impl Queue {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn give_up(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Adds a call, when there is room for it.
    pub(super) async fn put(&self, mut commands: Vec<u8>, mut waiting: Waiting) -> Result<(), Failure> {
        loop {
            // Made before the look at the queue, it does not miss what comes after that.
            let room = self.room.notified();
            match self.try_put(commands, waiting)? {
                None => return Ok(()),
                Some(refused) => (commands, waiting) = refused,
            }
            room.await;
        }
    }

    /// Gives back what there is no room for.
    fn try_put(&self, commands: Vec<u8>, waiting: Waiting) -> Result<Option<(Vec<u8>, Waiting)>, Failure> {
        let mut state = self.state();
        if let Some(failure) = &state.ended {
            return Err(failure.clone());
        }
        if state.is_full() {
            return Ok(Some((commands, waiting)));
        }
        if state.commands.is_empty() && commands.len() >= KEPT {
            state.commands = commands;
        } else {
            state.commands.extend_from_slice(&commands);
        }
        let end = state.commands.len();
        state.calls.push_back(Queued { end, waiting });
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        Ok(None)
    }

    /// Moves all commands into `bytes`, which is empty, and their calls behind those in `calls`. Where there are none,
    /// the task is woken when some come.
    pub(super) fn take(&self, bytes: &mut Vec<u8>, calls: &mut VecDeque<Waiting>, context: &Context<'_>) {
        let mut state = self.state();
        // Who has left before anything was sent need not be asked for.
        if !state.calls.iter().all(|call| call.waiting.is_waiting()) {
            state.forget_gone();
        }
        if state.calls.is_empty() {
            if !state.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
                state.task = Some(context.waker().clone());
            }
            return;
        }
        std::mem::swap(&mut state.commands, bytes);
        calls.extend(state.calls.drain(..).map(|call| call.waiting));
        drop(state);
        self.room.notify_waiters();
    }

    /// Answers those who wait, and whoever comes later, with this failure. The flag goes down first, so that their next
    /// calls find a new session.
    pub(super) fn end(&self, failure: &Failure, written: VecDeque<Waiting>) {
        self.give_up();
        let mut state = self.state();
        let failure = state.ended.get_or_insert_with(|| failure.clone()).clone();
        let State { calls, .. } = std::mem::take(&mut *state);
        state.ended = Some(failure.clone());
        drop(state);
        self.room.notify_waiters();
        for mut call in written.into_iter().chain(calls.into_iter().map(|call| call.waiting)) {
            call.tell(Err(failure.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.calls.len() >= CALLS || self.commands.len() >= BYTES
    }

    /// Drops the commands of calls that have left.
    fn forget_gone(&mut self) {
        let (commands, calls) = (std::mem::take(&mut self.commands), std::mem::take(&mut self.calls));
        let mut start = 0;
        for mut call in calls {
            let own = commands.get(start..call.end).unwrap_or_default();
            start = call.end;
            if call.waiting.is_waiting() {
                self.commands.extend_from_slice(own);
                call.end = self.commands.len();
                self.calls.push_back(call);
            }
        }
    }
}
