//! poll(2): each call passes every registration to the kernel, which marks the ready ones.
//!
//! This is the selector of systems that have nothing better, and the reference for the others:
//! [`Readiness`] means what poll(2) reports. macOS marks devices such as terminals as closed;
//! select works for those.
//!
//! # Edges
//!
//! poll(2) reports levels only. Readiness that was reported in edge mode is not requested again;
//! everything else is. Before each wait, one more poll(2) finds out which of the reported readiness
//! has ended, for example because everything was read without a call that would block. Its next
//! beginning is a new edge. Two things that epoll(7) reports go unnoticed until something else ends
//! the wait: data that arrives behind unread data, and anything at an fd after its error or hang-up
//! was reported.
//!
//! # Hang-ups
//!
//! A hang-up is reported for every interest, and in level mode it ends each wait. poll(2) of Linux
//! and POSIX sets POLLHUP when both directions are closed, so a read then returns end of file.
//! FreeBSD 15 also sets it for a Unix socket after its own write side was shut down, although data
//! may still come. There, a level registration that is interested in reading is reported in each
//! wait, though a read would block; an edge registration is reported once. No request to poll(2) or
//! select(2) suppresses the mark, and an fd that is left out misses its data. The default on
//! FreeBSD is kqueue(2).
//!
//! # Invariant
//!
//! `polled[i]` belongs to entry `i` of the table. If the entry is asleep, its fd is -1, which
//! poll(2) ignores.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::contract::{Selector, UserEvent};
use super::errors::{check_interest, no_user_events};
use super::registrations::{Entry, Ready, Registrations, is_mostly_vacant, shrink};
use crate::event::{Events, Interest, Readiness, Token, TriggerMode};
use crate::syscall::{check, retry};
use crate::timeout::{self, retry_wait};

/// A selector over poll(2), or over ppoll(2) with nanosecond timeouts where the system has it.
///
/// ```
/// use mainspring_sys::selector::{Selector, poll::Poll};
/// use mainspring_sys::{Events, Interest, Token, TriggerMode};
/// use std::io::Write;
/// use std::os::fd::AsRawFd;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// let mut poll = Poll::new();
/// let token = Token::new(1, 0);
/// poll.register(reader.as_raw_fd(), token, Interest::READABLE, TriggerMode::Level)?;
/// writer.write_all(b"x")?;
/// let mut events = Events::with_capacity(8);
/// poll.select(&mut events, None)?;
/// assert_eq!(events.as_slice()[0].token, token);
/// poll.deregister(reader.as_raw_fd())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Poll {
    table: Registrations,
    polled: Vec<libc::pollfd>,
    ready: Vec<Ready>,
    probe: EdgeProbe,
}

impl Poll {
    /// Creates a selector. It needs no kernel objects.
    pub fn new() -> Poll {
        Poll::default()
    }

    /// Updates the `pollfd` of an entry.
    fn update(&mut self, at: usize) {
        let polled = pollfd_for(&self.table.entries()[at]);
        match self.polled.get_mut(at) {
            Some(old) => *old = polled,
            None => self.polled.push(polled),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        retry_wait(timeout, |left| {
            self.probe.run(&mut self.table)?;
            for next in 0..self.probe.indices.len() {
                self.update(self.probe.indices[next]);
            }
            let count = wait_once(&mut self.polled, left)?;
            self.collect(count);
            // Readiness that ended between the two calls ends no wait.
            if count > 0 && self.ready.is_empty() { Err(interrupted()) } else { Ok(()) }
        })
    }

    fn collect(&mut self, count: usize) {
        let entries = self.table.entries();
        let marked = self.polled.iter().enumerate().filter(|(_, polled)| polled.revents != 0);
        self.ready.clear();
        self.ready.extend(
            marked
                // The scan ends after `count` marks, which poll(2) has counted.
                .take(count)
                .map(|(at, polled)| Ready {
                    at,
                    readiness: entries[at].unreported(readiness_of(polled.revents)),
                })
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
        self.update(at);
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
        self.update(at);
        Ok(())
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let found = self.table.check_registered(fd);
        if let Some(at) = self.table.remove(fd) {
            // Like `Registrations::remove`, so that both lists stay parallel.
            self.polled.swap_remove(at);
            if is_mostly_vacant(&self.polled) {
                shrink(&mut self.polled);
                (self.ready, self.probe) = Default::default(); // Only used within one wait.
            }
        }
        found
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        if let Some(at) = self.table.clear_readiness(fd, interest) {
            self.update(at);
        }
    }

    fn has_edges(&self) -> bool {
        false
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        self.wait(timeout)?;
        self.table.keep_least_recent(&mut self.ready, events.room());
        self.table.report(&self.ready, events);
        for reported in 0..self.ready.len() {
            self.update(self.ready[reported].at);
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

/// Finds out which readiness that was reported in edge mode has ended.
#[derive(Debug, Default)]
pub(super) struct EdgeProbe {
    polled: Vec<libc::pollfd>,
    /// Indices of the entries that were polled.
    pub(super) indices: Vec<usize>,
}

impl EdgeProbe {
    pub(super) fn run(&mut self, table: &mut Registrations) -> io::Result<()> {
        self.polled.clear();
        self.indices.clear();
        for (at, entry) in table.reported_edges() {
            self.indices.push(at);
            let events = flags(entry.armed, entry.polls_read_end());
            self.polled.push(libc::pollfd { fd: entry.fd, events, revents: 0 });
        }
        if self.polled.is_empty() {
            return Ok(());
        }
        retry(|| wait_once(&mut self.polled, Some(Duration::ZERO)))?;
        for ((_, entry), polled) in table.reported_edges().zip(&self.polled) {
            entry.note_current(readiness_of(polled.revents));
        }
        Ok(())
    }
}

/// Error that makes the caller wait again, like a signal.
pub(super) fn interrupted() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

/// Returns the `pollfd` that requests what is still to be reported of an entry.
pub(super) fn pollfd_for(entry: &Entry) -> libc::pollfd {
    let fd = if entry.is_asleep() { -1 } else { entry.fd };
    libc::pollfd { fd, events: flags(entry.kernel_interest(), entry.wants_read_end()), revents: 0 }
}

/// Calls poll(2) once, and returns the number of marked entries. A signal may interrupt it.
#[cfg(has_ppoll)]
pub(super) fn wait_once(
    polled: &mut [libc::pollfd],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let timeout = timeout.map(timeout::timespec);
    let (start, length) = (polled.as_mut_ptr(), polled.len() as libc::nfds_t);
    let (limit, no_mask) = (timeout::pointer(&timeout), std::ptr::null());
    // SAFETY: `polled` is writable for its whole length, `timeout` is null or readable, and both
    // outlive the call.
    check(unsafe { libc::ppoll(start, length, limit, no_mask) }).map(|count| count as usize)
}

/// Calls poll(2) once, and returns the number of marked entries. A signal may interrupt it.
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

/// Returns the poll flags. POLLRDHUP is requested only with a reading interest: a writer would get
/// it in every wait and could not clear it.
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

/// Returns the readiness for the flags that poll(2) has set, without the bits that it implies.
pub(super) fn readiness_of(reported: libc::c_short) -> Readiness {
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
    let marked = BITS.iter().filter(|(bit, _)| reported & *bit != 0);
    marked.fold(Readiness::empty(), |all, (_, readiness)| all | *readiness)
}
