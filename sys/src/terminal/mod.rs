//! Terminals: raw mode that ends with the process, window size, reads that never stop a background
//! job.
//!
//! # Job control
//!
//! The kernel stops a background process that reads from its terminal (SIGTTIN) or changes it
//! (SIGTTOU, termios(3)). An event loop has other work, so here both are an error that names the
//! reason, and the process continues.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::fd;
use crate::signal::{mask, raw_modes};
use crate::syscall::check;

mod attributes;
mod raw_mode;

use self::attributes::in_background;
pub use self::raw_mode::RawMode;

/// Size of a terminal's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowSize {
    /// Number of lines; 0 if the terminal has no size.
    pub rows: u16,
    /// Number of characters per line; 0 if the terminal has no size.
    pub columns: u16,
}

/// Returns a duplicate of standard input, close-on-exec. It shares the open file with descriptor 0,
/// and so its flags.
///
/// # Errors
///
/// `EBADF` if descriptor 0 is closed.
pub fn standard_input() -> io::Result<OwnedFd> {
    fd::duplicate(io::stdin().as_fd())
}

/// Returns the size of the window (`TIOCGWINSZ` of tty_ioctl(4)).
///
/// # Errors
///
/// `ENOTTY` if `terminal` is not a terminal.
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<WindowSize> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the request writes one `winsize`, for which there is room.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) })?;
    // SAFETY: all fields are integers, and the call has set them.
    let size = unsafe { size.assume_init() };
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Returns true if the terminal controls this process, and another process group is in the
/// foreground.
pub fn is_background(terminal: BorrowedFd<'_>) -> bool {
    raw_modes::is_background(terminal.as_raw_fd())
}

/// Reads from a terminal. A background process gets an error and is not stopped.
///
/// # Errors
///
/// `PermissionDenied` in the background; the errors of read(2).
pub fn read(terminal: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = terminal.as_raw_fd();
    if raw_modes::is_background(fd) {
        return Err(in_background());
    }
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `buffer` is writable for its whole length and outlives the call.
    let read = || check(unsafe { libc::read(fd, start, length) });
    let count = mask::with_blocked(libc::SIGTTIN, |_| read()).map_err(|error| {
        // The process has moved to the background after the check.
        let is_refused = error.raw_os_error() == Some(libc::EIO) && raw_modes::is_background(fd);
        if is_refused { in_background() } else { error }
    })?;
    Ok(count as usize)
}
