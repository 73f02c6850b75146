//! poll(2): the kernel is shown every registration in each call, and marks what is ready.
//!
//! The selector of systems that have nothing better, and the yardstick of the others: what poll(2)
//! says is what [`Readiness`] means. One system (macOS) refuses devices such as terminals with the
//! mark for a closed fd; for those there is select.
//!
//! # Edges
//!
//! poll(2) knows levels only. What was reported in edge mode is not asked for again, and all the rest
//! is. Before each wait one more poll(2) finds out which of it has ended, for example because
//! everything was read without a call that would block; its next beginning is an edge again. Two
//! things that epoll(7) reports cannot be seen: data that arrives behind data not yet read, and
//! anything at an fd whose error or hang-up was reported, until something else ends the wait.
//!
//! # Hang-ups
//!
//! A hang-up is reported whatever is asked for, and in level mode it ends each wait. poll(2) of Linux
//! and POSIX says POLLHUP when both directions are over, so a read then gives the end. FreeBSD 15 also
//! says it for a Unix socket whose own write side is shut down, while data may still come. There a
//! level registration that stays interested in reading is reported in each wait, though a read would
//! block; an edge registration is reported once. No question to poll(2) or select(2) leaves the mark
//! out, and an fd that is left out misses its data. The default there is kqueue(2).
//!
//! # Invariant
//!
//! `polled` lies parallel to the table's entries. Where an entry sleeps the fd is -1, which poll(2)
//! passes over.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::registrations::{Entry, Ready, Table, is_mostly_vacant, shrink};
use super::{Selector, UserEvent, check_interest, no_user_events};
use crate::event::{Events, Interest, Readiness, Token, TriggerMode};
use crate::syscall::{check, retry};
use crate::timeout::{self, retry_wait};

/// A selector over poll(2), or ppoll(2) with its nanoseconds where the system has it.
#[derive(Debug, Default)]
pub struct Poll {
    table: Table,
    polled: Vec<libc::pollfd>,
    ready: Vec<Ready>,
    look: Look,
}

impl Poll {
    /// A selector that needs nothing of the kernel until it waits.
    pub fn new() -> Poll {
        Poll::default()
    }

    /// Brings the kernel's side of an entry up to date.
    fn show(&mut self, at: usize) {
        let shown = question(&self.table.entries()[at]);
        match self.polled.get_mut(at) {
            Some(old) => *old = shown,
            None => self.polled.push(shown),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        retry_wait(timeout, |left| {
            self.look.look(&mut self.table)?;
            for looked in 0..self.look.places.len() {
                self.show(self.look.places[looked]);
            }
            let count = wait_once(&mut self.polled, left)?;
            self.collect(count);
            // What has gone between the two calls ends no wait.
            if count > 0 && self.ready.is_empty() { Err(interrupted()) } else { Ok(()) }
        })
    }

    fn collect(&mut self, count: usize) {
        let entries = self.table.entries();
        let marked = self.polled.iter().enumerate().filter(|(_, polled)| polled.revents != 0);
        self.ready.clear();
        self.ready.extend(
            marked
                .take(count)
                .map(|(at, polled)| Ready { at, readiness: entries[at].news(said(polled.revents)) })
                .filter(|ready| !ready.readiness.is_empty()),
        );
    }
}

impl Selector for Poll {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        let at = self.table.insert(fd, token, interest, mode)?;
        self.show(at);
        Ok(())
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        let at = self.table.change(fd, token, interest, mode)?;
        self.show(at);
        Ok(())
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let found = self.table.check(fd);
        if let Some(at) = self.table.remove(fd) {
            self.polled.swap_remove(at);
            if is_mostly_vacant(&self.polled) {
                shrink(&mut self.polled);
                (self.ready, self.look) = Default::default(); // Lists of a single wait.
            }
        }
        found
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        if let Some(at) = self.table.clear_readiness(fd, interest) {
            self.show(at);
        }
    }

    fn has_edges(&self) -> bool {
        false
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        self.wait(timeout)?;
        self.table.take_turns(&mut self.ready, events.room());
        self.table.report(&self.ready, events);
        for reported in 0..self.ready.len() {
            self.show(self.ready[reported].at);
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.table.clear();
        self.polled.clear();
        Ok(())
    }

    fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
        None
    }

    fn has_ready(&self) -> bool {
        false
    }

    fn user_event(&mut self, _: Token) -> io::Result<Box<dyn UserEvent>> {
        no_user_events()
    }
}

/// The question that finds out what has ended of all that was reported in edge mode.
#[derive(Debug, Default)]
pub(super) struct Look {
    polled: Vec<libc::pollfd>,
    /// Indices of the entries that were looked at.
    pub(super) places: Vec<usize>,
}

impl Look {
    pub(super) fn look(&mut self, table: &mut Table) -> io::Result<()> {
        self.polled.clear();
        self.places.clear();
        for (at, entry) in table.told() {
            self.places.push(at);
            let events = flags(entry.armed, entry.asked_for_end());
            self.polled.push(libc::pollfd { fd: entry.fd, events, revents: 0 });
        }
        if self.polled.is_empty() {
            return Ok(());
        }
        retry(|| wait_once(&mut self.polled, Some(Duration::ZERO)))?;
        for ((_, entry), polled) in table.told().zip(&self.polled) {
            entry.look(said(polled.revents));
        }
        Ok(())
    }
}

/// A reason to wait on, as a signal is one.
pub(super) fn interrupted() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

/// What poll(2) is to be asked about an entry.
pub(super) fn question(entry: &Entry) -> libc::pollfd {
    let fd = if entry.sleeps() { -1 } else { entry.fd };
    libc::pollfd { fd, events: flags(entry.asked(), entry.asks_for_end()), revents: 0 }
}

/// One poll(2), which may be interrupted: the number of marked entries.
#[cfg(has_ppoll)]
pub(super) fn wait_once(
    polled: &mut [libc::pollfd],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let timeout = timeout.map(timeout::timespec);
    let (start, length) = (polled.as_mut_ptr(), polled.len() as libc::nfds_t);
    let (limit, no_mask) = (timeout::pointer(&timeout), std::ptr::null());
    // SAFETY: `polled` is writable for its whole length, and `timeout` is null or readable; both
    // outlive the call.
    check(unsafe { libc::ppoll(start, length, limit, no_mask) }).map(|count| count as usize)
}

/// One poll(2), which may be interrupted: the number of marked entries.
#[cfg(not(has_ppoll))]
pub(super) fn wait_once(
    polled: &mut [libc::pollfd],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let (start, length) = (polled.as_mut_ptr(), polled.len() as libc::nfds_t);
    // SAFETY: `polled` is writable for its whole length and outlives the call.
    let count = check(unsafe { libc::poll(start, length, timeout::millis(timeout)) })?;
    Ok(count as usize)
}

/// End of file is asked for with reading only: a writer would be told of it for ever, and could not
/// make it go away.
fn flags(interest: Interest, with_end: bool) -> libc::c_short {
    let mut flags = 0;
    if interest.contains(Interest::READABLE) {
        flags |= libc::POLLIN;
    }
    if interest.contains(Interest::WRITABLE) {
        flags |= libc::POLLOUT;
    }
    if interest.contains(Interest::PRIORITY) {
        flags |= libc::POLLPRI;
    }
    #[cfg(has_poll_rdhup)]
    if with_end {
        flags |= libc::POLLRDHUP;
    }
    #[cfg(not(has_poll_rdhup))]
    let _ = with_end;
    flags
}

/// Readiness that poll(2) answered, without the bits that it implies.
pub(super) fn said(reported: libc::c_short) -> Readiness {
    const BITS: &[(libc::c_short, Readiness)] = &[
        (libc::POLLIN, Readiness::READABLE),
        (libc::POLLOUT, Readiness::WRITABLE),
        (libc::POLLPRI, Readiness::PRIORITY),
        (libc::POLLERR, Readiness::ERROR),
        (libc::POLLHUP, Readiness::HANGUP),
        (libc::POLLNVAL, Readiness::INVALID),
        #[cfg(has_poll_rdhup)]
        (libc::POLLRDHUP, Readiness::READ_CLOSED),
    ];
    let said = BITS.iter().filter(|(bit, _)| reported & *bit != 0);
    said.fold(Readiness::empty(), |all, (_, readiness)| all | *readiness)
}
