//! The error of closing a pool when jobs did not end in time.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::label::JobLabel;
use crate::error::Error;
use crate::log_text::listed;

/// The jobs that were still running at the end of the time limit of
/// [`BlockingPool::close`](crate::BlockingPool::close).
///
/// Its text is one line with the first jobs, as many as fit into about 500 bytes, and the number of
/// the others. `?` converts it into an [`Error`].
#[derive(Debug)]
pub struct StuckJobs {
    limit: Duration,
    jobs: Vec<StuckJob>,
}

impl StuckJobs {
    pub(super) fn new(limit: Duration, jobs: Vec<StuckJob>) -> StuckJobs {
        StuckJobs { limit, jobs }
    }

    /// Returns the jobs, the longest-running first. There is at least one.
    pub fn jobs(&self) -> &[StuckJob] {
        &self.jobs
    }
}

impl fmt::Display for StuckJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jobs that did not end within {:?}: ", self.limit)?;
        f.write_str(&listed(self.jobs.iter(), "; "))
    }
}

impl std::error::Error for StuckJobs {}

impl From<StuckJobs> for Error {
    fn from(error: StuckJobs) -> Error {
        Error::other(error)
    }
}

/// A job that was still running when its pool was closed.
#[derive(Debug, Clone)]
pub struct StuckJob {
    label: JobLabel,
    thread: usize,
    running_for: Duration,
}

impl StuckJob {
    pub(super) fn new(label: JobLabel, thread: usize, running_for: Duration) -> StuckJob {
        StuckJob { label, thread, running_for }
    }

    /// Returns the job's [name](crate::JobBuilder::name), or `None` if it was given none.
    pub fn name(&self) -> Option<&str> {
        self.label.name.as_deref()
    }

    /// Returns the place where the job was submitted.
    pub fn location(&self) -> &'static Location<'static> {
        self.label.location
    }

    /// Returns the number at the end of its thread's name.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// Returns the time since the job began.
    pub fn running_for(&self) -> Duration {
        self.running_for
    }
}

impl fmt::Display for StuckJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on thread {} for {:?}", self.label, self.thread, self.running_for)
    }
}
