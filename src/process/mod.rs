//! Child processes, and waiting for other processes.
//!
//! [`std::process::Command`] describes a program. [`spawn_child`] starts it for a callback,
//! [`Child::spawn`] for a task. The loop reaps the child in either case: when it exits, all waiting
//! callbacks and futures get its status, and no zombie is left, even if nothing waits.
//!
//! | purpose | with callbacks | with tasks |
//! |---|---|---|
//! | start a program | [`spawn_child`] | [`Child::spawn`] |
//! | its exit status | the callback | [`Child::wait`] |
//! | its pipes | [`attach_with`], with [`ReadOnly`], [`WriteOnly`], [`PipePair`] | [`Io`](crate::Io) |
//! | its whole output | | [`Child::output_with_limit`] |
//! | signals, graceful termination | [`Child::signal`], [`Child::kill_after`] | the same |
//! | the exit of any process | [`watch_pid`] | [`wait_pid`] |
//! | orphans of a container | [`reap_orphans`], [`become_subreaper`] | |
//!
//! # What a child inherits
//!
//! A child starts like a child of a shell: without blocked signals, with the default action of
//! `SIGPIPE`, and with the descriptors that its command names. Every descriptor of this crate and
//! of std is close-on-exec. Descriptors that other code opened without that flag are inherited.
//!
//! # Other code that waits for children
//!
//! The loop waits only for its own children, each by its pid. So other code of the process can wait
//! for its children as usual. If other code takes the status of a child of the loop, for example by
//! `waitpid(-1)`, the loop returns [`StatusUnavailable`](crate::Error::StatusUnavailable). The same
//! happens if the process ignores `SIGCHLD` (wait(2)), for example because its parent did. With
//! [`ExitWatchKind::Signal`](crate::ExitWatchKind) the loop still gets the status, because its
//! handler replaces the disposition.
//!
//! # Mechanisms
//!
//! | [`ExitWatchKind`](crate::ExitWatchKind) | needs | cost of an exit |
//! |---|---|---|
//! | `Pidfd` | Linux 5.4 | O(1); a descriptor for each process |
//! | `Kqueue` | kqueue(2) | O(1) |
//! | `Signal` | | a wait(2) for each running child; a handler of `SIGCHLD` |
//!
//! If no descriptor is left for a pidfd, a timer polls the child until there is one.
//!
//! Starting a program blocks the loop until the child has called exec(2), which takes about a
//! millisecond, or longer on a busy disk. A loop that must not block that long should start
//! programs in another process.
//!
//! [`PipePair`]: crate::net::PipePair
//! [`ReadOnly`]: crate::net::ReadOnly
//! [`WriteOnly`]: crate::net::WriteOnly
//! [`attach_with`]: crate::LoopHandle::attach_with
//! [`reap_orphans`]: crate::LoopHandle::reap_orphans
//! [`spawn_child`]: crate::LoopHandle::spawn_child
//! [`watch_pid`]: crate::LoopHandle::watch_pid

mod child;
mod orphans;
mod output;
mod spawn;
mod wait;
mod watch_pid;

pub use self::child::Child;
pub use self::orphans::become_subreaper;
pub use self::wait::{PidWait, Wait};
pub use self::watch_pid::wait_pid;
