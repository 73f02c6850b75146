//! epoll(7), as thin as it can be called.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What readers ask for; the same bits as mainspring's.
pub const READ: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32;

/// Events that fit into a wait; the same number as mainspring's.
const ROOM: usize = 1024;

/// An epoll object and its buffer. Each registration carries its own fd.
pub struct Epoll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes a flag and touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above succeeded, so `fd` is open and nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; ROOM] })
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

    /// Waits for at most `millis` (-1: until something is ready) and tells how many events there
    /// are.
    pub fn wait(&mut self, millis: i32) -> io::Result<usize> {
        let (epoll, buffer) = (self.epoll.as_raw_fd(), self.events.as_mut_ptr());
        loop {
            // SAFETY: `buffer` has room for `ROOM` events and outlives the call.
            match check(unsafe { libc::epoll_wait(epoll, buffer, ROOM as libc::c_int, millis) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => return Ok(count? as usize),
            }
        }
    }

    /// The fd of an event, and what it is ready for.
    pub fn event(&self, index: usize) -> (RawFd, u32) {
        let event = self.events[index];
        (event.u64 as RawFd, event.events)
    }
}

/// The value of a call that answers -1 for failure.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
