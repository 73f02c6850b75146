//! Sleeps on clocks other than the loop's: the wall clock and the boot time.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use super::current;
use super::tasks::Tasks;
use crate::awaits::located;
use crate::clock::{Timebase, nanos, wall_nanos};
use crate::event_loop::timebases::ClockSlot;
use crate::handle::Key;

/// Completes when the time of day is `deadline` or later, never before. It follows steps of the
/// clock, like [`call_at_wall_time`](crate::LoopHandle::call_at_wall_time).
///
/// Dropping the future cancels the timer.
///
/// # Panics
///
/// The future panics if polled outside a running loop.
///
/// ```
/// use mainspring::{Clock, EventLoop, sleep_until_wall_time, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// let evening = clock.wall_time() + Duration::from_secs(3600);
/// el.run_until_complete(sleep_until_wall_time(evening))?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn sleep_until_wall_time(deadline: SystemTime) -> impl Future<Output = ()> {
    located(
        || "sleep_until_wall_time",
        ClockSleep::new(
            "mainspring::sleep_until_wall_time",
            Timebase::Wall,
            Deadline::At(wall_nanos(deadline)),
        ),
    )
}

/// Completes when `delay` is over, counted from this call and including the time during which the
/// machine is suspended, like
/// [`call_later_in_boot_time`](crate::LoopHandle::call_later_in_boot_time).
///
/// Outside a running loop, the delay is counted from the first poll. Dropping the future cancels
/// the timer.
///
/// # Panics
///
/// The future panics if polled outside a running loop.
///
/// ```
/// use mainspring::{EventLoop, sleep_in_boot_time, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// let (minute, simulated) = (Duration::from_secs(60), clock.clone());
/// el.call_later(minute, move |_, _| simulated.suspend(50 * minute));
/// el.run_until_complete(sleep_in_boot_time(60 * minute))?;
/// assert_eq!(clock.elapsed(), 10 * minute);
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn sleep_in_boot_time(delay: Duration) -> impl Future<Output = ()> {
    let deadline = match current::running() {
        Some(tasks) => Deadline::At(Deadline::After(delay).time(&tasks, Timebase::Boot)),
        None => Deadline::After(delay),
    };
    located(
        || "sleep_in_boot_time",
        ClockSleep::new("mainspring::sleep_in_boot_time", Timebase::Boot, deadline),
    )
}

/// Completes when [`boot_time`](crate::LoopHandle::boot_time) is `deadline` or later. Otherwise
/// like [`sleep_in_boot_time`].
///
/// ```
/// use mainspring::{Clock, EventLoop, sleep_until_boot_time, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// el.run_until_complete(sleep_until_boot_time(clock.boot_time() + Duration::from_secs(60)))?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(60));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn sleep_until_boot_time(deadline: Duration) -> impl Future<Output = ()> {
    located(
        || "sleep_until_boot_time",
        ClockSleep::new(
            "mainspring::sleep_until_boot_time",
            Timebase::Boot,
            Deadline::At(nanos(deadline)),
        ),
    )
}

/// A deadline of another clock, in nanoseconds.
#[derive(Debug, Clone, Copy)]
enum Deadline {
    /// Counted from the first poll.
    After(Duration),
    At(u64),
}

impl Deadline {
    /// Returns the time of the clock at the deadline.
    fn time(self, tasks: &Tasks, timebase: Timebase) -> u64 {
        match self {
            Deadline::At(time) => time,
            Deadline::After(delay) => {
                tasks.core.timeline.nanos_in(timebase).saturating_add(nanos(delay))
            }
        }
    }
}

/// A sleep by another clock.
#[must_use = "futures do nothing unless awaited"]
struct ClockSleep {
    /// The function that made it.
    call: &'static str,
    timebase: Timebase,
    deadline: Deadline,
    armed: Option<Armed>,
    /// Not `Send`: the timer belongs to a loop of this thread.
    local: PhantomData<*const ()>,
}

/// A timer of a loop.
struct Armed {
    loop_id: u32,
    slot: ClockSlot,
    /// Key to wake.
    waiter: Cell<Key>,
}

impl ClockSleep {
    fn new(call: &'static str, timebase: Timebase, deadline: Deadline) -> ClockSleep {
        ClockSleep { call, timebase, deadline, armed: None, local: PhantomData }
    }

    /// Arms the timer. Even a deadline that has passed waits for the next tick.
    #[track_caller]
    fn arm(&mut self, waker: &Waker) {
        let tasks = current::expect(self.call);
        let deadline = self.deadline.time(&tasks, self.timebase);
        let waiter = Cell::new(Key::NONE);
        tasks.wait(&waiter, waker);
        let slot = tasks.core.add_clock_timer(self.timebase, deadline, waiter.get());
        self.armed = Some(Armed { loop_id: tasks.loop_id(), slot, waiter });
    }
}

impl Future for ClockSleep {
    type Output = ();

    /// # Panics
    ///
    /// Panics outside a running loop, at the line of the `await`.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(armed) = &self.armed else {
            self.arm(cx.waker());
            return Poll::Pending;
        };
        // Without its loop a timer cannot run, so it counts as over.
        let Some(tasks) = current::find(armed.loop_id) else { return Poll::Ready(()) };
        if tasks.core.closed.get() || tasks.core.timebases.is_fed(armed.slot) {
            return Poll::Ready(());
        }
        let previous = armed.waiter.get();
        tasks.wait(&armed.waiter, cx.waker()); // The poller may be another task than before.
        if armed.waiter.get() != previous {
            tasks.core.timebases.set_key(armed.slot, armed.waiter.get());
        }
        Poll::Pending
    }
}

impl Drop for ClockSleep {
    fn drop(&mut self) {
        if let Some(Armed { loop_id, slot, waiter }) = self.armed.take()
            && let Some(tasks) = current::find(loop_id)
        {
            tasks.core.remove_clock_timer(slot, Key::NONE);
            tasks.forget_waiter(waiter.get());
        }
    }
}
