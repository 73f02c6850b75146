//! Files that never make anyone wait: what poll(2) calls always ready and other kernel calls
//! refuse.
//!
//! epoll_ctl(2) answers `EPERM` for regular files, directories and `/dev/null`; kqueue stays silent
//! at their end. The backends keep such registrations here and report them in each call, as poll(2)
//! does.

use std::io;
use std::os::fd::RawFd;

use super::registrations::{Entry, Ready, Table};
use crate::event::{Events, Interest, Readiness, Token, TriggerMode};

/// What a file that is always ready answers: it has no priority data.
const ANSWERS: Interest = Interest::READABLE.union(Interest::WRITABLE);

/// Registrations that are always ready.
#[derive(Debug, Default)]
pub(crate) struct AlwaysReady {
    table: Table,
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

    /// Changes an entry; false if there is none.
    pub(crate) fn change(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> bool {
        self.table.change(fd, token, interest, mode).is_ok()
    }

    /// Adds or replaces an entry of which only the directions in `left` will be reported, until it
    /// is changed, or in level mode all of them.
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

    /// Removes an entry; false if there is none.
    pub(crate) fn remove(&mut self, fd: RawFd) -> bool {
        self.table.remove(fd).is_some()
    }

    /// A regular file never makes anyone wait, so an edge begins anew with each drain.
    pub(crate) fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.table.clear_readiness(fd, interest);
    }

    /// Whether there are no such files.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.entries().is_empty()
    }

    /// Whether a wait would be in vain.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.table.entries().iter().any(is_ready)
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }

    /// Reports entries in turn, in half of the room, so that the kernel's own events have theirs.
    /// The half is rounded up and down in turn: even in a room for one, both get their share.
    ///
    /// An entry whose fd is no longer open, as `is_open` answers, is reported as invalid.
    pub(crate) fn report(&mut self, events: &mut Events, is_open: impl Fn(RawFd) -> bool) {
        self.rounds_up = !self.rounds_up;
        let room = (events.room() + usize::from(self.rounds_up)) / 2;
        let entries = self.table.entries();
        let ready = entries.iter().enumerate().filter(|(_, entry)| is_ready(entry));
        self.ready.clear();
        self.ready.extend(
            ready.map(|(at, entry)| Ready { at, readiness: (entry.asked() & ANSWERS).into() }),
        );
        self.table.take_turns(&mut self.ready, room);
        for ready in &mut self.ready {
            if !is_open(self.table.entries()[ready.at].fd) {
                ready.readiness = Readiness::INVALID;
            }
        }
        self.table.report(&self.ready, events);
    }
}

fn is_ready(entry: &Entry) -> bool {
    entry.asked().intersects(ANSWERS)
}
