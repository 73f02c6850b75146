//! The error type of the crate: one variant for each operation that can fail.

mod methods;
mod stalled;

use std::borrow::Cow;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mainspring_sys::Signal;

pub use self::stalled::{Stalled, StalledTask};

/// The result of operations of this crate, and of callbacks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation. Its cause, if any, is the [`source`](std::error::Error::source).
///
/// `Debug` writes the same line as [`chain`](Error::chain), because `unwrap` and a `main` that
/// returns an error print `Debug`.
///
/// ```
/// use std::error::Error as _;
/// use mainspring::EventLoop;
///
/// let zero = EventLoop::new()?.call_every(std::time::Duration::ZERO, |_, _| {}).unwrap_err();
/// assert_eq!(zero.to_string(), "an interval must be longer than zero");
/// assert!(zero.source().is_none());
/// assert_eq!(format!("{zero:?}"), zero.chain());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A part of the loop could not be created. The usual reason is that the process has no
    /// descriptors left.
    #[error("cannot create the loop's {part}")]
    Create {
        /// The part, for example "selector".
        part: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A setting of a builder or an environment variable has an invalid value.
    #[error("{0}")]
    Setting(String),
    /// The selector refused an fd.
    #[error("cannot {operation} fd {fd}")]
    Watch {
        /// The operation, for example "watch".
        operation: &'static str,
        /// The fd's number.
        fd: RawFd,
        /// The system's error.
        source: io::Error,
    },
    /// The fd already has a callback for this direction. [`replace`](crate::LoopHandle::replace)
    /// exchanges it, [`cancel`](crate::LoopHandle::cancel) removes it.
    #[error("fd {fd} already has a {role} in this loop")]
    AlreadyWatched {
        /// The fd's number.
        fd: RawFd,
        /// The existing callback: "reader", "writer", or "watcher" for both directions.
        role: &'static str,
    },
    /// The handle's callback has ended, or the handle belongs to another loop.
    #[error("cannot {operation}: the handle's callback no longer exists in this loop")]
    Gone {
        /// The operation, for example "change the interest".
        operation: &'static str,
    },
    /// The selector no longer works.
    #[error("cannot wait for events")]
    Select(#[source] io::Error),
    /// The closure is queued, but waking the loop failed. The closure runs when something else
    /// wakes the loop.
    #[error("cannot wake the loop")]
    Wake(#[source] io::Error),
    /// The loop is closed.
    #[error("the loop is closed")]
    Closed,
    /// The loop belongs to the parent of this forked child. See
    /// [`after_fork_child`](crate::LoopHandle::after_fork_child).
    #[error(
        "the loop belongs to the parent process; call `after_fork_child` to use it in this child"
    )]
    Forked,
    /// The signal cannot be handled.
    #[error("cannot handle {signal}")]
    Signal {
        /// The signal.
        signal: Signal,
        /// The system's error.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program:?}")]
    Spawn {
        /// The program, as given to [`Command`](std::process::Command).
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// A process could not be watched or signalled.
    #[error("cannot {operation} process {pid}")]
    Process {
        /// The operation, for example "send SIGTERM to".
        operation: Cow<'static, str>,
        /// The process id.
        pid: u32,
        /// The system's error, or one of the kind `NotFound` if the process has ended.
        source: io::Error,
    },
    /// A child has exited, but its status is lost: other code of this process has waited for it, or
    /// `SIGCHLD` is ignored (wait(2)).
    #[error("the exit status of process {pid} is not available: it was not reaped by the loop")]
    StatusUnavailable {
        /// The process id.
        pid: u32,
    },
    /// A child wrote more than the limit and was killed.
    #[error("process {pid} has written more than {limit} bytes, and was killed")]
    OutputLimit {
        /// The process id.
        pid: u32,
        /// The limit in bytes.
        limit: usize,
    },
    /// The period of an interval is zero.
    #[error("an interval must be longer than zero")]
    ZeroInterval,
    /// A connection could not be established.
    #[error("cannot connect to {address}")]
    Connect {
        /// The peer's address.
        address: String,
        /// The system's error, or one of the kind `TimedOut`.
        source: io::Error,
    },
    /// A listener could not be created.
    #[error("cannot listen on {address}")]
    Listen {
        /// The listener's address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// A datagram socket could not be bound to its address.
    #[error("cannot bind to {address}")]
    Bind {
        /// The address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// A listener could not accept a connection.
    #[error("cannot accept a connection on fd {fd}")]
    Accept {
        /// The listener's fd.
        fd: RawFd,
        /// The system's error.
        source: io::Error,
    },
    /// A descriptor passed by a service manager cannot be used, see
    /// [`Service`](crate::service::Service).
    #[error("cannot inherit fd {fd} ({name:?})")]
    Inherit {
        /// The fd's number.
        fd: RawFd,
        /// The name given by the manager.
        name: String,
        /// The system's error, or the reason.
        source: io::Error,
    },
    /// A notification to the service manager was not sent, see
    /// [`Service`](crate::service::Service).
    #[error("cannot notify the service manager: {message}")]
    Notify {
        /// The message, for example "READY=1".
        message: String,
        /// The system's error, or the reason. `WouldBlock` means that the manager's queue is full.
        source: io::Error,
    },
    /// The connection was closed for writing, or has ended.
    #[error("cannot write {bytes} bytes to fd {fd}: the connection is closed for writing")]
    WriteClosed {
        /// The connection's fd.
        fd: RawFd,
        /// Number of bytes that were dropped.
        bytes: usize,
    },
    /// [`copy`](crate::io::copy()) or [`copy_bidirectional`](crate::io::copy_bidirectional) failed.
    #[error("cannot {operation} after {copied} copied bytes")]
    Copy {
        /// The operation: "read", "write", or "shut down".
        operation: &'static str,
        /// Number of bytes written in this direction before the error.
        copied: u64,
        /// The error of the reader or of the writer.
        source: io::Error,
    },
    /// The queue of the blocking pool is full.
    #[error(
        "cannot submit a job: {waiting} jobs are already waiting for a thread; await some of them \
         first, or allow more threads or a longer queue"
    )]
    QueueFull {
        /// Number of jobs that wait for a thread.
        waiting: usize,
    },
    /// The blocking pool is closed.
    #[error("cannot submit a job: the blocking pool is closed")]
    PoolClosed,
    /// The blocking pool has no thread, and none could be started. The usual reason is a limit on
    /// threads or memory.
    #[error("cannot submit a job: no thread can be started for it")]
    Thread(#[source] io::Error),
    /// Not a valid host name or address with a port.
    #[error("cannot look up {host:?}: {reason}")]
    Host {
        /// The invalid text, shortened if it is long.
        host: String,
        /// The rule that the text breaks.
        reason: &'static str,
    },
    /// The system's resolver returned no address.
    #[error("cannot look up {host}")]
    Lookup {
        /// The name and the port.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// A callback panicked under [`PanicPolicy::Report`](crate::PanicPolicy::Report), or a task, a
    /// job or another part of user code panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// A task was cancelled, for this reason.
    #[error("cancelled: {0}")]
    Cancelled(Cow<'static, str>),
    /// The task group was cancelled, has failed, or has ended.
    #[error("cannot spawn: the task group is ending")]
    GroupEnding,
    /// The time limit expired.
    #[error("the time limit of {0:?} expired")]
    TimedOut(Duration),
    /// The promise was dropped before its result was set.
    #[error("the promise was dropped before its result was set")]
    Abandoned,
    /// Tasks wait, and nothing can wake them: no event, no other thread, no other code. They wait
    /// for each other (a deadlock), or for a promise that no code will set.
    #[error("nothing can wake the loop, and {0}")]
    Stalled(Box<Stalled>),
    /// The loop was stopped before the future was complete.
    #[error("the loop was stopped before the future was complete")]
    Stopped,
    /// A function that needs a running loop was called outside of one.
    #[error("`{call}` needs a running loop: call it from a callback or a task")]
    NoLoop {
        /// The function's name.
        call: &'static str,
    },
    /// A callback took longer than
    /// [`slow_callback_duration`](crate::EventLoopBuilder::slow_callback_duration).
    #[error("a callback ran for {0:?}")]
    Slow(Duration),
    /// A call on a descriptor failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A user-defined error, see [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}
