//! A connected stream socket of any family, outside of tasks.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mainspring_sys::socket::{self, Address, PeerCredentials};

/// A connected stream socket, TCP or Unix: the result of accepting and of connecting.
///
/// It is non-blocking and close-on-exec, and writing to it never raises SIGPIPE. Convert it to an
/// `OwnedFd` to make it a [`TcpStream`](std::net::TcpStream) or a
/// [`UnixStream`](std::os::unix::net::UnixStream) of std.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn new(fd: OwnedFd) -> Socket {
        Socket(fd)
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Address> {
        socket::local_addr(self)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    ///
    /// The errors of getpeername(2): `NotConnected` if the connection is over.
    pub fn peer_addr(&self) -> io::Result<Address> {
        socket::peer_addr(self)
    }

    /// Returns the user and the process of the peer of a Unix socket. The kernel has stored them
    /// when the peer connected or began to listen.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a TCP socket, and if the system has no such call; `NotConnected`.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        socket::peer_credentials(self)
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.0
    }
}

impl Read for &Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        socket::recv(self, buffer)
    }
}

impl Write for &Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket::send(self, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        socket::send_vectored(self, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
