//! The state of one connection, which tells what it waits for.

use super::{
    address::Address,
    bytes::Account,
    clock::{Clock, MaybeMoment, Moment},
    delivery::Delivery,
    times::Times,
};
use socket2::SockRef;
use std::{
    mem::MaybeUninit,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use studio_plugin_api::sync::lock;
use tokio::{net::TcpStream, sync::Notify, task::AbortHandle};

/// Names the thing that a connection waits for its client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// To send a first byte.
    FirstByte,
    /// To send the rest of a head.
    Head,
    /// To send the rest of a body.
    Body,
    /// To take bytes that are written.
    Taking,
    /// To ask something.
    Request,
}

/// One connection, as its socket, its requests and its answers tell.
#[derive(Debug)]
pub struct Line {
    pub(super) number: u64,
    pub(super) address: Address,
    clock: Arc<Clock>,
    opened: Moment,
    /// When the first byte of the head under way came.
    head_since: MaybeMoment,
    /// When the last request ended.
    quiet_since: MaybeMoment,
    /// Since when a request waits for more of its body.
    body_since: MaybeMoment,
    /// Since when the socket takes nothing.
    writing_since: MaybeMoment,
    requests: AtomicU32,
    has_streams: AtomicBool,
    deliveries: Mutex<Vec<Arc<Delivery>>>,
    socket: OnceLock<Weak<TcpStream>>,
    task: OnceLock<AbortHandle>,
    retire: Notify,
}

impl Line {
    pub(super) fn new(number: u64, address: Address, clock: Arc<Clock>) -> Self {
        Self {
            number,
            address,
            opened: clock.now(),
            clock,
            head_since: MaybeMoment::default(),
            quiet_since: MaybeMoment::default(),
            body_since: MaybeMoment::default(),
            writing_since: MaybeMoment::default(),
            requests: AtomicU32::new(0),
            has_streams: AtomicBool::new(false),
            deliveries: Mutex::default(),
            socket: OnceLock::new(),
            task: OnceLock::new(),
            retire: Notify::new(),
        }
    }

    /// Returns its clock's time.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Names the socket that it is.
    pub fn reads_from(&self, socket: &Arc<TcpStream>) {
        let _ = self.socket.set(Arc::downgrade(socket));
    }

    /// Tells whether bytes came that were not read yet. Then the client waits for the gateway, not the other way round.
    pub(super) fn has_unread(&self) -> bool {
        let socket = self.socket.get().and_then(Weak::upgrade);
        socket.is_some_and(|socket| {
            let mut byte = [MaybeUninit::uninit()];
            SockRef::from(&*socket).peek(&mut byte).is_ok_and(|count| count > 0)
        })
    }

    /// Names the task that serves it; ending the connection aborts that task.
    pub fn served_by(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    /// Waits until the connection is no longer needed and should end, as soon as that cuts no request off.
    pub async fn retired(&self) {
        self.retire.notified().await;
    }

    /// Notes that bytes came.
    pub fn read(&self) {
        // With streams, bytes between requests are the protocol's own.
        if self.is_quiet() {
            self.head_since.set_if_none(self.now());
        }
    }

    /// Notes that the socket took bytes, or that none were left.
    pub fn wrote(&self) {
        self.writing_since.take();
    }

    /// Notes that the socket takes none now.
    pub fn write_waits(&self) {
        self.writing_since.set_if_none(self.now());
    }

    /// Tells whether no request is under way, from its head to the end of its answer, and the protocol has no streams.
    pub fn is_quiet(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0 && !self.has_streams.load(Ordering::Relaxed)
    }

    /// Notes that a request's head is complete.
    pub fn begin_request(self: &Arc<Self>, has_streams: bool) -> UnderWay {
        if has_streams {
            self.has_streams.store(true, Ordering::Relaxed);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.take();
        UnderWay(self.clone())
    }

    /// Notes that a request waits for more of its body.
    pub fn body_waits(&self) {
        self.body_since.set_if_none(self.now());
    }

    /// Notes that more of the body came, or that the request waits for it no longer.
    pub fn body_came(&self) {
        self.body_since.take();
    }

    /// Adds an answer.
    pub fn deliver(&self, delivery: Arc<Delivery>) {
        self.deliveries().push(delivery);
    }

    /// Takes an answer away.
    pub fn delivered(&self, delivery: &Arc<Delivery>) {
        self.deliveries().retain(|other| !Arc::ptr_eq(other, delivery));
    }

    fn deliveries(&self) -> MutexGuard<'_, Vec<Arc<Delivery>>> {
        // No code panics while it holds this lock.
        lock(&self.deliveries)
    }

    /// Tells what it waits for its client to do, and since when; `None` while the client waits for the gateway.
    pub(super) fn waiting(&self) -> Option<(Waiting, Moment)> {
        if let Some(since) = self.writing_since.get() {
            return Some((Waiting::Taking, since));
        }
        if self.requests.load(Ordering::Relaxed) == 0 {
            return Some(match (self.head_since.get(), self.quiet_since.get()) {
                (Some(since), _) => (Waiting::Head, since),
                (None, Some(since)) => (Waiting::Request, since),
                (None, None) => (Waiting::FirstByte, self.opened),
            });
        }
        // With streams, one waiting request does not mean that the others wait.
        if self.has_streams.load(Ordering::Relaxed) {
            return None;
        }
        let taking = || self.deliveries().iter().filter_map(|delivery| delivery.waiting_since()).min();
        let body = self.body_since.get().map(|since| (Waiting::Body, since));
        body.or_else(|| taking().map(|since| (Waiting::Taking, since)))
    }

    /// Ends the connection, or the answers, whose time is over.
    pub(super) fn end_overdue(&self, now: Moment, times: &Times) {
        if let Some((waiting, since)) = self.waiting() {
            let waited = now.since(since);
            match waiting {
                Waiting::FirstByte if waited > times.first_byte => return self.end("no byte came"),
                Waiting::Head if waited > times.head => return self.end("no whole head came"),
                Waiting::Body if waited > times.body + times.head => return self.end("no whole body came"),
                Waiting::Taking if waited > times.no_progress => return self.end("nothing was taken"),
                // A client that was told to leave and does not is cut off.
                Waiting::Request if waited > times.idle + times.no_progress => {
                    return self.end("it did not leave");
                }
                Waiting::Request if waited > times.idle => self.retire.notify_one(),
                _ => {}
            }
        }
        self.end_deliveries(|delivery| delivery.is_overdue(now, times));
    }

    fn end_deliveries(&self, which: impl Fn(&Delivery) -> bool) {
        for delivery in self.deliveries().iter().filter(|delivery| which(delivery)) {
            match delivery.stream() {
                Some(stream) => {
                    tracing::debug!(connection = self.number, "a stream was reset: its answer was not taken");
                    stream.abort();
                }
                None => self.end("its answer was not taken"),
            }
        }
    }

    /// Finds the answer of a project of which the client has taken nothing for the longest time.
    pub(super) fn slowest(&self, account: Option<&Account>) -> Option<(Moment, Arc<Delivery>)> {
        let deliveries = self.deliveries();
        let asked =
            deliveries.iter().filter(|delivery| account.is_none_or(|account| delivery.is_of(account)));
        let waiting = asked.filter_map(|delivery| Some((delivery.waiting_since()?, delivery)));
        waiting.min_by_key(|(since, _)| *since).map(|(since, delivery)| (since, delivery.clone()))
    }

    /// Ends one answer.
    pub(super) fn end_delivery(&self, delivery: &Arc<Delivery>) {
        self.end_deliveries(|other| std::ptr::eq(other, &**delivery));
    }

    /// Ends the connection, and the requests under way on it.
    pub(super) fn end(&self, why: &'static str) {
        tracing::debug!(connection = self.number, why, "a connection was ended");
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// A request under way, from its head to the end of its answer.
#[derive(Debug)]
pub struct UnderWay(Arc<Line>);

impl UnderWay {
    /// Returns the connection that it is on.
    pub fn line(&self) -> &Arc<Line> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.body_came();
        self.0.quiet_since.set(self.0.now());
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
