//! The report that a process has ended.

use std::process::ExitStatus;

use super::watched_process::WatchedProcess;

/// A process that has probably ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitNotice {
    /// The process id.
    pub pid: u32,
    /// The status, if the kernel's event has it. The status of a child comes from a wait.
    pub status: Option<ExitStatus>,
}

impl ExitNotice {
    /// Checks the process, and records its end. Returns true if it has ended.
    pub fn settle(&self, process: &WatchedProcess) -> bool {
        if self.status.is_some() {
            process.note_end(self.status);
        }
        process.check()
    }
}
