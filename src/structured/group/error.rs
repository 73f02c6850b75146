//! [`GroupError`]: all failures of a group.

use std::fmt;

use crate::error::Error;
use crate::log_text::listed;

/// All errors of a [`TaskGroup`](crate::TaskGroup), in the order of occurrence; at least one.
///
/// The message contains the first errors with their causes, as many as fit into about 500 bytes,
/// and the number of the others. So there is no [`source`](std::error::Error::source). `Debug`
/// writes the same line. It converts to [`Error::Other`].
///
/// ```
/// use mainspring::{Error, EventLoop, TaskGroup};
///
/// let mut el = EventLoop::new()?;
/// let group = TaskGroup::run(async |_| Err::<(), _>(Error::other("no configuration")));
/// let error = el.run_until_complete(group)?.unwrap_err();
/// assert_eq!(error.errors().len(), 1);
/// # Ok::<(), Error>(())
/// ```
pub struct GroupError {
    pub(super) errors: Vec<Error>,
}

impl GroupError {
    /// Returns the errors.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// Returns the errors by value.
    pub fn into_errors(self) -> Vec<Error> {
        self.errors
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            1 => f.write_str("a task group failed: ")?,
            count => write!(f, "a task group failed, with {count} errors: ")?,
        }
        f.write_str(&listed(self.errors.iter().map(Error::chain), "; "))
    }
}

impl fmt::Debug for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for GroupError {}

impl From<GroupError> for Error {
    fn from(error: GroupError) -> Error {
        Error::other(error)
    }
}
