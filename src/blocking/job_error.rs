//! The error of a job that has no result.

use std::any::Any;
use std::fmt;

use super::label::JobLabel;
use crate::error::Error;
use crate::panic::Panic;

/// The reason why a job has no result.
///
/// `?` converts it into an [`Error`].
#[derive(Debug)]
pub struct JobError {
    label: JobLabel,
    cause: JobErrorCause,
}

#[derive(Debug)]
enum JobErrorCause {
    Panicked(Panic),
    Closed,
    Forked,
}

impl JobError {
    /// Returns the error of a job that panicked.
    pub(super) fn panicked(label: JobLabel, payload: Box<dyn Any + Send>) -> JobError {
        JobError { label, cause: JobErrorCause::Panicked(Panic::new(payload)) }
    }

    /// Returns the error of a job that had not begun when its pool was closed.
    pub(super) fn closed(label: JobLabel) -> JobError {
        JobError { label, cause: JobErrorCause::Closed }
    }

    /// Returns the error, in a forked child, of a job of the parent.
    pub(super) fn forked(label: JobLabel) -> JobError {
        JobError { label, cause: JobErrorCause::Forked }
    }

    /// Returns true if the job panicked. Otherwise its pool was closed before the job began, or
    /// this process is a forked child and the job belongs to the parent.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, JobErrorCause::Panicked(_))
    }

    /// Returns the payload of the panic, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// ```
    /// use mainspring::BlockingPool;
    ///
    /// let pool = BlockingPool::new();
    /// let error = pool.submit(|| std::panic::panic_any(7))?.wait().unwrap_err();
    /// let payload = error.into_panic().unwrap();
    /// assert_eq!(*payload.downcast::<i32>().unwrap(), 7);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error itself, if the job did not panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, JobError> {
        match self.cause {
            JobErrorCause::Panicked(panic) => Ok(panic.into_payload()),
            JobErrorCause::Closed | JobErrorCause::Forked => Err(self),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            JobErrorCause::Panicked(panic) => {
                write!(f, "{} panicked: {}", self.label, panic.message())
            }
            JobErrorCause::Closed => {
                write!(f, "{} did not run: the blocking pool was closed before", self.label)
            }
            JobErrorCause::Forked => {
                write!(f, "{} belongs to the parent process and has no result here", self.label)
            }
        }
    }
}

impl std::error::Error for JobError {}

impl From<JobError> for Error {
    /// Returns [`Error::Panicked`] without the payload, or [`Error::Other`].
    fn from(error: JobError) -> Error {
        match &error.cause {
            JobErrorCause::Panicked(panic) => {
                Error::Panicked(format!("{}, in the {}", panic.message(), error.label))
            }
            JobErrorCause::Closed | JobErrorCause::Forked => Error::other(error),
        }
    }
}
