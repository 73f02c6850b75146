//! The clock of a loop, which a test can replace, and the grid of an interval's ticks.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// A clock, which also limits how long the loop sleeps.
///
/// The default methods are those of a real clock. A simulated clock, like
/// [`SimClock`](crate::testing::SimClock), does not let the loop sleep and moves forward instead.
pub trait Clock: fmt::Debug {
    /// Returns the current time. It never goes back.
    fn now(&self) -> Instant;

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

/// Returns `duration` in nanoseconds, or [`NEVER`] if it is too long.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().checked_mul(1_000_000_000);
    seconds.and_then(|nanos| nanos.checked_add(u64::from(duration.subsec_nanos()))).unwrap_or(NEVER)
}

/// Policy of an interval for ticks that were missed because its loop or its task was busy.
///
/// A tick is missed if a whole period passes before it is delivered.
///
/// | an interval of 10 ms, busy from 5 to 35 ms | ticks at, in ms     | reported as missed |
/// |--------------------------------------------|---------------------|--------------------|
/// | `Skip`                                     | 35, 40, 50          | 2                  |
/// | `Delay`                                    | 35, 45, 55          | 2                  |
/// | `Burst`                                    | 35, 35, 35, 40, 50  | 0                  |
///
/// ```
/// use mainspring::MissedTickBehavior;
///
/// assert_eq!(MissedTickBehavior::default(), MissedTickBehavior::Skip);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedTickBehavior {
    /// Delivers missed ticks late, one in each tick of the loop, until none is left.
    Burst,
    /// Moves the grid: the next tick is one period after the late one. Two ticks are never closer
    /// than one period.
    Delay,
    /// Drops missed ticks and stays on the grid.
    #[default]
    Skip,
}

/// The times of an interval's ticks: `next`, and then one after each `period`.
#[derive(Debug)]
pub(crate) struct Grid {
    next: Cell<u64>,
    period: u64,
    behavior: Cell<MissedTickBehavior>,
}

impl Grid {
    /// Creates a grid with the first tick one period after `now`. Returns `None` for a period of
    /// zero. A period that is too long for the timeline never ends.
    pub(crate) fn new(now: u64, period: Duration) -> Option<Grid> {
        let period = Some(nanos(period)).filter(|nanos| *nanos > 0)?;
        let next = Cell::new(now.saturating_add(period));
        Some(Grid { next, period, behavior: Cell::default() })
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.get()
    }

    pub(crate) fn behavior(&self) -> &Cell<MissedTickBehavior> {
        &self.behavior
    }

    /// Moves the grid so that the next tick is at `next`.
    pub(crate) fn move_to(&self, next: u64) {
        self.next.set(next);
    }

    /// Moves to the tick after the one that is delivered at `now`. Returns the number of missed
    /// ticks that will not be delivered.
    pub(crate) fn advance(&self, now: u64) -> u64 {
        let next = self.next.get();
        let missed = now.saturating_sub(next) / self.period;
        let (from, periods, lost) = match self.behavior.get() {
            MissedTickBehavior::Burst => (next, 1, 0),
            MissedTickBehavior::Delay => (now.max(next), 1, missed),
            MissedTickBehavior::Skip => (next, missed.saturating_add(1), missed),
        };
        self.next.set(from.saturating_add(self.period.saturating_mul(periods)));
        lost
    }
}
