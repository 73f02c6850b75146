//! The attributes of a terminal, and calls on it that do not stop a background process.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use crate::signal::{mask, raw_modes};
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
    // The process may move to the background after the check; the signal would stop it there.
    mask::with_blocked(libc::SIGTTOU, |_| set()).map(drop)
}
