//! The two addresses of a socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::address::{Address, KernelAddress};
use crate::syscall::check;

/// Returns the local address of the socket.
///
/// # Errors
///
/// The errors of getsockname(2); `Unsupported` for a family that is neither internet nor Unix.
pub fn local_addr(socket: impl AsFd) -> io::Result<Address> {
    local_addr_of_fd(socket.as_fd().as_raw_fd())
}

/// Like [`local_addr`], for a number that may be another file's by now.
///
/// # Errors
///
/// The errors of [`local_addr`]; `NotASocket`.
pub fn local_addr_of_fd(fd: RawFd) -> io::Result<Address> {
    let ((), address) = KernelAddress::receive(|address, length| {
        // SAFETY: `address` has room for the `length` bytes that the call may write, and both
        // outlive it. A wrong number is an error, not a fault.
        check(unsafe { libc::getsockname(fd, address, length) }).map(drop)
    })?;
    address.address()
}

/// Returns the address that the socket is connected to.
///
/// ```
/// use mainspring_sys::socket::{local_addr, peer_addr};
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// assert_eq!(peer_addr(&client)?, local_addr(&listener)?);
/// assert_eq!(peer_addr(&listener).unwrap_err().kind(), std::io::ErrorKind::NotConnected);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of getpeername(2), above all `NotConnected`; `Unsupported` for a family that is
/// neither internet nor Unix.
pub fn peer_addr(socket: impl AsFd) -> io::Result<Address> {
    peer_addr_of_fd(socket.as_fd().as_raw_fd())
}

/// Like [`peer_addr`], for a number that may be another file's by now.
///
/// # Errors
///
/// The errors of [`peer_addr`]; `NotASocket`.
pub fn peer_addr_of_fd(fd: RawFd) -> io::Result<Address> {
    let ((), address) = KernelAddress::receive(|address, length| {
        // SAFETY: `address` has room for the `length` bytes that the call may write, and both
        // outlive it. A wrong number is an error, not a fault.
        check(unsafe { libc::getpeername(fd, address, length) }).map(drop)
    })?;
    address.address()
}
