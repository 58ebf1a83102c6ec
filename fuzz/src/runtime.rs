//! Where what is asynchronous runs.

use std::{future::Future, sync::OnceLock, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// No input may keep anyone busy for longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits for a future.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Builder::new_current_thread().enable_all().build().unwrap());
    runtime.block_on(async { tokio::time::timeout(LONGEST, future).await.expect("an input takes too long") })
}
