//! Properties of a timer or an interval: its deadline, and its policy for missed ticks.

use std::time::Instant;

use super::LoopHandle;
use crate::clock::{IntervalGrid, MissedTickBehavior, NEVER};
use crate::handle::TimerHandle;

/// # Timers: their state
impl<S> LoopHandle<S> {
    /// Returns true if the timer has a deadline, even one beyond the clock's range.
    ///
    /// A timer that is due is no longer armed, even if its callback has not run yet. An interval is
    /// armed again before its callback runs.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::Duration;
    ///
    /// let el = EventLoop::new()?;
    /// let limit = el.add_timer(|_, _| {})?;
    /// assert!(!el.is_armed(limit));
    /// el.reset_after(limit, Duration::from_secs(5));
    /// assert!(el.is_armed(limit));
    /// el.disarm(limit);
    /// assert!(!el.is_armed(limit));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn is_armed(&self, timer: TimerHandle) -> bool {
        self.nanos_of(timer).is_some()
    }

    /// Returns the deadline of a timer; for an interval, of its next tick. `None` if the timer is
    /// not [armed](LoopHandle::is_armed), or if its deadline is beyond the clock's range.
    ///
    /// ```
    /// use mainspring::{Clock, EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let second = Duration::from_secs(1);
    /// let timer = el.call_later(second, |_, _| {});
    /// assert_eq!(el.deadline(timer), Some(clock.now() + second));
    /// el.cancel(timer);
    /// assert_eq!(el.deadline(timer), None);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn deadline(&self, timer: TimerHandle) -> Option<Instant> {
        let deadline = self.nanos_of(timer).filter(|deadline| *deadline != NEVER)?;
        self.core().timeline.instant_of(deadline)
    }

    fn nanos_of(&self, timer: TimerHandle) -> Option<u64> {
        self.with_timer(timer, |slot, _| self.core().timers.borrow().deadline(slot)).flatten()
    }

    /// Sets the policy of an interval for missed ticks, from the next tick on. Returns false if
    /// `interval` has ended, or is a timer of another kind.
    ///
    /// ```
    /// use mainspring::{EventLoop, MissedTickBehavior, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(0)?;
    /// let ticks = el.call_every(Duration::from_secs(1), |_, ticks| *ticks += 1)?;
    /// assert!(el.set_missed_tick_behavior(ticks, MissedTickBehavior::Burst));
    /// clock.advance(Duration::from_secs(5));
    /// el.run_until_stalled()?;
    /// assert_eq!(*el.state(), 5);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_missed_tick_behavior(
        &self,
        interval: TimerHandle,
        behavior: MissedTickBehavior,
    ) -> bool {
        let set = |grid: &IntervalGrid| grid.behavior().set(behavior);
        self.with_timer(interval, |_, grid| grid.map(set)).flatten().is_some()
    }

    /// Returns the policy of an interval for missed ticks. `None` if `interval` has ended, or is a
    /// timer of another kind.
    pub fn missed_tick_behavior(&self, interval: TimerHandle) -> Option<MissedTickBehavior> {
        self.with_timer(interval, |_, grid| grid.map(|grid| grid.behavior().get())).flatten()
    }
}
