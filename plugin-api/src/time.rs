//! Time, where the sandbox has its own clock.
//!
//! The standard library's `Instant` and `SystemTime` do not work on every WebAssembly target; the items here work on
//! all, and are the standard library's elsewhere.

#[cfg(not(target_family = "wasm"))]
pub use {std::time::Instant, tokio::time::sleep};

#[cfg(target_family = "wasm")]
pub use of_the_host::{Instant, since_unix_epoch, sleep};

/// Returns the time of day, as the time since the Unix epoch.
#[cfg(not(target_family = "wasm"))]
pub fn since_unix_epoch() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(target_family = "wasm")]
mod of_the_host {
    use crate::component;
    use std::{ops::Add, time::Duration};

    /// Returns the time of day, as the time since the Unix epoch.
    pub fn since_unix_epoch() -> Duration {
        component::since_unix_epoch()
    }

    /// Waits. Nothing else of the session runs meanwhile.
    #[allow(clippy::unused_async)]
    pub async fn sleep(time: Duration) {
        component::sleep(time);
    }

    /// A moment on the host's monotonic clock.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Instant(Duration);

    impl Instant {
        /// Returns this moment.
        pub fn now() -> Self {
            Self(Duration::from_nanos(component::monotonic_nanoseconds()))
        }
        /// Returns the time since an earlier moment; zero when that is later.
        pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
        /// Returns the time since this moment.
        pub fn elapsed(&self) -> Duration {
            Self::now().saturating_duration_since(*self)
        }
        /// Returns a later moment, unless the clock can't represent it.
        pub fn checked_add(&self, time: Duration) -> Option<Self> {
            self.0.checked_add(time).map(Self)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;
        fn add(self, time: Duration) -> Self {
            Self(self.0.saturating_add(time))
        }
    }
}
