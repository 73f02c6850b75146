//! A minimal interface to epoll(7).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Interest of readers, with the same bits as in mainspring.
pub const READ: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32;

/// Capacity of the event buffer, the same as in mainspring.
const EVENTS: usize = 1024;

/// An epoll object and its event buffer. The data of each registration is its fd.
pub struct Epoll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes a flag and accesses no memory.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above succeeded, so `fd` is open and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    pub fn add(&self, fd: RawFd, flags: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, flags)
    }

    pub fn change(&self, fd: RawFd, flags: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, flags)
    }

    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0)
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, flags: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags, u64: fd as u64 };
        let epoll = self.epoll.as_raw_fd();
        // SAFETY: `event` outlives the call, which copies it; a bad number is an error, not a
        // fault.
        check(unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits for at most `millis`, or without a limit if it is -1. Returns the number of events.
    pub fn wait(&mut self, millis: i32) -> io::Result<usize> {
        let (epoll, buffer) = (self.epoll.as_raw_fd(), self.events.as_mut_ptr());
        loop {
            // SAFETY: `buffer` has room for `EVENTS` events and outlives the call.
            match check(unsafe { libc::epoll_wait(epoll, buffer, EVENTS as libc::c_int, millis) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => return Ok(count? as usize),
            }
        }
    }

    /// Returns the fd of an event, and its flags.
    pub fn event(&self, index: usize) -> (RawFd, u32) {
        let event = self.events[index];
        (event.u64 as RawFd, event.events)
    }
}

/// Converts the result of a call that returns -1 on failure.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
