//! Conversion of libc's convention, -1 and `errno`, into [`io::Result`].

use std::io;

/// Returns the result of a call, or the error in `errno` if the result is -1.
#[inline]
pub(crate) fn check<T: Copy + PartialEq + From<i8>>(result: T) -> io::Result<T> {
    if result == T::from(-1) { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call as long as a signal interrupts it.
///
/// Only for calls that do not wait, or wait without a limit. A call with a timeout must subtract
/// the time that has passed (see [`timeout`](crate::timeout)).
#[inline]
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match call() {
        Ok(value) => Ok(value),
        Err(error) => retry_interrupted(error, call),
    }
}

/// Repeats a call after its first error, out of line: most calls succeed.
#[cold]
fn retry_interrupted<T>(
    mut error: io::Error,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    while error.kind() == io::ErrorKind::Interrupted {
        match call() {
            Ok(value) => return Ok(value),
            Err(another) => error = another,
        }
    }
    Err(error)
}

/// Calls write(2), but not as a cancellation point.
///
/// write(3) of the C library is a cancellation point: in a thread with a pending pthread_cancel(3)
/// it unwinds the stack, through a signal handler and the code that it interrupted. The same call
/// by syscall(2) is not. Systems without syscall(2) use the ordinary function.
///
/// # Safety
///
/// `fd` is open, and the caller may write to it.
pub(crate) unsafe fn write_without_cancel(fd: libc::c_int, bytes: &[u8]) -> isize {
    let (start, length) = (bytes.as_ptr(), bytes.len());
    #[cfg(has_numbered_syscalls)]
    // SAFETY: `bytes` is readable for its whole length and outlives the call.
    let count = unsafe { libc::syscall(libc::SYS_write, fd, start, length) as isize };
    #[cfg(not(has_numbered_syscalls))]
    // SAFETY: as above.
    let count = unsafe { libc::write(fd, start.cast(), length) };
    count
}

/// Calls read(2), but not as a cancellation point, like [`write_without_cancel`].
///
/// # Safety
///
/// `fd` is open, and the caller may read from it.
pub(crate) unsafe fn read_without_cancel(fd: libc::c_int, bytes: &mut [u8]) -> isize {
    let (start, length) = (bytes.as_mut_ptr(), bytes.len());
    #[cfg(has_numbered_syscalls)]
    // SAFETY: `bytes` is writable for its whole length and outlives the call.
    let count = unsafe { libc::syscall(libc::SYS_read, fd, start, length) as isize };
    #[cfg(not(has_numbered_syscalls))]
    // SAFETY: as above.
    let count = unsafe { libc::read(fd, start.cast(), length) };
    count
}
