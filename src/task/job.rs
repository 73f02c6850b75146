//! What a task consists of: its future, later its output, in one box that forgets their types.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

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

/// What a finished task has to say to nobody: a failure, if it was one, or if it is an output of the
/// usual forms.
pub(crate) fn observe(output: Boxed) -> Outcome<()> {
    type Threaded = Box<dyn StdError + Send + Sync>;
    let Some(output) = output.into_any() else { return Ok(()) };
    judge(output, Failed::report)
        .or_else(|it| judge(it, |Finished(outcome): Finished<Outcome<()>>| outcome))
        .or_else(|it| judge(it, |Finished(outcome): Finished<io::Result<()>>| Ok(outcome?)))
        .or_else(|it| judge(it, of_others::<Threaded>))
        .or_else(|it| judge(it, of_others::<Box<dyn StdError>>))
        .unwrap_or_else(drop_observed)
}

/// What `judgement` says of an output of its type, or the output.
fn judge<T: 'static>(
    output: Box<dyn Any>,
    judgement: impl FnOnce(T) -> Outcome<()>,
) -> Result<Outcome<()>, Box<dyn Any>> {
    output.downcast().map(|output| judgement(*output))
}

fn of_others<E: Display>(Finished(outcome): Finished<Result<(), E>>) -> Outcome<()> {
    outcome.map_err(|error| Error::other(error.to_string()))
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
