//! The jobs that did not end in time.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::job::About;
use crate::error::Error;
use crate::log_text::listed;

/// The executor was closed, and these jobs still ran at the end of the limit.
///
/// Displayed, it is one line that names the first of them, as many as fit into about 500 bytes, and
/// says how many more there are. It becomes an [`Error`] by `?`.
#[derive(Debug)]
pub struct StuckJobs {
    limit: Duration,
    jobs: Vec<StuckJob>,
}

impl StuckJobs {
    pub(super) fn new(limit: Duration, jobs: Vec<StuckJob>) -> StuckJobs {
        StuckJobs { limit, jobs }
    }

    /// Each of them, the longest-running first. There is at least one.
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

/// A job that ran when it should have ended.
#[derive(Debug, Clone)]
pub struct StuckJob {
    about: About,
    thread: usize,
    running_for: Duration,
}

impl StuckJob {
    pub(super) fn new(about: About, thread: usize, running_for: Duration) -> StuckJob {
        StuckJob { about, thread, running_for }
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.about.name.as_deref()
    }

    /// Where it was submitted.
    pub fn location(&self) -> &'static Location<'static> {
        self.about.location
    }

    /// The number of its thread, which ends the thread's name.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// For how long it had run.
    pub fn running_for(&self) -> Duration {
        self.running_for
    }
}

impl fmt::Display for StuckJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on thread {} for {:?}", self.about, self.thread, self.running_for)
    }
}
