//! What a task consists of: its future, later its output, in one box that forgets their types.

use std::any::Any;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::detached::{DetachedOutput, of_boxed, of_local};
use super::ending::JoinError;
use crate::error::{Error, Result as Outcome};
use crate::panic::drop_caught;

/// The future of a task, or its output.
pub(crate) type Boxed = Pin<Box<dyn Job>>;

/// A future whose output stays in a box.
pub(crate) trait Job {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Boxed>;

    /// [`Finished`] or [`Failed`], or whatever the task ended as.
    fn into_any(self: Pin<Box<Self>>) -> Option<Box<dyn Any>>;

    /// The same, where it is.
    fn as_any(&self) -> Option<&dyn Any>;
}

impl<F> Job for F
where
    F: Future,
    F::Output: 'static,
{
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Boxed> {
        Future::poll(self, cx).map(|output| Box::pin(Finished(output)) as Boxed)
    }

    fn into_any(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        None
    }

    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

const OUTCOME: &str = "a task ends with its output or a failure";

/// The output of a task.
pub(crate) struct Finished<T>(pub(crate) T);

/// Why a task has no output.
pub(crate) struct Failed(pub(crate) JoinError);

// Nobody pins the output: it is moved out.
impl<T> Unpin for Finished<T> {}

impl<T: 'static> Job for Finished<T> {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Boxed> {
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

impl Job for Failed {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Boxed> {
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

/// What a finished task has to say to whoever knows its type.
#[inline]
pub(crate) fn open<T: 'static>(output: Boxed) -> Result<T, JoinError> {
    let output = output.into_any().expect("a task that is done has an output");
    match output.downcast::<Finished<T>>() {
        Ok(finished) => Ok(finished.0),
        Err(other) => Err(failure(other)),
    }
}

#[cold]
fn failure(output: Box<dyn Any>) -> JoinError {
    let failed = output.downcast::<Failed>();
    failed.expect(OUTCOME).0
}

/// What a finished task will say to whoever knows its type.
pub(crate) fn look<T: 'static>(output: &Boxed) -> Result<&T, &JoinError> {
    let output = output.as_any().expect("a task that is done has an output");
    match output.downcast_ref::<Finished<T>>() {
        Some(finished) => Ok(&finished.0),
        None => Err(&output.downcast_ref::<Failed>().expect(OUTCOME).0),
    }
}

/// Returns the failure in the output of a detached task: its [`Finished`] or [`Failed`].
pub(crate) type Judge = fn(Box<dyn Any>) -> Outcome<()>;

/// Drops the output of a detached task. Returns the failure to report.
pub(crate) fn observe(output: Boxed, judge: Judge) -> Outcome<()> {
    let Some(output) = output.into_any() else { return Ok(()) };
    let judged = catch_unwind(AssertUnwindSafe(|| judge(output)));
    judged.unwrap_or_else(|payload| Err(JoinError::panicked(payload).into()))
}

/// The judge of a task whose type said what its failures are.
pub(crate) fn judge_as<T: DetachedOutput>(output: Box<dyn Any>) -> Outcome<()> {
    judge(output, |Finished(output): Finished<T>| output.into_result())
        .or_else(|it| judge(it, Failed::report))
        .unwrap_or_else(drop_observed)
}

/// The judge of a task whose output is dropped unseen: only a panic is a failure.
pub(crate) fn judge_none(output: Box<dyn Any>) -> Outcome<()> {
    judge(output, Failed::report).unwrap_or_else(drop_observed)
}

/// The judge of a task that was dropped, which says nothing of its type: a failure is a panic, or an
/// output of a usual form.
pub(crate) fn judge_known(output: Box<dyn Any>) -> Outcome<()> {
    type Boxed = Box<dyn StdError>;
    type BoxedSync = Box<dyn StdError + Send + Sync>;
    judge(output, Failed::report)
        .or_else(|it| judge(it, |Finished(outcome): Finished<Outcome<()>>| outcome))
        .or_else(|it| judge(it, |Finished(outcome): Finished<io::Result<()>>| Ok(outcome?)))
        .or_else(|it| {
            judge(it, |Finished(it): Finished<Result<(), BoxedSync>>| it.map_err(of_boxed))
        })
        .or_else(|it| judge(it, |Finished(it): Finished<Result<(), Boxed>>| it.map_err(of_local)))
        .unwrap_or_else(drop_observed)
}

/// What `judgement` says of an output of its type, or the output.
fn judge<T: 'static>(
    output: Box<dyn Any>,
    judgement: impl FnOnce(T) -> Outcome<()>,
) -> Result<Outcome<()>, Box<dyn Any>> {
    output.downcast().map(|output| judgement(*output))
}

impl Failed {
    /// To be cancelled is no failure.
    fn report(self) -> Outcome<()> {
        match self.0 {
            JoinError::Cancelled(_) => Ok(()),
            panicked => Err(Error::from(panicked)),
        }
    }
}

/// Drops what a finished task has to say. What fails then is only the dropping.
pub(crate) fn drop_observed<T>(output: T) -> Outcome<()> {
    drop_caught(output).map_err(|payload| JoinError::panicked(payload).into())
}
