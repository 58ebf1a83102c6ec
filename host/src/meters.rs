//! Counts and times that a request moves without a lock, a look-up or an allocation. Metrics find them by their labels
//! once; an operation keeps them from then on.

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::Counter},
};
use std::{
    array::from_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The upper bounds of a [`Latency`], in microseconds: from a cache hit to the longest deadline.
const BOUNDS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// A histogram of times. A clone is the same histogram.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Times>);

#[derive(Debug, Default)]
struct Times {
    /// Times up to each bound and above the one before it.
    within: [AtomicU64; BOUNDS.len()],
    above: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Latency {
    /// Counts a time.
    pub fn observe(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().zip(&self.0.within).find(|(bound, _)| nanoseconds <= **bound * 1000);
        bucket.map_or(&self.0.above, |(_, count)| count).fetch_add(1, Ordering::Relaxed);
        self.0.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let seconds = BOUNDS.map(|bound| bound as f64 / 1e6).into_iter().chain([f64::INFINITY]);
        let counts = self.0.within.iter().chain([&self.0.above]);
        let buckets: Vec<(f64, u64)> =
            seconds.zip(counts.map(|count| count.load(Ordering::Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.0.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Statuses that have a place in [`StatusCounters`]. The others are seldom.
const FREQUENT: [u16; 15] = [200, 201, 204, 304, 400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504];

/// A counter for each frequent status, made when it is first moved: what never happened is not told.
#[derive(Debug)]
pub struct StatusCounters([OnceLock<Counter>; FREQUENT.len()]);

impl Default for StatusCounters {
    fn default() -> Self {
        Self(from_fn(|_| OnceLock::new()))
    }
}

impl StatusCounters {
    /// Gives the place of a status, if it is a frequent one.
    pub fn get(&self, status: u16) -> Option<&OnceLock<Counter>> {
        FREQUENT.iter().zip(&self.0).find_map(|(frequent, counter)| (*frequent == status).then_some(counter))
    }
}

/// The meters of one operation, each found when it is first moved.
#[derive(Debug, Default)]
pub struct OperationMeters {
    /// Requests answered, by status.
    pub requests: StatusCounters,
    /// Times of whole requests.
    pub request_seconds: OnceLock<Latency>,
    /// Times of the driver's calls.
    pub driver_seconds: OnceLock<Latency>,
    /// Times that calls waited for a session: the same histogram for all operations of a driver.
    pub lease_seconds: OnceLock<Latency>,
    /// Requests by what the cache did for them, by the number of the use.
    pub cache: [OnceLock<Counter>; 4],
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::{
        encoding::text::encode,
        metrics::histogram::Histogram,
        registry::{Metric, Registry},
    };

    fn text(metric: impl Metric) -> String {
        let mut registry = Registry::default();
        registry.register("time", "A time", metric);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    /// Splits a histogram's text into its lines but one, and the sum in that one.
    fn split(text: &str) -> (Vec<&str>, f64) {
        let (sums, others): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("time_sum "));
        (others, sums[0]["time_sum ".len()..].parse().unwrap())
    }

    #[test]
    fn latency_is_written_as_a_histogram_of_seconds_is() {
        let latency = Latency::default();
        let seconds = Histogram::new(BOUNDS.map(|bound| Duration::from_micros(bound).as_secs_f64()));
        assert_eq!(text(latency.clone()), text(seconds.clone()), "nothing is counted yet");
        for nanoseconds in
            [0, 1, 499_999, 500_000, 500_001, 30_000_000_000, 30_000_000_001, 3_600_000_000_000]
        {
            let time = Duration::from_nanos(nanoseconds);
            latency.observe(time);
            seconds.observe(time.as_secs_f64());
        }
        let (ours, theirs) = (text(latency), text(seconds));
        let ((ours, sum), (theirs, expected)) = (split(&ours), split(&theirs));
        assert_eq!(ours, theirs);
        assert!((sum - expected).abs() < 1e-6, "{sum} instead of {expected}");
    }
}
