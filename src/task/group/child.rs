//! A child of a group: a task that tells its group of its failure and of its end.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Shared, clear};
use crate::error::Result;
use crate::task::ending::JoinError;
use crate::task::join::Task;

/// A place in the list of children.
pub(super) struct Member {
    pub(super) shared: Rc<Shared>,
    pub(super) number: u64,
}

impl Member {
    /// The child. It leaves the list when its future is gone, also if it never began.
    pub(super) fn run<F, T>(self, future: F) -> impl Future<Output = T> + use<F, T>
    where
        F: Future<Output = Result<T>>,
    {
        let not_begun = (future, self);
        async move {
            let (future, member) = not_begun;
            let future = pin!(Some(future));
            let mut running = Running { future, member };
            poll_fn(|cx| running.poll(cx)).await
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut children = self.shared.children.borrow_mut();
        children.remove(&self.number);
        if children.is_empty() {
            drop(children);
            self.shared.extent.wake();
        }
    }
}

/// A child's future while it runs; it is dropped before the child leaves the list.
struct Running<'a, F> {
    future: Pin<&'a mut Option<F>>,
    member: Member,
}

impl<F> Running<'_, F> {
    fn clear(&mut self) {
        if let Err(payload) = clear(self.future.as_mut()) {
            self.member.shared.fail(JoinError::panicked(payload).into());
        }
    }
}

impl<F, T> Running<'_, F>
where
    F: Future<Output = Result<T>>,
{
    /// Gives the output; a failure is the group's.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(future) = self.future.as_mut().as_pin_mut() else { return Poll::Pending };
        // It is dropped if it panics.
        let error = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(output))) => return Poll::Ready(output),
            Ok(Poll::Ready(Err(error))) => error,
            Err(payload) => JoinError::panicked(payload).into(),
        };
        // This cancels all, so the child ends at its next turn, and leaves the list then.
        self.member.shared.fail(error);
        self.clear();
        Poll::Pending
    }
}

impl<F> Drop for Running<'_, F> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A task of a [`TaskGroup`](crate::TaskGroup): a future that gives its output.
///
/// If the child fails, the group is what has the error, and this says that it was cancelled, as all
/// of the group are. Dropping it changes nothing. As a [`Task`] by `Deref`, it has a state and a
/// name, can be cancelled, and tells when it is done.
pub struct GroupTask<T: 'static> {
    task: Task<T>,
}

impl<T> GroupTask<T> {
    pub(super) fn new(task: Task<T>) -> GroupTask<T> {
        GroupTask { task }
    }

    /// Gives the task a name, for reports and pictures.
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

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        Pin::new(&mut self.task).poll(cx)
    }
}

impl<T> fmt::Debug for GroupTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
