//! Timeouts in the kernel's units: rounded up, capped, and recomputed after a signal.
//!
//! If a timeout were rounded down, the wait would end before its deadline, and the loop would spin
//! until the deadline. Uncapped, it would overflow the kernel's type. Repeated in full after each
//! signal, a wait would never end under frequent signals.

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use crate::syscall::retry;

/// Maximum of a single wait: one day. Every kernel's type holds a day, and waking up once a day
/// costs nothing.
pub const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns `timeout` in whole milliseconds, rounded up and capped at [`MAX_WAIT`]; -1 for none.
///
/// ```
/// use mainspring_sys::timeout::millis;
/// use std::time::Duration;
///
/// assert_eq!(millis(Some(Duration::ZERO)), 0);
/// assert_eq!(millis(Some(Duration::from_nanos(1))), 1);
/// assert_eq!(millis(Some(Duration::MAX)), 24 * 60 * 60 * 1000);
/// assert_eq!(millis(None), -1);
/// ```
pub fn millis(timeout: Option<Duration>) -> libc::c_int {
    let Some(timeout) = timeout else { return -1 };
    let timeout = timeout.min(MAX_WAIT);
    let below_a_second = timeout.subsec_nanos().div_ceil(1_000_000);
    (timeout.as_secs() * 1000) as libc::c_int + below_a_second as libc::c_int
}

/// Returns `timeout` in seconds and nanoseconds, capped at [`MAX_WAIT`].
pub(crate) fn seconds_and_nanos(timeout: Duration) -> (i64, i64) {
    let timeout = timeout.min(MAX_WAIT);
    (timeout.as_secs() as i64, i64::from(timeout.subsec_nanos()))
}

/// Returns `timeout` in the type of most system calls, capped at [`MAX_WAIT`].
pub(crate) fn timespec(timeout: Duration) -> libc::timespec {
    let (seconds, nanos) = seconds_and_nanos(timeout);
    // The types of the fields differ between systems; all of them hold a day and the nanoseconds of
    // a second.
    libc::timespec { tv_sec: seconds as _, tv_nsec: nanos as _ }
}

/// Returns the address to pass for `timeout`; null for none. It is valid as long as `timeout` is
/// not moved.
pub(crate) fn pointer(timeout: &Option<libc::timespec>) -> *const libc::timespec {
    timeout.as_ref().map_or(ptr::null(), ptr::from_ref)
}

/// Runs a call that waits. After each signal it runs again, with the rest of `timeout`.
#[inline]
pub(crate) fn retry_wait<T>(
    timeout: Option<Duration>,
    mut wait: impl FnMut(Option<Duration>) -> io::Result<T>,
) -> io::Result<T> {
    match timeout {
        Some(wanted) if !wanted.is_zero() => retry_for(wanted, |left| wait(Some(left))),
        // Nothing can be subtracted from zero or from no timeout, so the clock is not read.
        _ => retry(|| wait(timeout)),
    }
}

/// Like [`retry_wait`], for a timeout that is not zero.
pub(crate) fn retry_for<T>(
    wanted: Duration,
    mut wait: impl FnMut(Duration) -> io::Result<T>,
) -> io::Result<T> {
    // Capped before the addition, which panics beyond the range of the clock.
    let deadline = Instant::now() + wanted.min(MAX_WAIT);
    let mut left = wanted;
    loop {
        match wait(left) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
        // Also runs a last time with zero, so that events at the deadline are not missed.
        left = deadline.saturating_duration_since(Instant::now());
    }
}
