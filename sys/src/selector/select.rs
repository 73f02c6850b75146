//! select(2): the kernel is shown sets of numbers in each call, and leaves in them what is ready.
//!
//! It knows only numbers below `FD_SETSIZE`, and says that an fd is ready but not why. So it is
//! asked who is ready, and poll(2) is asked what those are ready for. In turn it watches devices
//! that poll(2) refuses on some systems.
//!
//! Who asks only for writing or priority is looked at for reading too, because the kernel tells of
//! a hang-up nowhere else. If there is nothing but data, the wait goes on without that.
//!
//! Edges are those of [`poll`], with one more blind spot: an end behind data that was
//! reported and is not read is seen when something else ends the wait.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::poll::{self, Look, interrupted, question, wait_once};
use super::registrations::{Entry, Ready, Table};
use super::{Selector, SelectorKind, UserEvent, check_interest, list, no_user_events};
use crate::event::{Events, Interest, Readiness, Token, TriggerMode};
use crate::fd::is_open;
use crate::syscall::{check, retry};
use crate::timeout::{self, retry_wait};

/// A selector over select(2), as pselect(2) with its nanoseconds.
#[derive(Debug, Default)]
pub struct Select {
    table: Table,
    said: Vec<Ready>,
    polled: Vec<libc::pollfd>,
    ready: Vec<Ready>,
    look: Look,
}

impl Select {
    /// A selector that needs nothing of the kernel until it waits.
    pub fn new() -> Select {
        Select::default()
    }

    /// Waits until someone is ready, and finds out for what. A false alarm counts as an
    /// interruption: the wait goes on with the time that is left.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut quiet = FdSet::new();
        retry_wait(timeout, |left| {
            self.look.look(&mut self.table)?;
            let mut sets = Sets::of(self.table.entries(), &quiet);
            let answer = sets.wait(left);
            self.take(answer, &sets, &mut quiet)
        })
    }

    /// Finds out what an answer of select(2) means. An answer without anything ready counts as an
    /// interruption.
    fn take(
        &mut self,
        answer: io::Result<libc::c_int>,
        sets: &Sets,
        quiet: &mut FdSet,
    ) -> io::Result<()> {
        match answer {
            Ok(0) => {
                self.ready.clear();
                return Ok(());
            }
            Ok(_) => self.ask_what(sets, quiet)?,
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => self.find_closed(),
            Err(error) => return Err(error),
        }
        if self.ready.is_empty() { Err(interrupted()) } else { Ok(()) }
    }

    fn ask_what(&mut self, sets: &Sets, quiet: &mut FdSet) -> io::Result<()> {
        self.said.clear();
        self.polled.clear();
        for (at, entry) in self.table.entries().iter().enumerate() {
            if let Some(readiness) = sets.said(entry) {
                self.said.push(Ready { at, readiness });
                self.polled.push(question(entry));
            }
        }
        retry(|| wait_once(&mut self.polled, Some(Duration::ZERO)))?;
        self.ready.clear();
        for (said, polled) in self.said.iter().zip(&self.polled) {
            let entry = &self.table.entries()[said.at];
            let readiness = entry.news(settle(said.readiness, polled.revents));
            match readiness.is_empty() {
                true => quiet.insert(polled.fd),
                false => self.ready.push(Ready { at: said.at, readiness }),
            }
        }
        Ok(())
    }

    /// select(2) only says that someone's fd was closed.
    fn find_closed(&mut self) {
        let armed = |entry: &Entry| !entry.armed.is_empty();
        let entries = self.table.entries().iter().enumerate();
        let closed = entries.filter(|(_, entry)| armed(entry) && !is_open(entry.fd));
        self.ready.clear();
        self.ready.extend(closed.map(|(at, _)| Ready { at, readiness: Readiness::INVALID }));
    }
}

impl Selector for Select {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        if let Err(error) = check_size(fd)
            && is_open(fd)
        {
            return Err(error);
        }
        self.table.insert(fd, token, interest, mode).map(drop)
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        self.table.change(fd, token, interest, mode).map(drop)
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let found = self.table.check(fd);
        self.table.remove(fd);
        found
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.table.clear_readiness(fd, interest);
    }

    fn has_edges(&self) -> bool {
        false
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        self.wait(timeout)?;
        self.table.take_turns(&mut self.ready, events.room());
        self.table.report(&self.ready, events);
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.table.clear();
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

/// The error of an fd that has no place in a set.
fn check_size(fd: RawFd) -> io::Result<()> {
    let limit = libc::FD_SETSIZE as RawFd;
    if fd < limit {
        return Ok(());
    }
    let kinds = SelectorKind::available().iter().copied();
    let others: Vec<_> = kinds.filter(|kind| *kind != SelectorKind::Select).collect();
    let message = format!(
        "select cannot watch fd {fd}, only those below {limit}; use another selector: {}",
        list(&others)
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// What select(2) and poll(2) say together. Where poll(2) knows nothing or refuses the file,
/// select(2) is believed.
fn settle(said: Readiness, revents: libc::c_short) -> Readiness {
    let more = poll::said(revents);
    if more.is_empty() || more.contains(Readiness::INVALID) { said } else { more }
}

/// What select(2) is to be asked, and then what it answered.
struct Sets {
    count: libc::c_int,
    readable: FdSet,
    writable: FdSet,
    priority: FdSet,
}

impl Sets {
    fn of(entries: &[Entry], quiet: &FdSet) -> Sets {
        let (readable, writable, priority) = (FdSet::new(), FdSet::new(), FdSet::new());
        let mut sets = Sets { count: 0, readable, writable, priority };
        for entry in entries.iter().filter(|entry| !entry.sleeps()) {
            let asked = entry.asked();
            sets.count = sets.count.max(entry.fd + 1);
            if asked.contains(Interest::READABLE) || !quiet.contains(entry.fd) {
                sets.readable.insert(entry.fd);
            }
            if asked.contains(Interest::WRITABLE) {
                sets.writable.insert(entry.fd);
            }
            if asked.contains(Interest::PRIORITY) {
                sets.priority.insert(entry.fd);
            }
        }
        sets
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<libc::c_int> {
        let timeout = timeout.map(timeout::timespec);
        let readable = &raw mut self.readable.0;
        let (writable, priority) = (&raw mut self.writable.0, &raw mut self.priority.0);
        let (limit, no_mask) = (timeout::pointer(&timeout), ptr::null());
        // SAFETY: the sets are writable and hold no number from `count` on, and `timeout` is null
        // or readable; all of them outlive the call.
        check(unsafe { libc::pselect(self.count, readable, writable, priority, limit, no_mask) })
    }

    /// The asked-for directions in which the entry was found ready; None if it was not found in any
    /// set.
    fn said(&self, entry: &Entry) -> Option<Readiness> {
        let sets = [
            (&self.readable, Readiness::READABLE),
            (&self.writable, Readiness::WRITABLE),
            (&self.priority, Readiness::PRIORITY),
        ];
        let found = sets.iter().filter(|(set, _)| set.contains(entry.fd));
        let found = found.fold(Readiness::empty(), |all, (_, readiness)| all | *readiness);
        let asked = Readiness::from(entry.asked());
        (!entry.sleeps() && !found.is_empty()).then_some(found & asked)
    }
}

/// Numbers below `FD_SETSIZE`, which every registered fd is.
struct FdSet(libc::fd_set);

impl FdSet {
    fn new() -> FdSet {
        let set = MaybeUninit::<libc::fd_set>::zeroed();
        // SAFETY: an `fd_set` is integers only, for which zero is a value.
        FdSet(unsafe { set.assume_init() })
    }

    fn insert(&mut self, fd: RawFd) {
        // SAFETY: the set is writable, and `fd` was found to be below `FD_SETSIZE` when it was
        // registered.
        unsafe { libc::FD_SET(fd, &raw mut self.0) };
    }

    fn contains(&self, fd: RawFd) -> bool {
        // SAFETY: the set is readable, and `fd` was found to be below `FD_SETSIZE` when it was
        // registered.
        unsafe { libc::FD_ISSET(fd, &raw const self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only `EBADF` is about a registration. Any other error is the caller's, and the loop does not
    /// go on as if nothing had happened.
    #[test]
    fn w7_an_error_of_the_wait_is_returned() {
        let mut select = Select::new();
        for errno in [libc::ENOMEM, libc::EINVAL, libc::EPERM] {
            let sets = Sets::of(&[], &FdSet::new());
            let answer = Err(io::Error::from_raw_os_error(errno));
            let error = select.take(answer, &sets, &mut FdSet::new()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno));
        }
        let nothing = select.take(Ok(0), &Sets::of(&[], &FdSet::new()), &mut FdSet::new());
        assert!(nothing.is_ok());
    }
}
