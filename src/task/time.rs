//! Time as futures: a sleeping task is a timer with the task's key.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::budget;
use super::current;
use super::extent::{Guard, Owned};
use super::tasks::Tasks;
use crate::clock;
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
        Some(tasks) => When::Nanos(tasks.core.timeline.nanos_after(delay)),
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

#[derive(Debug, Clone, Copy)]
enum When {
    /// On the timeline of the loop that runs.
    Nanos(u64),
    After(Duration),
    At(Instant),
}

impl When {
    fn nanos(self, tasks: &Tasks) -> u64 {
        match self {
            When::Nanos(nanos) => nanos,
            When::After(delay) => tasks.core.timeline.nanos_after(delay),
            When::At(instant) => tasks.core.timeline.nanos_of(instant),
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
        Sleep { alarm: Alarm { when, armed: None }, local: PhantomData }
    }

    /// Whether the time is over, as far as the loop has noticed.
    pub fn is_elapsed(&self) -> bool {
        match &self.alarm.armed {
            Some(armed) => current::find(armed.home).is_none_or(|tasks| armed.is_over(&tasks)),
            None => false,
        }
    }

    /// Moves the end to `deadline`, whether it is over or not.
    pub fn reset(&mut self, deadline: Instant) {
        self.alarm.reset(deadline);
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
    home: u32,
    timer: TimerSlot,
    /// Who waits.
    waiter: Key,
}

impl Alarm {
    #[cfg(feature = "hyper")]
    pub(crate) fn at(deadline: Instant) -> Alarm {
        Alarm { when: When::At(deadline), armed: None }
    }

    #[track_caller]
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let Some(armed) = &mut self.armed else { return self.arm(waker) };
        // The time of a loop that is gone is over.
        let Some(tasks) = current::find(armed.home) else { return Poll::Ready(()) };
        if armed.is_over(&tasks) {
            return Poll::Ready(());
        }
        armed.wait(&tasks, waker);
        Poll::Pending
    }

    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.when = When::At(deadline);
        if let Some(armed) = &self.armed
            && let Some(tasks) = current::find(armed.home)
        {
            let nanos = tasks.core.timeline.nanos_of(deadline);
            tasks.core.timers.borrow_mut().reset(armed.timer, nanos);
        }
    }

    #[track_caller]
    fn arm(&mut self, waker: &Waker) -> Poll<()> {
        let tasks = super::expect("mainspring::sleep");
        // Also what is over already waits for the next tick, so that others have their turn.
        let nanos = self.when.nanos(&tasks);
        let waiter = Cell::new(Key::NOWHERE);
        tasks.wait(&waiter, waker);
        let waiter = waiter.get();
        let timer = tasks.core.timers.borrow_mut().insert(nanos, waiter);
        self.armed = Some(Armed { home: tasks.home(), timer, waiter });
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
        if let Some(Armed { home, timer, waiter }) = self.armed.take()
            && let Some(tasks) = current::find(home)
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
/// The future panics where no loop runs.
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
pub fn timeout<F: Future>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    limited(sleep(limit), limit, future)
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
pub fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    let now = current::running().map_or_else(Instant::now, |tasks| tasks.core.timeline.now());
    limited(sleep_until(deadline), deadline.saturating_duration_since(now), future)
}

async fn limited<F: Future>(sleep: Sleep, limit: Duration, future: F) -> Result<F::Output> {
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
        } else if sleep.as_mut().poll(cx).is_ready() {
            // What others make ready in this same tick still counts.
            last_call = true;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

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
    let period = match clock::nanos(period) {
        0 => return Err(Error::ZeroInterval),
        nanos => nanos,
    };
    let next = tasks.core.timeline.now_nanos().saturating_add(period);
    Ok(Interval { tasks, next, period })
}

/// What [`interval`] makes.
pub struct Interval {
    tasks: Rc<Tasks>,
    next: u64,
    period: u64,
}

impl Interval {
    /// Completes at the next tick, and says how many were missed since the last one because nobody
    /// asked; they are skipped, not made up for. Dropping the future loses no tick.
    pub async fn tick(&mut self) -> u64 {
        Sleep::new(When::Nanos(self.next)).await;
        let late = self.tasks.core.timeline.now_nanos().saturating_sub(self.next);
        let missed = late / self.period;
        let steps = self.period.saturating_mul(missed.saturating_add(1));
        self.next = self.next.saturating_add(steps);
        missed
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (next, period) = (Duration::from_nanos(self.next), Duration::from_nanos(self.period));
        f.debug_struct("Interval").field("next", &next).field("period", &period).finish()
    }
}
