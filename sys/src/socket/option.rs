//! Options of sockets, each one line over setsockopt(2).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::syscall::check;

/// Sends small pieces at once (`TCP_NODELAY`), instead of waiting for more or for the peer's word.
///
/// # Errors
///
/// As setsockopt(2): not a TCP socket.
pub fn set_nodelay(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, libc::c_int::from(on))
}

/// Asks a silent peer from time to time whether it is still there (`SO_KEEPALIVE`).
///
/// # Errors
///
/// As setsockopt(2).
pub fn set_keepalive(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, libc::c_int::from(on))
}

/// Allows to bind to an address that is still cooling down after its last owner (`SO_REUSEADDR`).
///
/// # Errors
///
/// As setsockopt(2).
pub fn set_reuse_address(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, libc::c_int::from(on))
}

/// Allows several sockets to be bound to one address (`SO_REUSEPORT`). Linux then spreads
/// connections over them; elsewhere the last one may get them all.
///
/// # Errors
///
/// `Unsupported` where the kernel has no such option.
pub fn set_reuse_port(socket: impl AsFd, on: bool) -> io::Result<()> {
    #[cfg(has_reuse_port)]
    return set(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, libc::c_int::from(on));
    #[cfg(not(has_reuse_port))]
    {
        let _ = (socket, on);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether an IPv6 socket bound to `[::]` leaves IPv4 to others (`IPV6_V6ONLY`).
///
/// # Errors
///
/// As setsockopt(2): not an IPv6 socket.
pub fn set_v6_only(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, libc::c_int::from(on))
}

/// Asks for room for this many unsent bytes (`SO_SNDBUF`); the kernel rounds, and Linux doubles.
///
/// # Errors
///
/// As setsockopt(2).
pub fn set_send_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, clamped(bytes))
}

/// Asks for room for this many unread bytes (`SO_RCVBUF`); the kernel rounds, and Linux doubles.
///
/// # Errors
///
/// As setsockopt(2).
pub fn set_recv_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, clamped(bytes))
}

/// The room for unsent bytes, as the kernel counts it.
///
/// # Errors
///
/// As getsockopt(2).
pub fn send_buffer(socket: impl AsFd) -> io::Result<usize> {
    integer(socket, libc::SO_SNDBUF).map(|bytes| bytes as usize)
}

/// The room for unread bytes, as the kernel counts it.
///
/// # Errors
///
/// As getsockopt(2).
pub fn recv_buffer(socket: impl AsFd) -> io::Result<usize> {
    integer(socket, libc::SO_RCVBUF).map(|bytes| bytes as usize)
}

/// What becomes of unsent bytes when the socket is closed (`SO_LINGER`): None sends them in the
/// background, as always; zero drops them and resets the connection.
///
/// # Errors
///
/// As setsockopt(2).
pub fn set_linger(socket: impl AsFd, linger: Option<Duration>) -> io::Result<()> {
    let seconds = linger.unwrap_or_default().as_secs();
    let value = libc::linger {
        l_onoff: libc::c_int::from(linger.is_some()),
        l_linger: libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX),
    };
    set(socket, libc::SOL_SOCKET, libc::SO_LINGER, value)
}

/// Takes the error that waits at the socket (`SO_ERROR`); the next call finds none.
///
/// # Errors
///
/// As getsockopt(2): not a socket.
pub fn take_error(socket: impl AsFd) -> io::Result<Option<io::Error>> {
    let number = integer(socket, libc::SO_ERROR)?;
    Ok((number != 0).then(|| io::Error::from_raw_os_error(number)))
}

/// Returns true if the socket listens (`SO_ACCEPTCONN`).
pub(super) fn is_listening(socket: impl AsFd) -> io::Result<bool> {
    integer(socket, libc::SO_ACCEPTCONN).map(|value| value != 0)
}

/// Makes writes to a closed peer an error and no signal (`SO_NOSIGPIPE`).
#[cfg(has_so_nosigpipe)]
pub(super) fn set_no_sigpipe(socket: impl AsFd) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1 as libc::c_int)
}

fn clamped(bytes: usize) -> libc::c_int {
    libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX)
}

fn set<T>(socket: impl AsFd, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
    let (socket, length) = (socket.as_fd().as_raw_fd(), size_of::<T>() as libc::socklen_t);
    let value = (&raw const value).cast();
    // SAFETY: `value` points to a whole T, which outlives the call.
    check(unsafe { libc::setsockopt(socket, level, name, value, length) }).map(drop)
}

fn integer(socket: impl AsFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let (socket, place) = (socket.as_fd().as_raw_fd(), (&raw mut value).cast());
    // SAFETY: `place` has room for `length` bytes, and both outlive the call.
    check(unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, name, place, &raw mut length) })?;
    Ok(value)
}
