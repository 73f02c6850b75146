//! Process exit as an event of a selector, the exit status, and signals to processes.
//!
//! [`ExitWatch`] is one descriptor for all processes of a loop. Behind it is a pidfd for each
//! process, a filter of kqueue(2), or `SIGCHLD` with one wait for each process.
//! [`WatchedProcess`] is one process: its status, and signals to it. All loops of this process
//! share it.
//!
//! # Invariants
//!
//! * A wait names one process. `waitpid(-1)` would take the status of children that other code of
//!   this process waits for.
//! * A process is reaped, and signalled, under its lock. So no signal goes to the pid of a process
//!   that was reaped here.
//! * In a child made by fork(2), nothing of this module waits for or signals a process of the
//!   parent.

mod abandoned;
mod command;
mod kind;
mod notice;
#[cfg(has_pidfd)]
mod pidfd;
#[cfg(has_pidfd)]
mod pidfd_set;
mod registry;
mod wait;
mod watch;
mod watched_process;

pub use self::abandoned::{abandon, reap_abandoned};
pub use self::command::{become_subreaper, reset_signal_mask};
pub use self::kind::ExitWatchKind;
pub use self::notice::ExitNotice;
pub use self::wait::{ended_child, ended_children, reap, status_of_ended};
pub use self::watch::ExitWatch;
pub use self::watched_process::{WatchedProcess, is_watched};
