//! A watched process: its exit, and signals to it.
//!
//! # Invariants
//!
//! * The state is `Running` until this process has reaped the child, or has found that it cannot.
//! * While a group is held, its leader is not reaped, so its pid is not reused by another process
//!   or group.
//! * A signal by number is sent under the lock, so no other thread can reap the target meanwhile.
//! * In a child made by fork(2), the lock is not taken: another thread may have held it.

use std::io;
use std::mem;
#[cfg(has_pidfd)]
use std::os::fd::{AsFd, BorrowedFd};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::kind::ExitWatchKind;
use super::registry::Registry;
use super::wait::{Outcome, exists, wait_pid};
use crate::nonblocking::is_ready;
use crate::per_process::PerProcess;
use crate::process::Process;
use crate::signal::Signal;
use crate::syscall::check;

/// Returns the processes that the loops of this process watch.
pub(super) fn registry() -> MutexGuard<'static, Registry<WatchedProcess>> {
    static REGISTRY: PerProcess<Mutex<Registry<WatchedProcess>>> =
        PerProcess::new(Mutex::new(Registry::new()));
    // The children of the parent are not those of a forked child.
    let registry = REGISTRY.get(|_| Mutex::new(Registry::new()));
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns true if a loop of this process watches the process with this pid.
pub fn is_watched(pid: u32) -> bool {
    let found = registry().find(pid);
    found.is_some()
}

/// A process of this system: usually a child of this process.
#[derive(Debug)]
pub struct WatchedProcess {
    pid: libc::pid_t,
    /// True if it is, or was, a child of this process. Only a child has a status.
    is_child: bool,
    /// Process that watches it.
    watcher: Process,
    pidfd: OnceLock<OwnedFd>,
    state: Mutex<State>,
    /// True if a forked child of the watcher has seen the end.
    ended_in_fork: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct State {
    end: End,
    /// True while the process must not be reaped, because its group will be signalled.
    is_held: bool,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Running,
    /// Ended, but not reaped.
    Zombie(ExitStatus),
    /// Reaped. Without a status, other code has reaped it, or it was no child.
    Reaped(Option<ExitStatus>),
}

impl WatchedProcess {
    /// Takes over a child that was just spawned. A pidfd is opened if `kind` uses them. If that
    /// fails, [`open_pidfd`](WatchedProcess::open_pidfd) tries again.
    pub fn spawned(pid: u32, kind: ExitWatchKind) -> Arc<WatchedProcess> {
        let fresh = Arc::new(WatchedProcess::new(pid as libc::pid_t, true));
        // A separate statement: the lock of the table is released at its end.
        let older = registry().find(pid);
        if let Some(older) = older {
            older.lose();
        }
        let process = registry().find_or_add(pid, &fresh);
        if kind == ExitWatchKind::Pidfd {
            let _ = process.open_pidfd(); // The loop tries again.
        }
        process
    }

    /// Returns the process with this pid. Loops that watch the same process share it.
    ///
    /// # Errors
    ///
    /// `ESRCH` if there is no such process; `InvalidInput` if the number is not a valid pid; the
    /// errors of pidfd_open(2).
    pub fn find(pid: u32, kind: ExitWatchKind) -> io::Result<Arc<WatchedProcess>> {
        let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let found = registry().find(pid as u32);
        if let Some(found) = found {
            // Without a status, other code has reaped it, and its pid may have been reused.
            if !found.check() || found.end().flatten().is_some() {
                return Ok(found);
            }
        }
        let outcome = wait_pid(pid, true)?;
        if outcome == Outcome::NotOurs && !exists(pid) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let process = Arc::new(WatchedProcess::new(pid, outcome != Outcome::NotOurs));
        if kind == ExitWatchKind::Pidfd {
            process.open_pidfd()?;
        }
        let shared = registry().find_or_add(pid as u32, &process);
        Ok(shared) // Another thread may have found the process at the same time.
    }

    fn new(pid: libc::pid_t, is_child: bool) -> WatchedProcess {
        let state = State { end: End::Running, is_held: false };
        WatchedProcess {
            pid,
            is_child,
            watcher: Process::current(),
            pidfd: OnceLock::new(),
            state: Mutex::new(state),
            ended_in_fork: AtomicBool::new(false),
        }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.pid as u32
    }

    /// Returns true if it is, or was, a child of this process. False in a forked child of the
    /// process that watches it.
    pub fn is_child(&self) -> bool {
        self.is_child && self.watcher.is_current()
    }

    /// Returns the pidfd, if one is open.
    #[cfg(has_pidfd)]
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.get().map(AsFd::as_fd)
    }

    /// Opens the pidfd, unless it is open.
    ///
    /// # Errors
    ///
    /// The errors of pidfd_open(2): the process or the system is out of descriptors.
    pub fn open_pidfd(&self) -> io::Result<()> {
        #[cfg(has_pidfd)]
        if self.pidfd.get().is_none() {
            let pidfd = super::pidfd::open(self.pid)?;
            // Other code may have reaped the child, and another process may have its pid.
            let is_this = !self.is_child()
                || super::wait::wait_pidfd(pidfd.as_fd(), true)? != Outcome::NotOurs;
            if is_this {
                let _ = self.pidfd.set(pidfd); // Lost only to a thread that opened it meanwhile.
            }
        }
        Ok(())
    }

    /// Returns the end of the process, if it was found: its status, or `None` if other code has
    /// reaped it, or if it was no child.
    pub fn end(&self) -> Option<Option<ExitStatus>> {
        if !self.watcher.is_current() {
            return self.ended_in_fork.load(Relaxed).then_some(None);
        }
        match self.lock().end {
            End::Running => None,
            End::Zombie(status) => Some(Some(status)),
            End::Reaped(status) => Some(status),
        }
    }

    /// Queries the kernel for the end of the process. A child that has ended is reaped, unless its
    /// group is held. Returns true if the process has ended.
    pub fn check(&self) -> bool {
        if !self.watcher.is_current() {
            return self.check_in_fork();
        }
        let mut state = self.lock();
        if matches!(state.end, End::Running) {
            state.end = match self.wait(state.is_held) {
                Outcome::Ended(status) if state.is_held => End::Zombie(status),
                Outcome::Ended(status) => End::Reaped(Some(status)),
                Outcome::NotOurs if self.is_child || self.is_gone() => End::Reaped(None),
                Outcome::Running | Outcome::NotOurs => End::Running,
            };
            self.leave_if_reaped(*state);
        }
        !matches!(state.end, End::Running)
    }

    /// Records the exit that the kernel has reported. Its status counts only for a process that is
    /// not a child.
    pub(super) fn note_end(&self, status: Option<ExitStatus>) {
        if self.is_child() || self.check() || !self.watcher.is_current() {
            return;
        }
        let mut state = self.lock();
        state.end = End::Reaped(status);
        self.leave_if_reaped(*state);
    }

    /// Sends `signal`.
    ///
    /// # Errors
    ///
    /// `NotFound` if the process has ended; the errors of kill(2).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let running = self.lock_running()?;
        #[cfg(has_pidfd)]
        if let Some(pidfd) = self.pidfd() {
            return super::pidfd::signal(pidfd, signal);
        }
        kill(&running, self.pid, signal)
    }

    /// Sends `signal` to the process group that the process leads, and holds the group: its id is
    /// not reused until [kill_and_release_group](WatchedProcess::kill_and_release_group).
    ///
    /// # Errors
    ///
    /// `NotFound` if the process has ended; `InvalidInput` if it leads no group; the errors of
    /// kill(2).
    pub fn signal_and_hold_group(&self, signal: Signal) -> io::Result<()> {
        let mut state = match self.lock_running() {
            Ok(state) => state,
            Err(error) if !self.watcher.is_current() => return Err(error),
            Err(error) => {
                let state = self.lock();
                if !state.is_held {
                    return Err(error);
                }
                state // The leader has ended, but the group is held.
            }
        };
        // SAFETY: the call takes an integer and touches no memory of ours.
        if !state.is_held && check(unsafe { libc::getpgid(self.pid) })? != self.pid {
            let message = "it leads no process group; see `CommandExt::process_group`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        kill(&state, -self.pid, signal)?;
        state.is_held = true;
        Ok(())
    }

    /// Kills the rest of a group that is held, and reaps its leader if that has ended.
    pub fn kill_and_release_group(&self) {
        if !self.watcher.is_current() {
            return;
        }
        let mut state = self.lock();
        // A loop in another thread may have released it: its number may be that of another group.
        if !mem::take(&mut state.is_held) {
            return;
        }
        // The only error is that no process of the group is left.
        let _ = kill(&state, -self.pid, Signal::KILL);
        if let End::Zombie(status) = state.end {
            let _ = self.wait(false); // The status is known.
            state.end = End::Reaped(Some(status));
            self.leave_if_reaped(*state);
        }
    }

    /// Returns true while its group is held.
    pub fn is_held(&self) -> bool {
        self.watcher.is_current() && self.lock().is_held
    }

    /// Records that other code has reaped the child. There is no wait, because another process may
    /// have the pid.
    pub fn lose(&self) {
        if self.watcher.is_current() {
            let mut state = self.lock();
            if matches!(state.end, End::Running) {
                state.end = End::Reaped(None);
            }
            self.forget();
        }
    }

    /// Ends the watch of a process that has not ended.
    pub fn forget(&self) {
        if self.watcher.is_current() {
            registry().remove(self.id(), self);
        }
    }

    /// Locks the state of a process that is certainly not reaped.
    fn lock_running(&self) -> io::Result<MutexGuard<'_, State>> {
        let ended = || io::Error::new(io::ErrorKind::NotFound, "it has ended");
        if !self.watcher.is_current() {
            let message = "it was spawned by the parent of this process";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let state = self.lock();
        // Checked again, because other code may have reaped a child, and its pid may have been
        // reused.
        let is_running = matches!(state.end, End::Running)
            && match self.wait(true) {
                Outcome::Running => true,
                Outcome::Ended(_) => false,
                Outcome::NotOurs => !self.is_child && !self.is_gone(),
            };
        if is_running { Ok(state) } else { Err(ended()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, keep: bool) -> Outcome {
        #[cfg(has_pidfd)]
        if let Some(pidfd) = self.pidfd() {
            return super::wait::wait_pidfd(pidfd, keep).unwrap_or(Outcome::Running);
        }
        // The arguments are valid, so the only error is that there is no such child.
        wait_pid(self.pid, keep).unwrap_or(Outcome::Running)
    }

    /// Returns true if a process that is not a child has ended.
    fn is_gone(&self) -> bool {
        match self.pidfd.get() {
            Some(pidfd) => is_ready(pidfd.as_raw_fd(), false),
            None => !exists(self.pid),
        }
    }

    fn check_in_fork(&self) -> bool {
        let ended = self.ended_in_fork.load(Relaxed) || self.is_gone();
        self.ended_in_fork.store(ended, Relaxed);
        ended
    }

    fn leave_if_reaped(&self, state: State) {
        if matches!(state.end, End::Reaped(_)) {
            registry().remove(self.id(), self);
        }
    }
}

impl Drop for WatchedProcess {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Sends `signal` to a process or a group, which is not reaped as long as the state is locked.
fn kill(_: &MutexGuard<'_, State>, target: libc::pid_t, signal: Signal) -> io::Result<()> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    check(unsafe { libc::kill(target, signal.raw()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn threads_that_find_a_process_at_the_same_time_share_it() {
        let kind = ExitWatchKind::available()[0];
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let both = Barrier::new(2);
        let find = || {
            both.wait();
            WatchedProcess::find(child.id(), kind).unwrap()
        };
        for _ in 0..1000 {
            thread::scope(|scope| {
                let other = scope.spawn(find);
                assert!(Arc::ptr_eq(&find(), &other.join().unwrap()));
            });
        }
        child.kill().unwrap();
        _ = child.wait(); // An error if the parent of the tests ignores SIGCHLD.
    }
}
