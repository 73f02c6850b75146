//! Ways to start a task on a loop of this thread.

use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use super::current;
use super::join::Task;
use super::promise::promise;
use super::tasks::Tasks;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;

/// Spawns a task on the loop that runs on this thread. It is polled for the first time in the next
/// tick.
///
/// # Panics
///
/// Panics outside a running loop. [`LoopHandle::spawn`](crate::LoopHandle::spawn) works there, too.
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
    let tasks = current::expect("mainspring::spawn");
    Task::new(&tasks, tasks.spawn(future, Location::caller()))
}

/// # Tasks
impl<S> LoopHandle<S> {
    /// Spawns a task on this loop. It is polled for the first time in the next tick.
    ///
    /// On a closed loop the future is dropped at once, and the task counts as cancelled.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// let handle = el.handle().clone();
    /// el.spawn(async move { handle.with(|_, sum| *sum += 42).await }).detach();
    /// el.run()?;
    /// assert_eq!(*el.state(), 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_from(future, Location::caller())
    }

    /// Spawns a task, with the place that reports name.
    #[inline]
    pub(crate) fn spawn_from<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        match self.tasks() {
            Some(tasks) => Task::new(&tasks, tasks.spawn(future, location)),
            None => Task::closed(self.core().loop_id),
        }
    }

    /// Calls `callback` on the loop, with the state, and returns a future of its result.
    ///
    /// This call queues the callback, like [`call_soon`](LoopHandle::call_soon). If the future is
    /// dropped before the callback runs, the callback does not run.
    ///
    /// # Errors
    ///
    /// The future returns [`Error::Closed`] if the loop is closed before the callback has run.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(41)?;
    /// let handle = el.handle().clone();
    /// let answer = el.run_until_complete(handle.with(|_, state| *state + 1))??;
    /// assert_eq!(answer, 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn with<F, T>(&self, callback: F) -> impl Future<Output = Result<T>> + use<F, T, S>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> T + 'static,
        T: 'static,
    {
        let (promise, promised) = promise();
        self.call_soon(move |el, state| {
            if !promise.is_closed() {
                promise.set_result(callback(el, state));
            }
        });
        async move { promised.await.map_err(|_| Error::Closed) }
    }

    /// Returns the tasks of this loop, or `None` if it is closed.
    pub(super) fn tasks(&self) -> Option<Rc<Tasks>> {
        current::find(self.core().loop_id)
    }
}
