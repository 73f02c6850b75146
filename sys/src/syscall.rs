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
