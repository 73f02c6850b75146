//! [`as_completed`]: tasks in the order in which they are done.
//!
//! Each task is polled with a waker that carries its index, so a wake costs O(1) however many tasks
//! are left.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wake_set::WakeSet;
use crate::awaits::{located, poll_as};
use crate::event_loop::{Report, ReportKind};
use crate::task::{CancelReason, JoinError, Task, budget, current};

/// Returns the results of tasks in the order in which the tasks complete.
///
/// Dropping the [`AsCompleted`] detaches the tasks that are left.
///
/// ```
/// use mainspring::{EventLoop, as_completed, sleep, spawn, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let order = el.run_until_complete(async {
///     let tasks = [3, 1, 2].map(|n| spawn(sleep(Duration::from_secs(n))));
///     let (mut done, mut order) = (as_completed(tasks), Vec::new());
///     while let Some((i, outcome)) = done.next().await {
///         outcome?;
///         order.push(i);
///     }
///     Ok::<_, mainspring::Error>(order)
/// })??;
/// assert_eq!(order, [1, 2, 0]);
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn as_completed<T: 'static>(tasks: impl IntoIterator<Item = Task<T>>) -> AsCompleted<T> {
    let tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    AsCompleted { left: tasks.len(), set: WakeSet::new(tasks.len()), tasks }
}

/// Results of tasks in the order in which the tasks complete, from [`as_completed`].
pub struct AsCompleted<T: 'static> {
    tasks: Vec<Option<Task<T>>>,
    /// Number of tasks that are left: their results were not returned.
    left: usize,
    set: WakeSet,
}

impl<T> AsCompleted<T> {
    /// Waits for the next task to complete. Returns its index among the tasks that were passed, and
    /// its result. Returns `None` if no task is left.
    ///
    /// Cancel safe: dropping the future loses no result.
    #[allow(clippy::should_implement_trait)] // An asynchronous `next`, as of a stream.
    pub fn next(&mut self) -> impl Future<Output = Option<(usize, Result<T, JoinError>)>> {
        located(|| "next", async move { poll_fn(|cx| self.poll_next(cx)).await })
    }

    /// Polls for the next task to complete, like [`next`](AsCompleted::next). With
    /// `futures::stream::poll_fn` this is a `Stream`.
    ///
    /// ```
    /// use mainspring::{EventLoop, as_completed, spawn};
    /// use std::future::poll_fn;
    ///
    /// let mut el = EventLoop::new()?;
    /// let first = el.run_until_complete(async {
    ///     let mut done = as_completed([spawn(async { "output" })]);
    ///     poll_fn(|cx| done.poll_next(cx)).await
    /// })?;
    /// assert!(matches!(first, Some((0, Ok("output")))));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        poll_as::<_, true>(|| "next", || budget::metered(cx, |cx| self.poll_set(cx)))
    }

    fn poll_set(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.set.wait(cx.waker());
        while let Some(index) = self.set.next() {
            // A wake that came after the result was returned.
            let Some(task) = &mut self.tasks[index] else { continue };
            if let Poll::Ready(result) = self.set.poll(index, Pin::new(task)) {
                self.left -= 1;
                self.tasks[index] = None;
                return Poll::Ready(Some((index, result)));
            }
        }
        Poll::Pending
    }

    /// Returns the number of tasks that were passed.
    pub(super) fn total(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn cancel(&self, reason: &CancelReason) {
        for task in self.tasks.iter().flatten() {
            task.cancel(reason.clone());
        }
    }

    /// Waits until the tasks that are left are done. Their results are dropped, so a panic is
    /// reported.
    pub(super) async fn drain(&mut self) {
        let places: Vec<_> = self.tasks.iter().map(|task| task.as_ref()?.location()).collect();
        while let Some((index, result)) = self.next().await {
            if let (Err(error @ JoinError::Panicked(_)), Some(location)) = (result, places[index])
                && let Some(tasks) = current::running()
            {
                let error = error.into();
                tasks.report(Report { kind: ReportKind::Task, error, location, name: None });
            }
        }
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}
