//! Standard error for a process that must not stop, or fail, because of its log.
//!
//! A write to a full pipe waits for its reader, and a write to a pipe without a reader raises
//! SIGPIPE. The flag that would prevent the wait, `O_NONBLOCK`, belongs to the open file, which other
//! processes share. So a socket is sent to with `MSG_DONTWAIT`, and anything else is asked first, by
//! poll(2), whether it takes a line now. A pipe that poll(2) calls writable has room for
//! `PIPE_BUF` bytes (pipe(7)), which is the longest line that is written.
//!
//! Another process that fills the pipe between the two calls can still make the write wait.

use std::io;
use std::os::fd::RawFd;

use crate::syscall::{check, retry};

/// Longest line in bytes, with its end: `PIPE_BUF`, up to which a write to a pipe is all or nothing.
pub const LINE: usize = if cfg!(has_page_sized_pipe_buf) { 4096 } else { 512 };

const STDERR: RawFd = libc::STDERR_FILENO;

#[cfg(has_msg_nosignal)]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(not(has_msg_nosignal))]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT;

/// Writes a line to standard error in one call, if that takes it without waiting. Bytes beyond
/// [`LINE`] are left out.
///
/// A regular file is written like everywhere else, at the speed of its disk.
///
/// # Errors
///
/// `WouldBlock` if there is no room now; `BrokenPipe` without SIGPIPE if a pipe has no reader;
/// `WriteZero` if only a part was taken; else like write(2): the disk is full, or nothing is open as
/// descriptor 2.
pub fn write(line: &[u8]) -> io::Result<()> {
    let line = &line[..line.len().min(LINE)];
    let written = match send(line) {
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

/// Asks poll(2), without waiting, for room.
fn check_room() -> io::Result<()> {
    let mut asked = libc::pollfd { fd: STDERR, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `asked` is the one element that the call reads and writes, and outlives the call.
    retry(|| check(unsafe { libc::poll(&raw mut asked, 1, 0) }))?;
    match asked.revents {
        // One system (macOS) refuses devices such as terminals with the mark for a closed fd.
        mark if mark & libc::POLLNVAL != 0 => Ok(()),
        mark if mark & (libc::POLLERR | libc::POLLHUP) != 0 => {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        mark if mark & libc::POLLOUT != 0 => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}
