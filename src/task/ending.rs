//! How tasks end, and where they are until then.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use crate::error::Error;
use crate::panic::Panic;

/// Why something was cancelled, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelReason(Cow<'static, str>);

impl Default for CancelReason {
    fn default() -> CancelReason {
        CancelReason("cancelled".into())
    }
}

impl<T: Into<Cow<'static, str>>> From<T> for CancelReason {
    fn from(words: T) -> CancelReason {
        CancelReason(words.into())
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a task has no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled.
    #[error("the task was cancelled: {0}")]
    Cancelled(CancelReason),
    /// It panicked.
    #[error("the task panicked: {}", .0.message())]
    Panicked(Panic),
}

impl JoinError {
    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled(_))
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panicked(_))
    }

    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> JoinError {
        JoinError::Panicked(Panic::new(payload))
    }

    pub(super) fn closed() -> JoinError {
        JoinError::Cancelled("the loop is closed".into())
    }

    pub(super) fn ending(&self) -> TaskEnding {
        match self {
            JoinError::Cancelled(_) => TaskEnding::Cancelled,
            JoinError::Panicked(_) => TaskEnding::Panicked,
        }
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Error {
        match error {
            JoinError::Cancelled(reason) => Error::Cancelled(reason.0),
            JoinError::Panicked(panic) => Error::Panicked(panic.into_message()),
        }
    }
}

/// Where a task is in its life. It goes from pending to running, back and forth between that and
/// waiting, and ends as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Spawned, and not yet begun.
    Pending,
    /// It is the one that runs now.
    Running,
    /// It has begun, and waits for something or for its next turn.
    Waiting,
    /// It is over.
    Done(TaskEnding),
}

/// How a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEnding {
    /// With its result.
    Result,
    /// By a panic.
    Panicked,
    /// It was cancelled.
    Cancelled,
}
