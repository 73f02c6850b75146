//! Sockets: the functions that [`std::net`] lacks for an event loop.
//!
//! Non-blocking connect, accept with classified errors, Unix addresses of all kinds, and options.
//! For everything that std has (reading, writing, multicast), convert the descriptor:
//! `TcpStream::from(fd)`.
//!
//! # Invariants
//!
//! * Every socket that this module creates is close-on-exec and non-blocking before any other code
//!   gets it. Where the kernel supports it, the call that creates the socket sets both.
//! * No call of this module raises SIGPIPE: it returns the error `EPIPE` instead.
//! * No address is truncated: one that does not fit is an error.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::fd::owned;
use crate::syscall::check;

mod accept;
mod address;
mod bind;
mod connect;
mod credentials;
mod host_name;
mod keepalive;
mod option;
mod parse_error;
mod socket_file;
mod text;
mod transfer;
mod unix;

pub use accept::{AcceptError, ReserveFd, accept};
pub use address::Address;
pub use bind::{BindOptions, ListenOptions, bind_datagram, listen};
pub use connect::{Connecting, connect, connect_datagram, connect_from, finish_connect, set_peer};
pub use credentials::{PeerCredentials, peer_credentials};
pub use host_name::host_name;
#[allow(deprecated)]
pub use keepalive::set_linger;
pub use keepalive::{
    KeepaliveTimes, keepalive, keepalive_times, linger, set_keepalive, set_keepalive_times,
    set_linger_zero, set_user_timeout, user_timeout,
};
pub use option::{
    nodelay, recv_buffer, reuse_address, reuse_port, send_buffer, set_nodelay, set_recv_buffer,
    set_reuse_address, set_reuse_port, set_send_buffer, set_v6_only, take_error, v6_only,
};
pub use socket_file::SocketFile;
pub use transfer::{peek, recv, recv_from, recv_vectored, send, send_to, send_vectored};
pub use unix::UnixAddress;

use address::KernelAddress;

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

/// Closes the write side: the peer reads end of file after the last byte. Reading is still
/// possible.
///
/// ```
/// use mainspring_sys::socket;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// let (mut ours, mut theirs) = UnixStream::pair()?;
/// ours.write_all(b"last")?;
/// socket::shutdown_write(&ours)?;
/// let mut received = String::new();
/// theirs.read_to_string(&mut received)?;
/// assert_eq!(received, "last");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of shutdown(2): `NotConnected`.
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    check(unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Opens a socket of the family of `address` and of type `kind` (`SOCK_STREAM`, `SOCK_DGRAM`).
#[cfg(has_atomic_cloexec)]
fn open(address: &Address, kind: libc::c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes integers and touches no memory of ours.
    owned(unsafe { libc::socket(address.family(), kind, 0) })
}

/// Opens a socket of the family of `address` and of type `kind` (`SOCK_STREAM`, `SOCK_DGRAM`).
#[cfg(not(has_atomic_cloexec))]
fn open(address: &Address, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers and touches no memory of ours.
    settle(owned(unsafe { libc::socket(address.family(), kind, 0) })?)
}

/// Gives a new socket what could not be asked for in the call that made it.
#[cfg(not(has_atomic_cloexec))]
fn settle(socket: OwnedFd) -> io::Result<OwnedFd> {
    set_flags(&socket)?;
    raise_no_sigpipe(&socket)?;
    Ok(socket)
}

/// Makes a new socket close-on-exec and non-blocking.
#[cfg(not(has_atomic_cloexec))]
fn set_flags(socket: &OwnedFd) -> io::Result<()> {
    crate::fd::set_cloexec(socket.as_fd())?;
    crate::fd::set_nonblocking(socket.as_fd(), true).map(drop)
}

#[cfg(has_so_nosigpipe)]
fn raise_no_sigpipe(socket: impl AsFd) -> io::Result<()> {
    option::set_no_sigpipe(socket)
}

#[cfg(not(has_so_nosigpipe))]
fn raise_no_sigpipe(_: impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Sets the options of a listener that accepted sockets inherit, and returns its address:
/// `TCP_NODELAY` for TCP, `SO_NOSIGPIPE` on Apple systems. A socket from [`listen`] already has the
/// second one.
///
/// Setting an option once on the listener costs no system call per connection. It also cannot fail
/// for a client that has already reset the connection.
///
/// ```
/// use mainspring_sys::socket;
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = socket::prepare_listener(&listener)?.as_inet().unwrap();
/// let _client = TcpStream::connect(address)?;
/// let (accepted, _) = socket::accept(&listener)?;
/// assert!(TcpStream::from(accepted).nodelay()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of getsockname(2) and setsockopt(2); `Unsupported` for a family that is neither internet
/// nor Unix.
pub fn prepare_listener(listener: impl AsFd) -> io::Result<Address> {
    let listener = listener.as_fd();
    let address = local_addr(listener)?;
    raise_no_sigpipe(listener)?;
    if matches!(address, Address::Inet(_)) {
        set_nodelay(listener, true)?;
    }
    Ok(address)
}

fn bind_to(socket: &OwnedFd, address: &Address) -> io::Result<()> {
    let kernel = KernelAddress::new(address);
    // SAFETY: `kernel` is readable for its length and outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), kernel.as_ptr(), kernel.length()) }).map(drop)
}
