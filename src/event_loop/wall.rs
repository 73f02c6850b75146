//! Wall-clock timers, which follow its steps.

use std::panic::Location;
use std::time::{Duration, SystemTime};

use mainspring_sys::closure::CallOnce;

use super::LoopHandle;
use super::callback::{Callback, Once, Plain, once_result};
use super::callback_result::CallbackResult;
use super::source::Source;
use crate::clock::{Timebase, wall_nanos};
use crate::error::Result;
use crate::handle::{Handle, Key};

/// Pause before the next call of a schedule that has returned a time in the past.
const RETRY: Duration = Duration::from_secs(1);

/// # Timers of the time of day
impl<S> LoopHandle<S> {
    /// Calls `callback` when the time of day is `deadline` or later, never before. If the deadline
    /// has passed, the callback runs in the next tick.
    ///
    /// The timer follows steps of the clock, by an administrator or by NTP, and includes the time
    /// during which the machine is suspended. A time before 1970 counts as 1970, and a deadline
    /// after the year 2553 never comes.
    ///
    /// # How steps are noticed
    ///
    /// On Linux, one timerfd(2) serves all these timers while there are any, so the loop sleeps
    /// until the deadline or a step. On other systems the loop compares the clocks once a second,
    /// and a timer is at most a second late after a step. The same happens while no descriptor is
    /// left for the timerfd, and with a custom [`Clock`](crate::Clock), see
    /// [`JumpDetection`](crate::JumpDetection). A loop without such timers never reads the time of
    /// day.
    ///
    /// # Other timers
    ///
    /// Use [`call_at`](LoopHandle::call_at) for delays and intervals, which must not follow steps.
    /// A wall-clock timer cannot be reset or disarmed, so it has no
    /// [`TimerHandle`](crate::TimerHandle): [`cancel`](LoopHandle::cancel) ends it.
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
    /// assert_eq!(clock.elapsed(), Duration::ZERO);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn call_at_wall_time<F, R>(&self, deadline: SystemTime, callback: F) -> Result<Handle>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let once = CallOnce::new(|el, state| once_result(callback(el, state)));
        self.insert_clock_timer(Timebase::Wall, wall_nanos(deadline), once, Location::caller())
    }

    /// Adds a callback that runs once, at a deadline of another clock.
    pub(super) fn insert_clock_timer(
        &self,
        timebase: Timebase,
        deadline: u64,
        once: Once<S>,
        location: &'static Location<'static>,
    ) -> Result<Handle> {
        self.core().check_open()?;
        let key = self.reserve_slot(location);
        let slot = self.core().add_clock_timer(timebase, deadline, key);
        self.fill_slot(key, Source::deadline_of(slot), Callback::Once(once));
        Ok(self.handle(key))
    }

    /// Calls `callback` at each time of day that `next` returns. `next` gets the time of day and
    /// returns the next time of the schedule, which must be later; `None` ends the timer.
    ///
    /// `next` is called again in the next tick, after each call of the callback, after each step of
    /// the clock, and where [the clocks are compared](LoopHandle::call_at_wall_time) once a second.
    /// Its result must therefore depend only on its argument. After a step back the schedule is
    /// followed from there, so a time may occur twice. After a step forward over several times, the
    /// callback runs once. Otherwise like [`call_at_wall_time`](LoopHandle::call_at_wall_time).
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
    pub fn call_on_wall_schedule<N, F, R>(&self, mut next: N, mut callback: F) -> Result<Handle>
    where
        N: FnMut(SystemTime) -> Option<SystemTime> + 'static,
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.core().check_open()?;
        let Some(mut deadline) = next(self.wall_time()) else { return Ok(self.handle(Key::NONE)) };
        let key = self.reserve_slot(Location::caller());
        let slot = self.core().add_schedule(wall_nanos(deadline), key);
        let schedule = move |el: &LoopHandle<S>, state: &mut S| {
            let now = el.wall_time();
            let is_due = deadline <= now;
            let next = next(now);
            if !el.is_registered(key) {
                return Ok(()); // Cancelled by `next`. Another timer may have its slot by now.
            }
            match next {
                Some(next) => {
                    deadline = next;
                    let armed = if next > now { next } else { now + RETRY };
                    el.core().reset_clock_timer(slot, wall_nanos(armed));
                }
                None => _ = el.cancel(el.handle(key)),
            }
            if is_due { callback(el, state).into_result() } else { Ok(()) }
        };
        self.fill_slot(key, Source::Schedule(slot.timer), Callback::repeat(Plain(schedule)));
        // A step between the two calls above was not noticed by the kernel's timer.
        self.core().feed(key);
        Ok(self.handle(key))
    }

    /// Returns the time of day of the loop's clock, read now.
    pub fn wall_time(&self) -> SystemTime {
        self.core().timeline.wall_time()
    }
}
