//! How long to sleep, in the units of the kernel: rounded up, capped, and computed anew after a
//! signal.
//!
//! Rounded down, a wait ends before its deadline and the loop spins until the clock catches up.
//! Uncapped, it overflows the kernel's type. Repeated in full after each signal, it never ends
//! under a storm of them.

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use crate::syscall::retry;

/// The longest single wait: one day. A loop that wakes up once a day to go back to sleep costs
/// nothing, and every kernel's type holds a day.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// `timeout` in whole milliseconds, rounded up; -1 for none.
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
    let timeout = timeout.min(LONGEST);
    let below_a_second = timeout.subsec_nanos().div_ceil(1_000_000);
    (timeout.as_secs() * 1000) as libc::c_int + below_a_second as libc::c_int
}

/// `timeout` in seconds and nanoseconds, capped.
pub(crate) fn seconds_and_nanos(timeout: Duration) -> (i64, i64) {
    let timeout = timeout.min(LONGEST);
    (timeout.as_secs() as i64, i64::from(timeout.subsec_nanos()))
}

/// `timeout` in the type that most calls take, capped.
pub(crate) fn timespec(timeout: Duration) -> libc::timespec {
    let (seconds, nanos) = seconds_and_nanos(timeout);
    // The fields' types differ between systems; a day and a second's nanoseconds fit into all of
    // them.
    libc::timespec { tv_sec: seconds as _, tv_nsec: nanos as _ }
}

/// The address that means `timeout` to the kernel: null for none. It holds for as long as `timeout`
/// stays where it is.
pub(crate) fn pointer(timeout: &Option<libc::timespec>) -> *const libc::timespec {
    timeout.as_ref().map_or(ptr::null(), ptr::from_ref)
}

/// Runs a call that waits, again after each signal, with what is left of `timeout`.
#[inline]
pub(crate) fn retry_wait<T>(
    timeout: Option<Duration>,
    mut wait: impl FnMut(Option<Duration>) -> io::Result<T>,
) -> io::Result<T> {
    match timeout {
        Some(wanted) if !wanted.is_zero() => retry_for(wanted, |left| wait(Some(left))),
        // Without a wait to shorten there is no clock to read.
        _ => retry(|| wait(timeout)),
    }
}

/// As [`retry_wait`], for a wait that has an end.
pub(crate) fn retry_for<T>(
    wanted: Duration,
    mut wait: impl FnMut(Duration) -> io::Result<T>,
) -> io::Result<T> {
    let deadline = Instant::now() + wanted.min(LONGEST);
    let mut left = wanted;
    loop {
        match wait(left) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
        left = deadline.saturating_duration_since(Instant::now());
    }
}
