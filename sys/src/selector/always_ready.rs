//! Files that never block: poll(2) always reports them as ready, and other calls refuse them.
//!
//! epoll_ctl(2) returns `EPERM` for regular files, directories and `/dev/null`; kqueue(2) is silent
//! at the end of a file. The backends keep such registrations here and report them in each call,
//! like poll(2).

use std::io;
use std::os::fd::RawFd;

use super::registrations::{Entry, Ready, Registrations};
use crate::event::{Events, Interest, Readiness, Token, TriggerMode};

/// Directions in which such a file is ready: it has no priority data.
const DIRECTIONS: Interest = Interest::READABLE.union(Interest::WRITABLE);

/// Registrations of files that are always ready.
#[derive(Debug, Default)]
pub(crate) struct AlwaysReady {
    table: Registrations,
    ready: Vec<Ready>,
    rounds_up: bool,
}

impl AlwaysReady {
    pub(crate) fn insert(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.table.insert(fd, token, interest, mode).map(drop)
    }

    /// Changes an entry. Returns false if there is none.
    pub(crate) fn change(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> bool {
        self.table.change(fd, token, interest, mode).is_ok()
    }

    /// Adds or replaces an entry of which only the directions in `left` are still to be reported,
    /// until it is changed. In level mode all directions are reported.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn put(
        &mut self,
        fd: RawFd,
        token: Token,
        (interest, left): (Interest, Interest),
        mode: TriggerMode,
    ) -> io::Result<()> {
        self.table.remove(fd);
        let at = self.table.insert(fd, token, interest, mode)?;
        self.table.keep_armed(at, left);
        Ok(())
    }

    /// Returns true if `fd` has an entry that was not found closed.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.table.has(fd)
    }

    /// Removes an entry. Returns false if there is none.
    pub(crate) fn remove(&mut self, fd: RawFd) -> bool {
        self.table.remove(fd).is_some()
    }

    /// Starts a new edge in the directions of `interest`, because the file is still ready.
    pub(crate) fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.table.clear_readiness(fd, interest);
    }

    /// Returns true if there are no such files.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.entries().is_empty()
    }

    /// Returns true if some file must be reported, so that a wait must end at once.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.table.entries().iter().any(is_ready)
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }

    /// Reports the entries that were not reported for the longest time, in half of the room. The
    /// other half is left to the kernel's events. Calls round up and down alternately, so even with
    /// room for one event both get their share.
    ///
    /// An entry is reported as invalid if its fd is not open, or is another file by now. `is_open`
    /// is the check of the selector's kernel, before that by fstat(2).
    pub(crate) fn report(&mut self, events: &mut Events, is_open: impl Fn(RawFd) -> bool) {
        self.rounds_up = !self.rounds_up;
        // The other half is left to the kernel's events, or always-ready files would starve
        // sockets.
        let room = (events.room() + usize::from(self.rounds_up)) / 2;
        let entries = self.table.entries();
        let ready = entries.iter().enumerate().filter(|(_, entry)| is_ready(entry));
        self.ready.clear();
        self.ready.extend(ready.map(|(at, entry)| Ready {
            at,
            readiness: (entry.kernel_interest() & DIRECTIONS).into(),
        }));
        self.table.keep_least_recent(&mut self.ready, room);
        // Only files that are reported now are checked.
        for ready in &mut self.ready {
            let entry = &self.table.entries()[ready.at];
            if !is_open(entry.fd) || !entry.has_its_file() {
                ready.readiness = Readiness::INVALID;
            }
        }
        self.table.report(&self.ready, events);
    }
}

fn is_ready(entry: &Entry) -> bool {
    entry.kernel_interest().intersects(DIRECTIONS)
}
