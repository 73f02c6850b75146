//! The sources that make callbacks ready: descriptors, deadlines, signals, stages of the tick.

use mainspring_sys::Signal;

use super::timebases::ClockSlot;
use crate::clock::Timebase;
use crate::metrics::TurnCounter;
use crate::timers::TimerSlot;
use crate::watchers::WatcherId;

/// The source that makes a callback ready.
// Each variant has one number of 32 bits, so that a source is copied as a pair of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The registration itself, which fed the callback to the ready deque.
    Soon,
    /// A deadline.
    Timer(TimerSlot),
    /// The next tick of an interval.
    Interval(TimerSlot),
    /// A time of day.
    WallTimer(TimerSlot),
    /// A deadline in boot time.
    BootTimer(TimerSlot),
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

const _: () = assert!(size_of::<Source>() == 8);

impl Source {
    /// Returns the counter of its turns.
    // The counters are in the order of the sources, so that the compiler makes no table of it.
    #[inline(always)]
    pub(crate) const fn counter(self) -> TurnCounter {
        match self {
            Source::Soon => TurnCounter::Soon,
            Source::Timer(_) => TurnCounter::Timer,
            Source::Interval(_) => TurnCounter::Interval,
            Source::WallTimer(_) => TurnCounter::WallTimer,
            Source::BootTimer(_) => TurnCounter::BootTimer,
            Source::Schedule(_) => TurnCounter::Schedule,
            Source::Watch(_) => TurnCounter::Watch,
            Source::Stream(_) => TurnCounter::Stream,
            Source::Signal(_) => TurnCounter::Signal,
            Source::Child(_) => TurnCounter::Child,
            Source::Hook(_) => TurnCounter::Hook,
        }
    }

    /// Returns the source of a deadline of another clock.
    pub(crate) fn deadline_of(ClockSlot { timebase, timer }: ClockSlot) -> Source {
        match timebase {
            Timebase::Wall => Source::WallTimer(timer),
            Timebase::Boot => Source::BootTimer(timer),
        }
    }

    /// Returns the timer of another clock that is the source.
    pub(crate) fn clock_slot(self) -> Option<ClockSlot> {
        match self {
            Source::WallTimer(timer) | Source::Schedule(timer) => {
                Some(ClockSlot { timebase: Timebase::Wall, timer })
            }
            Source::BootTimer(timer) => Some(ClockSlot { timebase: Timebase::Boot, timer }),
            _ => None,
        }
    }
}

/// A stage of the tick at which hooks run.
#[repr(u32)] // Like the numbers of the other sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    /// Before the selector is polled.
    Prepare,
    /// After the selector was polled.
    Check,
    /// In a tick that has nothing else to run.
    Idle,
}
