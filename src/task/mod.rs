//! Futures and tasks: a thin adapter on the callback layer.
//!
//! ```text
//!   spawn ──► slab: futures by key            a timer, an fd, a promise, another task, a thread
//!                │       ▲                                      │ wake (by key, or by `Waker`)
//!                ▼ poll  │ Pending                              ▼
//!             call ◄──── run_batch ◄──── ready deque ◄──── feed the task's key, once
//! ```
//!
//! A task is a key in the same ready deque as the callbacks. When its turn comes its future is
//! polled; when the future is pending, the task waits until something wakes it, which feeds its key
//! again. Any future runs here, also one that knows nothing of this loop.
//!
//! # Budget
//!
//! An await that completes at once does not return to the loop. So that other callbacks run in
//! between, one poll of a task completes at most 128 awaits of this crate; the next one is pending
//! until the next tick. A call that moves more than 4 KiB counts once for each 4 KiB. Futures of
//! other crates have no such bound: call [`yield_now`] in a loop that only awaits those.
//!
//! # Cancellation
//!
//! To cancel is to drop a future, at an `await` where it waits; what runs then is the `Drop` of what
//! it holds. A future that was woken is polled once more before, so that a result which is there
//! already wins: the rule is the same for tasks, scopes, timeouts and groups. Cleanup cannot
//! `await`; spawn a task for that.

mod as_completed;
mod blocking;
pub(crate) mod budget;
mod combine;
mod current;
mod detached;
mod ending;
mod extent;
mod foreign;
mod group;
mod interval;
mod io;
mod job;
mod join;
mod promise;
mod remote;
mod run;
mod scope;
mod shutdown;
mod slab;
mod tasks;
mod time;
mod waker;

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub use self::as_completed::{AsCompleted, as_completed};
pub use self::blocking::spawn_blocking;
pub use self::combine::{WaitUntil, gather, gather_all, race, race_all, shield, wait};
pub use self::detached::DetachedOutput;
pub use self::ending::{CancelReason, JoinError, TaskEnding, TaskState};
pub use self::group::{GroupError, GroupTask, TaskGroup};
pub use self::interval::{Interval, interval};
pub use self::io::{Io, ReadChunk};
pub use self::join::Task;
pub use self::promise::{Promise, Promised, promise};
pub use self::remote::RemoteTask;
pub use self::run::CurrentLoop;
pub use self::scope::{CancelScope, Cancelled};
pub use self::shutdown::{Shutdown, ShutdownEnding, ShutdownGuard};
pub(crate) use self::tasks::Tasks;
#[cfg(feature = "hyper")]
pub(crate) use self::time::Alarm;
pub use self::time::{Sleep, sleep, sleep_until, timeout, timeout_at};

use crate::error::{Error, Result};
use crate::event_loop::task_port::TaskLayer;

/// Spawns a task on the loop that runs on this thread: it begins in the next tick.
///
/// # Panics
///
/// Where no loop runs. [`LoopHandle::spawn`](crate::LoopHandle::spawn) works there as well.
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// let sum = el.run_until_complete(async {
///     let tasks = [1, 2, 3].map(|n| mainspring::spawn(async move { n * n }));
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await?;
///     }
///     Ok::<_, mainspring::Error>(sum)
/// })??;
/// assert_eq!(sum, 14);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
#[inline]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let tasks = expect("mainspring::spawn");
    Task::new(&tasks, tasks.spawn(future, Location::caller()))
}

/// The loop that runs on this thread.
///
/// # Errors
///
/// [`Error::NoLoop`] where none runs.
///
/// ```
/// assert!(mainspring::current_loop().is_err());
/// let mut el = mainspring::EventLoop::new()?;
/// el.run_until_complete(async { assert!(mainspring::current_loop().is_ok()) })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn current_loop() -> Result<CurrentLoop> {
    running("mainspring::current_loop").map(CurrentLoop::new)
}

/// Lets everything else that is ready run first: the task goes to the end of the ready deque.
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// el.run_until_complete(async {
///     let other = mainspring::spawn(async {});
///     mainspring::yield_now().await;
///     assert!(other.is_finished());
/// })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[inline]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Tells the exception handler of trouble that the task which runs has no part in.
pub(crate) fn report(error: Error) {
    let tasks = current::running();
    let report = tasks.as_ref().and_then(|tasks| tasks.report_of(tasks.current()?.key, error));
    if let (Some(tasks), Some(report)) = (tasks, report) {
        tasks.report(report);
    }
}

/// The loop that runs here, for a function that cannot do without.
pub(crate) fn running(call: &'static str) -> Result<Rc<Tasks>> {
    current::running().ok_or(Error::NoLoop { call })
}

#[track_caller]
#[inline]
fn expect(call: &'static str) -> Rc<Tasks> {
    match current::running() {
        Some(tasks) => tasks,
        None => no_loop(call),
    }
}

/// Panics where no loop runs, with the place of a call whose future is awaited elsewhere.
#[inline]
fn check_loop(call: &'static str, place: &'static Location<'static>) {
    if current::running().is_none() {
        no_loop_for(call, place);
    }
}

#[cold]
fn no_loop_for(call: &'static str, place: &'static Location<'static>) -> ! {
    panic!("{}; this one is from {place}", Error::NoLoop { call })
}

#[cold]
#[track_caller]
fn no_loop(call: &'static str) -> ! {
    panic!("{}", Error::NoLoop { call })
}
