//! Files that never make anyone wait: what poll(2) calls always ready and other kernel calls refuse.
//!
//! epoll_ctl(2) answers `EPERM` for regular files, directories and `/dev/null`; kqueue stays silent at their end.
//! The backends keep such registrations here and report them in each call, as poll(2) does.

use std::io;
use std::os::fd::RawFd;

use crate::event::{Event, Events, Interest, Mode, Readiness, Token};

/// Registrations that are always ready.
#[derive(Debug, Default)]
pub(crate) struct AlwaysReady {
    entries: Vec<Entry>,
    next: usize,
}

#[derive(Debug)]
struct Entry {
    fd: RawFd,
    token: Token,
    interest: Interest,
    mode: Mode,
    armed: Interest,
}

impl AlwaysReady {
    pub(crate) fn contains(&self, fd: RawFd) -> bool {
        self.position(fd).is_some()
    }

    pub(crate) fn insert(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: Mode,
    ) -> io::Result<()> {
        if self.contains(fd) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.entries.push(Entry { fd, token, interest, mode, armed: interest });
        Ok(())
    }

    /// Changes an entry; false if there is none.
    pub(crate) fn change(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: Mode,
    ) -> bool {
        let Some(at) = self.position(fd) else { return false };
        self.entries[at] = Entry { fd, token, interest, mode, armed: interest };
        true
    }

    /// Removes an entry; false if there is none.
    pub(crate) fn remove(&mut self, fd: RawFd) -> bool {
        let Some(at) = self.position(fd) else { return false };
        self.entries.remove(at);
        true
    }

    /// A regular file never makes anyone wait, so an edge begins anew with each drain.
    pub(crate) fn drained(&mut self, fd: RawFd, interest: Interest) {
        if let Some(at) = self.position(fd) {
            let entry = &mut self.entries[at];
            entry.armed |= interest & entry.interest;
        }
    }

    /// Whether a wait would be in vain.
    pub(crate) fn is_ready(&self) -> bool {
        self.entries.iter().any(|entry| !entry.armed.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Reports entries in turn, in at most half of the room, so that the kernel's own events have theirs.
    pub(crate) fn report(&mut self, events: &mut Events) {
        let room = events.room().div_ceil(2);
        let mut reported = 0;
        for _ in 0..self.entries.len() {
            if reported == room {
                return;
            }
            self.next = (self.next + 1) % self.entries.len();
            let entry = &mut self.entries[self.next];
            if !entry.armed.is_empty() {
                let readiness = Readiness::from(entry.armed & !Interest::PRIORITY);
                if entry.mode != Mode::Level {
                    entry.armed = Interest::empty();
                }
                if !readiness.is_empty() {
                    events.push(Event { token: entry.token, readiness });
                    reported += 1;
                }
            }
        }
    }

    fn position(&self, fd: RawFd) -> Option<usize> {
        self.entries.iter().position(|entry| entry.fd == fd)
    }
}
