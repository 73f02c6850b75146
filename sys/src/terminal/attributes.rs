//! The attributes of a terminal, and calls on it that do not stop a background process.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use crate::signal::raw_modes;
use crate::syscall::{check, retry};

pub(super) fn in_background() -> io::Error {
    let message = "the process is in the background of its terminal";
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

/// Returns the attributes of a terminal.
pub(super) fn attributes(fd: RawFd) -> io::Result<libc::termios> {
    let mut attributes = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: there is room for the result.
    check(unsafe { libc::tcgetattr(fd, attributes.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has set all fields.
    Ok(unsafe { attributes.assume_init() })
}

/// Sets the attributes of a terminal at once. In the background it is an error.
pub(super) fn set_attributes(fd: RawFd, attributes: &libc::termios) -> io::Result<()> {
    if raw_modes::is_background(fd) {
        return Err(in_background());
    }
    // SAFETY: the attributes are whole and outlive the call.
    let set = || retry(|| check(unsafe { libc::tcsetattr(fd, libc::TCSANOW, attributes) }));
    with_blocked(libc::SIGTTOU, set).map(drop)
}

/// Runs `call` while this thread blocks a signal of job control, which then does not stop the
/// process.
pub(super) fn with_blocked<T>(signal: libc::c_int, call: impl FnOnce() -> T) -> T {
    let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set has room for the call's result.
    unsafe { libc::sigemptyset(blocked.as_mut_ptr()) };
    // SAFETY: the set was initialized by the call before.
    unsafe { libc::sigaddset(blocked.as_mut_ptr(), signal) };
    let (block, old) = (blocked.as_ptr(), before.as_mut_ptr());
    // SAFETY: both sets are whole. The call fails only for an unknown operation.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, block, old) };
    let result = call();
    // SAFETY: the first call has set the mask.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old, ptr::null_mut()) };
    result
}
