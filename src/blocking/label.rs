//! The label of a job in messages: its name and the place where it was submitted.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

/// Name and place of a job.
#[derive(Debug, Clone)]
pub(super) struct JobLabel {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) location: &'static Location<'static>,
}

impl fmt::Display for JobLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "job {name:?} submitted at {}", self.location),
            None => write!(f, "job submitted at {}", self.location),
        }
    }
}
