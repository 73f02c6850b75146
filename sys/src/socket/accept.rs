//! Accepting connections, with errors sorted by what to do about them.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::{Address, KernelAddress, option};
use crate::error_class::{ErrorClass, Operation, classify};
use crate::fd::{duplicate, owned};
use crate::syscall::retry;

/// Why [`accept`] gave no connection.
///
/// The four are all there will be: each names what to do next.
#[derive(Debug)]
pub enum AcceptError {
    /// The backlog is empty. Wait for readiness.
    WouldBlock,
    /// This connection failed, before or right after it was accepted. Go on with the next one.
    ///
    /// An error that is not listed anywhere belongs here as well, since a peer may have caused it.
    /// A caller that meets several in a row pauses, because the listener may stay ready.
    Connection(io::Error),
    /// The process or the system is out of descriptors or memory. Stop for a while, or use the
    /// [`ReserveFd`]: the connection still waits, so the listener stays ready.
    Capacity(io::Error),
    /// The descriptor cannot accept, now or later: it is closed, no socket, or does not listen.
    Listener(io::Error),
}

impl From<io::Error> for AcceptError {
    /// Sorts an error of accept(2), by the [table of everyday errors](crate::error_class). Only the
    /// errors that POSIX gives for a descriptor that is no listening socket are
    /// [`Listener`](AcceptError::Listener); the default is one connection.
    ///
    /// ```
    /// use mainspring_sys::socket::AcceptError;
    /// use std::io;
    ///
    /// let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
    /// assert!(matches!(AcceptError::from(aborted), AcceptError::Connection(_)));
    /// ```
    fn from(error: io::Error) -> AcceptError {
        match classify(Operation::Accept, &error) {
            ErrorClass::WouldBlock => AcceptError::WouldBlock,
            ErrorClass::Capacity => AcceptError::Capacity(error),
            ErrorClass::Fault => AcceptError::Listener(error),
            _ => AcceptError::Connection(error),
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AcceptError::WouldBlock => "no connection waits to be accepted",
            AcceptError::Connection(_) => "a connection failed while it was accepted",
            AcceptError::Capacity(_) => "no room for another connection",
            AcceptError::Listener(_) => "the listener can no longer accept",
        })
    }
}

impl Error for AcceptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AcceptError::WouldBlock => None,
            AcceptError::Connection(error)
            | AcceptError::Capacity(error)
            | AcceptError::Listener(error) => Some(error),
        }
    }
}

/// Takes the next connection of `listener`, and the address of its peer.
///
/// The socket is close-on-exec and non-blocking. On Apple systems it raises no SIGPIPE if its
/// listener does not, see [`prepare_listener`](super::prepare_listener).
///
/// # Errors
///
/// See [`AcceptError`]. After accept(2) has succeeded, every error is that of the connection: a
/// client that has reset by then can make any later call on its socket fail.
pub fn accept(listener: impl AsFd) -> Result<(OwnedFd, Address), AcceptError> {
    accept_by(listener.as_fd(), accept_fd, settle)
}

/// [`accept`] by way of these two calls, so that a test can play another kernel.
fn accept_by(
    listener: BorrowedFd<'_>,
    call: impl Fn(RawFd, *mut libc::sockaddr, &mut libc::socklen_t) -> io::Result<OwnedFd>,
    settle: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> Result<(OwnedFd, Address), AcceptError> {
    let fd = listener.as_raw_fd();
    let received = retry(|| KernelAddress::receive(|address, length| call(fd, address, length)));
    let (socket, from) = received.map_err(|error| sorted(listener, error))?;
    settle(&socket).map_err(AcceptError::Connection)?;
    let from = peer(listener, &from).map_err(AcceptError::Connection)?;
    Ok((socket, from))
}

/// EINVAL and EOPNOTSUPP mean "does not listen". Kernels also have the first one for a connection
/// that is gone, and Linux passes the second one on from the network, so the socket is asked.
fn sorted(listener: BorrowedFd<'_>, error: io::Error) -> AcceptError {
    let is_ambiguous = matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP));
    if is_ambiguous && option::is_listening(listener).unwrap_or(false) {
        return AcceptError::Connection(error);
    }
    AcceptError::from(error)
}

/// The address that accept(2) wrote. XNU writes none for a TCP connection that was reset in the
/// backlog; other kernels write none for an unnamed Unix peer.
fn peer(listener: BorrowedFd<'_>, from: &KernelAddress) -> io::Result<Address> {
    if from.is_empty() && matches!(super::local_addr(listener)?, Address::Inet(_)) {
        return Err(io::Error::from_raw_os_error(libc::ECONNABORTED));
    }
    from.address()
}

#[cfg(has_atomic_cloexec)]
fn accept_fd(
    listener: RawFd,
    address: *mut libc::sockaddr,
    length: &mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the caller gives `address` room for `length` bytes, and both outlive the call.
    owned(unsafe { libc::accept4(listener, address, length, flags) })
}

#[cfg(not(has_atomic_cloexec))]
fn accept_fd(
    listener: RawFd,
    address: *mut libc::sockaddr,
    length: &mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    // SAFETY: the caller gives `address` room for `length` bytes, and both outlive the call.
    owned(unsafe { libc::accept(listener, address, length) })
}

/// Nothing is left to set on a socket that accept4(2) made.
#[cfg(has_atomic_cloexec)]
fn settle(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// Sets the flags that accept(2) cannot set. SO_NOSIGPIPE is inherited from the listener, and to
/// set it on a socket whose client has reset is EINVAL on XNU.
#[cfg(not(has_atomic_cloexec))]
fn settle(socket: &OwnedFd) -> io::Result<()> {
    super::set_flags(socket)
}

/// A descriptor kept for the moment when there are no more.
///
/// At the limit of descriptors a listener stays ready, since the connection still waits, and
/// nothing can be done about it: unless one descriptor was put by. It is given up, the connection
/// is taken and closed, so its peer learns at once, and the reserve is filled again.
///
/// The descriptor is a copy of the listener, which needs no file of the system, so a reserve can be
/// filled in an empty chroot(2). Drop it with the listener: the socket listens until both are closed.
///
/// ```
/// use mainspring_sys::socket::{self, ListenOptions, ReserveFd};
///
/// let listener = socket::listen(&"127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let _client = socket::connect(&socket::local_addr(&listener)?)?;
/// let mut reserve = ReserveFd::new(&listener)?;
/// let from = reserve.accept_and_close(&listener)?;
/// assert!(from.as_inet().unwrap().ip().is_loopback());
/// assert!(reserve.is_filled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReserveFd(Option<OwnedFd>);

impl ReserveFd {
    /// A filled reserve for `listener`.
    ///
    /// # Errors
    ///
    /// The process or the system is out of descriptors already.
    pub fn new(listener: impl AsFd) -> io::Result<ReserveFd> {
        let mut reserve = ReserveFd(None);
        reserve.refill(listener)?;
        Ok(reserve)
    }

    /// Whether there is a descriptor to give up.
    pub fn is_filled(&self) -> bool {
        self.0.is_some()
    }

    /// Closes the descriptor; false if there is none.
    pub fn release(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Takes a descriptor again, if there is none.
    ///
    /// # Errors
    ///
    /// The process or the system is out of descriptors. A later call may succeed.
    pub fn refill(&mut self, listener: impl AsFd) -> io::Result<()> {
        if self.0.is_none() {
            self.0 = Some(duplicate(listener.as_fd())?);
        }
        Ok(())
    }

    /// Takes one connection of `listener` and closes it; tells who was turned away.
    ///
    /// # Errors
    ///
    /// Those of [`accept`]. `Capacity` if another thread was faster to take the descriptor that was
    /// given up.
    pub fn accept_and_close(&mut self, listener: impl AsFd) -> Result<Address, AcceptError> {
        self.refill(&listener)?;
        self.release();
        let turned_away = accept(&listener).map(|(_closed_here, from)| from);
        // If it fails, the next call tries again, and finds out whether it matters.
        let _ = self.refill(&listener);
        turned_away
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn no_settling(_: &OwnedFd) -> io::Result<()> {
        Ok(())
    }

    /// A listener at `[::1]` or 127.0.0.1 and a client in its backlog.
    fn backlog() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, client)
    }

    /// XNU: the client has reset in the backlog, accept(2) succeeds, and writes no address.
    #[test]
    fn s4_an_empty_address_concerns_one_connection() {
        let (listener, mut client) = backlog();
        let nameless = |fd, address: *mut libc::sockaddr, length: &mut libc::socklen_t| {
            let socket = accept_fd(fd, address, length)?;
            *length = 0;
            Ok(socket)
        };
        let refused = accept_by(listener.as_fd(), nameless, no_settling).unwrap_err();
        let AcceptError::Connection(error) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "the socket is closed");
    }

    /// XNU: setsockopt(2) on the dead socket answers EINVAL.
    #[test]
    fn s4_what_fails_after_accept_concerns_one_connection() {
        let numbers = [libc::EINVAL, libc::EBADF, libc::ENOTSOCK, libc::EMFILE, libc::EAGAIN];
        for number in numbers {
            let (listener, _client) = backlog();
            let dead = |_: &OwnedFd| Err(Error::from_raw_os_error(number));
            let refused = accept_by(listener.as_fd(), accept_fd, dead).unwrap_err();
            let AcceptError::Connection(error) = refused else { panic!("{refused:?}") };
            assert_eq!(error.raw_os_error(), Some(number));
        }
    }

    /// An empty address is that of an unnamed peer only where the listener is a Unix socket.
    #[test]
    fn an_empty_address_of_a_unix_peer_is_unnamed() {
        let name = format!("mainspring-{}-nameless", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let nameless = |fd, address: *mut libc::sockaddr, length: &mut libc::socklen_t| {
            let socket = accept_fd(fd, address, length)?;
            *length = 0;
            Ok(socket)
        };
        let (_, from) = accept_by(listener.as_fd(), nameless, no_settling).unwrap();
        assert!(from.as_unix().unwrap().is_unnamed());
    }

    /// The listener still listens, so the error was the connection's.
    #[test]
    fn s4_ambiguous_errors_end_only_what_does_not_listen() {
        for number in [libc::EINVAL, libc::EOPNOTSUPP] {
            let (listener, _client) = backlog();
            let invalid = |_, _: *mut libc::sockaddr, _: &mut libc::socklen_t| {
                Err(Error::from_raw_os_error(number))
            };
            let refused = accept_by(listener.as_fd(), invalid, no_settling).unwrap_err();
            assert!(matches!(refused, AcceptError::Connection(_)), "{refused:?}");
            let bound = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let refused = accept_by(bound.as_fd(), invalid, no_settling).unwrap_err();
            assert!(matches!(refused, AcceptError::Listener(_)), "{refused:?}");
        }
    }
}
