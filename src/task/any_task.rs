//! A task's future, and later its output, in one box that hides their types.
//!
//! Future and output share the slot of the task, so a task is one allocation. The box of a
//! zero-sized output, such as `()`, needs no memory.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::outcome::JoinError;

/// The future of a task, or its output.
pub(crate) type BoxedTask = Pin<Box<dyn AnyTask>>;

/// A future with a boxed output, or that output: [`Finished`] or [`Failed`].
pub(crate) trait AnyTask {
    /// Polls a future. The result is the boxed output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BoxedTask>;

    /// Returns the output as [`Finished`] or [`Failed`], or `None` for a future.
    fn into_any(self: Pin<Box<Self>>) -> Option<Box<dyn Any>>;

    /// Returns a reference to the output, or `None` for a future.
    fn as_any(&self) -> Option<&dyn Any>;
}

impl<F> AnyTask for F
where
    F: Future,
    F::Output: 'static,
{
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BoxedTask> {
        Future::poll(self, cx).map(|output| Box::pin(Finished(output)) as BoxedTask)
    }

    fn into_any(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        None
    }

    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// The output of a task.
pub(crate) struct Finished<T>(pub(crate) T);

/// The reason why a task has no output.
pub(crate) struct Failed(pub(crate) JoinError);

// The output is never pinned: it is moved out.
impl<T> Unpin for Finished<T> {}

impl<T: 'static> AnyTask for Finished<T> {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<BoxedTask> {
        Poll::Pending
    }

    fn into_any(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        let output: Box<Self> = Pin::into_inner(self);
        Some(output)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl AnyTask for Failed {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<BoxedTask> {
        Poll::Pending
    }

    fn into_any(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        let output: Box<Self> = Pin::into_inner(self);
        Some(output)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

const HAS_OUTPUT: &str = "a finished task has an output";
const IS_OUTPUT: &str = "a finished task holds its output type or a failure";

/// Moves the output of a finished task out of its box.
#[inline]
pub(crate) fn take_output<T: 'static>(output: BoxedTask) -> Result<T, JoinError> {
    let output = output.into_any().expect(HAS_OUTPUT);
    match output.downcast::<Finished<T>>() {
        Ok(finished) => Ok(finished.0),
        Err(other) => Err(take_failure(other)),
    }
}

#[cold]
fn take_failure(output: Box<dyn Any>) -> JoinError {
    output.downcast::<Failed>().expect(IS_OUTPUT).0
}

/// Returns a reference to the output of a finished task.
pub(crate) fn output_ref<T: 'static>(output: &BoxedTask) -> Result<&T, &JoinError> {
    let output = output.as_any().expect(HAS_OUTPUT);
    match output.downcast_ref::<Finished<T>>() {
        Some(finished) => Ok(&finished.0),
        None => Err(&output.downcast_ref::<Failed>().expect(IS_OUTPUT).0),
    }
}
