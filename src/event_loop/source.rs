//! What callbacks wait for.

use mainspring_sys::Signal;

use crate::timers::TimerSlot;
use crate::watchers::WatcherId;

/// What makes a callback ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// It was fed to the ready deque when it was made.
    Soon,
    /// A deadline.
    Timer(TimerSlot),
    /// The next tick of an interval.
    Interval(TimerSlot),
    /// An fd.
    Watch(WatcherId),
    /// The fd of a stream or a listener, whose callback knows itself what it still wants to hear
    /// of.
    Stream(WatcherId),
    /// A signal.
    Signal(Signal),
    /// A place in the tick.
    Hook(Hook),
}

/// A place in the tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    /// Before the selector is asked.
    Prepare,
    /// After the selector was asked.
    Check,
    /// When there is nothing else to do.
    Idle,
}
