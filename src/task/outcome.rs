//! States and outcomes of a task, and the reasons of cancellations.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use crate::error::Error;
use crate::panic::Panic;

/// The reason of a cancellation, as text.
///
/// ```
/// use mainspring::CancelReason;
///
/// let reason = CancelReason::from("the client has gone");
/// assert_eq!(reason.as_str(), "the client has gone");
/// assert_eq!(CancelReason::default().to_string(), "cancelled");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CancelReason(Cow<'static, str>);

impl CancelReason {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CancelReason {
    fn default() -> CancelReason {
        CancelReason("cancelled".into())
    }
}

impl<T: Into<Cow<'static, str>>> From<T> for CancelReason {
    fn from(text: T) -> CancelReason {
        CancelReason(text.into())
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The error of a [`CancelScope`](crate::CancelScope) that has cancelled the future it ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cancelled: {reason}")]
pub struct Cancelled {
    reason: CancelReason,
    by_deadline: bool,
}

impl Cancelled {
    pub(crate) fn new(reason: CancelReason, by_deadline: bool) -> Cancelled {
        Cancelled { reason, by_deadline }
    }

    /// Returns the reason of the cancellation.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }

    /// Returns true if the scope's deadline has passed. The end of a
    /// [`Shutdown`](crate::Shutdown)'s drain time is not a deadline in this sense: it counts as a
    /// request.
    pub fn is_deadline(&self) -> bool {
        self.by_deadline
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Error {
        Error::Cancelled(cancelled.reason.0)
    }
}

/// The reason why a task has no output.
///
/// ```
/// use mainspring::{Error, EventLoop};
///
/// let mut el = EventLoop::new()?;
/// let task = el.spawn(std::future::pending::<()>());
/// task.cancel("no longer needed");
/// let error = el.run_until_complete(task)?.unwrap_err();
/// assert_eq!(error.to_string(), "the task was cancelled: no longer needed");
/// assert!(matches!(Error::from(error), Error::Cancelled(_)));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The task was cancelled.
    #[error("the task was cancelled: {0}")]
    Cancelled(CancelReason),
    /// The task panicked.
    #[error("the task panicked: {}", .0.message())]
    Panicked(Panic),
}

impl JoinError {
    /// Returns true if the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled(_))
    }

    /// Returns true if the task panicked.
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

/// State of a task. A pending task becomes running, changes between running and waiting, and ends
/// as done.
///
/// ```
/// use mainspring::{EventLoop, TaskEnding, TaskState};
///
/// let mut el = EventLoop::new()?;
/// let task = el.spawn(async {});
/// assert_eq!(task.state(), TaskState::Pending);
/// el.run()?;
/// assert_eq!(task.state(), TaskState::Done(TaskEnding::Result));
/// assert_eq!(task.state().to_string(), "finished");
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// Spawned, and not polled yet.
    Pending,
    /// Being polled now.
    Running,
    /// Polled before, and waiting for an event or for its next poll.
    Waiting,
    /// Done, with this outcome.
    Done(TaskEnding),
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskState::Pending => f.pad("pending"),
            TaskState::Running => f.pad("running"),
            TaskState::Waiting => f.pad("waiting"),
            TaskState::Done(ending) => ending.fmt(f),
        }
    }
}

/// The way in which a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskEnding {
    /// The task has returned its output.
    Result,
    /// The task panicked.
    Panicked,
    /// The task was cancelled.
    Cancelled,
}

impl fmt::Display for TaskEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TaskEnding::Result => "finished",
            TaskEnding::Panicked => "panicked",
            TaskEnding::Cancelled => "cancelled",
        })
    }
}
