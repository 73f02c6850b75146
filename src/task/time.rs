//! Time as futures: a sleeping task is a timer with the task's key.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::budget;
use super::current;
use super::extent::{Guard, Owned};
use super::tasks::Tasks;
use crate::clock::NEVER;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::timers::TimerSlot;

/// Completes when `delay` is over, counted from this call; never earlier, not by a nanosecond.
/// A delay of zero is the next tick.
///
/// Outside of a loop it is counted from the first poll. [`Duration::MAX`] never ends.
///
/// # Panics
///
/// The future panics where no loop runs.
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
        Some(tasks) => When::after(&tasks, delay),
        None => When::After(delay),
    })
}

/// Completes at `deadline`, or in the next tick if that is over. Otherwise as [`sleep`].
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
    Sleep::new(When::At(deadline))
}

/// An end, in the words of no loop: a future may be made in one loop and awaited in another.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// Counted from the first poll.
    After(Duration),
    At(Instant),
    /// Beyond what an `Instant` holds.
    Never,
}

impl When {
    pub(super) fn after(tasks: &Tasks, delay: Duration) -> When {
        tasks.core.timeline.now().checked_add(delay).map_or(When::Never, When::At)
    }

    fn nanos(self, tasks: &Tasks) -> u64 {
        match self {
            When::After(delay) => tasks.core.timeline.nanos_after(delay),
            When::At(instant) => tasks.core.timeline.nanos_of(instant),
            When::Never => NEVER,
        }
    }
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    alarm: Alarm,
    /// Its timer belongs to a loop of this thread.
    local: PhantomData<*const ()>,
}

impl Sleep {
    fn new(when: When) -> Sleep {
        Sleep { alarm: Alarm::new(when), local: PhantomData }
    }

    /// Returns when the sleep ends. None if that is beyond the clock's range, or is counted from the
    /// first poll, which has not been.
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
        match self.alarm.when {
            When::At(deadline) => Some(deadline),
            When::After(_) | When::Never => None,
        }
    }

    /// Whether the time is over, as far as the loop has noticed.
    pub fn is_elapsed(&self) -> bool {
        match &self.alarm.armed {
            Some(armed) => current::find(armed.loop_id).is_none_or(|tasks| armed.is_over(&tasks)),
            None => false,
        }
    }

    /// True before the first poll, which needs a running loop.
    fn is_unarmed(&self) -> bool {
        self.alarm.armed.is_none()
    }

    /// Moves the end to `deadline`, whether it is over or not.
    pub fn reset(&mut self, deadline: Instant) {
        self.alarm.reset(When::At(deadline));
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    ///
    /// Where no loop runs, at the line of the `await`.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(cx.waker())
    }
}

/// A deadline, and once somebody waits for it, a timer.
#[derive(Debug)]
pub(crate) struct Alarm {
    when: When,
    armed: Option<Armed>,
}

/// A timer of a loop.
#[derive(Debug)]
struct Armed {
    loop_id: u32,
    timer: TimerSlot,
    /// Who waits.
    waiter: Key,
}

impl Alarm {
    pub(super) fn new(when: When) -> Alarm {
        Alarm { when, armed: None }
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn at(deadline: Instant) -> Alarm {
        Alarm::new(When::At(deadline))
    }

    /// An alarm after `delay`, counted from now.
    #[cfg(feature = "hyper")]
    pub(crate) fn after(delay: Duration) -> Alarm {
        sleep(delay).alarm
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn reset_at(&mut self, deadline: Instant) {
        self.reset(When::At(deadline));
    }

    #[track_caller]
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let Some(armed) = &mut self.armed else { return self.arm(waker) };
        // The time of a loop that is gone is over.
        let Some(tasks) = current::find(armed.loop_id) else { return Poll::Ready(()) };
        if armed.is_over(&tasks) {
            return Poll::Ready(());
        }
        armed.wait(&tasks, waker);
        Poll::Pending
    }

    pub(super) fn reset(&mut self, when: When) {
        self.when = when;
        if let Some(armed) = &self.armed
            && let Some(tasks) = current::find(armed.loop_id)
        {
            let nanos = when.nanos(&tasks);
            tasks.core.timers.borrow_mut().reset(armed.timer, nanos);
        }
    }

    #[track_caller]
    fn arm(&mut self, waker: &Waker) -> Poll<()> {
        let tasks = super::expect("mainspring::sleep");
        // Also what is over already waits for the next tick, so that others have their turn.
        if let When::After(delay) = self.when {
            self.when = When::after(&tasks, delay);
        }
        let nanos = self.when.nanos(&tasks);
        let waiter = Cell::new(Key::NOWHERE);
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

    /// Sees to it that the timer wakes whoever polls now.
    fn wait(&mut self, tasks: &Tasks, waker: &Waker) {
        let waiter = Cell::new(self.waiter);
        tasks.wait(&waiter, waker);
        if waiter.get() != self.waiter {
            self.waiter = waiter.get();
            tasks.core.timers.borrow_mut().set_key(self.timer, self.waiter);
        }
    }
}

impl Drop for Alarm {
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
        f.debug_struct("Sleep").field("when", &self.alarm.when).finish_non_exhaustive()
    }
}

/// Gives `future` until `limit` is over, counted from this call, to complete.
///
/// An output that is ready in the very tick in which the time is over is delivered. What did not
/// complete is dropped: that is how a future is cancelled. So a timeout never swallows a
/// cancellation from outside, which drops both. A [shield](crate::CancelScope::shielded) inside
/// holds until it ends, and a [`TaskGroup`](crate::TaskGroup) until its children have ended.
///
/// # Errors
///
/// The future gives [`Error::TimedOut`].
///
/// # Panics
///
/// The future panics where no loop runs, with the place of this call.
///
/// ```
/// use mainspring::{EventLoop, testing::SimClock, sleep, timeout};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// el.run_until_complete(async {
///     let hour = Duration::from_secs(3600);
///     let late = timeout(Duration::from_secs(1), sleep(hour)).await;
///     assert_eq!(late.unwrap_err().to_string(), "not done within 1s");
///     assert!(timeout(hour, async { 42 }).await.is_ok());
/// })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn timeout<F: Future>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    let call = ("mainspring::timeout", Location::caller());
    limited(sleep(limit), limit, future, call)
}

/// Gives `future` until `deadline` to complete. Otherwise as [`timeout`].
///
/// ```
/// use mainspring::{Clock, EventLoop, testing::SimClock, timeout_at};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// let deadline = clock.now() + Duration::from_secs(1);
/// let never = timeout_at(deadline, std::future::pending::<()>());
/// assert!(el.run_until_complete(never)?.is_err());
/// assert_eq!(clock.elapsed(), Duration::from_secs(1));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    let now = current::running().map_or_else(Instant::now, |tasks| tasks.core.timeline.now());
    let limit = deadline.saturating_duration_since(now);
    let call = ("mainspring::timeout_at", Location::caller());
    limited(sleep_until(deadline), limit, future, call)
}

async fn limited<F: Future>(
    sleep: Sleep,
    limit: Duration,
    future: F,
    (call, place): (&'static str, &'static Location<'static>),
) -> Result<F::Output> {
    budget::step().await;
    let extent = Owned::new(Guard::None);
    let (mut future, mut sleep) = (pin!(future), pin!(sleep));
    let mut last_call = false;
    poll_fn(|cx| {
        if last_call {
            extent.set_due();
        }
        if let Poll::Ready(output) = extent.enter(|| future.as_mut().poll(cx)) {
            return Poll::Ready(Ok(output));
        }
        if extent.ends() {
            return Poll::Ready(Err(Error::TimedOut(limit)));
        }
        if last_call {
            // A guard inside: whoever lifts it wakes this.
            extent.wait(cx.waker());
            return Poll::Pending;
        }
        if sleep.is_unarmed() {
            super::check_loop(call, place);
        }
        if sleep.as_mut().poll(cx).is_ready() {
            // What others make ready in this same tick still counts.
            last_call = true;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}
