//! Accepting connections, with errors classified by the reaction to them.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::address::{Address, KernelAddress};
use super::endpoints::local_addr;
use super::option;
use crate::error_class::{ErrorClass, Operation, classify};
use crate::fd::{duplicate, owned};
use crate::syscall::retry;

/// Error of [`accept`].
///
/// Each variant determines what to do next. There will be no further ones.
#[derive(Debug)]
pub enum AcceptError {
    /// The backlog is empty. Wait for readiness.
    WouldBlock,
    /// This connection failed, before or right after it was accepted. Accept the next one.
    ///
    /// Unknown errors are also in this class, because a peer may have caused them. After several of
    /// them in a row, pause, because the listener may stay ready.
    Connection(io::Error),
    /// The process or the system is out of descriptors or memory. Stop accepting for a while, or
    /// use the [`ReserveFd`]: the connection stays in the backlog, so the listener stays ready.
    Capacity(io::Error),
    /// The descriptor can never accept: it is closed, is not a socket, or does not listen.
    Listener(io::Error),
}

impl From<io::Error> for AcceptError {
    /// Classifies an error of accept(2) by the [table of error classes](crate::error_class). Only
    /// the errors that POSIX specifies for a descriptor that is not a listening socket are
    /// [`Listener`](AcceptError::Listener); unknown ones are
    /// [`Connection`](AcceptError::Connection).
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
            // A peer may have caused an unknown error, which must not stop the listener.
            _ => AcceptError::Connection(error),
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AcceptError::WouldBlock => "no connection to accept",
            AcceptError::Connection(_) => "a connection failed while it was being accepted",
            AcceptError::Capacity(_) => "no descriptor or memory for another connection",
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

/// Accepts the next connection of `listener`, and returns its socket and the address of its peer.
///
/// The socket is close-on-exec and non-blocking. On Apple systems it does not raise SIGPIPE if its
/// listener does not, see [`prepare_listener`](super::prepare_listener).
///
/// ```
/// use mainspring_sys::socket::{self, AcceptError};
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// assert!(matches!(socket::accept(&listener), Err(AcceptError::WouldBlock)));
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (_accepted, peer) = socket::accept(&listener)?;
/// assert_eq!(peer.as_inet(), Some(client.local_addr()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// See [`AcceptError`]. After accept(2) has succeeded, every error belongs to the connection: if
/// the client has already reset it, any later call on the socket may fail.
pub fn accept(listener: impl AsFd) -> Result<(OwnedFd, Address), AcceptError> {
    accept_by(listener.as_fd(), accept_fd, set_flags)
}

/// Implements [`accept`] with these two calls, so that a test can imitate another kernel.
fn accept_by(
    listener: BorrowedFd<'_>,
    call: impl Fn(RawFd, *mut libc::sockaddr, &mut libc::socklen_t) -> io::Result<OwnedFd>,
    finish: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> Result<(OwnedFd, Address), AcceptError> {
    let fd = listener.as_raw_fd();
    let received = retry(|| KernelAddress::receive(|address, length| call(fd, address, length)));
    let (socket, from) = received.map_err(|error| classified(listener, error))?;
    // From here on every error is the client's, which may have reset the connection.
    finish(&socket).map_err(AcceptError::Connection)?;
    let from = peer(listener, &from).map_err(AcceptError::Connection)?;
    Ok((socket, from))
}

/// Classifies an error of accept(2). EINVAL and EOPNOTSUPP mean "does not listen". But kernels also
/// return EINVAL for a connection that is gone, and Linux passes on EOPNOTSUPP from the network, so
/// the option of the socket decides.
fn classified(listener: BorrowedFd<'_>, error: io::Error) -> AcceptError {
    let is_ambiguous = matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP));
    if is_ambiguous && option::is_listening(listener.as_raw_fd()).unwrap_or(false) {
        return AcceptError::Connection(error);
    }
    AcceptError::from(error)
}

/// Returns the address that accept(2) wrote. XNU writes none for a TCP connection that was reset in
/// the backlog; other kernels write none for an unnamed Unix peer.
fn peer(listener: BorrowedFd<'_>, from: &KernelAddress) -> io::Result<Address> {
    if from.is_empty() && matches!(local_addr(listener)?, Address::Inet(_)) {
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
    // SAFETY: the caller provides `length` bytes at `address`, and both outlive the call.
    owned(unsafe { libc::accept4(listener, address, length, flags) })
}

#[cfg(not(has_atomic_cloexec))]
fn accept_fd(
    listener: RawFd,
    address: *mut libc::sockaddr,
    length: &mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    // SAFETY: the caller provides `length` bytes at `address`, and both outlive the call.
    owned(unsafe { libc::accept(listener, address, length) })
}

/// accept4(2) has set all flags.
#[cfg(has_atomic_cloexec)]
fn set_flags(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// Sets the flags that accept(2) cannot set. SO_NOSIGPIPE is inherited from the listener; setting
/// it after the client has reset is EINVAL on XNU.
#[cfg(not(has_atomic_cloexec))]
fn set_flags(socket: &OwnedFd) -> io::Result<()> {
    super::open::set_flags(socket)
}

/// A descriptor in reserve, for accepting at the descriptor limit.
///
/// At the limit a listener stays ready, because the connection stays in the backlog, and accepting
/// it fails. With a reserve, its descriptor is closed, the connection is accepted and closed, so
/// that its peer notices at once, and the reserve is filled again.
///
/// The descriptor is a duplicate of the listener, which needs no further open file, so a reserve
/// can be filled in an empty chroot(2). Drop the reserve with the listener: the socket listens
/// until both are closed.
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
    /// Creates a filled reserve for `listener`.
    ///
    /// # Errors
    ///
    /// If the process or the system is already out of descriptors.
    pub fn new(listener: impl AsFd) -> io::Result<ReserveFd> {
        let mut reserve = ReserveFd(None);
        reserve.refill(listener)?;
        Ok(reserve)
    }

    /// Returns true if there is a descriptor in reserve.
    pub fn is_filled(&self) -> bool {
        self.0.is_some()
    }

    /// Closes the descriptor. Returns false if there is none.
    pub fn release(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Fills the reserve, if it is empty.
    ///
    /// # Errors
    ///
    /// If the process or the system is out of descriptors. A later call may succeed.
    pub fn refill(&mut self, listener: impl AsFd) -> io::Result<()> {
        if self.0.is_none() {
            self.0 = Some(duplicate(listener.as_fd())?);
        }
        Ok(())
    }

    /// Accepts one connection of `listener` with the descriptor in reserve, closes it, and returns
    /// the address of its peer.
    ///
    /// # Errors
    ///
    /// The errors of [`accept`]. `Capacity` if another thread has taken the released descriptor.
    pub fn accept_and_close(&mut self, listener: impl AsFd) -> Result<Address, AcceptError> {
        self.refill(&listener)?;
        // Released right before the call, so that it gets the number that becomes free.
        self.release();
        let from = accept(&listener).map(|(_closed_when_dropped, from)| from);
        // If this fails, the next call tries again and returns the error.
        let _ = self.refill(&listener);
        from
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn no_flags(_: &OwnedFd) -> io::Result<()> {
        Ok(())
    }

    /// A listener at `[::1]` or 127.0.0.1, and a client in its backlog.
    fn backlog() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, client)
    }

    /// XNU: if the client resets in the backlog, accept(2) succeeds and writes no address.
    #[test]
    fn s4_an_empty_address_is_an_error_of_one_connection() {
        let (listener, mut client) = backlog();
        let nameless = |fd, address: *mut libc::sockaddr, length: &mut libc::socklen_t| {
            let socket = accept_fd(fd, address, length)?;
            *length = 0;
            Ok(socket)
        };
        let refused = accept_by(listener.as_fd(), nameless, no_flags).unwrap_err();
        let AcceptError::Connection(error) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "the socket is closed");
    }

    /// XNU: setsockopt(2) on a socket that was reset returns EINVAL.
    #[test]
    fn s4_a_failure_after_accept_is_an_error_of_one_connection() {
        let numbers = [libc::EINVAL, libc::EBADF, libc::ENOTSOCK, libc::EMFILE, libc::EAGAIN];
        for number in numbers {
            let (listener, _client) = backlog();
            let dead = |_: &OwnedFd| Err(Error::from_raw_os_error(number));
            let refused = accept_by(listener.as_fd(), accept_fd, dead).unwrap_err();
            let AcceptError::Connection(error) = refused else { panic!("{refused:?}") };
            assert_eq!(error.raw_os_error(), Some(number));
        }
    }

    /// Only at a Unix listener does an empty address mean an unnamed peer.
    #[test]
    fn an_empty_address_of_a_unix_peer_is_unnamed() {
        let name = format!("mainspring-{}-nameless", std::process::id());
        let path = std::path::Path::new("/tmp").join(name); // TMPDIR may be too long.
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let nameless = |fd, address: *mut libc::sockaddr, length: &mut libc::socklen_t| {
            let socket = accept_fd(fd, address, length)?;
            *length = 0;
            Ok(socket)
        };
        let (_, from) = accept_by(listener.as_fd(), nameless, no_flags).unwrap();
        assert!(from.as_unix().unwrap().is_unnamed());
    }

    /// If the socket still listens, the error belongs to the connection.
    #[test]
    fn s4_ambiguous_errors_end_only_sockets_that_do_not_listen() {
        for number in [libc::EINVAL, libc::EOPNOTSUPP] {
            let (listener, _client) = backlog();
            let invalid = |_, _: *mut libc::sockaddr, _: &mut libc::socklen_t| {
                Err(Error::from_raw_os_error(number))
            };
            let refused = accept_by(listener.as_fd(), invalid, no_flags).unwrap_err();
            assert!(matches!(refused, AcceptError::Connection(_)), "{refused:?}");
            let bound = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let refused = accept_by(bound.as_fd(), invalid, no_flags).unwrap_err();
            assert!(matches!(refused, AcceptError::Listener(_)), "{refused:?}");
        }
    }
}
