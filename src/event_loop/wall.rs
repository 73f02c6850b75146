//! Timers of the wall clock, which follow its steps.
//!
//! A timer of the loop counts monotonic time. So a timer of the wall clock compares both clocks at
//! its deadline, and at least once a second before.

use std::time::{Duration, SystemTime};

use super::LoopHandle;
use super::callback_result::CallbackResult;
use crate::clock::wait_for_wall;
use crate::error::Result;
use crate::handle::TimerHandle;

/// Wait before the next comparison if a schedule returns a time that is not later.
const RETRY: Duration = Duration::from_secs(1);

impl<S> LoopHandle<S> {
    /// Calls `callback` when the time of day is `deadline` or later, and never before. If it has
    /// passed, the callback runs in the next tick.
    ///
    /// The timer follows steps of the clock, made by an administrator or by NTP, and the time that
    /// passes while the machine is suspended. It runs at most a second late after a step, because
    /// it compares the clocks once a second. A loop without such timers never reads the time of
    /// day.
    ///
    /// Use [`call_at`](LoopHandle::call_at) for delays and intervals, which must not follow steps.
    /// [`cancel`](LoopHandle::cancel) ends the timer; it must not be reset or disarmed.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    ///
    /// ```
    /// use mainspring::{Clock, EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(false)?;
    /// let noon = clock.wall_time() + Duration::from_secs(3600);
    /// el.call_at_wall_time(noon, |_, is_noon| *is_noon = true)?;
    /// clock.set_wall_time(noon); // the clock is set one hour forward
    /// el.run()?;
    /// assert!(*el.state());
    /// assert!(clock.elapsed() <= Duration::from_secs(1));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn call_at_wall_time<F, R>(&self, deadline: SystemTime, callback: F) -> Result<TimerHandle>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let mut callback = Some(callback);
        let timer = self.add_timer(move |el, state| {
            if let Some(wait) = wait_for_wall(deadline, el.wall_time()) {
                el.rearm_current(wait);
                return Ok(());
            }
            el.end_current();
            callback.take().map_or(Ok(()), |callback| callback(el, state).into_result())
        })?;
        self.reset_after(timer, self.first_wait(Some(deadline)));
        Ok(timer)
    }

    /// Calls `callback` at each time of day that `next` returns. `next` gets the time of day and
    /// returns the next time of the schedule, which must be later; `None` ends the timer.
    ///
    /// `next` is called again after each call of the callback and at least once a second. So it
    /// must depend on its argument only. After a step back the schedule is followed from there on,
    /// and a time may come twice. After a step forward over several times, the callback runs once.
    /// Otherwise like [`call_at_wall_time`](LoopHandle::call_at_wall_time).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    ///
    /// /// Every full minute.
    /// fn next(now: SystemTime) -> Option<SystemTime> {
    ///     let seconds = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    ///     Some(UNIX_EPOCH + Duration::from_secs((seconds / 60 + 1) * 60))
    /// }
    ///
    /// let clock = SimClock::new();
    /// clock.set_wall_time(UNIX_EPOCH + Duration::from_secs(59));
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with(0)?;
    /// el.call_on_wall_schedule(next, |el, minutes| {
    ///     *minutes += 1;
    ///     if *minutes == 3 { el.stop() }
    /// })?;
    /// el.run()?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(1 + 60 + 60));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn call_on_wall_schedule<N, F, R>(
        &self,
        mut next: N,
        mut callback: F,
    ) -> Result<TimerHandle>
    where
        N: FnMut(SystemTime) -> Option<SystemTime> + 'static,
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let mut deadline = next(self.wall_time());
        let first = self.first_wait(deadline);
        let timer = self.add_timer(move |el, state| {
            let now = el.wall_time();
            let is_due = deadline.is_some_and(|deadline| deadline <= now);
            deadline = next(now);
            match deadline {
                Some(deadline) => el.rearm_current(wait_for_wall(deadline, now).unwrap_or(RETRY)),
                None => el.end_current(),
            }
            if is_due { callback(el, state).into_result() } else { Ok(()) }
        })?;
        self.reset_after(timer, first);
        Ok(timer)
    }

    /// Returns the time of day of the loop's clock, read now.
    pub fn wall_time(&self) -> SystemTime {
        self.core().timeline.wall_time()
    }

    fn first_wait(&self, deadline: Option<SystemTime>) -> Duration {
        let wait = deadline.and_then(|deadline| wait_for_wall(deadline, self.wall_time()));
        wait.unwrap_or(Duration::ZERO)
    }

    /// Arms the running timer.
    fn rearm_current(&self, wait: Duration) {
        if let Some(this) = self.current() {
            self.reset_after(TimerHandle(this), wait);
        }
    }

    fn end_current(&self) {
        if let Some(this) = self.current() {
            self.cancel(this);
        }
    }
}
