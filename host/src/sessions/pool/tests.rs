use super::*;
use std::{cell::Cell, rc::Rc};

mod world;

/// A session as the pool sees it: a number, whether it works, and when it was last used.
#[derive(Debug, Clone)]
struct Fake {
    number: u32,
    open: Rc<Cell<bool>>,
    used: Instant,
}

impl Fake {
    fn new(number: u32, used: Instant) -> Self {
        Self { number, open: Rc::new(Cell::new(true)), used }
    }
}

impl Pooled for Fake {
    fn is_open(&self) -> bool {
        self.open.get()
    }

    fn idle_since(&self) -> Option<Instant> {
        Some(self.used)
    }
}

type FakePool = Pool<Fake, u32>;

fn pool(concurrency: Concurrency, sessions: usize, waiting: usize) -> FakePool {
    let calls = match concurrency {
        Concurrency::Shared => 4,
        Concurrency::Exclusive => sessions,
    };
    Pool::new(Size { concurrency, sessions, calls, waiting })
}

/// Asks with a deadline that never matters.
fn ask(pool: &mut FakePool, now: Instant, caller: u32) -> (LendDecision<Fake>, After<Fake, u32>) {
    let far = now + Duration::from_secs(10_000);
    pool.ask(now, (far, far), || caller)
}

fn exclusive(sessions: usize) -> FakePool {
    pool(Concurrency::Exclusive, sessions, usize::MAX)
}

/// Puts callers `from..to` in line; gives back how often that began an opening.
fn queue(pool: &mut FakePool, callers: std::ops::Range<u32>, now: Instant) -> usize {
    let mut openings = 0;
    for caller in callers {
        let (asked, after) = ask(pool, now, caller);
        assert!(matches!(asked, LendDecision::Waits(_)));
        openings += usize::from(after.open);
    }
    openings
}

/// Lists the callers that got a session, each with its number.
fn served(after: &After<Fake, u32>) -> Vec<(u32, u32)> {
    let line =
        |(caller, answer): &(u32, Result<Fake, DriverError>)| (*caller, answer.as_ref().unwrap().number);
    after.answers.iter().map(line).collect()
}

fn refused() -> DriverError {
    DriverError::connection("refused", "nobody listens")
}

/// Opens as many sessions as the pool wants, and gives them back.
fn fill(pool: &mut FakePool, sessions: u32, now: Instant) {
    assert_eq!(queue(pool, 0..sessions, now), 1);
    for number in 0..sessions {
        assert!(pool.find_room(now).0);
        assert_eq!(served(&pool.finish_opening(Fake::new(number, now), now)), [(number, number)]);
    }
    for number in 0..sessions {
        assert!(pool.give_back(Some(Fake::new(number, now)), Ended::Unknown, now).closed.is_empty());
    }
}

#[test]
fn shared_session_goes_to_everyone_who_waits_and_stays() {
    let now = Instant::now();
    let mut pool = pool(Concurrency::Shared, 1, usize::MAX);
    assert_eq!(queue(&mut pool, 0..3, now), 1);
    assert!(matches!(pool.find_room(now), (true, After { open: false, .. })));
    assert_eq!(served(&pool.finish_opening(Fake::new(7, now), now)), [(0, 7), (1, 7), (2, 7)]);
    assert!(matches!(ask(&mut pool, now, 3).0, LendDecision::Lent(Fake { number: 7, .. })));
    assert_eq!(pool.open(), 1);
}

#[test]
fn full_shared_session_takes_one_more_call_for_each_that_ends() {
    let now = Instant::now();
    let mut pool = pool(Concurrency::Shared, 1, 2);
    assert_eq!(queue(&mut pool, 0..2, now), 1);
    assert!(pool.find_room(now).0);
    assert_eq!(served(&pool.finish_opening(Fake::new(7, now), now)).len(), 2);
    for caller in 2..4 {
        assert!(matches!(ask(&mut pool, now, caller).0, LendDecision::Lent(_)));
    }
    assert_eq!(queue(&mut pool, 4..6, now), 0, "it waits for those four");
    assert!(matches!(ask(&mut pool, now, 6).0, LendDecision::Refused(_)));
    for caller in 4..6 {
        assert_eq!(served(&pool.give_back(None, Ended::Unknown, now)), [(caller, 7)]);
    }
    for _ in 0..4 {
        assert!(served(&pool.give_back(None, Ended::Unknown, now)).is_empty());
    }
    assert_eq!((pool.running(), pool.open()), (0, 1));
}

#[test]
fn broken_shared_session_is_replaced_for_waiting_callers() {
    let now = Instant::now();
    let mut pool = pool(Concurrency::Shared, 1, usize::MAX);
    assert_eq!(queue(&mut pool, 0..4, now), 1);
    assert!(pool.find_room(now).0);
    let _ = pool.finish_opening(Fake::new(7, now), now);
    queue(&mut pool, 4..6, now);
    pool.free[0].open.set(false);
    let after = pool.give_back(None, Ended::Unknown, now);
    assert_eq!((after.answers.len(), after.closed.len(), after.open), (0, 1, true));
    assert!(pool.find_room(now).0);
    assert_eq!(served(&pool.finish_opening(Fake::new(8, now), now)), [(4, 8)]);
    assert_eq!(served(&pool.give_back(None, Ended::Unknown, now)), [(5, 8)]);
}

#[test]
fn failing_calls_pause_a_connection_and_refuse_waiting_callers() {
    let mut now = Instant::now();
    let mut pool = exclusive(1);
    fill(&mut pool, 1, now);
    assert!(matches!(ask(&mut pool, now, 0).0, LendDecision::Lent(_)));
    let fail = |pool: &mut FakePool, now| {
        pool.give_back(Some(Fake::new(0, now)), Ended::Failed { begun: now, error: refused() }, now)
    };
    for caller in 1..20 {
        queue(&mut pool, caller..caller + 1, now);
        assert_eq!(served(&fail(&mut pool, now)), [(caller, 0)]);
    }
    queue(&mut pool, 20..23, now);
    let after = fail(&mut pool, now);
    assert_eq!(after.news, Some(News::Fails));
    assert!(after.answers.len() == 3 && after.answers.iter().all(|(_, answer)| answer.is_err()));
    assert!(matches!(ask(&mut pool, now, 23).0, LendDecision::Refused(_)), "although a session is free");
    now += Duration::from_millis(100);
    assert!(matches!(ask(&mut pool, now, 24).0, LendDecision::Lent(_)));
    assert!(matches!(ask(&mut pool, now, 25).0, LendDecision::Refused(_)));
    let after = pool.give_back(Some(Fake::new(0, now)), Ended::Answered { begun: now }, now);
    assert_eq!(after.news, Some(News::Works));
    assert!(matches!(ask(&mut pool, now, 26).0, LendDecision::Lent(_)));
}

#[test]
fn line_that_is_too_slow_refuses_who_would_wait_in_vain() {
    let now = Instant::now();
    let mut pool = exclusive(2);
    fill(&mut pool, 2, now);
    let seconds = |count| now + Duration::from_secs(count);
    for _ in 0..2 {
        assert!(matches!(ask(&mut pool, now, 0).0, LendDecision::Lent(_)));
    }
    for _ in 0..8 {
        let after = pool.give_back(Some(Fake::new(0, now)), Ended::Answered { begun: now }, seconds(4));
        assert!(after.answers.is_empty());
        assert!(matches!(ask(&mut pool, now, 0).0, LendDecision::Lent(_)));
    }
    queue(&mut pool, 0..3, now);
    let (asked, _) = pool.ask(now, (seconds(7), seconds(100)), || 3);
    let LendDecision::Refused(error) = asked else { panic!("four calls of four seconds, two at once") };
    assert_eq!(error.retry_after, Some(Duration::from_secs(8)));
    assert!(
        matches!(pool.ask(now, (seconds(8), seconds(11)), || 4).0, LendDecision::Refused(_)),
        "no time for the call"
    );
    assert!(matches!(pool.ask(now, (seconds(8), seconds(12)), || 5).0, LendDecision::Waits(_)));
}

#[test]
fn idle_sessions_are_borrowed_and_those_in_use_are_not() {
    let now = Instant::now();
    let mut pool = exclusive(3);
    fill(&mut pool, 3, now);
    let later = now + Duration::from_secs(9);
    pool.free[2].used = later;
    assert_eq!(pool.borrow_idle(now).len(), 2);
    assert_eq!((pool.running(), pool.open(), pool.free.len()), (2, 3, 1));
    assert!(pool.give_back(None, Ended::Unknown, now).answers.is_empty());
    assert_eq!((pool.running(), pool.open()), (1, 2), "one that does not answer is gone");
}

#[test]
fn session_of_several_that_came_back_last_is_lent_first() {
    let now = Instant::now();
    let mut pool = exclusive(3);
    fill(&mut pool, 3, now);
    for expected in [2, 1, 0] {
        let (asked, _) = ask(&mut pool, now, 0);
        assert!(matches!(asked, LendDecision::Lent(Fake { number, .. }) if number == expected));
    }
    assert_eq!(queue(&mut pool, 0..1, now), 0, "there are as many as may be");
}

#[test]
fn cold_connection_opens_one_session_first_and_then_enough() {
    let now = Instant::now();
    let mut pool = exclusive(10);
    assert_eq!(queue(&mut pool, 0..4, now), 1);
    assert!(!pool.find_room(now).1.open, "nothing is known of the database yet");
    let after = pool.finish_opening(Fake::new(0, now), now);
    assert_eq!((served(&after), after.open), (vec![(0, 0)], true));
    assert!(!pool.begin_opening(now), "one at a time stands in line for a place under the caps");
    assert!(pool.find_room(now).1.open);
    assert!(pool.find_room(now).1.open);
    assert!(!pool.find_room(now).1.open, "three openings for three callers");
}

#[test]
fn waiting_callers_are_served_in_order_and_absent_ones_skipped() {
    let now = Instant::now();
    let mut pool = exclusive(1);
    queue(&mut pool, 0..5, now);
    assert!(pool.find_room(now).0);
    let mut order = served(&pool.finish_opening(Fake::new(0, now), now));
    pool.leave(1);
    pool.leave(3);
    pool.leave(3);
    for _ in 0..2 {
        order.extend(served(&pool.give_back(Some(Fake::new(0, now)), Ended::Unknown, now)));
    }
    assert_eq!(order, [(0, 0), (2, 0), (4, 0)]);
}

#[test]
fn broken_sessions_are_closed_before_another_is_opened() {
    let now = Instant::now();
    let mut pool = exclusive(3);
    fill(&mut pool, 3, now);
    pool.free.iter().for_each(|session| session.open.set(false));
    let (asked, after) = ask(&mut pool, now, 9);
    assert!(matches!(asked, LendDecision::Waits(_)));
    assert_eq!((after.closed.len(), after.open, pool.open()), (3, true, 0));
}

#[test]
fn line_that_is_full_refuses_until_someone_leaves_it() {
    let now = Instant::now();
    let mut pool = pool(Concurrency::Exclusive, 1, 2);
    queue(&mut pool, 0..2, now);
    let LendDecision::Refused(error) = ask(&mut pool, now, 2).0 else { panic!("it is let in") };
    assert_eq!((&error.details["reason"], error.retry_after), (&"too_many_waiting".into(), Some(REST)));
    pool.leave(0);
    queue(&mut pool, 2..3, now);
}

#[test]
fn caller_is_behind_others_only_without_an_opening_of_its_own() {
    let now = Instant::now();
    let mut pool = exclusive(2);
    queue(&mut pool, 0..3, now);
    assert!((0..3).all(|caller| !pool.is_behind_others(caller)), "there is nobody before them");
    assert!(pool.find_room(now).0);
    assert!(pool.finish_opening(Fake::new(0, now), now).open);
    assert_eq!([0, 1, 2].map(|caller| pool.is_behind_others(caller)), [false, false, true]);
}

#[test]
fn failure_with_no_open_session_hits_all_and_pauses_ever_longer() {
    let mut now = Instant::now();
    let mut pool = exclusive(3);
    assert_eq!(queue(&mut pool, 0..3, now), 1);
    for (waiting, milliseconds) in [(3, 100), (1, 200), (1, 400), (1, 800), (1, 1000), (1, 1000)] {
        assert!(pool.find_room(now).0);
        let (until, after) = pool.fail_opening(&refused(), true, now);
        assert!(until.is_none() && !after.open);
        assert_eq!(after.answers.len(), waiting);
        let LendDecision::Refused(error) = ask(&mut pool, now + Duration::from_millis(milliseconds - 1), 3).0
        else {
            panic!("it is tried again after less than {milliseconds} ms")
        };
        assert_eq!(error.details["reason"], "circuit_open");
        now += Duration::from_millis(milliseconds);
        assert_eq!(queue(&mut pool, 3..4, now), 1, "one tries again");
        assert!(matches!(ask(&mut pool, now, 4).0, LendDecision::Refused(_)), "one is enough");
    }
}

#[test]
fn want_of_room_is_everyones_and_pauses_nothing() {
    let now = Instant::now();
    let mut pool = exclusive(3);
    assert_eq!(queue(&mut pool, 0..3, now), 1);
    assert_eq!(pool.fail_opening(&refused(), false, now).1.answers.len(), 3);
    assert_eq!(queue(&mut pool, 3..4, now), 1);
}

#[test]
fn failure_beside_open_sessions_hits_nobody_and_retries_later() {
    let now = Instant::now();
    let mut pool = exclusive(2);
    queue(&mut pool, 0..3, now);
    assert!(pool.find_room(now).0);
    assert!(pool.finish_opening(Fake::new(0, now), now).open);
    assert!(pool.find_room(now).0);
    let (until, after) = pool.fail_opening(&refused(), true, now);
    assert!(after.answers.is_empty() && until == Some(now + REST));
    assert_eq!(queue(&mut pool, 3..4, now), 0);
    assert!(pool.begin_opening(now + REST));
}

#[test]
fn closed_last_session_is_replaced_despite_an_earlier_failure() {
    let now = Instant::now();
    let mut pool = exclusive(2);
    queue(&mut pool, 0..2, now);
    assert!(pool.find_room(now).0);
    assert!(pool.finish_opening(Fake::new(0, now), now).open);
    assert!(pool.find_room(now).0);
    assert!(pool.fail_opening(&refused(), true, now).0.is_some());
    assert!(pool.give_back(None, Ended::Unknown, now).open);
}

#[test]
fn opening_that_finds_room_when_nobody_waits_any_more_is_over() {
    let now = Instant::now();
    let mut pool = exclusive(2);
    queue(&mut pool, 0..1, now);
    assert!(pool.is_opening_needed());
    pool.leave(0);
    assert!(!pool.is_opening_needed() && !pool.find_room(now).0);
    assert!(pool.is_forgettable(now));
    assert_eq!(queue(&mut pool, 1..2, now), 1);
}

#[test]
fn retired_pool_serves_who_waits_and_keeps_nothing() {
    let now = Instant::now();
    let mut pool = exclusive(2);
    fill(&mut pool, 2, now);
    let (asked, _) = ask(&mut pool, now, 0);
    assert!(matches!(asked, LendDecision::Lent(_)));
    assert_eq!(pool.retire().len(), 1);
    queue(&mut pool, 1..2, now);
    assert_eq!(served(&pool.give_back(Some(Fake::new(1, now)), Ended::Unknown, now)), [(1, 1)]);
    assert_eq!(pool.give_back(Some(Fake::new(1, now)), Ended::Unknown, now).closed.len(), 1);
}

#[test]
fn longest_idle_session_goes_first() {
    let now = Instant::now();
    let mut pool = exclusive(3);
    fill(&mut pool, 3, now);
    pool.free[1].used = now.checked_sub(Duration::from_secs(1)).unwrap();
    assert_eq!(pool.idle_since(), Some(pool.free[1].used));
    assert_eq!(pool.remove_longest_idle().unwrap().number, 1);
}
