//! Waiting for all of several tasks, or for the first one. The tasks belong to the call: dropping
//! it cancels them.
//!
//! These functions take tasks, not plain futures, because they cancel the tasks that are left over
//! and name them in reports.

use std::future::Future;
use std::iter;

use super::as_completed::{AsCompleted, as_completed};
use crate::awaits::located;
use crate::task::{CancelReason, JoinError, Task, budget};

/// Waits for all tasks, and returns their results in the order of the tasks.
///
/// The first failure cancels the other tasks, and is returned when they have ended. Further errors
/// are dropped; a [`TaskGroup`](crate::TaskGroup) keeps them.
///
/// Dropping the returned future cancels the tasks.
///
/// # Errors
///
/// The first failure to occur: the error, the cancellation or the panic of a task.
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
pub fn gather<T, E>(
    tasks: impl IntoIterator<Item = Task<Result<T, E>>>,
) -> impl Future<Output = Result<Vec<T>, E>>
where
    T: 'static,
    E: From<JoinError> + 'static,
{
    located(|| "gather", async move {
        // Before the first await: from here on, a drop cancels the tasks.
        let mut owned = CancelOnDrop(as_completed(tasks));
        budget::step().await;
        let mut results = empty_slots(owned.0.total());
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
    })
}

/// Waits for all tasks, and returns the result or the failure of each, in the order of the tasks.
///
/// Dropping the returned future cancels the tasks.
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
pub fn gather_all<T: 'static>(
    tasks: impl IntoIterator<Item = Task<T>>,
) -> impl Future<Output = Vec<Result<T, JoinError>>> {
    located(|| "gather_all", async move {
        let mut owned = CancelOnDrop(as_completed(tasks));
        budget::step().await;
        let mut outcomes = empty_slots(owned.0.total());
        while let Some((i, outcome)) = owned.0.next().await {
            outcomes[i] = Some(outcome);
        }
        outcomes.into_iter().flatten().collect()
    })
}

/// Returns the output of the task that completes first, and cancels the other tasks. It completes
/// when they have ended.
///
/// Dropping the returned future cancels the tasks.
///
/// # Errors
///
/// [`JoinError`] if the first task was cancelled or has panicked.
///
/// # Panics
///
/// Panics if there is no task.
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
    let mut owned = CancelOnDrop(as_completed(tasks));
    assert!(owned.0.total() > 0, "`race_all` needs at least one task");
    located(|| "race_all", async move {
        let (_, outcome) = owned.0.next().await.expect("the number of tasks is not zero");
        owned.end("another task was first").await;
        outcome
    })
}

/// Returns `count` empty slots.
fn empty_slots<T>(count: usize) -> Vec<Option<T>> {
    iter::repeat_with(|| None).take(count).collect()
}

/// Tasks that are cancelled when this is dropped.
struct CancelOnDrop<T: 'static>(AsCompleted<T>);

impl<T> CancelOnDrop<T> {
    /// Cancels the tasks that are left, and waits for their end.
    async fn end(&mut self, reason: &'static str) {
        self.0.cancel(&reason.into());
        self.0.drain().await;
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        self.0.cancel(&CancelReason::from("the future that waited for it was dropped"));
    }
}
