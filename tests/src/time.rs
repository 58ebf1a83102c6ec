//! Waiting for conditions that soon become true.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Stretches every time limit: machines are slow and noisy.
const VARIABLE: &str = "TEST_PATIENCE_SECONDS";

/// How long something may take that should happen at once: 30 s, or as `TEST_PATIENCE_SECONDS` says.
pub static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let seconds = std::env::var(VARIABLE).ok().map(|text| text.parse().expect("a whole number of seconds"));
    Duration::from_secs(seconds.unwrap_or(30))
});

/// Asks again and again until the answer is yes; panics with `what` when it is not within [`PATIENCE`].
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(*PATIENCE, what, condition).await;
}

/// Waits as [`eventually`] does, with another limit, for something that must be quick. Gives back how long it took.
pub async fn within(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}
