//! A kqueue for process exit (`EVFILT_PROC`), which any selector can watch.
//!
//! It is separate from the selector's own kqueue: poll(2) and select(2) can watch it too, and a
//! process id never meets the number of an fd in the selector's table.

use std::io;
#[cfg(has_kqueue)]
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::kernel::Kernel;
use super::kevent::{EV_ADD, EV_DELETE, EV_ERROR, EV_ONESHOT, EVFILT_PROC, Kevent, exit_change};
#[cfg(has_kqueue)]
use super::system::System;
use crate::timeout::retry_wait;

/// Number of ends that one call takes. The selector reports the rest again.
const BATCH: usize = 64;

/// Filters for the end of processes.
#[derive(Debug)]
pub(crate) struct ExitFilters<K> {
    kernel: K,
    buffer: Vec<Kevent>,
}

#[cfg(has_kqueue)]
impl ExitFilters<System> {
    pub(crate) fn new() -> io::Result<ExitFilters<System>> {
        Ok(ExitFilters::over(System::new()?))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.kernel.fd().as_fd()
    }
}

impl<K: Kernel> ExitFilters<K> {
    pub(super) fn over(kernel: K) -> ExitFilters<K> {
        ExitFilters { kernel, buffer: Vec::new() }
    }

    /// Adds the filter of a process. The kernel removes it with the event.
    ///
    /// # Errors
    ///
    /// `ESRCH` if there is no such process. Some kernels return it for a zombie.
    pub(crate) fn add(&mut self, pid: u32) -> io::Result<()> {
        self.change(exit_change(pid as usize, EV_ADD | EV_ONESHOT))
    }

    pub(crate) fn remove(&mut self, pid: u32) {
        // It fails if the event was reported, which has removed the filter.
        let _ = self.change(exit_change(pid as usize, EV_DELETE));
    }

    fn change(&mut self, change: Kevent) -> io::Result<()> {
        // Without room for events, an error of the change is that of the call.
        self.kernel.kevent(&[change], &mut self.buffer, 0, Some(Duration::ZERO))
    }

    /// Calls `end` with each process that has ended, and the status that the event has.
    pub(crate) fn drain(&mut self, mut end: impl FnMut(u32, Option<ExitStatus>)) -> io::Result<()> {
        let ExitFilters { kernel, buffer } = self;
        retry_wait(Some(Duration::ZERO), |wait| kernel.kevent(&[], buffer, BATCH, wait))?;
        for event in &*buffer {
            // Copied: the struct is packed on some systems.
            let (ident, filter, flags) = (event.ident, event.filter, event.flags);
            if filter == EVFILT_PROC && flags & EV_ERROR == 0 {
                end(ident as u32, status(event));
            }
        }
        Ok(())
    }

    pub(crate) fn after_fork(&mut self) -> io::Result<()> {
        self.kernel.renew()
    }
}

/// Returns the status in an event, in the form of wait(2).
///
/// The data has it on the BSDs; on macOS only for a child, and with another note.
fn status(event: &Kevent) -> Option<ExitStatus> {
    cfg!(has_status_in_event).then(|| ExitStatus::from_raw(event.data as libc::c_int))
}
