//! Intervals of tasks: ticks on a grid.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::tasks::Tasks;
use super::time::{Alarm, When};
use crate::clock::{Grid, MissedTickBehavior, NEVER};
use crate::error::{Error, Result};

/// Ticks after each `period`, on the grid now + k * `period`.
///
/// # Errors
///
/// [`Error::ZeroInterval`]; [`Error::NoLoop`] where no loop runs.
///
/// ```
/// use mainspring::{EventLoop, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// el.run_until_complete(async {
///     let mut interval = mainspring::interval(Duration::from_secs(10))?;
///     for _ in 0..3 {
///         interval.tick().await;
///     }
///     Ok::<(), mainspring::Error>(())
/// })??;
/// assert_eq!(clock.elapsed(), Duration::from_secs(30));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn interval(period: Duration) -> Result<Interval> {
    let tasks = super::running("mainspring::interval")?;
    let grid = Grid::new(tasks.core.timeline.now_nanos(), period).ok_or(Error::ZeroInterval)?;
    let alarm = Alarm::new(end(&tasks, grid.next()));
    Ok(Interval { tasks, grid, period, alarm })
}

/// The end of an alarm at a place on the line.
fn end(tasks: &Tasks, nanos: u64) -> When {
    let instant = Some(nanos).filter(|nanos| *nanos != NEVER);
    instant.and_then(|nanos| tasks.core.timeline.instant_of(nanos)).map_or(When::Never, When::At)
}

/// Ticks of a task, from [`interval`].
pub struct Interval {
    tasks: Rc<Tasks>,
    grid: Grid,
    period: Duration,
    /// Time of the next tick.
    alarm: Alarm,
}

impl Interval {
    /// Completes at the next tick. Returns the number of ticks that were missed since the last one
    /// and are lost; [`set_missed_tick_behavior`](Interval::set_missed_tick_behavior) sets what
    /// becomes of them. Dropping the future loses no tick.
    pub async fn tick(&mut self) -> u64 {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick, as [`tick`](Interval::tick) does, for futures that are written by
    /// hand.
    ///
    /// ```
    /// use mainspring::{EventLoop, interval, testing::SimClock};
    /// use std::{future::poll_fn, time::Duration};
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let missed = el.run_until_complete(async {
    ///     let mut ticks = interval(Duration::from_secs(1))?;
    ///     clock.advance(Duration::from_millis(3500));
    ///     Ok::<_, mainspring::Error>(poll_fn(|cx| ticks.poll_tick(cx)).await)
    /// })?;
    /// assert_eq!(missed?, 2);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        ready!(self.alarm.poll(cx.waker()));
        let missed = self.grid.advance(self.tasks.core.timeline.now_nanos());
        // Nothing wakes the task for a tick that it does not wait for.
        self.alarm = Alarm::new(end(&self.tasks, self.grid.next()));
        Poll::Ready(missed)
    }

    /// Moves the grid: the next tick is one period from now, and further ones a period apart from
    /// there.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Moves the grid: the next tick is `delay` from now, and further ones a period apart from there.
    ///
    /// ```
    /// use mainspring::{EventLoop, interval, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// el.run_until_complete(async {
    ///     let mut ticks = interval(Duration::from_secs(1))?;
    ///     ticks.reset_after(Duration::from_millis(500));
    ///     ticks.tick().await;
    ///     ticks.tick().await;
    ///     Ok::<_, mainspring::Error>(())
    /// })??;
    /// assert_eq!(clock.elapsed(), Duration::from_millis(1500));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn reset_after(&mut self, delay: Duration) {
        self.move_to(self.tasks.core.timeline.nanos_after(delay));
    }

    /// Moves the grid: the next tick is at `deadline`, or at once if that is over, and further ones
    /// are a period apart from there.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.move_to(self.tasks.core.timeline.nanos_of(deadline));
    }

    fn move_to(&mut self, next: u64) {
        self.grid.move_to(next);
        self.alarm.reset(end(&self.tasks, next));
    }

    /// Returns the time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns when the next tick is. None if that is beyond the clock's range.
    pub fn deadline(&self) -> Option<Instant> {
        match end(&self.tasks, self.grid.next()) {
            When::At(deadline) => Some(deadline),
            When::After(_) | When::Never => None,
        }
    }

    /// Sets the policy for missed ticks; it counts from the next tick on.
    ///
    /// ```
    /// use mainspring::{EventLoop, MissedTickBehavior, interval, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// el.run_until_complete(async {
    ///     let mut ticks = interval(Duration::from_secs(1))?;
    ///     ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ///     clock.advance(Duration::from_millis(3500));
    ///     assert_eq!(ticks.tick().await, 2);
    ///     ticks.tick().await;
    ///     Ok::<_, mainspring::Error>(())
    /// })??;
    /// assert_eq!(clock.elapsed(), Duration::from_millis(4500));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.grid.behavior().set(behavior);
    }

    /// Returns the policy for missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.grid.behavior().get()
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("next", &Duration::from_nanos(self.grid.next()))
            .field("period", &self.period)
            .field("missed", &self.missed_tick_behavior())
            .finish()
    }
}
