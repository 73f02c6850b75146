//! Questions about a registration: its deadline, its policy, whether it keeps the loop running.

use std::time::Instant;

use super::LoopHandle;
use crate::clock::{MissedTickBehavior, NEVER};
use crate::handle::{Handle, TimerHandle};

impl<S> LoopHandle<S> {
    /// Returns true if the timer waits for a deadline, even for one beyond the clock's range. A timer
    /// that is due is not armed any more, even if its callback has not run yet; an interval is armed
    /// again before its callback runs.
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

    /// Returns when the timer is due: for an interval, its next tick. None if it is not
    /// [armed](LoopHandle::is_armed), or if its deadline is beyond the clock's range.
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

    /// Sets the policy of an interval for missed ticks; it counts from the next tick on. False if
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
        let set = |grid: &crate::clock::Grid| grid.behavior().set(behavior);
        self.with_timer(interval, |_, grid| grid.map(set)).flatten().is_some()
    }

    /// Returns the policy of an interval for missed ticks. None if `interval` has ended, or is a
    /// timer of another kind.
    pub fn missed_tick_behavior(&self, interval: TimerHandle) -> Option<MissedTickBehavior> {
        self.with_timer(interval, |_, grid| grid.map(|grid| grid.behavior().get())).flatten()
    }

    /// Returns true if `handle` names something that was not [`set_background`](LoopHandle::set_background)ed. A
    /// registration that waits for nothing (a timer that is not armed, a paused watcher) keeps
    /// [`run`](crate::EventLoop::run) going as little as one that was: see
    /// [`keeps_running`](LoopHandle::keeps_running).
    pub fn is_foreground(&self, handle: impl Into<Handle>) -> bool {
        let Handle { key, loop_id } = handle.into();
        match loop_id == self.core().loop_id {
            true if key.is_task_layer() => self.shared.tasks.is_foreground(key),
            true if key.is_soon() => self.origin_of(key).is_some(),
            true => {
                let mut callbacks = self.shared.callbacks.borrow_mut();
                callbacks.get(key).is_some_and(|entry| !entry.background)
            }
            false => false,
        }
    }

    /// Returns true if `handle` keeps [`run`](crate::EventLoop::run) going: what it names could be
    /// called, and was not [`set_background`](LoopHandle::set_background)ed.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::new()?;
    /// let timer = el.call_later(Duration::from_secs(3600), |_, _| {});
    /// assert!(el.keeps_running(timer) && el.is_alive());
    /// el.set_background(timer);
    /// assert!(!el.keeps_running(timer) && !el.is_foreground(timer) && !el.is_alive());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn keeps_running(&self, handle: impl Into<Handle>) -> bool {
        let handle = handle.into();
        let can_be_called = |source| self.can_be_called(handle.key, source);
        self.is_foreground(handle)
            && (handle.key.is_task_layer() || self.source_of(handle).is_some_and(can_be_called))
    }
}
