//! Jumps of a clock: the ways in which a loop notices them.

use std::fmt;
use std::rc::{Rc, Weak};

/// The way in which a loop notices that the wall time or the boot time of its clock has jumped. See
/// [`Clock::announce_jumps`](crate::Clock::announce_jumps).
///
/// ```
/// use mainspring::{Clock, JumpDetection, JumpNotice};
/// use std::time::{Duration, Instant, SystemTime};
///
/// /// The clocks of the system, with a time of day that is an hour late.
/// #[derive(Debug)]
/// struct Late;
///
/// impl Clock for Late {
///     fn now(&self) -> Instant {
///         Instant::now()
///     }
///     fn wall_time(&self) -> SystemTime {
///         SystemTime::now() - Duration::from_secs(3600)
///     }
///     // The default is `JumpDetection::Compared`: the kernel has no timers of this clock.
/// }
///
/// let mut el = mainspring::EventLoop::builder().clock(Late).build_with(0)?;
/// el.call_at_wall_time(Late.wall_time(), |_, calls| *calls += 1)?;
/// el.run()?;
/// assert_eq!(*el.state(), 1);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JumpDetection {
    /// The loop compares the clocks once a second while timers on them exist. So these timers are
    /// at most a second late after a jump.
    Compared,
    /// The clock sends a [`JumpNotice`] for each jump. Without one, all its times advance together.
    Announced,
    /// The times are the system's. Where the kernel can report jumps (timerfd(2)), it does;
    /// elsewhere the loop compares the clocks once a second.
    System,
}

/// A receiver of notices.
pub(crate) trait JumpListener {
    fn on_jump(&self);
}

/// The address of a loop, for a [clock](crate::Clock::announce_jumps) that announces its jumps.
#[derive(Clone)]
pub struct JumpNotice(Weak<dyn JumpListener>);

impl JumpNotice {
    pub(crate) fn to<L: JumpListener + 'static>(listener: &Rc<L>) -> JumpNotice {
        let listener = Rc::downgrade(listener);
        JumpNotice(listener)
    }

    /// Makes the loop compare its clocks in the next tick. Returns false if the loop no longer
    /// exists.
    ///
    /// It may be called at any time on the thread of the loop, even in a callback.
    pub fn send(&self) -> bool {
        self.0.upgrade().map(|listener| listener.on_jump()).is_some()
    }

    /// Returns true if the loop still exists.
    pub(crate) fn is_valid(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl fmt::Debug for JumpNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JumpNotice").finish_non_exhaustive()
    }
}
