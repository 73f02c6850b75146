//! The two addresses of a socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::address::{Address, KernelAddress};
use crate::syscall::check;

/// Returns the local address of the socket.
///
/// # Errors
///
/// Those of getsockname(2); `Unsupported` for a family that is neither internet nor Unix.
pub fn local_addr(socket: impl AsFd) -> io::Result<Address> {
    let socket = socket.as_fd().as_raw_fd();
    let ((), address) = KernelAddress::receive(|address, length| {
        // SAFETY: `address` has room for the `length` bytes that the call may write, and both
        // outlive it.
        check(unsafe { libc::getsockname(socket, address, length) }).map(drop)
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
/// Those of getpeername(2), above all `NotConnected`; `Unsupported` for a family that is neither
/// internet nor Unix.
pub fn peer_addr(socket: impl AsFd) -> io::Result<Address> {
    let socket = socket.as_fd().as_raw_fd();
    let ((), address) = KernelAddress::receive(|address, length| {
        // SAFETY: `address` has room for the `length` bytes that the call may write, and both
        // outlive it.
        check(unsafe { libc::getpeername(socket, address, length) }).map(drop)
    })?;
    address.address()
}
