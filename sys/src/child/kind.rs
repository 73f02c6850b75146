//! The mechanisms that report the exit of a process.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::environment;

/// Kernel mechanism of an [`ExitWatch`](super::ExitWatch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitWatchKind {
    /// A pidfd for each process (pidfd_open(2), Linux 5.4).
    Pidfd,
    /// A filter `EVFILT_PROC` of kqueue(2) for each process.
    Kqueue,
    /// `SIGCHLD`, and a wait for each watched process. Available on every system, but each signal
    /// costs a system call per process. A thread of the process must not block it.
    Signal,
}

impl ExitWatchKind {
    /// Returns the kinds that this system has, best first. It checks that pidfds work: the kernel
    /// may be too old, or a sandbox may forbid them.
    ///
    /// ```
    /// use mainspring_sys::child::ExitWatchKind;
    ///
    /// assert_eq!(ExitWatchKind::available().last(), Some(&ExitWatchKind::Signal));
    /// ```
    pub fn available() -> &'static [ExitWatchKind] {
        #[cfg(has_pidfd)]
        if !super::pidfd::is_supported() {
            return &[ExitWatchKind::Signal];
        }
        &[
            #[cfg(has_pidfd)]
            ExitWatchKind::Pidfd,
            // A kqueue of libkqueue cannot be watched: its fd is never readable.
            #[cfg(all(has_kqueue, not(kqueue_is_library)))]
            ExitWatchKind::Kqueue,
            ExitWatchKind::Signal,
        ]
    }

    /// Returns the kind that the environment variable `MAINSPRING_CHILDREN` names. `None` if it is
    /// unset or empty, or if the process is set-user-ID or the like.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the variable names no kind that this system has.
    pub fn from_env() -> io::Result<Option<ExitWatchKind>> {
        environment::choice("MAINSPRING_CHILDREN")
    }

    fn name(self) -> &'static str {
        match self {
            ExitWatchKind::Pidfd => "pidfd",
            ExitWatchKind::Kqueue => "kqueue",
            ExitWatchKind::Signal => "signal",
        }
    }
}

impl fmt::Display for ExitWatchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ExitWatchKind {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<ExitWatchKind> {
        environment::kind_named("watch of children", name, ExitWatchKind::available())
    }
}
