use super::*;
use proptest::prelude::*;
use std::num::NonZeroUsize;

const MEBIBYTE: usize = 1 << 20;

fn budgets(process: usize, project: usize) -> Budgets {
    let bytes = |mebibytes: usize| NonZeroUsize::new(mebibytes * MEBIBYTE).unwrap();
    Budgets::new(BudgetSettings {
        reply_bytes: bytes(process),
        project_reply_bytes: bytes(project),
        ..BudgetSettings::default()
    })
}

#[test]
fn project_is_refused_at_its_budget_and_others_are_not() {
    let budgets = budgets(10, 4);
    let (one, other) = (budgets.project("one"), budgets.project("other"));
    let held = one.take(Kind::Replies, 3 * MEBIBYTE).unwrap();
    let refused = one.take(Kind::Replies, 2 * MEBIBYTE).unwrap_err();
    assert_eq!(refused, Spent { kind: Kind::Replies, of_project: true });
    other.take(Kind::Replies, 4 * MEBIBYTE).unwrap();
    drop(held);
    one.take(Kind::Replies, 4 * MEBIBYTE).unwrap();
    assert_eq!(budgets.held(Kind::Replies), 0);
}

#[test]
fn projects_share_the_process_budget_and_refusals_hold_nothing() {
    let budgets = budgets(6, 4);
    let _held = budgets.project("one").take(Kind::Replies, 4 * MEBIBYTE).unwrap();
    let other = budgets.project("other");
    let refused = other.take(Kind::Replies, 3 * MEBIBYTE).unwrap_err();
    assert_eq!(refused, Spent { kind: Kind::Replies, of_project: false });
    other.take(Kind::Replies, 2 * MEBIBYTE).unwrap();
}

#[test]
fn what_is_alone_fits_and_what_is_small_has_room_of_its_own() {
    let budgets = budgets(16, 4);
    let project = budgets.project("one");
    let _alone = project.take(Kind::Replies, 9 * MEBIBYTE).unwrap();
    project.take(Kind::Replies, MEBIBYTE).unwrap_err();
    let mut small = Vec::new();
    while let Ok(held) = project.take(Kind::Replies, SMALL as usize) {
        small.push(held);
    }
    assert_eq!(budgets.held(Kind::Replies), 10 * MEBIBYTE as u64, "a quarter more, and no further");
}

#[test]
fn growing_body_is_counted_once_and_refused_at_a_full_budget() {
    let budgets = Budgets::new(BudgetSettings {
        project_body_bytes: NonZeroUsize::new(MEBIBYTE).unwrap(),
        ..BudgetSettings::default()
    });
    let project = budgets.project("one");
    let _other = project.take(Kind::Bodies, MEBIBYTE / 2).unwrap();
    let mut body = project.begin(Kind::Bodies);
    body.grow(MEBIBYTE / 4).unwrap();
    body.grow(MEBIBYTE / 2).unwrap_err();
    assert_eq!(body.bytes(), MEBIBYTE as u64 / 4);
    body.grow(MEBIBYTE / 4).unwrap();
    drop(body);
    assert_eq!(budgets.held(Kind::Bodies), MEBIBYTE as u64 / 2);
}

#[test]
fn reply_that_many_take_counts_once_until_the_last_has_it() {
    let budgets = budgets(8, 8);
    let (project, kept) = (budgets.project("one"), SharedRoom::default());
    let first = kept.take(&project, 3 * MEBIBYTE).unwrap();
    let second = kept.take(&project, 3 * MEBIBYTE).unwrap();
    assert_eq!(budgets.held(Kind::Replies), 3 * MEBIBYTE as u64);
    drop(first);
    assert_eq!(budgets.held(Kind::Replies), 3 * MEBIBYTE as u64);
    drop(second);
    assert_eq!(budgets.held(Kind::Replies), 0);
}

#[test]
fn calls_at_once_share_what_their_project_may_answer() {
    let budgets = budgets(192, 96);
    let (project, most) = (budgets.project("one"), 64 << 20);
    let calls: Vec<_> = (0..100).map(|_| project.begin_call(most)).collect();
    let shares: Vec<u64> = calls.iter().map(|call| call.bytes() >> 20).collect();
    assert_eq!(shares[..4], [64, 48, 32, 24]);
    assert_eq!(shares[99], 2);
    assert_eq!(budgets.project("other").begin_call(most).bytes(), most);
    drop(calls);
    assert_eq!(project.begin_call(most).bytes(), most);
}

proptest! {
    #[test]
    fn what_is_given_back_is_what_was_taken(sizes in prop::collection::vec((0..3usize, 0..2 * MEBIBYTE), 0..60)) {
        let budgets = budgets(8, 4);
        let mut held = Vec::new();
        for (project, bytes) in sizes {
            let account = budgets.project(&project.to_string());
            held.extend(account.take(Kind::Replies, bytes));
            prop_assert!(budgets.held(Kind::Replies) <= 10 * MEBIBYTE as u64);
        }
        drop(held);
        prop_assert_eq!(budgets.held(Kind::Replies), 0);
    }
}
