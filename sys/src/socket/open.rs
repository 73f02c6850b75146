//! Opening sockets and shutting them down.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::address::{Address, KernelAddress};
use crate::fd::{owned, owned_pair};
use crate::syscall::check;

/// Opens a socket of the family of `address` and of type `kind` (`SOCK_STREAM`, `SOCK_DGRAM`).
#[cfg(has_atomic_cloexec)]
pub(super) fn open(address: &Address, kind: libc::c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes integers and touches no memory of ours.
    owned(unsafe { libc::socket(address.family(), kind, 0) })
}

/// Opens a socket of the family of `address` and of type `kind` (`SOCK_STREAM`, `SOCK_DGRAM`).
#[cfg(not(has_atomic_cloexec))]
pub(super) fn open(address: &Address, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers and touches no memory of ours.
    let socket = owned(unsafe { libc::socket(address.family(), kind, 0) })?;
    set_flags(&socket)?;
    prevent_sigpipe(&socket)?;
    Ok(socket)
}

/// Opens two connected Unix sockets of type `kind`.
pub(super) fn pair(kind: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(has_atomic_cloexec)]
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two numbers that the call writes.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    let (one, other) = owned_pair(ends)?;
    for end in [&one, &other] {
        #[cfg(not(has_atomic_cloexec))]
        set_flags(end)?;
        prevent_sigpipe(end)?;
    }
    Ok((one, other))
}

/// Makes a new socket close-on-exec and non-blocking.
#[cfg(not(has_atomic_cloexec))]
pub(super) fn set_flags(socket: &OwnedFd) -> io::Result<()> {
    crate::fd::set_cloexec(socket.as_fd())?;
    crate::fd::set_nonblocking(socket.as_fd(), true).map(drop)
}

/// Makes writes to a closed peer return an error without SIGPIPE, where a call has no flag for it.
#[cfg(has_so_nosigpipe)]
pub(super) fn prevent_sigpipe(socket: impl AsFd) -> io::Result<()> {
    super::option::set_no_sigpipe(socket)
}

/// Has no effect: each send has the flag `MSG_NOSIGNAL`.
#[cfg(not(has_so_nosigpipe))]
pub(super) fn prevent_sigpipe(_: impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Binds `socket` to `address`.
pub(super) fn bind_to(socket: &OwnedFd, address: &Address) -> io::Result<()> {
    let kernel = KernelAddress::new(address);
    // SAFETY: `kernel` is readable for its length and outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), kernel.as_ptr(), kernel.length()) }).map(drop)
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
/// The errors of shutdown(2): `NotConnected`.
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    check(unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Like [`shutdown_write`], but without effect on a file that is not a socket, and on a connection
/// that is over.
///
/// ```
/// use mainspring_sys::socket;
///
/// let (_reader, writer) = std::io::pipe()?;
/// socket::shutdown_write_if_connected(&writer)?;
/// assert!(socket::shutdown_write(&writer).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of shutdown(2) that have another reason.
pub fn shutdown_write_if_connected(file: impl AsFd) -> io::Result<()> {
    shutdown_write(file).or_else(|error| match error.raw_os_error() {
        Some(libc::ENOTSOCK | libc::ENOTCONN) => Ok(()),
        _ => Err(error),
    })
}
