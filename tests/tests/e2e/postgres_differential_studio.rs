//! What a Studio's data layer sends, with its headers and keys, to the real postgres-meta and to our gateway side by side.
//!
//! The SQL of its own library is a port of postgres-meta's; here it is the original's, run by programs in `tests/studio`.

use studio_gateway_tests::differential::{Accepted, Twins};

const FAILURES: &[Accepted] = &[];

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_a_studio_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    let count = twins.work("pages").await;
    assert!(count >= 20, "{count} calls");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_statements_of_a_studio_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    let count = twins.work("catalog").await;
    assert!(count >= 120, "{count} statements");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_statements_of_a_studio_are_answered_to_viewers_too() {
    let Some(twins) = Twins::on_one_database(&[]).await else { return };
    let mut twins = twins.for_a_viewer();
    let count = twins.work("catalog").await;
    assert!(count >= 120, "{count} statements");
    twins.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_a_studio_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    let count = twins.work("changes").await;
    assert!(count >= 150, "{count} statements");
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
