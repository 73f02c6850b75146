//! Connecting without waiting.
//!
//! connect(2) of a non-blocking socket only begins. The end is told by readiness to write, which
//! also comes when it failed, and even where it never began. So the verdict is the kernel's word:
//! no error, and a peer that has a name.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::{Address, KernelAddress, bind_to, open, option, peer_addr};
use crate::syscall::{check, retry};

/// A connection that [`connect`] has begun.
#[derive(Debug)]
pub enum Connecting {
    /// Already connected: Unix sockets always are.
    Done(OwnedFd),
    /// Under way. When the socket is ready to write, ask [`finish_connect`].
    InProgress(OwnedFd),
}

impl Connecting {
    /// The socket, however far it is.
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

/// Opens a stream socket and begins to connect it to `remote`.
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
/// As socket(2) and connect(2). A Unix peer whose backlog is full gives `ResourceBusy`: nothing is
/// under way, and a later attempt needs a new call. (The kernel's own `EAGAIN` would read as "wait
/// for readiness", which would then come and mean nothing.)
pub fn connect(remote: &Address) -> io::Result<Connecting> {
    begin(open(remote, libc::SOCK_STREAM)?, remote)
}

/// As [`connect`], from the address `local`.
///
/// # Errors
///
/// As bind(2), and those of [`connect`].
pub fn connect_from(remote: &Address, local: &Address) -> io::Result<Connecting> {
    let socket = open(remote, libc::SOCK_STREAM)?;
    bind_to(&socket, local)?;
    begin(socket, remote)
}

/// Opens a datagram socket that sends to `remote` and receives only from there.
///
/// # Errors
///
/// As socket(2) and connect(2).
pub fn connect_datagram(remote: &Address) -> io::Result<OwnedFd> {
    begin(open(remote, libc::SOCK_DGRAM)?, remote).map(Connecting::into_fd)
}

/// Makes a datagram socket send to `remote` from now on, and receive only from there. This does not
/// wait.
///
/// # Errors
///
/// Those of connect(2).
pub fn set_peer(socket: impl AsFd, remote: &Address) -> io::Result<()> {
    let kernel = KernelAddress::new(remote);
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: `kernel` is readable for its length and outlives the call.
    check(unsafe { libc::connect(socket, kernel.as_ptr(), kernel.length()) }).map(drop)
}

fn begin(socket: OwnedFd, remote: &Address) -> io::Result<Connecting> {
    let kernel = KernelAddress::new(remote);
    // SAFETY: `kernel` is readable for its length and outlives the call.
    let result =
        check(unsafe { libc::connect(socket.as_raw_fd(), kernel.as_ptr(), kernel.length()) });
    match result {
        Ok(_) => Ok(Connecting::Done(socket)),
        // An interrupted connect goes on by itself; a second call would only tell so.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Ok(Connecting::InProgress(socket))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let message =
                format!("{remote} takes no more connections for now: its backlog is full");
            Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
        }
        Err(error) => Err(error),
    }
}

/// Whether the socket is connected; false while that is still under way.
///
/// # Errors
///
/// Why the connection failed, as connect(2) would tell; `NotConnected` for a socket that never
/// began to connect, or whose error has been taken before.
pub fn finish_connect(socket: impl AsFd) -> io::Result<bool> {
    let socket = socket.as_fd();
    if !is_settled(socket)? {
        return Ok(false);
    }
    match option::take_error(socket)? {
        Some(error) => Err(error),
        None => peer_addr(socket).map(|_| true),
    }
}

/// Whether the kernel has anything to say: while a connection is under way, it has not.
fn is_settled(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `asked` is one entry, as the call is told, and outlives it.
    retry(|| check(unsafe { libc::poll(&raw mut asked, 1, 0) })).map(|count| count > 0)
}
