//! Counts the bytes held for callers, for the process and for each project.

use crate::config::BudgetSettings;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use studio_plugin_api::sync::lock;

/// Up to so many bytes are small: they count against a separate part beside the budget, so that small requests are
/// served while others hold all of the budget.
const SMALL: u64 = 64 * 1024;
/// The separate part for small ones is the budget divided by this.
const PART_FOR_SMALL: u64 = 4;
/// A call may answer with so many bytes, however many calls of its project run at once.
const LEAST_SHARE: u64 = 2 << 20;
/// Replies of one project that may wait for room at once; each is in memory meanwhile.
const MOST_WAITING: usize = 4;
/// Beyond so many known projects, those without a request under way are forgotten.
const MANY_PROJECTS: usize = 1024;

/// Names the two things that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bodies of requests.
    Bodies,
    /// Replies that clients have not taken.
    Replies,
}

impl Kind {
    /// Returns its name in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bodies => "request bodies",
            Self::Replies => "replies",
        }
    }
}

/// A budget that has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway holds as many bytes of {} as it may{}; try again in a moment", kind.as_str(), if *of_project { " for this project" } else { "" })]
pub struct Spent {
    /// The kind of bytes that has no room.
    pub kind: Kind,
    /// True of the project's budget, false of the process's.
    pub of_project: bool,
}

/// Counts the bytes held against their bound.
#[derive(Debug, Default)]
struct Counter {
    most: u64,
    held: AtomicU64,
    held_by_small: AtomicU64,
}

impl Counter {
    fn new(most: usize) -> Self {
        Self { most: most as u64, ..Self::default() }
    }

    /// Grows a body or reply that holds `own` bytes by `more`. The only one always fits, since limits on single bodies
    /// and replies bound it.
    fn grow(&self, own: u64, more: u64) -> bool {
        let whole = own.saturating_add(more);
        if whole <= SMALL {
            return add(&self.held_by_small, more, |_, after| after <= self.most / PART_FOR_SMALL);
        }
        let was_small = own <= SMALL;
        let (own_here, more_here) = if was_small { (0, whole) } else { (own, more) };
        let fits = add(&self.held, more_here, |before, after| after <= self.most || before <= own_here);
        if fits && was_small {
            self.held_by_small.fetch_sub(own, Ordering::Relaxed);
        }
        fits
    }

    /// Undoes such a growth.
    fn shrink(&self, own: u64, more: u64) {
        self.give_back(own.saturating_add(more));
        let place = if own <= SMALL { &self.held_by_small } else { &self.held };
        place.fetch_add(own, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        let place = if bytes <= SMALL { &self.held_by_small } else { &self.held };
        place.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed) + self.held_by_small.load(Ordering::Relaxed)
    }
}

fn add(place: &AtomicU64, more: u64, fits: impl Fn(u64, u64) -> bool) -> bool {
    let added = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
        let after = before.saturating_add(more);
        fits(before, after).then_some(after)
    });
    added.is_ok()
}

/// The counters of one project, or of the process.
#[derive(Debug)]
struct Counters {
    bodies: Counter,
    replies: Counter,
    /// Calls to drivers under way.
    calls: AtomicUsize,
    /// Replies that wait for room.
    waiting: AtomicUsize,
}

impl Counters {
    fn of(&self, kind: Kind) -> &Counter {
        match kind {
            Kind::Bodies => &self.bodies,
            Kind::Replies => &self.replies,
        }
    }
}

/// All budgets of bytes.
#[derive(Debug)]
pub struct Budgets {
    process: Arc<Counters>,
    projects: Mutex<HashMap<String, Account>>,
    settings: BudgetSettings,
}

impl Budgets {
    /// Starts with nothing held.
    pub fn new(settings: BudgetSettings) -> Self {
        let process = Counters {
            bodies: Counter::new(settings.body_bytes.get()),
            replies: Counter::new(settings.reply_bytes.get()),
            calls: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        };
        Self { process: Arc::new(process), projects: Mutex::default(), settings }
    }

    /// Returns the settings that they were made of.
    pub fn settings(&self) -> &BudgetSettings {
        &self.settings
    }

    /// Returns the account of a project, by its ref. Only for callers that were let through to the project, so that
    /// strangers can't make accounts.
    pub fn project(&self, reference: &str) -> Account {
        let mut projects = lock(&self.projects);
        if let Some(account) = projects.get(reference) {
            return account.clone();
        }
        if projects.len() >= MANY_PROJECTS {
            projects.retain(|_, account| Arc::strong_count(&account.0) > 1);
        }
        let account = self.account(Some(Counters {
            bodies: Counter::new(self.settings.project_body_bytes.get()),
            replies: Counter::new(self.settings.project_reply_bytes.get()),
            calls: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }));
        projects.insert(reference.to_owned(), account.clone());
        account
    }

    /// Returns the account of bytes that belong to no project.
    pub fn process(&self) -> Account {
        self.account(None)
    }

    fn account(&self, project: Option<Counters>) -> Account {
        Account(Arc::new(Ledger { process: self.process.clone(), project }))
    }

    /// Counts the bytes held of this kind, in all.
    pub fn held(&self, kind: Kind) -> u64 {
        self.process.of(kind).held()
    }
}

/// Names the project that bytes count for.
#[derive(Debug, Clone)]
pub struct Account(Arc<Ledger>);

/// The places where an account's bytes are counted. One handle leads to both, since each request holds several.
#[derive(Debug)]
struct Ledger {
    process: Arc<Counters>,
    project: Option<Counters>,
}

impl Account {
    /// Returns the counters of what the account holds: the project's, or the process's where it belongs to none.
    fn counters(&self) -> &Counters {
        self.0.project.as_ref().unwrap_or(&self.0.process)
    }

    /// Begins with no room, to be grown later.
    pub fn begin(&self, kind: Kind) -> Held {
        Held { account: self.clone(), kind, bytes: 0 }
    }

    /// Takes room for so many bytes.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn take(&self, kind: Kind, bytes: usize) -> Result<Held, Spent> {
        let mut held = self.begin(kind);
        held.grow(bytes)?;
        Ok(held)
    }

    /// Tells whether both are of one project.
    pub fn is_same_project(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.project.is_none() && other.0.project.is_none())
    }

    /// Takes one of the few places for replies that wait for room; `None` when all are taken.
    pub fn wait(&self) -> Option<Wait> {
        let before = self.counters().waiting.fetch_add(1, Ordering::Relaxed);
        let wait = Wait(self.clone());
        (before < MOST_WAITING).then_some(wait)
    }

    /// Begins a call to a driver. The driver makes its reply before the gateway can count it, so calls that run at once
    /// share the project's budget of replies: each may answer with no more than its share, and a call that runs alone
    /// with `most`.
    pub fn begin_call(&self, most: u64) -> CallShare {
        let counters = self.counters();
        let others = counters.calls.fetch_add(1, Ordering::Relaxed) as u64;
        let share = (counters.replies.most / (others + 1)).max(LEAST_SHARE);
        // As with replies, the only call may use all that a single reply may.
        let bytes = if others == 0 { most } else { most.min(share) };
        CallShare { account: self.clone(), bytes }
    }
}

/// A reply that waits for room.
#[derive(Debug)]
pub struct Wait(Account);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.counters().waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call under way.
#[derive(Debug)]
pub struct CallShare {
    account: Account,
    bytes: u64,
}

impl CallShare {
    /// Returns the most bytes that its reply may have.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for CallShare {
    fn drop(&mut self) {
        self.account.counters().calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Room that is taken, and given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    account: Account,
    kind: Kind,
    bytes: u64,
}

impl Held {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// [`Spent`]; the room from before is kept.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Spent> {
        let (kind, more) = (self.kind, bytes as u64);
        let Ledger { process, project } = &*self.account.0;
        if let Some(project) = project
            && !project.of(kind).grow(self.bytes, more)
        {
            return Err(Spent { kind, of_project: true });
        }
        if !process.of(kind).grow(self.bytes, more) {
            if let Some(project) = project {
                project.of(kind).shrink(self.bytes, more);
            }
            return Err(Spent { kind, of_project: false });
        }
        self.bytes += more;
        Ok(())
    }

    /// Returns the number of bytes that it is for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the account that they count for.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Ledger { process, project } = &*self.account.0;
        process.of(self.kind).give_back(self.bytes);
        if let Some(project) = project {
            project.of(self.kind).give_back(self.bytes);
        }
    }
}

/// Room that many may share: for one reply, kept and sent to several clients at once.
#[derive(Debug, Default)]
pub struct SharedRoom(Mutex<Weak<Held>>);

impl SharedRoom {
    /// Shares the room that others hold for the same bytes, or takes new room.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn take(&self, account: &Account, bytes: usize) -> Result<Arc<Held>, Spent> {
        let mut shared = lock(&self.0);
        if let Some(held) = shared.upgrade() {
            return Ok(held);
        }
        let held = Arc::new(account.take(Kind::Replies, bytes)?);
        *shared = Arc::downgrade(&held);
        Ok(held)
    }
}

#[cfg(test)]
#[path = "bytes_tests.rs"]
mod tests;
