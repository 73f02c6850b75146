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
    let mut all = MaybeUninit::zeroed();
    // SAFETY: there is room for the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: sigfillset(3) does not fail, and has initialized the set.
    let _blocked = Blocked::new(&unsafe { all.assume_init() });
    call()
}

/// Runs `call` while this thread blocks `signal`. Its argument is true if the thread has blocked it
/// before.
pub(crate) fn with_blocked<T>(signal: libc::c_int, call: impl FnOnce(bool) -> T) -> T {
    let blocked = Blocked::new(&only(signal));
    call(contains(&blocked.before, signal))
}

/// Signals that this thread blocks until the value is dropped, in a panic too.
struct Blocked {
    /// The mask of the thread before.
    before: libc::sigset_t,
}

impl Blocked {
    fn new(signals: &libc::sigset_t) -> Blocked {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: both sets are valid for the call, which fails only for an unknown operation.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals, before.as_mut_ptr()) };
        // SAFETY: the call has set the mask.
        Blocked { before: unsafe { before.assume_init() } }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the mask outlives the call; the null pointer is allowed.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut())
        };
    }
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

    #[test]
    fn a_panic_restores_the_mask() {
        let is_blocked = || with_blocked(libc::SIGTERM, |was_blocked| was_blocked);
        let before = is_blocked();
        assert!(std::panic::catch_unwind(|| with_all_blocked(|| panic!("no thread"))).is_err());
        assert_eq!(is_blocked(), before);
        let panics = |_| panic!("no room");
        assert!(std::panic::catch_unwind(|| with_blocked(libc::SIGTERM, panics)).is_err());
        assert_eq!(is_blocked(), before);
    }
}
