//! Non-blocking connect.
//!
//! connect(2) on a non-blocking socket only starts the attempt. Writability means that the attempt
//! is over, even if it failed or never began. The outcome is SO_ERROR, then getpeername(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::address::{Address, KernelAddress};
use super::endpoints::peer_addr;
use super::open::{bind_to, open};
use super::option;
use crate::fd::poll_now;
use crate::syscall::check;

/// A connection that [`connect`] has started.
#[derive(Debug)]
pub enum Connecting {
    /// Connected: Unix sockets always are.
    Done(OwnedFd),
    /// In progress. When the socket is writable, call [`finish_connect`].
    InProgress(OwnedFd),
}

impl Connecting {
    /// Returns the socket, in either state.
    pub fn into_fd(self) -> OwnedFd {
        match self {
            Connecting::Done(fd) | Connecting::InProgress(fd) => fd,
        }
    }
}

impl AsFd for Connecting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Connecting::Done(fd) | Connecting::InProgress(fd) => fd.as_fd(),
        }
    }
}

/// Opens a stream socket and starts to connect it to `remote`.
///
/// ```
/// use std::os::fd::{AsFd, AsRawFd};
/// use std::time::Duration;
///
/// use mainspring_sys::socket::{self, Connecting, ListenOptions};
/// use mainspring_sys::{Events, Interest, TriggerMode, SelectorKind, Token};
///
/// let listener = socket::listen(&"127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let connecting = socket::connect(&socket::local_addr(&listener)?)?;
/// let fd = connecting.as_fd().as_raw_fd();
/// let mut selector = SelectorKind::available()[0].open()?;
/// selector.register(fd, Token::new(0, 0), Interest::WRITABLE, TriggerMode::Level)?;
/// selector.select(&mut Events::with_capacity(1), Some(Duration::from_secs(10)))?;
/// assert!(socket::finish_connect(&connecting)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of socket(2) and connect(2). `ResourceBusy` if the backlog of a Unix peer is full:
/// nothing is in progress, and a later attempt needs a new call. (The kernel's `EAGAIN` would
/// suggest waiting for readiness, which is reported at once and means nothing.)
pub fn connect(remote: &Address) -> io::Result<Connecting> {
    start(open(remote, libc::SOCK_STREAM)?, remote)
}

/// Like [`connect`], but from the address `local`.
///
/// # Errors
///
/// The errors of bind(2) and [`connect`].
pub fn connect_from(remote: &Address, local: &Address) -> io::Result<Connecting> {
    let socket = open(remote, libc::SOCK_STREAM)?;
    bind_to(&socket, local)?;
    start(socket, remote)
}

/// Opens a datagram socket that sends to `remote` and receives only from there.
///
/// # Errors
///
/// The errors of socket(2) and connect(2).
pub fn connect_datagram(remote: &Address) -> io::Result<OwnedFd> {
    connect_as(remote, libc::SOCK_DGRAM)
}

/// Opens a socket of the type `kind`, which connects at once, and connects it.
pub(super) fn connect_as(remote: &Address, kind: libc::c_int) -> io::Result<OwnedFd> {
    start(open(remote, kind)?, remote).map(Connecting::into_fd)
}

/// Makes a datagram socket send to `remote` and receive only from there. This does not block.
///
/// # Errors
///
/// The errors of connect(2).
pub fn set_peer(socket: impl AsFd, remote: &Address) -> io::Result<()> {
    let kernel = KernelAddress::new(remote);
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: `kernel` is readable for its length and outlives the call.
    check(unsafe { libc::connect(socket, kernel.as_ptr(), kernel.length()) }).map(drop)
}

fn start(socket: OwnedFd, remote: &Address) -> io::Result<Connecting> {
    let kernel = KernelAddress::new(remote);
    // SAFETY: `kernel` is readable for its length and outlives the call.
    let result =
        check(unsafe { libc::connect(socket.as_raw_fd(), kernel.as_ptr(), kernel.length()) });
    match result {
        Ok(_) => Ok(Connecting::Done(socket)),
        // An interrupted connect continues in the background; a second call would return EALREADY.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Ok(Connecting::InProgress(socket))
        }
        // EAGAIN of a Unix socket: nothing is in progress (connect(2)).
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let message = format!("the backlog of {remote} is full");
            Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
        }
        Err(error) => Err(error),
    }
}

/// Returns true if the socket is connected, false while the attempt is in progress.
///
/// # Errors
///
/// The reason of a failure, as from connect(2); `NotConnected` for a socket that never started to
/// connect, or after its error was taken.
pub fn finish_connect(socket: impl AsFd) -> io::Result<bool> {
    let socket = socket.as_fd();
    if !is_over(socket)? {
        return Ok(false);
    }
    match option::take_error(socket)? {
        Some(error) => Err(error),
        None => peer_addr(socket).map(|_| true),
    }
}

/// Returns true if the attempt is over: poll(2) reports nothing while it is in progress.
fn is_over(socket: BorrowedFd<'_>) -> io::Result<bool> {
    poll_now(socket.as_raw_fd(), libc::POLLOUT).map(|found| found != 0)
}
