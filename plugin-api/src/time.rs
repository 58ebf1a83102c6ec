//! Time, where the sandbox has its own clock.
//!
//! The standard library's `Instant` does not work on every WebAssembly target; this one works on all, and is the
//! standard one elsewhere.

#[cfg(not(target_family = "wasm"))]
pub use std::time::Instant;

#[cfg(target_family = "wasm")]
pub use of_the_host::{Instant, sleep};

#[cfg(target_family = "wasm")]
mod of_the_host {
    use crate::component;
    use std::{ops::Add, time::Duration};

    /// Waits. Nothing else of the session runs meanwhile.
    #[allow(clippy::unused_async)]
    pub async fn sleep(time: Duration) {
        component::sleep(time);
    }

    /// A moment on the host's monotonic clock.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Instant(Duration);

    impl Instant {
        /// This moment.
        pub fn now() -> Self {
            Self(Duration::from_nanos(component::monotonic_nanoseconds()))
        }
        /// The time since an earlier moment; zero when that is later.
        pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
        /// The time since this moment.
        pub fn elapsed(&self) -> Duration {
            Self::now().saturating_duration_since(*self)
        }
        /// A later moment, unless it is beyond all reckoning.
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
