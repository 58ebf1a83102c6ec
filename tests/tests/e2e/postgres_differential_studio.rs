//! What a Studio's data layer sends, with its headers and keys, to the real postgres-meta and to our gateway side by side.
//!
//! The SQL of its own library is a port of postgres-meta's; here it is the original's, run by programs in `tests/studio`.

use studio_gateway_tests::differential::{Accepted, Twins};

/// Differences that are known, with their reasons.
const LISTS: &[Accepted] = &[
    Accepted {
        request: "GET /t",
        place: "].check",
        reason: "it is the expression, not cut out of the text of the constraint",
    },
    Accepted { request: "GET /triggers", place: ".events.length", reason: "TRUNCATE is among them" },
];
const FAILURES: &[Accepted] = &[
    Accepted { request: MARKED, place: ".error (line 3)", reason: BEYOND },
    Accepted { request: MARKED, place: ".formattedError (line 3)", reason: BEYOND },
    Accepted {
        request: "POST /query?key=kept-by-commit",
        place: ".body.outcome",
        reason: "what was committed before the error stays, and the answer says so",
    },
];
const MARKED: &str = "POST /query?key=column-after-unicode";
const BEYOND: &str = "JavaScript counts characters beyond U+FFFF twice, so that its mark is too far left";

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_a_studio_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(LISTS).await else { return };
    let count = twins.work("pages").await;
    assert!(count >= 23, "{count} lists");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn studio_catalog_statements_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    let count = twins.work("catalog").await;
    assert!(count >= 140, "{count} statements");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_statements_of_a_studio_are_answered_to_viewers_too() {
    let Some(twins) = Twins::on_one_database(&[]).await else { return };
    let mut twins = twins.for_a_viewer();
    let count = twins.work("catalog").await;
    assert!(count >= 140, "{count} statements");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_a_studio_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    let count = twins.work("changes").await;
    assert!(count >= 140, "{count} statements");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_a_studio_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(FAILURES).await else { return };
    let mut count = 0;
    for part in ["reading", "failing", "writing"] {
        count += twins.work(part).await;
    }
    assert!(count >= 100, "{count} statements");
    twins.finish();
}
