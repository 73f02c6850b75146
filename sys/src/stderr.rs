//! Writing to standard error without blocking the process and without SIGPIPE.
//!
//! A write to a full pipe blocks until its reader reads, and a write to a pipe without a reader
//! raises SIGPIPE. `O_NONBLOCK` would prevent the first, but it belongs to the open file, which
//! other processes share. So a socket is written with `MSG_DONTWAIT`, and poll(2) checks anything
//! else for room first. A pipe that poll(2) reports as writable has room for `PIPE_BUF` bytes
//! (pipe(7)), and no longer line is written.
//!
//! If another process fills the pipe between the two calls, the write still blocks.

use std::io;
use std::os::fd::RawFd;

use crate::fd::poll_now;
use crate::syscall::{check, retry};

/// Maximum length of a line in bytes, including the newline: `PIPE_BUF`, up to which a write to a
/// pipe is atomic.
pub const MAX_LINE: usize = if cfg!(has_page_sized_pipe_buf) { 4096 } else { 512 };

const STDERR: RawFd = libc::STDERR_FILENO;

#[cfg(has_msg_nosignal)]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(not(has_msg_nosignal))]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT;

/// Writes a line to standard error in one call, if that does not block. Bytes beyond [`MAX_LINE`]
/// are dropped.
///
/// ```no_run
/// mainspring_sys::stderr::write(b"the configuration was read again\n")?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A write to a regular file may wait for its disk, as everywhere else.
///
/// # Errors
///
/// `WouldBlock` if there is no room now; `BrokenPipe`, without SIGPIPE, if a pipe has no reader;
/// `WriteZero` if only a part was written; otherwise the errors of write(2): the disk is full, or
/// descriptor 2 is not open.
pub fn write(line: &[u8]) -> io::Result<()> {
    let line = &line[..line.len().min(MAX_LINE)];
    let written = match send(line) {
        // A socket needs no poll(2), so send(2) is tried first.
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => write_to_file(line)?,
        sent => sent?,
    };
    if written < line.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

fn send(line: &[u8]) -> io::Result<usize> {
    let (start, length) = (line.as_ptr().cast(), line.len());
    // SAFETY: `line` is readable for its whole length and outlives the call.
    let count = retry(|| check(unsafe { libc::send(STDERR, start, length, FLAGS) }))?;
    Ok(count as usize)
}

fn write_to_file(line: &[u8]) -> io::Result<usize> {
    check_room()?;
    let (start, length) = (line.as_ptr().cast(), line.len());
    // SAFETY: `line` is readable for its whole length and outlives the call.
    let count = retry(|| check(unsafe { libc::write(STDERR, start, length) }))?;
    Ok(count as usize)
}

/// Checks by poll(2), without blocking, that standard error accepts a line.
fn check_room() -> io::Result<()> {
    match poll_now(STDERR, libc::POLLOUT)? {
        // poll(2) of macOS reports POLLNVAL for devices such as terminals, which are open.
        found if found & libc::POLLNVAL != 0 => Ok(()),
        // Tested before POLLOUT, which is also set for a pipe without a reader: a write would raise
        // SIGPIPE.
        found if found & (libc::POLLERR | libc::POLLHUP) != 0 => {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        found if found & libc::POLLOUT != 0 => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}
