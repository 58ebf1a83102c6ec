//! Tests of databases that fail during a change: the next change works.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn transaction_that_sqlite_rolled_back_is_not_taken_for_open() {
    let fixture = Fixture::sqlite().await;
    for _ in 0..3 {
        let mut transaction = fixture.store.begin().await.unwrap();
        // SQLite does this by itself when it can't write.
        sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
        assert!(transaction.commit().await.is_err());
    }
    fixture.store.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_ended_within_a_transaction_is_not_used_again() {
    let fixture = Fixture::postgres().await;
    for _ in 0..10 {
        let mut transaction = fixture.store.begin().await.unwrap();
        let end = "SELECT CAST(pg_terminate_backend(pg_backend_pid()) AS TEXT) AS ended";
        // The answer may arrive before the connection ends.
        let _ = sqlx::query(end).fetch_one(&mut *transaction).await;
        assert!(sqlx::query("SELECT 1 AS one").fetch_one(&mut *transaction).await.is_err());
    }
    fixture.store.ping().await.unwrap();
    let mut transaction = fixture.store.begin().await.unwrap();
    sqlx::query("SELECT 1 AS one").fetch_one(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_transaction_leaves_nothing_to_the_next_one() {
    for fixture in [Fixture::sqlite().await, Fixture::postgres().await] {
        for _ in 0..20 {
            let transaction = fixture.store.begin().await.unwrap();
            drop(transaction);
            let broken = {
                let mut transaction = fixture.store.begin().await.unwrap();
                sqlx::query("SELECT nonsense").fetch_one(&mut *transaction).await.is_err()
            };
            assert!(broken);
        }
        fixture.store.begin().await.unwrap().commit().await.unwrap();
    }
}
