//! Accepting connections, with errors sorted by what to do about them.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::{Address, KernelAddress};
use crate::fd::{duplicate, owned};
use crate::syscall::retry;

/// Why [`accept`] gave no connection.
///
/// The four are all there will be: each names what to do next.
#[derive(Debug)]
pub enum AcceptError {
    /// Nobody waits. Wait for readiness.
    WouldBlock,
    /// This connection failed before it was accepted. Go on with the next one.
    Connection(io::Error),
    /// The process or the system is out of descriptors or memory. Stop for a while, or use the
    /// [`ReserveFd`]: the connection still waits, so the listener stays ready.
    Capacity(io::Error),
    /// The listener itself is of no more use.
    Listener(io::Error),
}

impl From<io::Error> for AcceptError {
    /// Sorts an error of accept(2).
    ///
    /// ```
    /// use mainspring_sys::socket::AcceptError;
    /// use std::io;
    ///
    /// let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
    /// assert!(matches!(AcceptError::from(aborted), AcceptError::Connection(_)));
    /// ```
    fn from(error: io::Error) -> AcceptError {
        if error.kind() == io::ErrorKind::WouldBlock {
            return AcceptError::WouldBlock;
        }
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return AcceptError::Connection(error);
        }
        match error.raw_os_error() {
            Some(number) if CONNECTION.contains(&number) => AcceptError::Connection(error),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                AcceptError::Capacity(error)
            }
            _ => AcceptError::Listener(error),
        }
    }
}

/// Errors of a connection that was about to be accepted; accept(2) of Linux passes on what had
/// happened to it on the network.
const CONNECTION: &[libc::c_int] = &[
    libc::ECONNRESET,
    libc::ETIMEDOUT,
    libc::EPROTO,
    libc::ENOPROTOOPT,
    libc::EPROTONOSUPPORT,
    libc::ESOCKTNOSUPPORT,
    libc::EOPNOTSUPP,
    libc::ENETDOWN,
    libc::ENETUNREACH,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    #[cfg(has_enonet)]
    libc::ENONET,
    // A firewall forbids it.
    libc::EPERM,
];

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AcceptError::WouldBlock => "no connection waits to be accepted",
            AcceptError::Connection(_) => "a connection failed before it was accepted",
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

/// Takes the next connection of `listener`, and who it is from.
///
/// # Errors
///
/// See [`AcceptError`]. A listener of another family than internet or Unix is of no use.
pub fn accept(listener: impl AsFd) -> Result<(OwnedFd, Address), AcceptError> {
    let listener = listener.as_fd().as_raw_fd();
    let (socket, from) =
        retry(|| KernelAddress::receive(|address, length| accept_fd(listener, address, length)))?;
    Ok((socket, from.address()?))
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
    super::settle(owned(unsafe { libc::accept(listener, address, length) })?)
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
/// let from = reserve.turn_away(&listener)?;
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
    pub fn turn_away(&mut self, listener: impl AsFd) -> Result<Address, AcceptError> {
        self.refill(&listener)?;
        self.release();
        let turned_away = accept(&listener).map(|(_closed_here, from)| from);
        // If it fails, the next call tries again, and finds out whether it matters.
        let _ = self.refill(&listener);
        turned_away
    }
}
