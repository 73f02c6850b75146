//! Signals as a shell leaves them to its children.

use std::mem::MaybeUninit;
use std::ptr;

/// Sets the default action of `SIGCHLD`, and unblocks all signals in this thread and those that it
/// starts. The tests inherit both from their parent (execve(2)).
pub fn set_default_signals() {
    // SAFETY: the default action is a valid one.
    assert_ne!(unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) }, libc::SIG_ERR);
    let mut none = MaybeUninit::uninit();
    // SAFETY: there is room for the set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: sigemptyset(3) has initialized the set; the null pointer is allowed.
    let changed =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
    assert_eq!(changed, 0);
}
