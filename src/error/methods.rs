//! The methods of [`Error`]: its kind, its meaning, and its text.

use std::fmt;
use std::io;
use std::os::fd::RawFd;

use super::Error;
use crate::log_text::write_chain;

impl Error {
    /// Wraps a user-defined error, or a message.
    ///
    /// ```
    /// let error = mainspring::Error::other("the peer speaks another protocol");
    /// assert_eq!(error.to_string(), "the peer speaks another protocol");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// Returns the error for a watched fd that the kernel reports as closed.
    #[cold]
    pub(crate) fn closed_while_watched(fd: RawFd) -> Error {
        let source = io::Error::other("it was closed while it was watched");
        Error::Watch { operation: "watch", fd, source }
    }

    /// Returns the kind of the system error behind this one, or `Other` if there is none. A failed
    /// lookup is `NotFound`, unless the resolver failed with a system error.
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
            // For an error of getaddrinfo(3), std returns a kind that is not public.
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
            | Error::Inherit { source, .. }
            | Error::Notify { source, .. }
            | Error::Lookup { source, .. }
            | Error::Copy { source, .. }
            | Error::Spawn { source, .. }
            | Error::Process { source, .. }
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

    /// Returns true if the error only means that the peer of a stream is gone.
    ///
    /// These are the system errors of the kinds `ConnectionReset`, `BrokenPipe`,
    /// `ConnectionAborted`, and `TimedOut` (`ETIMEDOUT`: retransmissions without an answer). Time
    /// limits of this crate end with another error, [`Error::TimedOut`].
    ///
    /// Disconnects are normal, so such an error is not reported when it ends a connection of a
    /// [`Protocol`](crate::net::Protocol) or a detached task, unless
    /// [`report_disconnects`](crate::EventLoopBuilder::report_disconnects) is set.
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
        let (Error::Io(error) | Error::Copy { source: error, .. }) = self else { return false };
        match error.kind() {
            ConnectionReset | BrokenPipe | ConnectionAborted => true,
            TimedOut => error.raw_os_error().is_some(),
            _ => false,
        }
    }

    /// Returns true if the error only means "call me when the fd is ready again".
    pub(crate) fn is_retry(&self) -> bool {
        use io::ErrorKind::{Interrupted, WouldBlock};
        matches!(self, Error::Io(error) if matches!(error.kind(), WouldBlock | Interrupted))
    }

    /// Returns the error and its causes in one line, for a log or a user. A cause is left out if
    /// the text before it contains it, and control characters are escaped.
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
        let _ = write_chain(&mut line, self); // Writing to a `String` does not fail.
        line
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(f, self)
    }
}

impl From<Error> for io::Error {
    /// Returns the system error of [`Error::Io`] unchanged. Any other error is wrapped and keeps
    /// its [`kind`](Error::kind).
    fn from(error: Error) -> io::Error {
        match error {
            Error::Io(error) => error,
            other => io::Error::new(other.kind(), other),
        }
    }
}
