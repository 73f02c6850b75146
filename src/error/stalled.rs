//! [`Stalled`]: tasks that wait, and that nothing can wake.

use std::fmt;
use std::panic::Location;

use crate::awaits::Await;

/// The tasks of [`Error::Stalled`](super::Error::Stalled), in the order of their slots.
///
/// `Display` writes one line: the number of tasks, and the first ones with the lines where they
/// wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    pub(crate) tasks: Vec<StalledTask>,
}

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StalledTask {
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) awaits: Vec<Await>,
    pub(crate) joins: Vec<usize>,
}

/// Number of tasks in the text.
const SHOWN: usize = 8;

impl Stalled {
    /// Returns the tasks.
    pub fn tasks(&self) -> &[StalledTask] {
        &self.tasks
    }
}

impl StalledTask {
    /// Returns the line that spawned the task. For the main task, it is the line of
    /// [`run_until_complete`](crate::EventLoop::run_until_complete).
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// Returns the task's name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the futures that the task waits for, with the lines that await them. Empty if the
    /// loop does not [record](crate::EventLoopBuilder::await_lines) them, and for a future of
    /// another crate.
    pub fn awaits(&self) -> &[Await] {
        &self.awaits
    }

    /// Returns the indices of the tasks that it joins.
    pub fn joins(&self) -> &[usize] {
        &self.joins
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.tasks.len();
        write!(f, "{count} {}", if count == 1 { "task waits" } else { "tasks wait" })?;
        for (index, task) in self.tasks.iter().take(SHOWN).enumerate() {
            write!(f, "{} task {index} {task}", if index == 0 { ":" } else { ";" })?;
            for joined in &task.joins {
                write!(f, ", which is task {joined}")?;
            }
        }
        let left = count.saturating_sub(SHOWN);
        if left > 0 { write!(f, "; and {left} more") } else { Ok(()) }
    }
}

impl fmt::Display for StalledTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name:?} ")?;
        }
        if let Some(location) = self.location {
            write!(f, "spawned at {location} ")?;
        }
        f.write_str("waits")?;
        for (index, awaited) in self.awaits.iter().enumerate() {
            write!(f, "{} {awaited}", if index == 0 { " for" } else { " and" })?;
        }
        Ok(())
    }
}
