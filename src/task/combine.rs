//! Several futures or tasks at once.
//!
//! What is here is what the loop can do better than a library that knows no tasks, and what asyncio
//! has under the same names. For everything else there is the crate `futures`, which works on this
//! loop unchanged.

use std::future::{Future, poll_fn};
use std::iter;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use super::as_completed::{AsCompleted, Crowd, as_completed};
use super::budget;
use super::ending::{CancelReason, JoinError};
use super::join::Task;

/// Gives the output of whichever of two futures completes first, and drops the other; the first one
/// is preferred. Both are polled by the task that awaits this, and may borrow.
///
/// Dropping a [`Task`] detaches it; for tasks there is [`race_all`].
///
/// ```
/// use mainspring::{EventLoop, race, sleep, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let name = String::from("late");
/// let late = async { sleep(Duration::from_secs(2)).await; name.as_str() };
/// let early = async { sleep(Duration::from_secs(1)).await; "early" };
/// assert_eq!(el.run_until_complete(race(late, early))?, "early");
/// # Ok::<(), mainspring::Error>(())
/// ```
pub async fn race<A, B>(first: A, second: B) -> A::Output
where
    A: Future,
    B: Future<Output = A::Output>,
{
    budget::step().await;
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => second.as_mut().poll(cx),
    })
    .await
}

/// Spawns `future` as a task of its own, so that it goes on when whoever awaits it is cancelled.
///
/// To cancel is to drop, and to drop a [`Task`] is to detach it. So this is
/// [`spawn`](crate::spawn), under the name that says why. If nobody awaits it any more, a panic, or
/// an error of a future that gives [`mainspring::Result<()>`](crate::Result), goes to the exception
/// handler. Where cancellation is to wait instead, there is
/// [`CancelScope::shielded`](crate::CancelScope::shielded).
///
/// # Panics
///
/// Where no loop runs.
///
/// ```
/// use mainspring::{EventLoop, shield, sleep, testing::SimClock, timeout};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let saved = Rc::new(Cell::new(false));
/// let done = saved.clone();
/// el.run_until_complete(async move {
///     let save = async move { sleep(Duration::from_secs(2)).await; done.set(true) };
///     assert!(timeout(Duration::from_secs(1), shield(save)).await.is_err());
/// })?;
/// assert!(!saved.get());
/// el.run()?;
/// assert!(saved.get());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    super::spawn(future)
}

/// Gives the results of all tasks, in the order of the tasks; the first error cancels the rest, and
/// comes when they have ended. Further errors are dropped; a [`TaskGroup`](crate::TaskGroup) keeps
/// them.
///
/// If this is dropped the tasks are cancelled.
///
/// # Errors
///
/// The first error in time, be it a task's own, its cancellation or its panic.
///
/// ```
/// use mainspring::{Error, EventLoop, gather, sleep, spawn, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let sum = el.run_until_complete(async {
///     let squares = [3, 1, 2].map(|n| spawn(async move {
///         sleep(Duration::from_secs(n)).await;
///         Ok::<_, Error>(n * n)
///     }));
///     gather(squares).await
/// })?;
/// assert_eq!(sum?, [9, 1, 4]);
/// # Ok::<(), Error>(())
/// ```
pub async fn gather<T, E>(tasks: impl IntoIterator<Item = Task<Result<T, E>>>) -> Result<Vec<T>, E>
where
    T: 'static,
    E: From<JoinError> + 'static,
{
    let mut owned = Owned(as_completed(tasks));
    budget::step().await;
    let mut results = none(owned.0.total());
    while let Some((i, outcome)) = owned.0.next().await {
        match outcome.map_err(E::from).and_then(|result| result) {
            Ok(result) => results[i] = Some(result),
            Err(error) => {
                owned.end("another task has failed").await;
                return Err(error);
            }
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// Waits for all tasks, and gives what came of each, in the order of the tasks.
///
/// If this is dropped the tasks are cancelled.
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// let outcomes = el.run_until_complete(async {
///     let tasks = [1, 2].map(|n| mainspring::spawn(async move { n }));
///     tasks[1].cancel("not wanted");
///     mainspring::gather_all(tasks).await
/// })?;
/// assert!(matches!(&outcomes[..], [Ok(1), Err(error)] if error.is_cancelled()));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub async fn gather_all<T: 'static>(
    tasks: impl IntoIterator<Item = Task<T>>,
) -> Vec<Result<T, JoinError>> {
    let mut owned = Owned(as_completed(tasks));
    budget::step().await;
    let mut outcomes = none(owned.0.total());
    while let Some((i, outcome)) = owned.0.next().await {
        outcomes[i] = Some(outcome);
    }
    outcomes.into_iter().flatten().collect()
}

/// Gives what came of the task that is done first, and cancels the others; returns when they have
/// ended.
///
/// If this is dropped the tasks are cancelled.
///
/// # Errors
///
/// [`JoinError`] if the first one was cancelled or has panicked.
///
/// # Panics
///
/// If there is no task.
///
/// ```
/// use mainspring::{EventLoop, race_all, sleep, spawn, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let first = el.run_until_complete(async {
///     race_all([3, 1, 2].map(|seconds| {
///         spawn(async move {
///             sleep(Duration::from_secs(seconds)).await;
///             seconds
///         })
///     }))
///     .await
/// })?;
/// assert!(matches!(first, Ok(1)));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn race_all<T, I>(tasks: I) -> impl Future<Output = Result<T, JoinError>> + use<T, I>
where
    T: 'static,
    I: IntoIterator<Item = Task<T>>,
{
    let mut owned = Owned(as_completed(tasks));
    assert!(owned.0.total() > 0, "`race_all` needs a task");
    async move {
        let (_, outcome) = owned.0.next().await.expect("there is a first task");
        owned.end("another task was first").await;
        outcome
    }
}

/// What [`wait`] is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitUntil {
    /// Until one task is done.
    FirstCompleted,
    /// Until one task has failed, by an error, a panic or a cancellation, or all are done.
    FirstError,
    /// Until all tasks are done.
    All,
}

/// Waits for tasks, and tells those that are done from those that are not; both in the order of the
/// tasks. Those that are done give their output at once.
///
/// Nothing is cancelled, and no error is taken; if this is dropped the tasks are detached.
///
/// ```
/// use mainspring::{Error, EventLoop, WaitUntil, sleep, spawn, testing::SimClock, wait};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// el.run_until_complete(async {
///     let tasks = [2, 1].map(|n| spawn(async move {
///         sleep(Duration::from_secs(n)).await;
///         Ok::<_, Error>(n)
///     }));
///     let (done, pending) = wait(tasks, WaitUntil::FirstCompleted).await;
///     for task in done {
///         assert_eq!(task.await??, 1);
///     }
///     assert_eq!(pending.len(), 1);
///     Ok::<_, Error>(())
/// })??;
/// # Ok::<_, Error>(())
/// ```
pub async fn wait<T, E>(
    tasks: impl IntoIterator<Item = Task<Result<T, E>>>,
    when: WaitUntil,
) -> (Vec<Task<Result<T, E>>>, Vec<Task<Result<T, E>>>)
where
    T: 'static,
    E: 'static,
{
    let mut tasks: Vec<_> = tasks.into_iter().collect();
    budget::step().await;
    let crowd = Crowd::new(tasks.len());
    // Each task is judged once, when it is done.
    let (mut judged, mut left) = (vec![false; tasks.len()], tasks.len());
    poll_fn(|cx| {
        ready!(budget::poll_left(cx)); // Else a task would wake its number, again and again.
        crowd.wait(cx.waker());
        let mut enough = left == 0;
        while let Some(at) = crowd.next() {
            let task = &mut tasks[at];
            if !task.is_finished() {
                // Leaves a waker for the end of the task; the output stays where it is.
                let _ = crowd.poll(at, Pin::new(task));
            } else if !mem::replace(&mut judged[at], true) {
                left -= 1;
                enough |= left == 0 || is_enough(task, when);
            }
        }
        if enough { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    tasks.into_iter().partition(Task::is_finished)
}

/// Returns true if a task that is done ends a [`wait`].
fn is_enough<T: 'static, E: 'static>(task: &Task<Result<T, E>>, when: WaitUntil) -> bool {
    match when {
        WaitUntil::FirstCompleted => true,
        WaitUntil::FirstError => task.has_failed(Result::is_err),
        WaitUntil::All => false,
    }
}

/// So many places without anything in them.
fn none<T>(count: usize) -> Vec<Option<T>> {
    iter::repeat_with(|| None).take(count).collect()
}

/// Tasks that are cancelled if nobody waits for them any more.
struct Owned<T: 'static>(AsCompleted<T>);

impl<T> Owned<T> {
    /// Cancels the rest, and waits until it has ended.
    async fn end(&mut self, reason: &'static str) {
        self.0.cancel(&reason.into());
        self.0.drained().await;
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.cancel(&CancelReason::from("nobody waits for it any more"));
    }
}
