//! The sources that make callbacks ready: descriptors, deadlines, signals, stages of the tick.

use mainspring_sys::Signal;

use super::timebases::ClockSlot;
use crate::clock::Timebase;
use crate::timers::TimerSlot;
use crate::watchers::WatcherId;

/// The source that makes a callback ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The registration itself, which fed the callback to the ready deque.
    Soon,
    /// A deadline.
    Timer(TimerSlot),
    /// The next tick of an interval.
    Interval(TimerSlot),
    /// A deadline of another clock.
    Clock(ClockSlot),
    /// The next time of a schedule of the wall clock, or a jump of that clock.
    Schedule(TimerSlot),
    /// Readiness of an fd.
    Watch(WatcherId),
    /// Readiness of the fd of a stream or a listener. Its callback keeps track of its interest, so
    /// a queued event is passed on unchecked.
    Stream(WatcherId),
    /// A signal.
    Signal(Signal),
    /// The exit of the process with this pid.
    Child(u32),
    /// A stage of the tick.
    Hook(Hook),
}

impl Source {
    /// Returns the timer of another clock that is the source.
    pub(crate) fn clock_slot(self) -> Option<ClockSlot> {
        match self {
            Source::Clock(slot) => Some(slot),
            Source::Schedule(timer) => Some(ClockSlot { timebase: Timebase::Wall, timer }),
            _ => None,
        }
    }
}

/// A stage of the tick at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    /// Before the selector is polled.
    Prepare,
    /// After the selector was polled.
    Check,
    /// In a tick that has nothing else to run.
    Idle,
}
