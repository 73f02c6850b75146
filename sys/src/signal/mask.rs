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

/// Returns true if the set contains the signal. False for a number that is no signal.
pub(crate) fn contains(set: &libc::sigset_t, signal: libc::c_int) -> bool {
    // SAFETY: the set is initialized and outlives the call.
    unsafe { libc::sigismember(set, signal) == 1 }
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
