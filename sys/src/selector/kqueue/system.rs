//! The real kqueue(2).

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::kernel::{FileKind, Kernel};
use crate::event::{Interest, Token};
use crate::fd::{is_open, is_terminal, owned, owned_as_is, poll_now, set_cloexec, stat};
use crate::process::Process;
use crate::selector::contract::UserEvent;
use crate::selector::kqueue::kevent::NOTE_TRIGGER;
use crate::selector::kqueue::kevent::{self, Count, EV_ADD, EV_RECEIPT, Filter, Kevent};
use crate::syscall::{check, retry};
use crate::timeout::seconds_and_nanos;

/// A kqueue of the system.
///
/// Other threads trigger its user events, so they share it. It is closed when neither the selector
/// nor a trigger exists.
#[derive(Debug)]
pub struct System {
    kqueue: Arc<OwnedFd>,
    /// Process that created the kqueue. A child made by fork(2) does not inherit it, so in a child
    /// the number is free, or belongs to another file.
    process: Process,
}

impl Drop for System {
    fn drop(&mut self) {
        if !self.process.is_current() {
            mem::forget(Arc::clone(&self.kqueue)); // In a child, never closes the number.
        }
    }
}

impl System {
    pub fn new() -> io::Result<System> {
        Ok(System { kqueue: Arc::new(create()?), process: Process::current() })
    }
}

impl Kernel for System {
    fn fd(&self) -> &Arc<OwnedFd> {
        &self.kqueue
    }

    fn kevent(
        &mut self,
        changes: &[Kevent],
        events: &mut Vec<Kevent>,
        room: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let room = room.min(libc::c_int::MAX as usize);
        events.clear();
        // The kernel writes into spare capacity, so no event is initialized twice.
        events.reserve(room);
        let timeout = timeout.map(timespec);
        let until = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (requested, requested_count) = (changes.as_ptr(), changes.len() as Count);
        let (buffer, room) = (events.as_mut_ptr(), room as Count);
        let kqueue = self.kqueue.as_raw_fd();
        // SAFETY: `changes` is readable for its length, `events` has capacity for `room` events,
        // `timeout` is null or readable, and all of them outlive the call.
        let called =
            unsafe { kevent::kevent(kqueue, requested, requested_count, buffer, room, until) };
        let count = check(called)?;
        // SAFETY: the kernel has written `count` events, at most `room`.
        unsafe { events.set_len(count as usize) };
        Ok(())
    }

    fn kind(&self, fd: RawFd) -> io::Result<FileKind> {
        Ok(match file_type(fd)? {
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => FileKind::File,
            libc::S_IFCHR if !is_terminal(fd) => FileKind::Device,
            _ => FileKind::Other,
        })
    }

    fn polled(&self, fd: RawFd, requested: Interest) -> Interest {
        Filter::OF_FDS.into_iter().fold(Interest::empty(), |ready, (bit, filter)| {
            let is_ready = requested.contains(bit) && polls(fd, filter);
            if is_ready { ready | bit } else { ready }
        })
    }

    fn probed(&self, fd: RawFd, requested: Interest) -> io::Result<Interest> {
        let mut probe = System::new()?;
        let mut events = Vec::new();
        for filter in Filter::of(requested) {
            let add = kevent::change(filter, fd as usize, Token::new(0, 0), EV_ADD | EV_RECEIPT);
            probe.kevent(&[add], &mut events, 1, Some(Duration::ZERO))?;
        }
        retry(|| probe.kevent(&[], &mut events, requested.iter().count(), Some(Duration::ZERO)))?;
        let reported = events.iter().filter_map(Filter::in_event);
        Ok(reported.fold(Interest::empty(), |all, filter| all | filter.interest()))
    }

    fn has_except(&self) -> bool {
        cfg!(has_evfilt_except)
    }

    fn forgets_closed(&self) -> bool {
        !cfg!(kqueue_is_library)
    }

    fn renew(&mut self) -> io::Result<()> {
        let number = self.kqueue.as_raw_fd();
        if !self.process.is_current() && is_open(number) {
            let message =
                format!("fd {number}, the parent's kqueue, is another open file in this process");
            return Err(io::Error::other(message));
        }
        replace(&mut self.kqueue, create()?)?;
        self.process = Process::current();
        Ok(())
    }

    fn user_event(&self, ident: usize, token: Token) -> Box<dyn UserEvent> {
        Box::new(Trigger { kqueue: Arc::clone(&self.kqueue), ident, token })
    }
}

/// Triggers a user event. It keeps the kqueue open, so that the number cannot become another
/// file's.
#[derive(Debug)]
struct Trigger {
    kqueue: Arc<OwnedFd>,
    ident: usize,
    token: Token,
}

impl UserEvent for Trigger {
    fn trigger(&self) -> io::Result<()> {
        let mut change = kevent::change(Filter::User, self.ident, self.token, 0);
        change.fflags = NOTE_TRIGGER;
        let (change, none, forever) = (&raw const change, ptr::null_mut(), ptr::null());
        // SAFETY: `change` is one readable change and outlives the call; with room for zero events
        // nothing is written and the call does not wait.
        let call =
            || unsafe { kevent::kevent(self.kqueue.as_raw_fd(), change, 1, none, 0, forever) };
        retry(|| check(call())).map(drop)
    }
}

fn create() -> io::Result<OwnedFd> {
    // libkqueue finds its kqueues by number, so a duplicate above 2 would not be one.
    let own = if cfg!(kqueue_is_library) { owned_as_is } else { owned };
    // SAFETY: the call takes nothing and touches no memory of ours.
    let kqueue = own(unsafe { kevent::kqueue() })?;
    // A kqueue is not inherited by fork(2), so the race is only with an exec without a fork.
    set_cloexec(kqueue.as_fd())?;
    Ok(kqueue)
}

/// Gives `fresh` the number of `old`, which is free in a forked child.
#[cfg(not(kqueue_is_library))]
fn replace(old: &mut Arc<OwnedFd>, fresh: OwnedFd) -> io::Result<()> {
    crate::fd::replace(old.as_raw_fd(), fresh)
}

/// Replaces `old` by `fresh`. libkqueue finds its kqueues by number, so a duplicate would not be
/// one, and the number changes.
#[cfg(kqueue_is_library)]
fn replace(old: &mut Arc<OwnedFd>, fresh: OwnedFd) -> io::Result<()> {
    *old = Arc::new(fresh);
    Ok(())
}

fn timespec(wait: Duration) -> libc::timespec {
    let (seconds, nanos) = seconds_and_nanos(wait);
    // SAFETY: the struct has only integer fields, for which zero is a valid value.
    let mut timespec: libc::timespec = unsafe { mem::zeroed() };
    timespec.tv_sec = seconds as _;
    timespec.tv_nsec = nanos as _;
    timespec
}

fn file_type(fd: RawFd) -> io::Result<libc::mode_t> {
    Ok(stat(fd)?.st_mode & libc::S_IFMT)
}

/// Returns true if poll(2) reports the direction of `filter`. Each direction is polled separately:
/// `/dev/random` is ready for reading only, and hides the other direction.
fn polls(fd: RawFd, filter: Filter) -> bool {
    let events = match filter {
        Filter::Read => libc::POLLIN,
        Filter::Write => libc::POLLOUT,
        Filter::Except | Filter::User => return false,
    };
    poll_now(fd, events).is_ok_and(|found| found == events)
}
