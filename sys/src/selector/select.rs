//! select(2): each call passes sets of fd numbers to the kernel, which leaves the ready ones in
//! them.
//!
//! select(2) accepts only numbers below `FD_SETSIZE`, and reports that an fd is ready but not why.
//! poll(2) is called afterwards to find out what the ready fds are ready for. On the other hand,
//! select(2) watches devices that poll(2) refuses on some systems.
//!
//! Every fd is also put into the read set, because select(2) reports hang-ups only there. If it
//! turns out to have data only, it leaves the read set and the wait continues.
//!
//! Edge mode works as in [`poll`], with one more limit: an end behind reported but unread data is
//! not seen until something else ends the wait.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::contract::{Selector, UserEvent};
use super::errors::{check_interest, no_user_events};
use super::kind::{SelectorKind, list};
use super::poll::{self, EdgeProbe, interrupted, pollfd_for, wait_once};
use super::registrations::{Entry, Ready, Registrations};
use crate::event::{Events, Interest, Readiness, Token, TriggerMode};
use crate::fd::{FileId, is_open};
use crate::syscall::{check, retry};
use crate::timeout::{self, retry_wait};

/// A selector over pselect(2), which is select(2) with nanosecond timeouts.
#[derive(Debug, Default)]
pub struct Select {
    table: Registrations,
    candidates: Vec<Ready>,
    polled: Vec<libc::pollfd>,
    ready: Vec<Ready>,
    probe: EdgeProbe,
}

impl Select {
    /// Creates a selector. It needs no kernel objects.
    pub fn new() -> Select {
        Select::default()
    }

    /// Waits until an fd is ready, and finds out for what. If nothing of the interest is ready, the
    /// wait continues with the time that is left.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut data_only = FdSet::new();
        retry_wait(timeout, |left| {
            self.probe.run(&mut self.table)?;
            let mut sets = Sets::of(self.table.entries(), &data_only);
            let answer = sets.wait(left);
            self.interpret(answer, &sets, &mut data_only)
        })
    }

    /// Turns the result of select(2) into the list of ready entries. If nothing is ready after all,
    /// the error `Interrupted` makes the caller wait again.
    fn interpret(
        &mut self,
        answer: io::Result<libc::c_int>,
        sets: &Sets,
        data_only: &mut FdSet,
    ) -> io::Result<()> {
        match answer {
            Ok(0) => {
                self.ready.clear();
                return Ok(());
            }
            Ok(_) => self.poll_candidates(sets, data_only)?,
            // A closed fd makes every later wait fail, so it must be found and disarmed.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => self.find_closed(),
            Err(error) => return Err(error),
        }
        if self.ready.is_empty() { Err(interrupted()) } else { Ok(()) }
    }

    fn poll_candidates(&mut self, sets: &Sets, data_only: &mut FdSet) -> io::Result<()> {
        self.candidates.clear();
        self.polled.clear();
        for (at, entry) in self.table.entries().iter().enumerate() {
            if let Some(readiness) = sets.ready_directions(entry) {
                self.candidates.push(Ready { at, readiness });
                self.polled.push(pollfd_for(entry));
            }
        }
        retry(|| wait_once(&mut self.polled, Some(Duration::ZERO)))?;
        self.ready.clear();
        for (candidate, polled) in self.candidates.iter().zip(&self.polled) {
            let entry = &self.table.entries()[candidate.at];
            let readiness = entry.unreported(combine(candidate.readiness, polled.revents));
            match readiness.is_empty() {
                true => data_only.insert(polled.fd),
                false => self.ready.push(Ready { at: candidate.at, readiness }),
            }
        }
        Ok(())
    }

    /// Finds the closed fds: select(2) only reports that there is one.
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
        check_size(fd)?;
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
        let found = self.table.check_registered(fd);
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
        self.table.keep_least_recent(&mut self.ready, events.room());
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

/// Refuses an fd that does not fit into a set. An fd that is not open is `EBADF`, like any other.
fn check_size(fd: RawFd) -> io::Result<()> {
    let limit = libc::FD_SETSIZE as RawFd;
    if fd < limit {
        return Ok(());
    }
    FileId::of(fd)?;
    let kinds = SelectorKind::available().iter().copied();
    let others: Vec<_> = kinds.filter(|kind| *kind != SelectorKind::Select).collect();
    let message = format!(
        "select cannot watch fd {fd}: the number must be below {limit}; other selectors: {}",
        list(&others)
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Combines the results of select(2) and poll(2). If poll(2) reports nothing or refuses the file,
/// the result of select(2) counts.
fn combine(selected: Readiness, revents: libc::c_short) -> Readiness {
    let polled = poll::readiness_of(revents);
    if polled.is_empty() || polled.contains(Readiness::INVALID) { selected } else { polled }
}

/// Sets for one select(2): first the request, then the result.
struct Sets {
    count: libc::c_int,
    readable: FdSet,
    writable: FdSet,
    priority: FdSet,
}

impl Sets {
    fn of(entries: &[Entry], data_only: &FdSet) -> Sets {
        let (readable, writable, priority) = (FdSet::new(), FdSet::new(), FdSet::new());
        let mut sets = Sets { count: 0, readable, writable, priority };
        for entry in entries.iter().filter(|entry| !entry.is_asleep()) {
            let requested = entry.kernel_interest();
            sets.count = sets.count.max(entry.fd + 1);
            // In the read set for hang-ups as well, unless that only found data.
            if requested.contains(Interest::READABLE) || !data_only.contains(entry.fd) {
                sets.readable.insert(entry.fd);
            }
            if requested.contains(Interest::WRITABLE) {
                sets.writable.insert(entry.fd);
            }
            if requested.contains(Interest::PRIORITY) {
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
        // SAFETY: the sets are writable and contain no number from `count` on, `timeout` is null or
        // readable, and all of them outlive the call.
        check(unsafe { libc::pselect(self.count, readable, writable, priority, limit, no_mask) })
    }

    /// Returns the requested directions in which the entry is ready. `None` if it is in no set.
    fn ready_directions(&self, entry: &Entry) -> Option<Readiness> {
        let sets = [
            (&self.readable, Readiness::READABLE),
            (&self.writable, Readiness::WRITABLE),
            (&self.priority, Readiness::PRIORITY),
        ];
        let found = sets.iter().filter(|(set, _)| set.contains(entry.fd));
        let found = found.fold(Readiness::empty(), |all, (_, readiness)| all | *readiness);
        let requested = Readiness::from(entry.kernel_interest());
        (!entry.is_asleep() && !found.is_empty()).then_some(found & requested)
    }
}

/// A set of numbers below `FD_SETSIZE`; `register` accepts no others.
struct FdSet(libc::fd_set);

impl FdSet {
    fn new() -> FdSet {
        let set = MaybeUninit::<libc::fd_set>::zeroed();
        // SAFETY: an `fd_set` has only integer fields, for which zero is a valid value.
        FdSet(unsafe { set.assume_init() })
    }

    fn insert(&mut self, fd: RawFd) {
        // SAFETY: the set is writable, and `register` checked that `fd` is below `FD_SETSIZE`.
        unsafe { libc::FD_SET(fd, &raw mut self.0) };
    }

    fn contains(&self, fd: RawFd) -> bool {
        // SAFETY: the set is readable, and `register` checked that `fd` is below `FD_SETSIZE`.
        unsafe { libc::FD_ISSET(fd, &raw const self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only `EBADF` concerns a single registration. Any other error is returned, so that the loop
    /// does not continue as if nothing had happened.
    #[test]
    fn w7_an_error_of_the_wait_is_returned() {
        let mut select = Select::new();
        for errno in [libc::ENOMEM, libc::EINVAL, libc::EPERM] {
            let sets = Sets::of(&[], &FdSet::new());
            let answer = Err(io::Error::from_raw_os_error(errno));
            let error = select.interpret(answer, &sets, &mut FdSet::new()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno));
        }
        let nothing = select.interpret(Ok(0), &Sets::of(&[], &FdSet::new()), &mut FdSet::new());
        assert!(nothing.is_ok());
    }
}
