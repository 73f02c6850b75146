//! [`interval`]: periodic ticks for a task.

use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::current;
use super::sleep::{Deadline, TimerFuture};
use super::tasks::Tasks;
use crate::awaits::{located, pending};
use crate::clock::{IntervalGrid, MissedTickBehavior, NEVER};
use crate::error::{Error, Result};

/// Returns an interval that ticks every `period`. The ticks stay on the grid now + k * `period`,
/// however late one is delivered.
///
/// # Errors
///
/// [`Error::ZeroInterval`] for a period of zero, and [`Error::NoLoop`] if no loop is running.
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
    let tasks = current::running_for("mainspring::interval")?;
    let grid =
        IntervalGrid::new(tasks.core.timeline.now_nanos(), period).ok_or(Error::ZeroInterval)?;
    let timer = TimerFuture::new(deadline_of(&tasks, grid.next()));
    Ok(Interval { tasks, grid, period, timer })
}

/// Converts a time on the grid to a deadline.
fn deadline_of(tasks: &Tasks, nanos: u64) -> Deadline {
    let instant = Some(nanos).filter(|nanos| *nanos != NEVER);
    let instant = instant.and_then(|nanos| tasks.core.timeline.instant_of(nanos));
    instant.map_or(Deadline::Never, Deadline::At)
}

/// Periodic ticks, from [`interval`].
pub struct Interval {
    tasks: Rc<Tasks>,
    grid: IntervalGrid,
    period: Duration,
    /// Expires at the next tick.
    timer: TimerFuture,
}

impl Interval {
    /// Completes at the next tick. Returns the number of ticks since the last one that were missed
    /// and dropped; [`set_missed_tick_behavior`](Interval::set_missed_tick_behavior) sets the
    /// policy.
    ///
    /// Cancel safe: dropping the future loses no tick.
    pub fn tick(&mut self) -> impl Future<Output = u64> {
        located(|| "tick", async move { poll_fn(|cx| self.poll_tick(cx)).await })
    }

    /// Polls for the next tick, like [`tick`](Interval::tick).
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
    #[track_caller]
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        ready!(pending(|| "tick", self.timer.poll(cx.waker())));
        // The clock is read again: the tick may be delivered long after its deadline.
        let missed = self.grid.advance(self.tasks.core.timeline.now_nanos());
        // A new timer without a waiter: a tick that the task does not await must not wake it.
        self.timer = TimerFuture::new(deadline_of(&self.tasks, self.grid.next()));
        Poll::Ready(missed)
    }

    /// Moves the grid: the next tick is one period from now, and the following ticks are a period
    /// apart.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Moves the grid: the next tick is `delay` from now, and the following ticks are a period
    /// apart.
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

    /// Moves the grid: the next tick is at `deadline`, or in the next tick of the loop if that has
    /// passed. The following ticks are a period apart.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.move_to(self.tasks.core.timeline.nanos_of(deadline));
    }

    fn move_to(&mut self, next: u64) {
        self.grid.move_to(next);
        self.timer.reset(deadline_of(&self.tasks, next));
    }

    /// Returns the time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns the time of the next tick, or `None` if that is beyond the clock's range.
    pub fn deadline(&self) -> Option<Instant> {
        match deadline_of(&self.tasks, self.grid.next()) {
            Deadline::At(deadline) => Some(deadline),
            Deadline::After(_) | Deadline::Never => None,
        }
    }

    /// Sets the policy for missed ticks, beginning with the next tick.
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
