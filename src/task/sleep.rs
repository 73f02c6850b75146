//! [`sleep`], and the timer of every future that waits for a time: a timer with the key of the
//! task.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::current;
use super::tasks::Tasks;
use crate::awaits::pending;
use crate::clock::NEVER;
use crate::handle::Key;
use crate::timers::TimerSlot;

/// Completes when `delay` has passed, counted from this call. It never completes early, not even by
/// a nanosecond. A delay of zero ends in the next tick.
///
/// Outside a running loop, the delay is counted from the first poll. [`Duration::MAX`] never ends.
///
/// Dropping the future cancels the timer.
///
/// # Panics
///
/// The future panics if polled outside a running loop.
///
/// ```
/// use mainspring::{EventLoop, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// el.run_until_complete(mainspring::sleep(Duration::from_secs(3600)))?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn sleep(delay: Duration) -> Sleep {
    Sleep::new(match current::running() {
        // Counted from now, not from the first poll: that may be much later.
        Some(tasks) => Deadline::after(&tasks, delay),
        None => Deadline::After(delay),
    })
}

/// Completes at `deadline`, or in the next tick if the deadline has passed. Otherwise like
/// [`sleep`].
///
/// ```
/// use mainspring::{Clock, EventLoop, sleep_until, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// el.run_until_complete(sleep_until(clock.now() + Duration::from_secs(60)))?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(60));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(Deadline::At(deadline))
}

/// A deadline that does not depend on a loop: a future may be created in one loop and awaited in
/// another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deadline {
    /// Counted from the first poll.
    After(Duration),
    At(Instant),
    /// Later than an `Instant` can hold.
    Never,
}

impl Deadline {
    pub(super) fn after(tasks: &Tasks, delay: Duration) -> Deadline {
        tasks.core.timeline.now().checked_add(delay).map_or(Deadline::Never, Deadline::At)
    }

    fn nanos(self, tasks: &Tasks) -> u64 {
        match self {
            Deadline::After(delay) => tasks.core.timeline.nanos_after(delay),
            Deadline::At(instant) => tasks.core.timeline.nanos_of(instant),
            Deadline::Never => NEVER,
        }
    }
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    timer: TimerFuture,
    /// Not `Send`: the timer belongs to a loop of this thread.
    local: PhantomData<*const ()>,
}

impl Sleep {
    fn new(deadline: Deadline) -> Sleep {
        Sleep { timer: TimerFuture::new(deadline), local: PhantomData }
    }

    /// Returns the end of the sleep. Returns `None` if it is beyond the clock's range, or if it is
    /// counted from the first poll, which has not happened yet.
    ///
    /// ```
    /// use mainspring::{Clock, EventLoop, sleep, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// el.run_until_complete(async {
    ///     let minute = Duration::from_secs(60);
    ///     assert_eq!(sleep(minute).deadline(), Some(clock.now() + minute));
    ///     assert_eq!(sleep(Duration::MAX).deadline(), None);
    /// })?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        match self.timer.deadline {
            Deadline::At(deadline) => Some(deadline),
            Deadline::After(_) | Deadline::Never => None,
        }
    }

    /// Returns true if the loop has noticed that the deadline has passed.
    pub fn is_elapsed(&self) -> bool {
        match &self.timer.armed {
            Some(armed) => current::find(armed.loop_id).is_none_or(|tasks| armed.is_over(&tasks)),
            None => false,
        }
    }

    /// Polls the sleep without a line for [`awaits`](crate::awaits): no code awaits it.
    pub(crate) fn poll_silently(&mut self, waker: &Waker) -> Poll<()> {
        self.timer.poll(waker)
    }

    /// Returns true before the first poll, which needs a running loop.
    pub(crate) fn is_unarmed(&self) -> bool {
        self.timer.armed.is_none()
    }

    /// Moves the end to `deadline`. A completed sleep can be reused this way.
    ///
    /// ```
    /// use mainspring::{Clock, EventLoop, sleep, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// el.run_until_complete(async {
    ///     let mut idle = sleep(Duration::from_secs(60));
    ///     idle.reset(clock.now() + Duration::from_secs(5));
    ///     idle.await
    /// })?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(5));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.timer.reset(Deadline::At(deadline));
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    ///
    /// Panics outside a running loop, at the line of the `await`.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.timer.poll(cx.waker());
        pending(|| "sleep", polled)
    }
}

/// A deadline, and from the first poll on a timer of a loop.
#[derive(Debug)]
pub(crate) struct TimerFuture {
    deadline: Deadline,
    armed: Option<Armed>,
}

/// A timer of a loop.
#[derive(Debug)]
struct Armed {
    loop_id: u32,
    timer: TimerSlot,
    /// Key to wake.
    waiter: Key,
}

impl TimerFuture {
    pub(super) fn new(deadline: Deadline) -> TimerFuture {
        TimerFuture { deadline, armed: None }
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn at(deadline: Instant) -> TimerFuture {
        TimerFuture::new(Deadline::At(deadline))
    }

    /// Creates a timer that ends `delay` after this call.
    #[cfg(feature = "hyper")]
    pub(crate) fn after(delay: Duration) -> TimerFuture {
        sleep(delay).timer
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn reset_at(&mut self, deadline: Instant) {
        self.reset(Deadline::At(deadline));
    }

    #[track_caller]
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let Some(armed) = &mut self.armed else { return self.arm(waker) };
        // Without its loop a timer cannot run, so it counts as over.
        let Some(tasks) = current::find(armed.loop_id) else { return Poll::Ready(()) };
        if armed.is_over(&tasks) {
            return Poll::Ready(());
        }
        armed.wait(&tasks, waker);
        Poll::Pending
    }

    pub(super) fn reset(&mut self, deadline: Deadline) {
        self.deadline = deadline;
        if let Some(armed) = &self.armed
            && let Some(tasks) = current::find(armed.loop_id)
        {
            let nanos = deadline.nanos(&tasks);
            tasks.core.timers.borrow_mut().reset(armed.timer, nanos);
        }
    }

    /// Arms the timer. Even a deadline that has passed waits for the next tick, so that other
    /// callbacks run in between.
    #[track_caller]
    fn arm(&mut self, waker: &Waker) -> Poll<()> {
        let tasks = current::expect("mainspring::sleep");
        // The deadline is an `Instant`: a loop that polls it later counts from another start.
        if let Deadline::After(delay) = self.deadline {
            self.deadline = Deadline::after(&tasks, delay);
        }
        let nanos = self.deadline.nanos(&tasks);
        let waiter = Cell::new(Key::NONE);
        tasks.wait(&waiter, waker);
        let waiter = waiter.get();
        let timer = tasks.core.timers.borrow_mut().insert(nanos, waiter);
        self.armed = Some(Armed { loop_id: tasks.loop_id(), timer, waiter });
        Poll::Pending
    }
}

impl Armed {
    fn is_over(&self, tasks: &Tasks) -> bool {
        tasks.core.closed.get() || tasks.core.timers.borrow().is_fed(self.timer)
    }

    /// Makes the timer wake the current poller, which may be another task than before.
    fn wait(&mut self, tasks: &Tasks, waker: &Waker) {
        let waiter = Cell::new(self.waiter);
        tasks.wait(&waiter, waker);
        if waiter.get() != self.waiter {
            self.waiter = waiter.get();
            tasks.core.timers.borrow_mut().set_key(self.timer, self.waiter);
        }
    }
}

impl Drop for TimerFuture {
    fn drop(&mut self) {
        if let Some(Armed { loop_id, timer, waiter }) = self.armed.take()
            && let Some(tasks) = current::find(loop_id)
        {
            tasks.core.timers.borrow_mut().remove(timer);
            tasks.forget_waiter(waiter);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.timer.deadline).finish_non_exhaustive()
    }
}
