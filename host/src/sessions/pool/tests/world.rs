//! Runs a pool through random orders of the events that it may meet.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Event {
    Ask,
    /// One of the callers that wait or have waited.
    Leave(usize),
    FindRoom,
    Finish,
    Fail,
    GiveBack {
        usable: bool,
        answered: bool,
    },
    Ping,
    Break(usize),
    Evict,
    Pass(u64),
    OpenMore,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => Just(Event::Ask),
        1 => any::<usize>().prop_map(Event::Leave),
        3 => Just(Event::FindRoom),
        3 => Just(Event::Finish),
        1 => Just(Event::Fail),
        4 => any::<(bool, bool)>().prop_map(|(usable, answered)| Event::GiveBack { usable, answered }),
        1 => Just(Event::Ping),
        1 => any::<usize>().prop_map(Event::Break),
        1 => Just(Event::Evict),
        1 => (0..2000_u64).prop_map(Event::Pass),
        1 => Just(Event::OpenMore),
    ];
    prop::collection::vec(event, 0..200)
}

/// The world around an exclusive pool: it carries out the pool's decisions.
struct World {
    pool: FakePool,
    now: Instant,
    seeking: usize,
    connecting: usize,
    lent: Vec<Fake>,
    line: BTreeSet<u32>,
    callers: u32,
    sessions: u32,
}

impl World {
    fn carry_out(&mut self, after: After<Fake, u32>) {
        for (caller, answer) in after.answers {
            assert_eq!(self.line.pop_first(), Some(caller), "out of turn");
            self.lent.extend(answer.ok());
        }
        self.seeking += usize::from(after.open);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Ask => {
                let caller = self.callers;
                let (asked, after) = ask(&mut self.pool, now, caller);
                match asked {
                    LendDecision::Lent(session) => self.lent.push(session),
                    LendDecision::Waits(number) => {
                        assert_eq!(number, u64::from(caller));
                        self.line.insert(caller);
                        self.callers += 1;
                    }
                    LendDecision::Refused(_) => assert!(self.pool.is_circuit_open() || self.line.len() == 20),
                }
                self.carry_out(after);
            }
            Event::Leave(caller) => {
                let caller = u32::try_from(caller % (self.callers as usize + 1)).unwrap();
                self.pool.leave(caller.into());
                self.line.remove(&caller);
            }
            Event::FindRoom if self.seeking > 0 => {
                let (needed, after) = self.pool.find_room(now);
                self.seeking -= 1;
                self.connecting += usize::from(needed);
                self.carry_out(after);
            }
            Event::Finish if self.connecting > 0 => {
                self.connecting -= 1;
                self.sessions += 1;
                let after = self.pool.finish_opening(Fake::new(self.sessions, now), now);
                self.carry_out(after);
            }
            Event::Fail if self.seeking + self.connecting > 0 => {
                let had_room = self.connecting > 0;
                *(if had_room { &mut self.connecting } else { &mut self.seeking }) -= 1;
                let (_, after) = self.pool.fail_opening(&refused(), had_room, now);
                self.carry_out(after);
            }
            Event::GiveBack { usable, answered } if !self.lent.is_empty() => {
                let session = self.lent.remove(0);
                let ended = match answered {
                    true => Ended::Answered { begun: now },
                    false => Ended::Failed { begun: now, error: refused() },
                };
                let after = self.pool.give_back(usable.then_some(session), ended, now);
                self.carry_out(after);
            }
            Event::Break(place) if !self.pool.free.is_empty() => {
                self.pool.free[place % self.pool.free.len()].open.set(false);
            }
            Event::Ping => self.lent.extend(self.pool.borrow_idle(now)),
            Event::Evict => drop(self.pool.remove_longest_idle()),
            Event::Pass(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Event::OpenMore => self.seeking += usize::from(self.pool.begin_opening(now)),
            _ => {}
        }
    }

    fn check(&self, sessions: usize) {
        let (free, opening) = (self.pool.free.len(), self.seeking + self.connecting);
        assert_eq!((self.pool.running, self.pool.opening), (self.lent.len(), opening));
        assert!(free + self.lent.len() + opening <= sessions, "too many");
        assert!(self.seeking <= 1);
        let line: Vec<_> = self.pool.waiting.iter().map(|(_, caller)| *caller).collect();
        assert_eq!(line, self.line.iter().copied().collect::<Vec<_>>());
        if !line.is_empty() {
            assert_eq!(free, 0, "a session is free, and someone waits");
            assert!(!self.lent.is_empty() || opening > 0, "someone is forgotten");
        }
        let lent: BTreeSet<_> = self.lent.iter().map(|session| session.number).collect();
        assert_eq!(lent.len(), self.lent.len(), "a session is lent twice");
    }
}

proptest! {
    #[test]
    fn nobody_is_forgotten_or_passed_over_whatever_happens(events in events(), sessions in 1..5_usize) {
        let mut world = World {
            pool: pool(Concurrency::Exclusive, sessions, 20),
            now: Instant::now(),
            seeking: 0,
            connecting: 0,
            lent: Vec::new(),
            line: BTreeSet::new(),
            callers: 0,
            sessions: 0,
        };
        for event in events {
            world.happen(event);
            world.check(sessions);
        }
    }
}
