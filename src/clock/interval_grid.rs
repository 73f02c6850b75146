//! The times of an interval's ticks, and the policy for missed ones. Callbacks and tasks share it.

use std::cell::Cell;
use std::time::Duration;

use super::nanos;

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
pub(crate) struct IntervalGrid {
    next: Cell<u64>,
    period: u64,
    behavior: Cell<MissedTickBehavior>,
}

impl IntervalGrid {
    /// Creates a grid with the first tick one period after `now`. Returns `None` for a period of
    /// zero. A period that is too long for the timeline never ends.
    pub(crate) fn new(now: u64, period: Duration) -> Option<IntervalGrid> {
        let period = Some(nanos(period)).filter(|nanos| *nanos > 0)?;
        let next = Cell::new(now.saturating_add(period));
        Some(IntervalGrid { next, period, behavior: Cell::default() })
    }

    pub(crate) fn period(&self) -> u64 {
        self.period
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
