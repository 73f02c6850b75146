//! kqueue(2) itself.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::{Kernel, Kind};
use crate::event::{Interest, Token};
use crate::fd::{is_open, owned, owned_as_is};
use crate::process::Process;
use crate::selector::UserEvent;
use crate::selector::kqueue::kevent::NOTE_TRIGGER;
use crate::selector::kqueue::kevent::{self, Count, EV_ADD, EV_RECEIPT, Filter, Kevent};
use crate::syscall::{check, retry};
use crate::timeout::seconds_and_nanos;

/// A kqueue of the system.
///
/// Other threads trigger its user events, so they share it: it is closed when nobody can call on it
/// any more.
#[derive(Debug)]
pub struct System {
    kqueue: Arc<OwnedFd>,
    /// The process that has the kqueue: a child made by fork(2) does not inherit it, so there the
    /// number is free, or another file's.
    process: Process,
}

impl Drop for System {
    fn drop(&mut self) {
        if !self.process.is_current() {
            mem::forget(Arc::clone(&self.kqueue)); // Never closes the number.
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
        events.reserve(room);
        let timeout = timeout.map(timespec);
        let until = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (asked, asked_count) = (changes.as_ptr(), changes.len() as Count);
        let (buffer, room) = (events.as_mut_ptr(), room as Count);
        let kqueue = self.kqueue.as_raw_fd();
        // SAFETY: `changes` is readable for its length, `events` has capacity for `room` events,
        // `timeout` is null or readable, and all of them outlive the call.
        let called = unsafe { kevent::kevent(kqueue, asked, asked_count, buffer, room, until) };
        let count = check(called)?;
        // SAFETY: the kernel has filled `count` events, and no more than there is room for.
        unsafe { events.set_len(count as usize) };
        Ok(())
    }

    fn kind(&self, fd: RawFd) -> io::Result<Kind> {
        Ok(match file_type(fd)? {
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => Kind::File,
            libc::S_IFCHR if !is_terminal(fd) => Kind::Device,
            _ => Kind::Other,
        })
    }

    fn polled(&self, fd: RawFd, asked: Interest) -> Interest {
        Filter::OF_FDS.into_iter().fold(Interest::empty(), |ready, (bit, filter)| {
            let is_ready = asked.contains(bit) && polls(fd, filter);
            if is_ready { ready | bit } else { ready }
        })
    }

    fn probed(&self, fd: RawFd, asked: Interest) -> io::Result<Interest> {
        let mut probe = System::new()?;
        let mut events = Vec::new();
        for filter in Filter::of(asked) {
            let add = kevent::change(filter, fd as usize, Token::new(0, 0), EV_ADD | EV_RECEIPT);
            probe.kevent(&[add], &mut events, 1, Some(Duration::ZERO))?;
        }
        retry(|| probe.kevent(&[], &mut events, asked.iter().count(), Some(Duration::ZERO)))?;
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
                format!("fd {number}, the kqueue's in the parent process, is in use here");
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

/// What triggers a user event. It keeps the kqueue open, so the number cannot become another file's
/// in between.
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
        // SAFETY: `change` is one readable change and outlives the call; with no room for events
        // nothing is written, and nobody waits.
        let call =
            || unsafe { kevent::kevent(self.kqueue.as_raw_fd(), change, 1, none, 0, forever) };
        retry(|| check(call())).map(drop)
    }
}

fn create() -> io::Result<OwnedFd> {
    // The library knows its kqueues by number, so a duplicate above 2 would be none.
    let own = if cfg!(kqueue_is_library) { owned_as_is } else { owned };
    // SAFETY: the call takes nothing and touches no memory of ours.
    let kqueue = own(unsafe { kevent::kqueue() })?;
    close_on_exec(kqueue.as_fd())?;
    Ok(kqueue)
}

/// A kqueue is not inherited by fork(2), so only an exec without a fork could come in between here.
fn close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Puts `fresh` under the number of `old`.
#[cfg(not(kqueue_is_library))]
fn replace(old: &mut Arc<OwnedFd>, fresh: OwnedFd) -> io::Result<()> {
    use std::os::fd::IntoRawFd;

    // The child of a fork has no kqueue, so the number was free there and may be what the new one
    // just got. Then nothing is left to do but to hand over the ownership.
    if fresh.as_raw_fd() == old.as_raw_fd() {
        let _ = fresh.into_raw_fd();
        return Ok(());
    }
    // SAFETY: `fresh` is open; the number is the old kqueue's, which is closed by the call if it is
    // open.
    check(unsafe { libc::dup2(fresh.as_raw_fd(), old.as_raw_fd()) })?;
    close_on_exec(old.as_fd())
}

/// Puts `fresh` in the place of `old`. The library knows its kqueues by number, so a duplicate is
/// none: the number changes.
#[cfg(kqueue_is_library)]
fn replace(old: &mut Arc<OwnedFd>, fresh: OwnedFd) -> io::Result<()> {
    *old = Arc::new(fresh);
    Ok(())
}

fn timespec(wait: Duration) -> libc::timespec {
    let (seconds, nanos) = seconds_and_nanos(wait);
    // SAFETY: the struct is made of integers, and zero is a value of all of them.
    let mut timespec: libc::timespec = unsafe { mem::zeroed() };
    timespec.tv_sec = seconds as _;
    timespec.tv_nsec = nanos as _;
    timespec
}

fn file_type(fd: RawFd) -> io::Result<libc::mode_t> {
    // SAFETY: the struct is made of integers, and zero is a value of all of them.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `stat` is writable and outlives the call; a bad number is an error, not a fault.
    check(unsafe { libc::fstat(fd, &raw mut stat) })?;
    Ok(stat.st_mode & libc::S_IFMT)
}

fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: the call takes a number and touches no memory of ours.
    unsafe { libc::isatty(fd) == 1 }
}

/// Returns true if poll(2) reports the direction of `filter`. Each direction is a question of its
/// own: `/dev/random` is ready for reading only.
fn polls(fd: RawFd, filter: Filter) -> bool {
    let events = match filter {
        Filter::Read => libc::POLLIN,
        Filter::Write => libc::POLLOUT,
        Filter::Except | Filter::User => return false,
    };
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: `polled` is one entry, writable, and outlives the call, which does not wait.
    let count = retry(|| check(unsafe { libc::poll(&raw mut polled, 1, 0) }));
    count.is_ok() && polled.revents == events
}
