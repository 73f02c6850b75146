//! Waits for one process, which never block: waitid(2) and waitpid(2).

use std::fs;
use std::io;
use std::mem;
#[cfg(has_pidfd)]
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};

use crate::syscall::{check, retry};

/// Answer of the kernel about one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A child of this process that has not ended.
    Running,
    Ended(ExitStatus),
    /// Not a child of this process, or reaped already.
    NotOurs,
}

/// Queries the end of `pid`. With `keep`, a process that has ended stays a zombie.
pub(super) fn wait_pid(pid: libc::pid_t, keep: bool) -> io::Result<Outcome> {
    wait(libc::P_PID, pid as libc::id_t, keep)
}

/// Like [`wait_pid`], for the process of a pidfd.
#[cfg(has_pidfd)]
pub(super) fn wait_pidfd(pidfd: BorrowedFd<'_>, keep: bool) -> io::Result<Outcome> {
    wait(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, keep)
}

fn wait(kind: libc::idtype_t, id: libc::id_t, keep: bool) -> io::Result<Outcome> {
    Ok(match wait_any(kind, id, keep) {
        Ok(Some((_, status))) => Outcome::Ended(status),
        Ok(None) => Outcome::Running,
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Outcome::NotOurs,
        Err(error) => return Err(error),
    })
}

fn wait_any(
    kind: libc::idtype_t,
    id: libc::id_t,
    keep: bool,
) -> io::Result<Option<(libc::pid_t, ExitStatus)>> {
    let flags = libc::WEXITED | libc::WNOHANG | if keep { libc::WNOWAIT } else { 0 };
    // SAFETY: the struct has only integer and pointer fields, for which zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `info` is writable and outlives the call.
    retry(|| check(unsafe { libc::waitid(kind, id, &raw mut info, flags) }))?;
    // SAFETY: the call has filled the fields of a child, or left them zero.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let value = unsafe { info.si_status() };
    Ok(Some((pid, ExitStatus::from_raw(wait_status(info.si_code, value)))))
}

/// Returns the status in the form of wait(2), which std reads.
fn wait_status(code: libc::c_int, value: libc::c_int) -> libc::c_int {
    match code {
        libc::CLD_EXITED => (value & 0xff) << 8,
        libc::CLD_DUMPED => value | 0x80,
        _ => value,
    }
}

/// Returns a child that has ended and was not reaped: its id and its status. It stays a zombie. It
/// is the same one until it is reaped. `None` if there is none.
///
/// # Errors
///
/// The errors of waitid(2), except that the process has no children.
pub fn ended_child() -> io::Result<Option<(u32, ExitStatus)>> {
    match wait_any(libc::P_ALL, 0, true) {
        Ok(ended) => Ok(ended.map(|(pid, status)| (pid as u32, status))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns all children that have ended and were not reaped, as procfs lists them. Empty on systems
/// without it.
pub fn ended_children() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_own_zombie(*pid)).collect()
}

fn is_own_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may contain anything.
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let mut fields = fields.split_whitespace();
    let state = fields.next();
    let parent = fields.next().and_then(|parent| parent.parse().ok());
    state == Some("Z") && parent == Some(process::id())
}

/// Returns the status of a child that has ended, which stays a zombie. `None` if it is running, or
/// not a child.
///
/// # Errors
///
/// The errors of waitid(2).
pub fn status_of_ended(pid: u32) -> io::Result<Option<ExitStatus>> {
    wait_pid(pid as libc::pid_t, true).map(ended)
}

/// Reaps a child that has ended. `None` if it is running, or not a child, or reaped by other code.
///
/// # Errors
///
/// The errors of waitid(2).
pub fn reap(pid: u32) -> io::Result<Option<ExitStatus>> {
    wait_pid(pid as libc::pid_t, false).map(ended)
}

fn ended(outcome: Outcome) -> Option<ExitStatus> {
    match outcome {
        Outcome::Ended(status) => Some(status),
        Outcome::Running | Outcome::NotOurs => None,
    }
}

/// Returns true if a process has this pid: running, or a zombie.
pub(super) fn exists(pid: libc::pid_t) -> bool {
    // SAFETY: signal 0 only checks, and the call touches no memory of ours.
    let sent = check(unsafe { libc::kill(pid, 0) });
    !matches!(sent, Err(error) if error.raw_os_error() == Some(libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_status_agree_with_those_of_wait() {
        let exited = ExitStatus::from_raw(wait_status(libc::CLD_EXITED, 7));
        assert_eq!(exited.code(), Some(7));
        let killed = ExitStatus::from_raw(wait_status(libc::CLD_KILLED, libc::SIGKILL));
        assert_eq!((killed.signal(), killed.core_dumped()), (Some(libc::SIGKILL), false));
        let dumped = ExitStatus::from_raw(wait_status(libc::CLD_DUMPED, libc::SIGABRT));
        assert_eq!((dumped.signal(), dumped.core_dumped()), (Some(libc::SIGABRT), true));
    }

    #[test]
    fn a_process_that_is_no_child_is_not_ours() {
        assert_eq!(wait_pid(process::id() as libc::pid_t, true).unwrap(), Outcome::NotOurs);
        assert!(exists(process::id() as libc::pid_t));
        assert!(!exists(libc::pid_t::MAX));
    }
}
