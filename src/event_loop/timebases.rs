//! The timers of the clocks that may jump relative to the loop's: the wall clock and the boot time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use mainspring_sys::clock::ClockTimer;

use crate::clock::{JumpDetection, Timebase};
use crate::handle::Key;
use crate::timers::{TimerSlot, Timers};

/// A timer of a clock that may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockSlot {
    pub(crate) timebase: Timebase,
    pub(crate) timer: TimerSlot,
}

/// The timers of all clocks that may jump.
#[derive(Debug)]
pub(crate) struct Timebases {
    detection: Cell<JumpDetection>,
    /// True if the clock has announced a jump that was not handled yet.
    pub(super) has_jumped: Cell<bool>,
    /// Timer of the loop that compares the clocks; `None` before its first use.
    pub(super) comparison: Cell<Option<TimerSlot>>,
    pub(super) tables: [RefCell<ClockTable>; Timebase::ALL.len()],
}

/// The timers of one clock.
#[derive(Debug, Default)]
pub(super) struct ClockTable {
    pub(super) timers: Timers,
    /// Schedules, which are also due after a jump.
    pub(super) schedules: BTreeMap<Key, TimerSlot>,
    /// The kernel timer, which is watched. `None` while there are no timers, and if it cannot be
    /// created.
    pub(super) kernel: Option<ClockTimer>,
    /// Deadline of the kernel's timer, or `NEVER` if it has none. It is not later than the first
    /// deadline.
    pub(super) kernel_deadline: u64,
}

impl Default for Timebases {
    fn default() -> Timebases {
        Timebases {
            detection: Cell::new(JumpDetection::Compared),
            has_jumped: Cell::new(false),
            comparison: Cell::new(None),
            tables: Default::default(),
        }
    }
}

impl Timebases {
    pub(crate) fn set_detection(&self, detection: JumpDetection) {
        self.detection.set(detection);
    }

    pub(super) fn detection(&self) -> JumpDetection {
        self.detection.get()
    }

    pub(super) fn table(&self, timebase: Timebase) -> &RefCell<ClockTable> {
        &self.tables[timebase as usize]
    }

    /// Returns the deadline of a timer, or `None` if it is not armed.
    pub(crate) fn deadline(&self, slot: ClockSlot) -> Option<u64> {
        self.table(slot.timebase).borrow().timers.deadline(slot.timer)
    }

    /// Returns true if the timer was due and has not been armed since.
    pub(crate) fn is_fed(&self, slot: ClockSlot) -> bool {
        self.table(slot.timebase).borrow().timers.is_fed(slot.timer)
    }

    /// Makes a fed timer idle. Returns false if it was not fed.
    pub(crate) fn take_fed(&self, slot: ClockSlot) -> bool {
        self.table(slot.timebase).borrow_mut().timers.take_fed(slot.timer)
    }

    pub(crate) fn set_key(&self, slot: ClockSlot, key: Key) {
        self.table(slot.timebase).borrow_mut().timers.set_key(slot.timer, key);
    }

    /// Returns true if a timer of any clock is armed.
    pub(super) fn is_any_armed(&self) -> bool {
        self.tables.iter().any(|table| table.borrow().timers.armed_timers().next().is_some())
    }

    /// Passes the keys and deadlines of the armed timers of a clock to `visit`.
    pub(crate) fn for_each_armed(&self, timebase: Timebase, visit: impl FnMut((Key, u64))) {
        self.table(timebase).borrow().timers.armed_timers().for_each(visit);
    }
}
