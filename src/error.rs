//! What can go wrong, by operation.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mainspring_sys::Signal;

use crate::log_text::write_chain;

/// The result of everything that can fail here, and of callbacks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that failed. The cause, where there is one, is its
/// [`source`](std::error::Error::source).
///
/// `Debug` is the line of [`chain`](Error::chain), because that is what a `main` that returns an
/// error prints, and what `unwrap` shows.
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
    /// A part of the loop could not be made; usually the process is out of descriptors.
    #[error("cannot create the loop's {part}")]
    Create {
        /// What could not be made.
        part: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A setting of the builder or of the environment has no meaning.
    #[error("{0}")]
    Setting(String),
    /// The selector refused an fd.
    #[error("cannot {operation} fd {fd}")]
    Watch {
        /// What was to be done.
        operation: &'static str,
        /// The fd's number.
        fd: RawFd,
        /// The system's answer.
        source: io::Error,
    },
    /// The fd has a callback for this direction already; `replace` swaps it, `remove` ends it.
    #[error("fd {fd} already has a {role} in this loop")]
    AlreadyWatched {
        /// The fd's number.
        fd: RawFd,
        /// Which callback it has.
        role: &'static str,
    },
    /// The handle names nothing (any more) in this loop.
    #[error("cannot {operation}: the handle names nothing in this loop any more")]
    Gone {
        /// What was to be done.
        operation: &'static str,
    },
    /// The selector has become unusable.
    #[error("cannot wait for events")]
    Select(#[source] io::Error),
    /// The closure is queued, but the loop could not be woken for it: it will run when something
    /// else wakes the loop.
    #[error("cannot wake the loop")]
    Wake(#[source] io::Error),
    /// The loop is closed.
    #[error("the loop is closed")]
    Closed,
    /// The process is a forked child, and the loop is its parent's; see
    /// [`after_fork_child`](crate::LoopHandle::after_fork_child).
    #[error("Forked: the loop is the parent process's; `after_fork_child` makes the copy usable")]
    Forked,
    /// The signal cannot be handled.
    #[error("cannot handle {signal}")]
    Signal {
        /// The signal.
        signal: Signal,
        /// The reason.
        source: io::Error,
    },
    /// An interval of zero would never let anything else run.
    #[error("an interval must be longer than zero")]
    ZeroInterval,
    /// A connection could not be made.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// The system's answer, or `TimedOut`.
        source: io::Error,
    },
    /// A listener could not be made.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A datagram socket could not be given its address.
    #[error("cannot bind to {address}")]
    Bind {
        /// Which address.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A listener could not accept a connection.
    #[error("cannot accept a connection on fd {fd}")]
    Accept {
        /// The listener.
        fd: RawFd,
        /// The system's answer.
        source: io::Error,
    },
    /// The connection takes no more bytes: it was closed for writing, or is over.
    #[error("cannot write {bytes} bytes to fd {fd}: the connection takes nothing more")]
    WriteClosed {
        /// Number of the connection's fd.
        fd: RawFd,
        /// Number of bytes that were dropped.
        bytes: usize,
    },
    /// As many jobs as are allowed wait for a thread of the executor.
    #[error(
        "cannot submit a job: {waiting} wait already; await some of them first, or allow more \
         threads or a longer queue"
    )]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// The executor is closed, and takes no more jobs.
    #[error("cannot submit a job: the executor is closed")]
    PoolClosed,
    /// There is no thread for the job; usually the process is at its limit of threads or memory.
    #[error("cannot submit a job: there is no thread for it, and none can be started")]
    Thread(#[source] io::Error),
    /// What should name a host and a port cannot be a name or an address of any.
    #[error("cannot look up {host:?}: {reason}")]
    Host {
        /// What was given; the beginning of it, if it is long.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system's resolver gave no address.
    #[error("cannot look up {host}")]
    Lookup {
        /// The name and the port.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// A callback panicked, and the policy is to report it; or a task that nobody awaits.
    #[error("panicked: {0}")]
    Panicked(String),
    /// A task was cancelled, for the reason given.
    #[error("cancelled: {0}")]
    Cancelled(Cow<'static, str>),
    /// The task group was cancelled, has failed, or is over, and takes no more children.
    #[error("cannot spawn: the task group is ending")]
    GroupEnding,
    /// A time limit is over.
    #[error("not done within {0:?}")]
    TimedOut(Duration),
    /// The promise was dropped before it was set.
    #[error("the promise was abandoned: it was dropped before it was set")]
    Abandoned,
    /// The loop was stopped before the future was complete.
    #[error("the loop was stopped before the future was complete")]
    Stopped,
    /// A function that needs a running loop was called where none runs.
    #[error("`{call}` needs a running loop: call it from a callback or a task")]
    NoLoop {
        /// The function.
        call: &'static str,
    },
    /// A callback kept the loop from everything else.
    #[error("a callback ran for {0:?}")]
    Slow(Duration),
    /// A call on a descriptor failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An error of the user's own, see [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps an error of one's own, or a message.
    ///
    /// ```
    /// let error = mainspring::Error::other("the peer speaks another protocol");
    /// assert_eq!(error.to_string(), "the peer speaks another protocol");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// The kernel says that nobody has a watched descriptor any more.
    #[cold]
    pub(crate) fn closed_while_watched(fd: RawFd) -> Error {
        let source = io::Error::other("it was closed while it was watched");
        Error::Watch { operation: "watch", fd, source }
    }

    /// The kind of the system error behind this one, `Other` if there is none. A failed lookup is
    /// `NotFound`, whatever the resolver's reason, unless that was a system error.
    ///
    /// ```
    /// use mainspring::{Error, EventLoop, net::lookup_host};
    /// use std::io::ErrorKind;
    ///
    /// let mut el = EventLoop::new()?;
    /// let failed = el.run_until_complete(lookup_host("[fe80::1%no-such-interface]:80"))?.unwrap_err();
    /// assert!(matches!(failed, Error::Lookup { .. }));
    /// assert_eq!(failed.kind(), ErrorKind::NotFound);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            // Of the answers of getaddrinfo(3) std makes a kind that has no name.
            Error::Lookup { source, .. } if source.raw_os_error().is_none() => {
                io::ErrorKind::NotFound
            }
            Error::Create { source, .. }
            | Error::Watch { source, .. }
            | Error::Signal { source, .. }
            | Error::Connect { source, .. }
            | Error::Listen { source, .. }
            | Error::Bind { source, .. }
            | Error::Accept { source, .. }
            | Error::Lookup { source, .. }
            | Error::Thread(source)
            | Error::Select(source)
            | Error::Wake(source)
            | Error::Io(source) => source.kind(),
            Error::AlreadyWatched { .. } => io::ErrorKind::AlreadyExists,
            Error::Gone { .. } => io::ErrorKind::NotFound,
            Error::TimedOut(_) => io::ErrorKind::TimedOut,
            Error::Setting(_) | Error::ZeroInterval | Error::Host { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::QueueFull { .. } => io::ErrorKind::ResourceBusy,
            _ => io::ErrorKind::Other,
        }
    }

    /// True if the error only says that the peer of a stream has gone: the system's
    /// `ConnectionReset`, `BrokenPipe`, `ConnectionAborted` or `TimedOut` (`ETIMEDOUT`, after
    /// retransmissions without an answer; a limit of your own is another error).
    ///
    /// Clients do that every day, and their number must not be that of the lines of a log. So such
    /// an error is not reported when it ends a connection of a [`Protocol`](crate::net::Protocol) or
    /// a detached task, unless [`EventLoopBuilder::report_disconnects`](crate::EventLoopBuilder::report_disconnects) is
    /// set.
    ///
    /// ```
    /// use std::io;
    ///
    /// let reset = mainspring::Error::from(io::Error::from(io::ErrorKind::ConnectionReset));
    /// assert!(reset.is_disconnect());
    /// let end = mainspring::Error::from(io::Error::from(io::ErrorKind::UnexpectedEof));
    /// assert!(!end.is_disconnect());
    /// ```
    pub fn is_disconnect(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
        let Error::Io(error) = self else { return false };
        match error.kind() {
            ConnectionReset | BrokenPipe | ConnectionAborted => true,
            TimedOut => error.raw_os_error().is_some(),
            _ => false,
        }
    }

    /// Whether the error only means "call me when the fd is ready again".
    pub(crate) fn is_retry(&self) -> bool {
        use io::ErrorKind::{Interrupted, WouldBlock};
        matches!(self, Error::Io(error) if matches!(error.kind(), WouldBlock | Interrupted))
    }

    /// The error and its causes in one line, for a log or a user. A cause that the text before it
    /// repeats is left out, and control characters are escaped.
    ///
    /// ```
    /// use mainspring::net::{self, Address, ListenOptions};
    ///
    /// let nowhere: Address = "/no/such/folder/socket".parse()?;
    /// let error = net::listen(&nowhere, &ListenOptions::default()).unwrap_err();
    /// assert!(error.chain().starts_with("cannot listen on unix:/no/such/folder/socket: No such file"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn chain(&self) -> String {
        let mut line = String::new();
        let _ = write_chain(&mut line, self); // A `String` takes everything.
        line
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(f, self)
    }
}

impl From<Error> for io::Error {
    /// An error of the system comes out as it went in; others are inside, with their kind.
    fn from(error: Error) -> io::Error {
        match error {
            Error::Io(error) => error,
            other => io::Error::new(other.kind(), other),
        }
    }
}
