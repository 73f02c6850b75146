//! Signals that one thread blocks. All of it is async-signal-safe.

use std::mem::MaybeUninit;
use std::ptr;

/// Returns the set with this signal only.
pub(crate) fn only(signal: libc::c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: there is room for the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: sigemptyset(3) does not fail, and has initialized the set.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: the set is initialized and outlives the call.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    set
}

/// Returns true if the set contains the signal. False for a number that is not a signal.
pub(crate) fn contains(set: &libc::sigset_t, signal: libc::c_int) -> bool {
    // SAFETY: the set is initialized and outlives the call.
    unsafe { libc::sigismember(set, signal) == 1 }
}

/// Runs `call` while this thread blocks all signals. A thread that it starts blocks them too, so
/// the kernel delivers no signal of the process to it (pthread_sigmask(3)).
///
/// ```
/// use mainspring_sys::signal;
///
/// let thread = signal::with_all_blocked(|| std::thread::spawn(|| "takes no signal"));
/// assert_eq!(thread.join().unwrap(), "takes no signal");
/// ```
pub fn with_all_blocked<T>(call: impl FnOnce() -> T) -> T {
    let (mut set, mut before) = (MaybeUninit::zeroed(), MaybeUninit::zeroed());
    // SAFETY: there is room for the set.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: both sets are valid for the call, which fails only for an unknown operation.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr()) };
    let result = call();
    // SAFETY: the call above has set the mask; the null pointer is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

/// Runs `call` while this thread blocks `signal`. Its argument is true if the thread has blocked it
/// before.
pub(crate) fn with_blocked<T>(signal: libc::c_int, call: impl FnOnce(bool) -> T) -> T {
    let (set, mut before) = (only(signal), MaybeUninit::zeroed());
    // SAFETY: both sets are valid for the call, which fails only for an unknown operation.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr()) };
    // SAFETY: the call has set the mask.
    let before = unsafe { before.assume_init() };
    let result = call(contains(&before, signal));
    // SAFETY: the mask outlives the call; the null pointer is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_started_blocks_all_signals() {
        let is_blocked = || with_blocked(libc::SIGTERM, |was_blocked| was_blocked);
        let before = is_blocked();
        let thread = with_all_blocked(|| std::thread::spawn(is_blocked));
        assert!(thread.join().unwrap());
        assert_eq!(is_blocked(), before);
    }
}
