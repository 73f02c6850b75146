//! What a group has to say if not all went well.

use std::fmt;

use crate::error::Error;

/// Everything that failed in a [`TaskGroup`](crate::TaskGroup), in the order of occurrence; at least one error.
///
/// Its message has all of them with their causes, so it has no
/// [`source`](std::error::Error::source). As an [`Error`] it is [`Other`](Error::Other).
#[derive(Debug)]
pub struct GroupError {
    pub(super) errors: Vec<Error>,
}

impl GroupError {
    /// The errors.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// The errors, to keep.
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
        for (i, error) in self.errors.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}", error.chain())?;
        }
        Ok(())
    }
}

impl std::error::Error for GroupError {}

impl From<GroupError> for Error {
    fn from(error: GroupError) -> Error {
        Error::other(error)
    }
}
