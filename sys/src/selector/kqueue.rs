//! kqueue(2): the kernel keeps a filter for each direction of an fd, and hands out those that are
//! active.
//!
//! The kernel thinks in filters, the contract in descriptors. So this backend has a table, merges
//! the events of an fd into one, and turns the end of either direction into what
//! [`Readiness::settle`] understands.
//!
//! What kqueue does not tell, or not everywhere:
//!
//! * Priority data needs `EVFILT_EXCEPT` (macOS, OpenBSD, DragonFly). On the other systems an
//!   interest in it is the error `Unsupported`; poll and select have it. Asked for alone, it comes
//!   without the end of the file.
//! * A hang-up is seen by whoever asked for both directions. Others get the end of theirs.
//! * A terminal that the kernel refuses (`/dev/tty` of macOS) is the kernel's error; select takes
//!   it.
//! * An fd closed while registered is silent: the kernel forgets its filters with it. The number
//!   can be registered again.
//! * With more ready fds than room, the two filters of an fd may come in two calls, so an fd that
//!   is ready in both directions may be reported in both before others have been.
//!
//! # Invariants
//!
//! * What the kernel does not watch for want of a reason to wait is in `always`; everything else is
//!   in the kernel and in `table`.
//! * For each registration the kernel has exactly the filters in `held`, unless the fd was closed.
//! * A registration that is asleep holds no filter that is enabled.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use self::changes::Changes;
use self::kernel::Kernel;
use self::kevent::{EV_EOF, EV_ERROR, Filter, Kevent};
use self::table::{Registration, Table};
use super::always::AlwaysReady;
use super::{Selector, UserEvent, check_interest};
use crate::event::{Event, Events, Interest, Mode, Readiness, Token};
use crate::timeout::retry_wait;

mod changes;
mod kernel;
mod kevent;
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
}

/// What a batch says about one registration so far, as the kernel put it.
#[derive(Debug)]
struct Report {
    /// None for a user event.
    fd: Option<RawFd>,
    token: Token,
    readiness: Readiness,
    /// The directions whose filters have reported.
    from: Interest,
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
        }
    }

    /// Whether `fd` is registered. A registration whose filters the kernel has forgotten goes away
    /// here: its fd was closed, and the number is another file's now. A kernel that forgets nothing
    /// is not asked; libkqueue would answer at random.
    fn is_registered(&mut self, fd: RawFd) -> io::Result<bool> {
        let Some(registration) = self.table.get(fd) else { return Ok(false) };
        if !self.kernel.forgets_closed() {
            return Ok(true);
        }
        self.changes.touch(fd, &registration);
        let found = self.changes.apply(&mut self.kernel)?.found;
        if !found {
            self.table.remove(fd);
        }
        Ok(found)
    }

    /// Puts `fresh` into the kernel in the place of `old`.
    ///
    /// The kernel keeps the mode that a filter was added with, so the old ones are always deleted
    /// first. That they were there is also the proof that the number still belongs to the file that
    /// was registered.
    fn replace(
        &mut self,
        fd: RawFd,
        old: Option<Registration>,
        fresh: Registration,
    ) -> io::Result<()> {
        if fresh.interest.contains(Interest::PRIORITY) && !self.kernel.has_except() {
            return Err(no_priority());
        }
        self.changes.delete(fd, old.map_or(Interest::empty(), |old| old.held));
        self.changes.add(fd, &fresh);
        let answer = match self.changes.apply(&mut self.kernel) {
            Ok(answer) => answer,
            Err(error) => {
                self.undo(fd, fresh.interest, old);
                return Err(error);
            }
        };
        if old.is_some() && !answer.found {
            self.undo(fd, answer.added, None);
            self.table.remove(fd);
            return Err(answer.gone());
        }
        let Some(errno) = answer.refusal else {
            self.table.insert(fd, fresh);
            self.always.remove(fd); // A file that was closed without a word had this number.
            return Ok(());
        };
        if self.never_waits(fd, errno) {
            self.undo(fd, answer.added, None);
            self.table.remove(fd);
            return self.always.insert(fd, fresh.token, fresh.interest, fresh.mode);
        }
        self.undo(fd, answer.added, old);
        Err(io::Error::from_raw_os_error(errno))
    }

    /// Whether `fd`, which the kernel refused with `errno`, makes nobody wait.
    ///
    /// `EPIPE` says that the other end of a pipe is gone: whoever writes gets the same at once,
    /// whoever reads gets what is left and then the end.
    fn never_waits(&self, fd: RawFd, errno: libc::c_int) -> bool {
        errno == libc::EPIPE || self.kernel.is_idle_device(fd)
    }

    /// Takes `added` out of the kernel again, and puts `old` back. Its own failures have nobody to
    /// go to: the first error is what the caller gets, and what could not be put back is no longer
    /// held.
    fn undo(&mut self, fd: RawFd, added: Interest, old: Option<Registration>) {
        self.changes.delete(fd, added);
        if let Some(old) = old {
            self.changes.add(fd, &old);
        }
        if self.changes.is_empty() {
            return;
        }
        let answer = self.changes.apply(&mut self.kernel);
        if let Some(old) = self.table.get_mut(fd).filter(|_| old.is_some()) {
            old.held = answer.map_or(Interest::empty(), |answer| answer.added);
        }
    }

    fn wait(&mut self, room: usize, timeout: Option<Duration>) -> io::Result<()> {
        let (kernel, buffer) = (&mut self.kernel, &mut self.buffer);
        retry_wait(timeout, |left| kernel.kevent(&[], buffer, room, left))
    }

    /// Merges the kernel's events into one report a registration.
    fn merge(&mut self) {
        self.reports.clear();
        for at in 0..self.buffer.len() {
            let event = self.buffer[at];
            match Filter::in_event(&event) {
                None => {}
                Some(Filter::User) => self.merge_user(event.ident),
                Some(filter) => self.merge_fd(filter, &event),
            }
        }
    }

    fn merge_user(&mut self, ident: usize) {
        if let Some(&token) = self.users.get(&ident) {
            let (readiness, from) = (Readiness::READABLE, Interest::empty());
            self.reports.push(Report { fd: None, token, readiness, from });
        }
    }

    /// Adds an event to the report of its fd. An event that nobody asked for is not reported, and
    /// its filter deleted, or disabled if its registration is asleep: it would end every wait to
    /// come.
    fn merge_fd(&mut self, filter: Filter, event: &Kevent) {
        let (fd, from) = (event.ident as RawFd, filter.interest());
        let registration = self.table.get_mut(fd).filter(|one| is_wanted(one, event, from));
        let Some(registration) = registration else { return self.changes.delete(fd, from) };
        let readiness = translate(filter, event);
        match self.reports.get_mut(registration.mark).filter(|report| report.fd == Some(fd)) {
            Some(report) => {
                report.readiness |= readiness;
                report.from |= from;
            }
            None if registration.asleep => self.changes.disable(fd, from, registration.token),
            None => {
                registration.mark = self.reports.len();
                registration.asleep = registration.mode == Mode::Oneshot;
                let token = registration.token;
                self.reports.push(Report { fd: Some(fd), token, readiness, from });
            }
        }
    }

    /// Sends to sleep what was reported in [`Mode::Oneshot`]: the kernel has disabled the filters
    /// that reported, and the others are deleted. Those that stay are the proof for later that the
    /// fd was not closed.
    fn disarm(&mut self) -> io::Result<()> {
        for report in &self.reports {
            let Some(fd) = report.fd else { continue };
            if let Some(one) = self.table.get_mut(fd).filter(|one| one.asleep) {
                self.changes.delete(fd, one.held - report.from);
                one.held = report.from;
            }
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        self.changes.apply(&mut self.kernel).map(drop)
    }
}

impl<K: Kernel> Selector for Kqueue<K> {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: Mode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        let is_file = self.kernel.is_file(fd)?;
        if self.is_registered(fd)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if is_file {
            return self.always.insert(fd, token, interest, mode);
        }
        self.replace(fd, None, Registration::new(token, interest, mode))
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: Mode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        if let Some(old) = self.table.get(fd) {
            return self.replace(fd, Some(old), Registration::new(token, interest, mode));
        }
        self.kernel.is_file(fd)?;
        found(self.always.change(fd, token, interest, mode))
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(old) = self.table.get(fd) else {
            let removed = self.always.remove(fd);
            self.kernel.is_file(fd)?;
            return found(removed);
        };
        self.changes.delete(fd, old.held);
        let answer = self.changes.apply(&mut self.kernel)?;
        self.table.remove(fd);
        if answer.found { Ok(()) } else { Err(answer.gone()) }
    }

    fn drained(&mut self, fd: RawFd, interest: Interest) {
        self.always.drained(fd, interest);
    }

    fn has_edges(&self) -> bool {
        false // EV_CLEAR is an edge, but priority data and half ends are not.
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let timeout = if self.always.is_ready() { Some(Duration::ZERO) } else { timeout };
        if !self.always.is_empty() {
            self.always.report(events);
        }
        if events.room() > 0 {
            self.wait(events.room(), timeout)?;
            self.merge();
            self.disarm()?;
            for report in &self.reports {
                events.push(Event { token: report.token, readiness: settle(report.readiness) });
            }
        }
        if events.is_empty() {
            self.always.report(events); // It was the kernel's turn, and the kernel had nothing.
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.kernel.renew()?;
        self.table.clear();
        self.always.clear();
        self.users.clear();
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

fn no_priority() -> io::Error {
    let message = "this kqueue reports no priority data; poll and select do";
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// Whether the registration that holds the number asked for this event: not one that had the number
/// before.
fn is_wanted(registration: &Registration, event: &Kevent, from: Interest) -> bool {
    let udata = event.udata;
    registration.held.contains(from) && udata.addr() == kevent::udata(registration.token)
}

/// What one filter says. Its flags are about its own direction; the errno of a socket comes only
/// with the end.
fn translate(filter: Filter, event: &Kevent) -> Readiness {
    let (ready, closed) = match filter {
        Filter::Read => (Readiness::READABLE, Readiness::READ_CLOSED),
        Filter::Write => (Readiness::WRITABLE, Readiness::WRITE_CLOSED),
        Filter::Except | Filter::User => (Readiness::PRIORITY, Readiness::empty()),
    };
    let mut readiness = ready;
    if event.flags & EV_EOF != 0 {
        readiness |= closed;
        readiness.set(Readiness::ERROR, filter != Filter::Except && event.fflags != 0);
    }
    if event.flags & EV_ERROR != 0 {
        readiness |= Readiness::ERROR;
    }
    readiness
}

/// Completes a merged report: when both filters have seen their end, the fd is hung up.
fn settle(readiness: Readiness) -> Readiness {
    const ENDED: Readiness = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED);
    let hangup = if readiness.contains(ENDED) { Readiness::HANGUP } else { Readiness::empty() };
    (readiness | hangup).settle()
}
