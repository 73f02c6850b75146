//! Histograms of durations: four buckets for each power of two, from a nanosecond to centuries.

use std::array;
use std::fmt;
use std::time::Duration;

use super::number::Number;

/// Buckets for each power of two.
const PARTS: usize = 4;
/// Number of buckets, which cover all nanoseconds of 64 bits.
const BUCKETS: usize = 64 * PARTS;

/// Returns the bucket of a duration in nanoseconds.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    if nanos < PARTS as u64 {
        return nanos as usize;
    }
    let power = nanos.ilog2() as usize;
    let part = (nanos >> (power - 2)) as usize % PARTS;
    (power - 1) * PARTS + part
}

/// Returns the longest duration of a bucket, in nanoseconds.
fn end_of(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let (power, part) = (bucket / PARTS + 1, bucket % PARTS);
    let next_begin = u128::from(PARTS as u64 + part as u64 + 1) << (power - 2);
    u64::try_from(next_begin - 1).unwrap_or(u64::MAX)
}

/// A histogram that the loop writes and other threads read.
pub(super) struct Buckets {
    counts: [Number; BUCKETS],
    sum: Number,
    max: Number,
}

impl Default for Buckets {
    fn default() -> Buckets {
        let counts = array::from_fn(|_| Number::default());
        Buckets { counts, sum: Number::default(), max: Number::default() }
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl Buckets {
    #[inline]
    pub(super) fn add(&self, nanos: u64) {
        self.counts[bucket_of(nanos)].add(1);
        self.sum.add(nanos);
        if nanos > self.max.get() {
            self.max.set(nanos);
        }
    }

    pub(super) fn read(&self) -> Histogram {
        let counts = self.counts.iter().map(Number::get).collect();
        Histogram { counts, sum: self.sum.get(), max: self.max.get() }
    }
}

/// A histogram of durations, with four buckets for each power of two: a quantile is at most 25 %
/// too long. Histograms of several loops can be [merged](Histogram::merge).
///
/// ```
/// use mainspring::EventLoop;
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().measure(true).build()?;
/// for _ in 0..10 {
///     el.call_soon(|_, _| {});
/// }
/// el.run()?;
/// let durations = el.metrics().call_durations();
/// assert_eq!(durations.count(), 10);
/// assert!(durations.quantile(0.5) <= durations.max());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The count of each bucket; empty if nothing was measured.
    counts: Vec<u64>,
    /// In nanoseconds.
    sum: u64,
    /// In nanoseconds.
    max: u64,
}

impl Histogram {
    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all durations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Returns the longest duration, exactly; zero if the histogram is empty.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// Returns the duration that this fraction of all durations does not exceed: 0.5 is the median.
    /// At most 25 % too long; zero if the histogram is empty. `part` is clamped to 0..=1.
    pub fn quantile(&self, part: f64) -> Duration {
        let count = self.count();
        // A little less, because the product may be rounded up: `0.55 * 100.0` is more than 55.
        let rank = count as f64 * part.clamp(0.0, 1.0) * (1.0 - f64::EPSILON);
        let rank = (rank.ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(Duration::ZERO, |bucket| Duration::from_nanos(end_of(bucket).min(self.max)))
    }

    /// Adds the durations of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// Returns the durations that were added after `before`, an earlier copy of this histogram. The
    /// longest one is exact if it is longer than all before, and otherwise at most 25 % too short.
    pub(crate) fn since(mut self, before: &Histogram) -> Histogram {
        for (count, earlier) in self.counts.iter_mut().zip(&before.counts) {
            *count -= earlier;
        }
        self.sum = self.sum.saturating_sub(before.sum);
        if self.max == before.max {
            let last = self.counts.iter().rposition(|count| *count > 0);
            self.max = last.map_or(0, |bucket| bucket.checked_sub(1).map_or(0, end_of));
        }
        self
    }

    /// Returns the buckets that are not empty, shortest first: the longest duration of each, and
    /// the number of durations in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (Duration::from_nanos(end_of(bucket)), *count))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("median", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n4_every_duration_has_a_bucket_that_is_at_most_a_quarter_longer() {
        let edges = (0..64).flat_map(|power| {
            let begin = 1u64 << power;
            [begin - 1, begin, begin + begin / 4, begin + begin / 2, begin + (begin - 1)]
        });
        for nanos in edges.chain([u64::MAX]) {
            let end = end_of(bucket_of(nanos));
            assert!(nanos <= end && end - nanos <= nanos / 4, "{nanos} is in a bucket to {end}");
        }
    }

    #[test]
    fn n4_buckets_are_in_order_without_gaps() {
        for bucket in 1..bucket_of(u64::MAX) {
            assert_eq!(bucket_of(end_of(bucket - 1) + 1), bucket);
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn n4_quantiles_and_merging() {
        let histogram = |nanos: &[u64]| {
            let buckets = Buckets::default();
            nanos.iter().for_each(|nanos| buckets.add(*nanos));
            buckets.read()
        };
        let mut some = histogram(&[100, 200, 300]);
        some.merge(&histogram(&[1_000_000]));
        assert_eq!(some, histogram(&[1_000_000, 300, 100, 200]));
        assert_eq!((some.count(), some.max()), (4, Duration::from_millis(1)));
        let median = some.quantile(0.5).as_nanos();
        assert!((200..=250).contains(&median), "{median}");
        assert_eq!(some.quantile(1.0), some.max());
        // The rank is rounded up: at least this fraction is not longer.
        let three = histogram(&[1, 2, 3]);
        assert_eq!([0.0, 0.3, 0.5, 0.7].map(|part| three.quantile(part).as_nanos()), [1, 1, 2, 3]);
        assert_eq!(some.buckets().map(|(_, count)| count).sum::<u64>(), 4);
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn e7_durations_since_an_earlier_copy() {
        let buckets = Buckets::default();
        let add = |nanos: &[u64]| {
            let before = buckets.read();
            nanos.iter().for_each(|nanos| buckets.add(*nanos));
            buckets.read().since(&before)
        };
        let figures = |found: Histogram| (found.count(), found.sum, found.max);
        assert_eq!(figures(add(&[])), (0, 0, 0));
        assert_eq!(figures(add(&[300, 5000])), (2, 5300, 5000));
        let (count, sum, max) = figures(add(&[200, 1000]));
        assert_eq!((count, sum), (2, 1200));
        assert!((750..=1000).contains(&max), "{max}");
        assert_eq!(figures(add(&[])), (0, 0, 0));
        assert_eq!(figures(add(&[7000])), (1, 7000, 7000));
    }
}
