//! kqueue(2): the kernel keeps a filter for each direction of an fd, and returns the active ones.
//!
//! The kernel works with filters, the contract with descriptors. So this backend keeps a table,
//! merges the events of an fd into one, and translates the end of either direction for
//! [`Readiness::with_implied`].
//!
//! Limits of kqueue(2), or of some systems (`assumptions.rs` lists them kernel by kernel):
//!
//! * Priority data needs `EVFILT_EXCEPT` (macOS, OpenBSD, DragonFly). On other systems an interest
//!   in it is the error `Unsupported`; poll and select support it. An interest in priority data
//!   alone does not report the end of the file, except for a socket on macOS and a pipe on OpenBSD.
//! * A hang-up is reported only if both directions are in the interest. A single direction reports
//!   its own end.
//! * A terminal that the kernel refuses (`/dev/tty` of macOS) is the kernel's error; select accepts
//!   it. The reader of a revoked terminal may wait forever on FreeBSD.
//! * NetBSD does not report that the other side of a terminal was closed; poll does.
//! * An fd that is closed while it is registered is silent: the kernel drops its filters with it.
//!   The next call with that number detects the loss, and the number may then be registered again.
//! * If more fds are ready than fit, the two filters of an fd may be reported in two calls. So an
//!   fd that is ready in both directions may be reported twice before others are reported once.
//! * The kqueue's own fd remains readable after a level report until a call finds nothing.
//!
//! # Invariants
//!
//! * A file that never blocks is in `always`. The reason is its type; or that poll(2) reports a
//!   device as ready and kqueue(2) does not; or that the kernel has dropped or refused a filter of
//!   a file that has lost its other end (a pipe without a reader, a revoked terminal).
//! * A registration is in `table` if the kernel has filters for it. For each one the kernel has
//!   exactly the filters in `held`, unless the fd was closed or the kernel has dropped one. It
//!   reports a dropped filter once, with an `EV_ONESHOT` that was not requested.
//! * A registration that is asleep has no enabled filter.
//! * An fd in both tables has lost its other end: the entry in `table` is asleep, and its single
//!   read filter proves that the number still belongs to the file.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use self::changes::Changes;
use self::kernel::{FileKind, Kernel};
use self::kevent::Kevent;
use self::report::{Report, with_hangup};
use self::table::{Registration, Table};
#[cfg(has_kqueue)]
pub(crate) use self::{exits::ExitFilters, system::System};
use super::always_ready::AlwaysReady;
use super::contract::{Selector, UserEvent};
use super::errors::{check_found, check_interest};
use crate::event::{Event, Events, Interest, Token, TriggerMode};
use crate::timeout::retry_wait;

mod assumptions;
mod changes;
mod exits;
mod kernel;
mod kevent;
mod merge;
mod register;
mod report;
#[cfg(has_kqueue)]
mod system;
mod table;

#[cfg(test)]
mod tests;

/// A selector over kqueue(2).
#[derive(Debug)]
pub struct Kqueue<K> {
    kernel: K,
    table: Table,
    always: AlwaysReady,
    user_events: BTreeMap<usize, Token>,
    /// Identifier of the next user event. A reset does not restart it, so a trigger of an older
    /// user event matches no newer one.
    next_user_event: usize,
    changes: Changes,
    buffer: Vec<Kevent>,
    reports: Vec<Report>,
    /// Fds of filters that the kernel has dropped, according to the present batch.
    dropped: Vec<RawFd>,
}

#[cfg(has_kqueue)]
impl Kqueue<system::System> {
    /// Creates a selector with a new kqueue.
    ///
    /// # Errors
    ///
    /// The errors of kqueue(2): the process or the system is out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        Ok(Kqueue::over(system::System::new()?))
    }
}

impl<K: Kernel> Kqueue<K> {
    fn over(kernel: K) -> Kqueue<K> {
        Kqueue {
            kernel,
            table: Table::default(),
            always: AlwaysReady::default(),
            user_events: BTreeMap::new(),
            next_user_event: 0,
            changes: Changes::default(),
            buffer: Vec::new(),
            reports: Vec::new(),
            dropped: Vec::new(),
        }
    }

    fn wait(&mut self, room: usize, timeout: Option<Duration>) -> io::Result<()> {
        let (kernel, buffer) = (&mut self.kernel, &mut self.buffer);
        retry_wait(timeout, |left| kernel.kevent(&[], buffer, room, left))
    }
}

impl<K: Kernel> Selector for Kqueue<K> {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        let (kind, always_ready) = self.classify(fd, interest)?;
        if self.is_registered(fd)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match always_ready {
            Some(ready) => self.always.insert(fd, token, ready, mode),
            None => self.replace(fd, None, Registration::new(kind, token, interest, mode)),
        }
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        // The usual case: a socket, pipe or terminal is not classified again.
        if let Some(old) = self.table.get(fd).filter(|old| old.kind == FileKind::Other) {
            return self.replace(fd, Some(old), Registration::new(old.kind, token, interest, mode));
        }
        let (kind, always_ready) = self.classify(fd, interest)?;
        match (self.table.get(fd), always_ready) {
            (None, _) if !self.always.has(fd) => Err(io::ErrorKind::NotFound.into()),
            (None, Some(ready)) => check_found(self.always.change(fd, token, ready, mode)),
            // The number has a file that never blocks now: it moves from the kernel to `always`.
            (Some(_), Some(ready)) => {
                self.deregister(fd)?;
                self.always.insert(fd, token, ready, mode)
            }
            (old, None) => self.replace(fd, old, Registration::new(kind, token, interest, mode)),
        }
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(old) = self.table.get(fd) else {
            // `kind` returns EBADF for a closed fd, which takes precedence over `NotFound`.
            let removed = self.always.remove(fd);
            self.kernel.kind(fd)?;
            return check_found(removed);
        };
        self.changes.delete(fd, old.held);
        let answer = self.changes.apply(&mut self.kernel)?;
        self.forget(fd);
        if answer.found { Ok(()) } else { Err(answer.lost_error()) }
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.always.clear_readiness(fd, interest);
    }

    fn has_edges(&self) -> bool {
        false // EV_CLEAR makes edges, but not of priority data and of half-closed sockets.
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        // A file in `always` is ready at once, so the wait must not sleep.
        let timeout = if self.always.is_ready() { Some(Duration::ZERO) } else { timeout };
        if !self.always.is_empty() {
            self.always.report(events, |fd| self.kernel.kind(fd).is_ok());
        }
        if events.room() > 0 {
            self.wait(events.room(), timeout)?;
            self.merge();
            self.disarm()?;
            self.move_dropped_to_always();
            for report in &self.reports {
                events
                    .push(Event { token: report.token, readiness: with_hangup(report.readiness) });
            }
        }
        if events.is_empty() {
            // A buffer for one event was left to the kernel, which had none.
            self.always.report(events, |fd| self.kernel.kind(fd).is_ok());
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.kernel.renew()?;
        self.table.clear();
        self.always.clear();
        for (ident, token) in &self.user_events {
            self.changes.add_user(*ident, *token);
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        if let Some(errno) = self.changes.apply(&mut self.kernel)?.refusal {
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(())
    }

    fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
        Some(self.kernel.fd().clone())
    }

    fn has_ready(&self) -> bool {
        self.always.is_ready()
    }

    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
        let ident = self.next_user_event;
        self.changes.add_user(ident, token);
        match self.changes.apply(&mut self.kernel)?.refusal {
            None => {}
            // Kernels from before EVFILT_USER return EINVAL for its number.
            Some(libc::EINVAL) => return Err(io::ErrorKind::Unsupported.into()),
            Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
        self.next_user_event += 1;
        self.user_events.insert(ident, token);
        Ok(self.kernel.user_event(ident, token))
    }
}
