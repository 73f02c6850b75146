//! The clock of a loop, which a test can replace.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

mod interval_grid;

pub(crate) use self::interval_grid::IntervalGrid;
pub use self::interval_grid::MissedTickBehavior;

/// A clock, which also limits how long the loop sleeps.
///
/// The default methods are those of a real clock. A simulated clock, like
/// [`SimClock`](crate::testing::SimClock), does not let the loop sleep and moves forward instead.
pub trait Clock: fmt::Debug {
    /// Returns the current time. It never goes back.
    fn now(&self) -> Instant;

    /// Returns the time of day. Unlike [`now`](Clock::now) it can be set, so it may jump forward
    /// and back.
    fn wall_time(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns the longest time for which the selector may sleep when nothing is due for `wanted`.
    /// `None` means "until an event".
    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        wanted
    }

    /// Called when no event came within the time that [`max_wait`](Clock::max_wait) returned for
    /// `wanted`.
    fn on_timeout(&self, wanted: Option<Duration>) {
        let _ = wanted;
    }
}

/// The system's monotonic clock, `CLOCK_MONOTONIC`. It stands still while the machine is suspended.
#[derive(Debug, Clone, Copy, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock and the start of its loop. Users have instants; the loop counts nanoseconds since the
/// start.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock: Box<dyn Clock>,
    start: Instant,
}

/// A deadline that never comes, 584 years after the loop's start.
pub(crate) const NEVER: u64 = u64::MAX;

impl Timeline {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Timeline {
        let start = clock.now();
        Timeline { clock, start }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Returns the time of day.
    pub(crate) fn wall_time(&self) -> SystemTime {
        self.clock.wall_time()
    }

    /// Returns the nanoseconds since the start.
    pub(crate) fn now_nanos(&self) -> u64 {
        self.nanos_of(self.clock.now())
    }

    /// Returns the nanoseconds from the start to `instant`, or zero if it is earlier.
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start))
    }

    /// Returns the nanoseconds from the start to the end of `delay`, which begins now.
    pub(crate) fn nanos_after(&self, delay: Duration) -> u64 {
        self.now_nanos().saturating_add(nanos(delay))
    }

    /// Returns the instant `nanos` after the start, or `None` if an `Instant` cannot hold it.
    pub(crate) fn instant_of(&self, nanos: u64) -> Option<Instant> {
        self.start.checked_add(Duration::from_nanos(nanos))
    }
}

/// Time after which a timer of the wall clock compares the clocks again: the longest delay after a
/// step.
const WALL_CHECK: Duration = Duration::from_secs(1);

/// Returns the time to wait before the next comparison with `deadline`. `None` if it has passed.
pub(crate) fn wait_for_wall(deadline: SystemTime, now: SystemTime) -> Option<Duration> {
    let left = deadline.duration_since(now).ok().filter(|left| !left.is_zero())?;
    Some(left.min(WALL_CHECK))
}

/// Returns `duration` in nanoseconds, or [`NEVER`] if it is too long.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().checked_mul(1_000_000_000);
    seconds.and_then(|nanos| nanos.checked_add(u64::from(duration.subsec_nanos()))).unwrap_or(NEVER)
}
