//! The initial state of a child, and the parent of orphans.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use crate::signal::mask;
#[cfg(has_subreaper)]
use crate::syscall::check;

/// Makes the child start without blocked signals, like a child of a shell. std resets `SIGPIPE`,
/// but passes on the mask of the calling thread.
///
/// Nothing changes if the calling thread blocks no signal. Then std can use posix_spawn(3), which
/// does not copy the tables of a large process.
///
/// # Errors
///
/// The errors of pthread_sigmask(3).
pub fn reset_signal_mask(command: &mut Command) -> io::Result<()> {
    if !blocks_signals()? {
        return Ok(());
    }
    // SAFETY: the closure runs between fork(2) and exec(2), and only makes async-signal-safe calls.
    unsafe { command.pre_exec(unblock_signals) };
    Ok(())
}

fn blocks_signals() -> io::Result<bool> {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: with a null set the call only writes the current mask, for which there is room.
    let read =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), blocked.as_mut_ptr()) };
    check_code(read)?;
    // SAFETY: the call has filled the mask.
    let blocked = unsafe { blocked.assume_init() };
    Ok((1..=HIGHEST).any(|signal| mask::contains(&blocked, signal)))
}

/// The highest number of a signal on any system.
const HIGHEST: libc::c_int = 128;

fn unblock_signals() -> io::Result<()> {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills `mask`, which has room for it.
    unsafe { libc::sigemptyset(mask.as_mut_ptr()) };
    // SAFETY: the mask is filled; a null pointer discards the old one.
    check_code(unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut()) })
}

/// Returns the error of a function that returns its number.
fn check_code(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Makes this process the parent of descendants that have lost theirs (prctl(2),
/// `PR_SET_CHILD_SUBREAPER`). exec(2) keeps the setting; children do not inherit it.
///
/// # Errors
///
/// The errors of prctl(2).
#[cfg(has_subreaper)]
pub fn become_subreaper() -> io::Result<()> {
    let on: libc::c_ulong = 1;
    // SAFETY: the call takes integers and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) }).map(drop)
}

/// Makes this process the parent of descendants that have lost theirs.
///
/// # Errors
///
/// `Unsupported`: this system has no such call.
#[cfg(not(has_subreaper))]
pub fn become_subreaper() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
