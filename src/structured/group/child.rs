//! A child of a group: a task that reports its failure and its end to the group.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::state::{GroupState, clear};
use crate::error::Result;
use crate::task::{JoinError, Task};

/// The entry of a child in the list of its group. Dropping it removes the entry.
pub(super) struct ChildEntry {
    pub(super) state: Rc<GroupState>,
    pub(super) number: u64,
}

impl ChildEntry {
    /// Returns the future of the child. The child leaves the list when `future` is dropped, even if
    /// it was never polled.
    pub(super) fn run<F, T>(self, future: F) -> impl Future<Output = T> + use<F, T>
    where
        F: Future<Output = Result<T>>,
    {
        // A tuple, because its fields are dropped in order: the future first.
        let not_polled = (future, self);
        async move {
            let (future, entry) = not_polled;
            let future = pin!(Some(future));
            let mut running = Running { future, entry };
            poll_fn(|cx| running.poll(cx)).await
        }
    }
}

impl Drop for ChildEntry {
    fn drop(&mut self) {
        let mut children = self.state.children.borrow_mut();
        children.remove(&self.number);
        if children.is_empty() {
            drop(children);
            self.state.region.wake();
        }
    }
}

/// A child while it runs. Its future is dropped before the child leaves the list.
struct Running<'a, F> {
    future: Pin<&'a mut Option<F>>,
    entry: ChildEntry,
}

impl<F> Running<'_, F> {
    fn clear(&mut self) {
        if let Err(payload) = clear(self.future.as_mut()) {
            self.entry.state.fail(JoinError::panicked(payload).into());
        }
    }
}

impl<F, T> Running<'_, F>
where
    F: Future<Output = Result<T>>,
{
    /// Returns the output. A failure goes to the group instead.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(future) = self.future.as_mut().as_pin_mut() else { return Poll::Pending };
        // Unwind safe: a future that panics is dropped.
        let error = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(output))) => return Poll::Ready(output),
            Ok(Poll::Ready(Err(error))) => error,
            Err(payload) => JoinError::panicked(payload).into(),
        };
        // This cancels all children, this one included: it ends, and leaves the list, in the next
        // tick.
        self.entry.state.fail(error);
        self.clear();
        Poll::Pending
    }
}

impl<F> Drop for Running<'_, F> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The handle of a child of a [`TaskGroup`](crate::TaskGroup), and a future of its output.
///
/// Dropping it has no effect. It derefs to [`Task`], for state, name, `cancel` and done-callbacks.
///
/// # Errors
///
/// If the child fails, its error goes to the group, and this future returns
/// [`JoinError::Cancelled`], like those of all other children of the group.
pub struct GroupTask<T: 'static> {
    task: Task<T>,
}

impl<T> GroupTask<T> {
    pub(super) fn new(task: Task<T>) -> GroupTask<T> {
        GroupTask { task }
    }

    /// Sets the task's name, for reports.
    pub fn named(self, name: &str) -> GroupTask<T> {
        GroupTask { task: self.task.named(name) }
    }
}

impl<T> Deref for GroupTask<T> {
    type Target = Task<T>;

    fn deref(&self) -> &Task<T> {
        &self.task
    }
}

impl<T> Future for GroupTask<T> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        Pin::new(&mut self.task).poll(cx)
    }
}

impl<T> fmt::Debug for GroupTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
