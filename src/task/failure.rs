//! Failures in the outputs of detached tasks.
//!
//! A detached task has a [`FailureOf`] function, which finds the failure in its output. The handle
//! that detached the task has chosen it, because only the handle has the type of the output.

use std::any::Any;
use std::error::Error as StdError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::any_task::{BoxedTask, Failed, Finished};
use super::outcome::{Cancelled, JoinError};
use crate::error::{Error, Result as MaybeFailure};
use crate::log_text::write_chain;
use crate::panic::drop_caught;

/// Returns the failure in the output of a detached task: its [`Finished`] or [`Failed`].
pub(crate) type FailureOf = fn(Box<dyn Any>) -> MaybeFailure<()>;

type BoxedError = Box<dyn StdError>;
type BoxedSyncError = Box<dyn StdError + Send + Sync>;

/// Drops the output of a detached task. Returns the failure to report: a panic, or the error that
/// `failure_of` finds.
pub(crate) fn find_failure(output: BoxedTask, failure_of: FailureOf) -> MaybeFailure<()> {
    let Some(output) = output.into_any() else { return Ok(()) };
    // The conversion of an error may run user code, a `Display` that panics for example.
    let found = catch_unwind(AssertUnwindSafe(|| failure_of(output)));
    found.unwrap_or_else(|payload| Err(JoinError::panicked(payload).into()))
}

/// The [`FailureOf`] function of a task with a discarded output: only a panic is a failure.
pub(crate) fn panic_only(output: Box<dyn Any>) -> MaybeFailure<()> {
    as_type(output, Failed::into_report).unwrap_or_else(drop_output)
}

/// The [`FailureOf`] function of a task with a dropped handle. A drop requires no trait of the
/// output: a failure is a panic, or the `Err` of a known `Result` type.
pub(crate) fn of_known_types(output: Box<dyn Any>) -> MaybeFailure<()> {
    as_type(output, Failed::into_report)
        .or_else(|output| as_type(output, |Finished(result): Finished<MaybeFailure<()>>| result))
        .or_else(|output| as_type(output, |Finished(result): Finished<io::Result<()>>| Ok(result?)))
        .or_else(|output| {
            as_type(output, |Finished(result): Finished<Result<(), BoxedSyncError>>| {
                result.map_err(from_boxed_sync)
            })
        })
        .or_else(|output| {
            as_type(output, |Finished(result): Finished<Result<(), BoxedError>>| {
                result.map_err(from_boxed)
            })
        })
        .unwrap_or_else(drop_output)
}

/// Calls `failure_of` with an output of type `T`. Returns an output of another type unchanged.
pub(super) fn as_type<T: 'static>(
    output: Box<dyn Any>,
    failure_of: impl FnOnce(T) -> MaybeFailure<()>,
) -> Result<MaybeFailure<()>, Box<dyn Any>> {
    output.downcast().map(|output| failure_of(*output))
}

impl Failed {
    /// Returns a panic as a failure. A cancellation is none.
    pub(super) fn into_report(self) -> MaybeFailure<()> {
        match self.0 {
            JoinError::Cancelled(_) => Ok(()),
            panicked => Err(Error::from(panicked)),
        }
    }
}

/// Drops an output that holds no failure, or that a done-callback has seen. Only a panic in its
/// `Drop` is an error.
pub(crate) fn drop_output<T>(output: T) -> MaybeFailure<()> {
    drop_caught(output).map_err(|payload| JoinError::panicked(payload).into())
}

/// Converts an error of any type to an [`Error`], and keeps the causes of the usual error types.
/// `show` returns the text of any other error; types such as `anyhow::Error` add their causes to
/// `{:#}`. A cancellation is not a failure, unless a deadline was its reason.
pub(super) fn from_any<E: 'static>(
    error: Box<dyn Any>,
    show: impl FnOnce(&E) -> String,
) -> MaybeFailure<()> {
    if error.downcast_ref().is_some_and(|cancelled: &Cancelled| !cancelled.is_deadline()) {
        return Ok(());
    }
    let error = match error.downcast::<BoxedSyncError>() {
        Ok(error) => return Err(from_boxed_sync(*error)),
        Err(error) => error,
    };
    let error = match error.downcast::<BoxedError>() {
        Ok(error) => return Err(from_boxed(*error)),
        Err(error) => error,
    };
    let error = match error.downcast::<JoinError>() {
        Ok(error) => return Err((*error).into()),
        Err(error) => error,
    };
    let error = match error.downcast::<Error>() {
        Ok(error) => return Err(*error),
        Err(error) => error,
    };
    Err(match error.downcast::<io::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => Error::other(error.downcast_ref().map(show).unwrap_or_default()),
    })
}

fn from_boxed_sync(error: BoxedSyncError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<io::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => Error::Other(error),
    }
}

/// Converts an error that must stay on its thread. An unknown type becomes its text.
fn from_boxed(error: BoxedError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<io::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => {
            let mut text = String::new();
            let _ = write_chain(&mut text, &*error); // Writing to a `String` does not fail.
            Error::other(text)
        }
    }
}
