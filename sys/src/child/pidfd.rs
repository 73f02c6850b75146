//! pidfds: descriptors of processes (pidfd_open(2), pidfd_send_signal(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::wait::{Outcome, wait_pidfd};
use crate::fd::owned;
use crate::signal::Signal;
use crate::syscall::check;

/// Returns true if the kernel has all three calls, and no sandbox forbids them.
pub(super) fn is_supported() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    // Not a lock: a child that is forked while another thread holds it would wait forever. Two
    // checks at the same time have the same result.
    static SUPPORTED: AtomicU8 = AtomicU8::new(UNKNOWN);
    match SUPPORTED.load(Relaxed) {
        UNKNOWN => {
            let has_calls = has_calls();
            SUPPORTED.store(if has_calls { YES } else { NO }, Relaxed);
            has_calls
        }
        known => known == YES,
    }
}

fn has_calls() -> bool {
    match open(process::id() as libc::pid_t) {
        // Signal 0 only checks. A process is not its own child, so the wait finds none.
        Ok(own) => {
            send(own.as_fd(), 0).is_ok()
                && matches!(wait_pidfd(own.as_fd(), true), Ok(Outcome::NotOurs))
        }
        // ENOSYS, or EPERM of a sandbox. Without descriptors the kernel may well have the call.
        Err(error) => matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)),
    }
}

/// Opens a descriptor of the process `pid`, close-on-exec.
pub(super) fn open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int)
}

/// Sends a signal to the process, never to another one that reuses its pid.
pub(super) fn signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    send(pidfd, signal.raw())
}

fn send(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    let info = ptr::null::<libc::siginfo_t>();
    let pidfd = pidfd.as_raw_fd();
    // SAFETY: a null pointer is allowed and means the same information as of kill(2).
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, 0) };
    check(sent).map(drop)
}
