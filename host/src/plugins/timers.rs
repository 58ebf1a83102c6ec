//! Timers that wait for the deadlines of calls.
//!
//! Nearly every call ends long before its deadline. To put a timer into the runtime's wheel and take it out again means
//! two turns at a lock that all workers share, so a timer stays in the wheel when its call ends, and the next call puts
//! it off: that is one atomic step, since a later call mostly has a later deadline.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Mutex,
    task::{Context, Poll},
    time::Instant,
};
use studio_plugin_api::sync::lock;
use tokio::{
    task::unconstrained,
    time::{Sleep, sleep_until},
};

/// The most timers that are kept for later calls.
const KEPT: usize = 1024;

/// The timers that no call uses now.
#[derive(Default)]
pub(super) struct Timers {
    unused: Mutex<Vec<Pin<Box<Sleep>>>>,
}

impl Timers {
    /// Waits for a future until a deadline; `None` when that passes first.
    pub(super) async fn within<T>(&self, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut timer = None;
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                let timer: &mut Timer<'_> = timer.get_or_insert_with(|| self.take(deadline));
                timer.poll_elapsed(context).map(|()| None)
            }
        })
        .await
    }

    fn take(&self, deadline: Instant) -> Timer<'_> {
        let unused = lock(&self.unused).pop();
        let sleep = match unused {
            Some(mut sleep) => {
                sleep.as_mut().reset(deadline.into());
                sleep
            }
            None => Box::pin(sleep_until(deadline.into())),
        };
        Timer { timers: self, sleep: Some(sleep) }
    }
}

/// A timer in use.
struct Timer<'a> {
    timers: &'a Timers,
    /// Taken only when dropped.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer<'_> {
    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(()) };
        // A future that always has something to do uses up the budget of its task, and must end at its deadline too.
        pin!(unconstrained(sleep)).poll(context)
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let mut unused = lock(&self.timers.unused);
        if unused.len() < KEPT {
            unused.extend(self.sleep.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};

    fn after(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[tokio::test]
    async fn timers_are_used_again_for_earlier_and_later_deadlines() {
        let timers = Timers::default();
        for (deadline, next) in [(20, 60_000), (60_000, 20), (10, 20), (20, 10)] {
            let turn = timers.within(after(deadline), tokio::task::yield_now()).await;
            assert_eq!(turn, Some(()));
            let begin = Instant::now();
            let wait = timers.within(after(next.min(30)), pending::<()>()).await;
            assert_eq!(wait, None);
            assert!(begin.elapsed() >= Duration::from_millis(next.min(30)), "{:?}", begin.elapsed());
            assert_eq!(lock(&timers.unused).len(), 1, "one is enough for one after another");
        }
        assert_eq!(timers.within(after(0), async { 7 }).await, Some(7), "a result is never late");
    }

    #[tokio::test]
    async fn timers_of_calls_at_once_are_apart_and_come_back() {
        let timers = Timers::default();
        let waits = [30, 10, 20].map(|time| timers.within(after(time), pending::<()>()));
        assert_eq!(futures_util::future::join_all(waits).await, [None, None, None]);
        assert_eq!(lock(&timers.unused).len(), 3);
        let left =
            tokio::time::timeout(Duration::from_millis(10), timers.within(after(60_000), pending::<()>()));
        assert!(left.await.is_err());
        assert_eq!(lock(&timers.unused).len(), 3, "a caller that leaves gives its timer back");
    }

    #[tokio::test]
    async fn future_that_never_rests_ends_at_its_deadline() {
        let restless = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        assert_eq!(Timers::default().within(after(20), restless).await, None::<()>);
    }
}
