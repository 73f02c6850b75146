//! The sources that make callbacks ready: descriptors, deadlines, signals, stages of the tick.

use mainspring_sys::Signal;

use super::timebases::ClockSlot;
use crate::clock::Timebase;
use crate::metrics::COUNTED;
use crate::tape::TurnKind;
use crate::timers::TimerSlot;
use crate::watchers::WatcherId;

/// The source that makes a callback ready.
// The tag has a separate byte. Otherwise it is in that of the clock, and the dispatch of an event
// decodes it in 12 instructions.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The registration itself, which fed the callback to the ready deque.
    Soon,
    /// A deadline.
    Timer(TimerSlot),
    /// The next tick of an interval.
    Interval(TimerSlot),
    /// A deadline of another clock.
    Clock(Timebase, TimerSlot),
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
    /// Returns the number under which its turns are counted, see [`COUNTED`].
    // The order of declaration, so that the compiler makes no table of it.
    #[inline(always)]
    pub(crate) const fn number(self) -> usize {
        match self {
            Source::Soon => 0,
            Source::Timer(_) => 1,
            Source::Interval(_) => 2,
            Source::Clock(..) => 3,
            Source::Schedule(_) => 4,
            Source::Watch(_) => 5,
            Source::Stream(_) => 6,
            Source::Signal(_) => 7,
            Source::Child(_) => 8,
            Source::Hook(_) => 9,
        }
    }

    /// Returns the kind of its turns.
    pub(crate) fn turn_kind(self) -> TurnKind {
        COUNTED[self.number()]
    }

    /// Returns the timer of another clock that is the source.
    pub(crate) fn clock_slot(self) -> Option<ClockSlot> {
        match self {
            Source::Clock(timebase, timer) => Some(ClockSlot { timebase, timer }),
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
