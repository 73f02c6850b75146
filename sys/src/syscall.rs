//! libc's convention, minus one and `errno`, turned into [`io::Result`] in one place.

use std::io;

/// The value of a call that answers -1 for failure.
#[inline]
pub(crate) fn check<T: Copy + PartialEq + From<i8>>(result: T) -> io::Result<T> {
    if result == T::from(-1) { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call for as long as a signal interrupts it.
///
/// Only for calls that do not wait; those that do must count the time that has passed
/// (see [`timeout`](crate::timeout)).
#[inline]
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// write(2) that does not end the thread.
///
/// The function of the C library is a cancellation point: in a thread with a pending
/// pthread_cancel(3) it unwinds, through a signal handler and what that has interrupted. The same
/// call by its number is none. Systems without a function for that have the ordinary one.
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

/// read(2) that does not end the thread, like [`write_without_cancel`].
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
