//! All connections: who may have another one, which one must make room for it, and which ones are over their time.

use super::{
    address::Address,
    bytes::Account,
    clock::{Clock, Moment},
    line::{Line, Waiting},
    times::Times,
};
use std::{
    collections::{BinaryHeap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use studio_plugin_api::sync::lock;

/// How often connections that are over their time are ended.
const TICK: Duration = Duration::from_millis(100);
/// An answer must stand still for so long before it makes room for others.
const STANDS_STILL: Duration = Duration::from_secs(1);
/// How long a new connection should be safe while a crowd comes.
const TIME_TO_ASK: Duration = Duration::from_millis(128);
/// The longest time that the next connection waits for that.
const LONGEST_PAUSE: Duration = Duration::from_millis(4);
/// A connection that began something and does not go on counts its wait so many times, compared with an idle one.
const HALF_DONE: u32 = 8;

/// The error when there are as many connections as allowed, and all of them work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The connections.
#[derive(Debug)]
pub struct ClientConnections {
    most: usize,
    most_of_address: usize,
    times: Times,
    clock: Arc<Clock>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    last_number: u64,
    all: HashMap<u64, Arc<Line>>,
    by_address: HashMap<Address, usize>,
}

/// A connection's place among all. Dropping it makes room.
#[derive(Debug)]
pub struct ClientConnection {
    connections: Arc<ClientConnections>,
    line: Arc<Line>,
}

impl ClientConnection {
    /// Returns the connection.
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.connections.lines().leave(self.line.number);
    }
}

impl ClientConnections {
    /// Starts without connections. The connections of one address leave half of the room to others.
    pub fn new(most: usize, most_of_address: usize, times: Times) -> Arc<Self> {
        let most_of_address = most_of_address.min(most.div_ceil(2));
        Arc::new(Self { most, most_of_address, times, clock: Arc::default(), lines: Mutex::default() })
    }

    /// Moves the clock on and ends connections that are over their time, for as long as it is polled.
    pub async fn watch(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.end_overdue(self.clock.tick(Instant::now()));
        }
    }

    fn end_overdue(&self, now: Moment) {
        let lines: Vec<Arc<Line>> = self.lines().all.values().cloned().collect();
        for line in lines {
            line.end_overdue(now, &self.times);
        }
    }

    /// Takes a place for one connection more. At a cap, the connection that waited longest for its client makes room:
    /// so a crowd that does nothing pushes itself out, and keeps no client out that has something to ask.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(self: &Arc<Self>, address: Address) -> Result<(ClientConnection, MadeRoom), Full> {
        let now = self.clock.now();
        let mut lines = self.lines();
        let of_address = lines.by_address.get(&address).copied().unwrap_or_default();
        let made_room = if address != Address::Proxy && of_address >= self.most_of_address {
            lines.push_out(now, |line| line.address == address)
        } else if lines.all.len() >= self.most {
            lines.push_out(now, |_| true)
        } else {
            Ok(MadeRoom(false))
        }?;
        lines.last_number += 1;
        let line = Arc::new(Line::new(lines.last_number, address, self.clock.clone()));
        lines.all.insert(line.number, line.clone());
        *lines.by_address.entry(address).or_default() += 1;
        Ok((ClientConnection { connections: self.clone(), line }, made_room))
    }

    /// Returns how long to wait after one connection was ended for another. The pause gives a new client time to ask
    /// something before so many others have come that it is the one that waited longest; bytes that it sent keep it
    /// safe.
    pub fn pause(&self) -> Duration {
        let each = u32::try_from(self.most_of_address).unwrap_or(u32::MAX).max(1);
        (TIME_TO_ASK / each).min(LONGEST_PAUSE)
    }

    /// Ends the connection that waited longest for its client; tells whether there was one.
    pub fn make_room(&self) -> bool {
        let now = self.clock.now();
        self.lines().push_out(now, |_| true).is_ok()
    }

    /// Ends the answer that stands still for the longest time, of one project or of any; tells whether there was one.
    pub fn end_slowest(&self, account: Option<&Account>) -> bool {
        let now = self.clock.now();
        let lines: Vec<Arc<Line>> = self.lines().all.values().cloned().collect();
        let slowest = lines.iter().filter_map(|line| Some((line.slowest(account)?, line)));
        match slowest.min_by_key(|((since, _), _)| *since) {
            Some(((since, delivery), line)) if now.since(since) >= STANDS_STILL => {
                line.end_delivery(&delivery);
                true
            }
            _ => false,
        }
    }

    /// Ends all connections, and the requests under way on them.
    pub fn end_all(&self) {
        let lines: Vec<Arc<Line>> = self.lines().all.values().cloned().collect();
        for line in lines {
            line.end("the gateway stops");
        }
    }

    /// Counts the connections.
    pub fn count(&self) -> usize {
        self.lines().all.len()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // No code panics while it holds this lock.
        lock(&self.lines)
    }
}

/// Tells whether another connection was ended for the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeRoom(pub bool);

impl Lines {
    fn leave(&mut self, number: u64) {
        let Some(line) = self.all.remove(&number) else { return };
        if let Some(count) = self.by_address.get_mut(&line.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&line.address);
            }
        }
    }

    fn push_out(&mut self, now: Moment, may: impl Fn(&Line) -> bool) -> Result<MadeRoom, Full> {
        let candidates = self.all.values().filter(|line| may(line)).filter_map(|line| {
            // Proxies go last, since one proxy serves many clients.
            let crowd = match line.address {
                Address::Proxy => 0,
                Address::Client(_) => self.by_address.get(&line.address).copied().unwrap_or_default(),
            };
            Some((readiness(line, crowd, now)?, line.number))
        });
        let mut candidates: BinaryHeap<(Readiness, u64)> = candidates.collect();
        while let Some((_, number)) = candidates.pop() {
            if let Some(line) = self.all.get(&number).filter(|line| !line.has_unread()) {
                line.end("it made room for another");
                self.leave(number);
                return Ok(MadeRoom(true));
            }
        }
        Err(Full)
    }
}

/// The order in which connections make room: whether it stands still in the middle of something, how many its address
/// has, the time waited, and age.
type Readiness = (bool, usize, Duration, u64);

/// Ranks a connection for making room; `None` if it must not. Connections that stand still in the middle of something
/// go first, then those of the address that has the most, then those that waited longest.
fn readiness(line: &Line, crowd: usize, now: Moment) -> Option<Readiness> {
    let (waiting, since) = line.waiting()?;
    let waited = now.since(since);
    let (stands_still, weight) = match waiting {
        Waiting::Request => (false, 1),
        Waiting::FirstByte | Waiting::Head => (waited >= STANDS_STILL, HALF_DONE),
        Waiting::Body | Waiting::Taking if waited < STANDS_STILL => return None,
        Waiting::Body | Waiting::Taking => (true, HALF_DONE),
    };
    Some((stands_still, crowd, waited * weight, u64::MAX - line.number))
}

#[cfg(test)]
#[path = "client_connections_tests.rs"]
mod tests;
