//! Boot-time timers, which include the time during which the machine is suspended.

use std::panic::Location;
use std::time::Duration;

use mainspring_sys::closure::CallOnce;

use super::LoopHandle;
use super::callback::once_result;
use super::callback_result::CallbackResult;
use crate::clock::{Timebase, nanos};
use crate::error::Result;
use crate::handle::Handle;

/// # Timers that include suspend
impl<S> LoopHandle<S> {
    /// Calls `callback` when `delay` has passed, counted from this call and including the time
    /// during which the machine is suspended. It never runs early.
    ///
    /// It is for times that also pass outside this machine: a lease, the validity of a token, the
    /// timeout of a peer. [`call_later`](LoopHandle::call_later) does not include suspend on most
    /// systems; [`MonotonicClock`](crate::MonotonicClock) has the list. Unlike
    /// [`call_at_wall_time`](LoopHandle::call_at_wall_time), it does not follow steps of the wall
    /// clock.
    ///
    /// If the delay ends while the machine is suspended, the callback runs when it resumes. The
    /// timer does not wake the machine. Resumes are noticed like steps of the wall clock, see
    /// [`call_at_wall_time`](LoopHandle::call_at_wall_time): at once on Linux, elsewhere within a
    /// second. [`cancel`](LoopHandle::cancel) ends the timer; it cannot be reset.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(Vec::new())?;
    /// let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(24 * 3600));
    /// el.call_later(hour, |_, order| order.push("an hour of uptime"));
    /// el.call_later_in_boot_time(day, |_, order| order.push("a day"))?;
    /// clock.suspend(day - hour / 2); // overnight
    /// el.run()?;
    /// assert_eq!(*el.state(), ["a day", "an hour of uptime"]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn call_later_in_boot_time<F, R>(&self, delay: Duration, callback: F) -> Result<Handle>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.call_at_boot_time(self.boot_time().saturating_add(delay), callback)
    }

    /// Like [`call_later_in_boot_time`](LoopHandle::call_later_in_boot_time), but calls `callback`
    /// when [`boot_time`](LoopHandle::boot_time) is `deadline` or later. If it has passed, the
    /// callback runs in the next tick.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    #[track_caller]
    pub fn call_at_boot_time<F, R>(&self, deadline: Duration, callback: F) -> Result<Handle>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let once = CallOnce::new(|el, state| once_result(callback(el, state)));
        self.insert_clock_timer(Timebase::Boot, nanos(deadline), once, Location::caller())
    }

    /// Returns the boot time of the loop's clock, read now: the time since an unspecified point in
    /// the past, including suspend. Only differences are meaningful.
    pub fn boot_time(&self) -> Duration {
        self.core().timeline.boot_time()
    }
}
