//! Rebuilding the kernel object from the table.

use std::io::{self, ErrorKind};

use mainspring_sys::Interest;
use mainspring_sys::process::Process;

use super::Watchers;
use super::entry::WatcherEntry;
use crate::ready::ReadyDeque;

impl Watchers {
    /// Replaces the kernel object by a new one with the registrations of the table.
    ///
    /// epoll registers the open file, not its number. If an fd is closed behind the loop's back
    /// while a copy of it lives on (dup(2), a child), its events keep coming, and no number is left
    /// for `EPOLL_CTL_DEL`: epoll(7), "Questions and answers", 6. Only a new kernel object ends
    /// them.
    ///
    /// # Errors
    ///
    /// If no kernel object can be created, nothing has changed. If the new one refuses a
    /// registration for lack of room, it [is incomplete](Watchers::is_incomplete) until another
    /// rebuild succeeds.
    pub(crate) fn rebuild(&mut self, ready: &mut ReadyDeque) -> io::Result<()> {
        self.selector.reset()?;
        self.is_incomplete = true;
        self.process = Process::current();
        for (fd, token, mode) in &self.internal {
            self.selector.register(*fd, *token, Interest::READABLE, *mode)?;
        }
        for entry in self.entries.iter_mut() {
            let WatcherEntry { fd, token, registered, mode, .. } = *entry;
            if registered.is_empty() {
                continue;
            }
            match self.selector.register(fd, token, registered, mode) {
                Ok(()) => {}
                Err(error) if is_limit(&error) => return Err(error),
                Err(_) => entry.report_closed(ready),
            }
        }
        self.is_incomplete = false;
        Ok(())
    }

    /// Returns true if the kernel lacks registrations of the table, because a rebuild failed
    /// halfway.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }
}

/// Returns true if the kernel has no room for a registration, of whatever descriptor.
fn is_limit(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::StorageFull)
}
