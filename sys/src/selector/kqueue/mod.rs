//! kqueue(2): the kernel keeps a filter for each direction of an fd, and hands out those that are
//! active.
//!
//! The kernel thinks in filters, the contract in descriptors. So this backend has a table, merges
//! the events of an fd into one, and turns the end of either direction into what
//! [`Readiness::with_implied`] understands.
//!
//! Limits of kqueue(2), or of some systems (`assumptions.rs` lists them kernel by kernel):
//!
//! * Priority data needs `EVFILT_EXCEPT` (macOS, OpenBSD, DragonFly). On the other systems an
//!   interest in it is the error `Unsupported`; poll and select have it. Asked for alone, it comes
//!   without the end of the file, except for a socket on macOS and a pipe on OpenBSD.
//! * A hang-up is reported if both directions were asked for. One direction gets its own end.
//! * A terminal that the kernel refuses (`/dev/tty` of macOS) is the kernel's error; select takes
//!   it. The reader of a terminal that is revoked may wait forever on FreeBSD.
//! * A terminal whose other side goes is silent on NetBSD, where poll reports it.
//! * An fd closed while registered is silent: the kernel forgets its filters with it. The loss is
//!   found by the next call with that number, which may then be registered again.
//! * With more ready fds than room, the two filters of an fd may come in two calls, so an fd that
//!   is ready in both directions may be reported in both before others have been.
//! * The kqueue's own fd stays readable after a level report until the next call finds nothing.
//!
//! # Invariants
//!
//! * A file that never waits is in `always`: by its type; because poll(2) calls a device ready and
//!   kqueue(2) does not; or because the kernel has dropped or refused a filter of a file that has
//!   lost its other end (a pipe without a reader, a revoked terminal).
//! * A registration is in `table` if the kernel has filters of it. For each one the kernel has
//!   exactly those in `held`, unless the fd was closed, or it drops one of its own accord. It
//!   reports that once, with an `EV_ONESHOT` that was not asked for.
//! * A registration that is asleep holds no filter that is enabled.
//! * An fd in both has lost its other end: the entry in `table` is asleep, and its one read filter
//!   proves that the number still belongs to the file.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use self::changes::Changes;
use self::kernel::{Kernel, Kind};
use self::kevent::Kevent;
use self::merge::{Report, settle};
use self::table::{Registration, Table};
use super::always_ready::AlwaysReady;
use super::{Selector, UserEvent, check_interest};
use crate::event::{Event, Events, Interest, Token, TriggerMode};
use crate::timeout::retry_wait;

mod assumptions;
mod changes;
mod kernel;
mod kevent;
mod merge;
mod register;
mod table;

#[cfg(test)]
mod tests;

/// A selector over kqueue(2).
#[derive(Debug)]
pub struct Kqueue<K> {
    kernel: K,
    table: Table,
    always: AlwaysReady,
    users: BTreeMap<usize, Token>,
    /// Counts on over a reset, so that a trigger from before it reaches nobody.
    next_user: usize,
    changes: Changes,
    buffer: Vec<Kevent>,
    reports: Vec<Report>,
    /// Numbers of fds of which the batch says that the kernel has dropped a filter.
    dropped: Vec<RawFd>,
}

#[cfg(has_kqueue)]
impl Kqueue<kernel::System> {
    /// A selector with a kqueue of its own.
    ///
    /// # Errors
    ///
    /// As kqueue(2): the process or the system is out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        Ok(Kqueue::over(kernel::System::new()?))
    }
}

impl<K: Kernel> Kqueue<K> {
    fn over(kernel: K) -> Kqueue<K> {
        Kqueue {
            kernel,
            table: Table::default(),
            always: AlwaysReady::default(),
            users: BTreeMap::new(),
            next_user: 0,
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
        let (kind, idle) = self.look_at(fd, interest)?;
        if self.is_registered(fd)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match idle {
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
        if let Some(old) = self.table.get(fd).filter(|old| old.kind == Kind::Other) {
            return self.replace(fd, Some(old), Registration::new(old.kind, token, interest, mode));
        }
        let (kind, idle) = self.look_at(fd, interest)?;
        match (self.table.get(fd), idle) {
            (None, _) if !self.always.has(fd) => Err(io::ErrorKind::NotFound.into()),
            (None, Some(ready)) => found(self.always.change(fd, token, ready, mode)),
            (Some(_), Some(ready)) => {
                self.deregister(fd)?;
                self.always.insert(fd, token, ready, mode)
            }
            (old, None) => self.replace(fd, old, Registration::new(kind, token, interest, mode)),
        }
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(old) = self.table.get(fd) else {
            let removed = self.always.remove(fd);
            self.kernel.kind(fd)?;
            return found(removed);
        };
        self.changes.delete(fd, old.held);
        let answer = self.changes.apply(&mut self.kernel)?;
        self.forget(fd);
        if answer.found { Ok(()) } else { Err(answer.gone()) }
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.always.clear_readiness(fd, interest);
    }

    fn has_edges(&self) -> bool {
        false // EV_CLEAR is an edge, but priority data and half ends are not.
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let timeout = if self.always.is_ready() { Some(Duration::ZERO) } else { timeout };
        if !self.always.is_empty() {
            self.always.report(events, |fd| self.kernel.kind(fd).is_ok());
        }
        if events.room() > 0 {
            self.wait(events.room(), timeout)?;
            self.merge();
            self.disarm()?;
            self.retire_dropped();
            for report in &self.reports {
                events.push(Event { token: report.token, readiness: settle(report.readiness) });
            }
        }
        if events.is_empty() {
            // It was the kernel's turn, and the kernel had nothing.
            self.always.report(events, |fd| self.kernel.kind(fd).is_ok());
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.kernel.renew()?;
        self.table.clear();
        self.always.clear();
        for (ident, token) in &self.users {
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
        let ident = self.next_user;
        self.changes.add_user(ident, token);
        match self.changes.apply(&mut self.kernel)?.refusal {
            None => {}
            // The filter is younger than kqueue(2): kernels without it call its number invalid.
            Some(libc::EINVAL) => return Err(io::ErrorKind::Unsupported.into()),
            Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
        self.next_user += 1;
        self.users.insert(ident, token);
        Ok(self.kernel.user_event(ident, token))
    }
}

fn found(it_was: bool) -> io::Result<()> {
    if it_was { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}
