//! Watched fds that were closed behind the loop's back.
//!
//! Safe code can do that: `mem::forget(Io::new(&stream)?)` leaves an entry behind when the stream
//! is closed. The next owner of the fd number finds the stale entry and replaces it. The selector
//! detects the new file if the fd was registered in the kernel, and [`FileId`] if its callbacks
//! were paused.
//!
//! If the same file gets its number back by dup(2), nothing was lost.

use mainspring_sys::fd::FileId;

use super::Watchers;
use super::entry::{Unregistered, WatcherEntry};
use crate::ready::ReadyDeque;

impl Watchers {
    /// Returns true if the entry was found lost before, and its callbacks have not run since.
    pub(super) fn is_known_lost(&self, index: u32) -> bool {
        self.entries.at(index).is_some_and(|entry| {
            entry.registered.is_empty() && matches!(entry.unregistered, Unregistered::Lost)
        })
    }

    /// Returns true if the entry's fd was closed and its number belongs to another file now. Its
    /// callbacks then get `INVALID`.
    ///
    /// Registers the fd again: if that succeeds, the kernel had forgotten it. (`reregister` would
    /// re-arm a oneshot.) Kernels that keep closed fds have already reported it.
    pub(super) fn detect_reuse(&mut self, index: u32, ready: &mut ReadyDeque) -> bool {
        let WatcherEntry { fd, token, registered, mode, unregistered, .. } = *self.entry(index);
        if self.is_incomplete {
            return false; // A rebuild finds it.
        }
        if !registered.is_empty() {
            let is_new = self.selector.register(fd, token, registered, mode).is_ok();
            if is_new {
                self.report_closed(index, ready);
            }
            return is_new;
        }
        let is_lost = match unregistered {
            Unregistered::PausedFile(file) => FileId::of(fd).is_ok_and(|now| now.differs(file)),
            Unregistered::Paused | Unregistered::Lost => false,
        };
        if is_lost {
            self.entry(index).report_closed(ready);
        }
        is_lost
    }

    /// Removes a closed fd from the kernel as far as possible, and queues `INVALID` for its
    /// callbacks.
    pub(super) fn report_closed(&mut self, index: u32, ready: &mut ReadyDeque) {
        let Some(entry) = self.entries.at_mut(index) else { return };
        // If a copy of the fd keeps the file open in the kernel, its events have an unknown token,
        // and `rebuild` ends them.
        let _ = self.selector.deregister(entry.fd);
        entry.report_closed(ready);
    }
}
