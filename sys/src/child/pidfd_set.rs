//! A set of pidfds behind one descriptor: a separate epoll(7) instance.
//!
//! It costs a selector one more descriptor, instead of one for each process. This helps most with
//! select(2), which cannot watch high numbers, and with poll(2), which reads all of them in each
//! call.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::notice::ExitNotice;
use super::watched_process::WatchedProcess;
use crate::fd;
use crate::process::Process;
use crate::syscall::{check, retry};

/// Number of ends that one call takes. The selector reports the rest again.
const BATCH: usize = 64;

#[derive(Debug)]
pub(super) struct PidfdSet {
    epoll: OwnedFd,
    /// Process that the registrations belong to. A forked child shares the kernel object.
    process: Process,
}

impl PidfdSet {
    pub(super) fn new() -> io::Result<PidfdSet> {
        Ok(PidfdSet { epoll: create()?, process: Process::current() })
    }

    /// Adds a process. Returns false if it has no pidfd, and cannot get one now, and in a forked
    /// child.
    pub(super) fn add(&mut self, process: &WatchedProcess) -> io::Result<bool> {
        // The kernel object of a forked child is its parent's until `after_fork`.
        if !self.process.is_current() || process.pidfd().is_none() && process.open_pidfd().is_err()
        {
            return Ok(false);
        }
        let Some(pidfd) = process.pidfd() else { return Ok(false) };
        let mut event =
            libc::epoll_event { events: libc::EPOLLIN as u32, u64: u64::from(process.id()) };
        let (epoll, pidfd) = (self.epoll.as_raw_fd(), pidfd.as_raw_fd());
        // SAFETY: `event` is readable and outlives the call.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, pidfd, &raw mut event) })?;
        Ok(true)
    }

    pub(super) fn remove(&mut self, process: &WatchedProcess) {
        let Some(pidfd) = process.pidfd() else { return };
        if self.process.is_current() {
            let (epoll, pidfd) = (self.epoll.as_raw_fd(), pidfd.as_raw_fd());
            // It fails only if the pidfd was not added.
            // SAFETY: the call needs no event to delete one.
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, pidfd, ptr::null_mut()) };
        }
    }

    pub(super) fn drain(&mut self, notices: &mut Vec<ExitNotice>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let (epoll, buffer) = (self.epoll.as_raw_fd(), events.as_mut_ptr());
        // SAFETY: `events` has room for `BATCH` entries and outlives the call, which does not wait.
        let wait = || check(unsafe { libc::epoll_wait(epoll, buffer, BATCH as libc::c_int, 0) });
        let count = retry(wait)? as usize;
        let pids = events[..count].iter().map(|event| event.u64 as u32);
        notices.extend(pids.map(|pid| ExitNotice { pid, status: None }));
        Ok(())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(super) fn after_fork(&mut self) -> io::Result<()> {
        fd::replace(self.epoll.as_raw_fd(), create()?)?;
        self.process = Process::current();
        Ok(())
    }
}

fn create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a flag and touches no memory of ours.
    fd::owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}
