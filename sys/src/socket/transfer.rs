//! Sending and receiving, without SIGPIPE.
//!
//! write(2) to a socket with a closed peer raises SIGPIPE, which kills the process by default. Here
//! a flag of the call (`MSG_NOSIGNAL`) or of the socket (`SO_NOSIGPIPE`) prevents it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};

use super::address::{Address, KernelAddress};
use crate::syscall::{check, retry};

#[cfg(has_msg_nosignal)]
pub(super) const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(has_msg_nosignal))]
pub(super) const FLAGS: libc::c_int = 0;

/// Maximum number of slices of one call, which every kernel accepts.
const SLICES: usize = 1024;

/// Sends once. Returns the number of bytes, which may be less than `bytes.len()`.
///
/// # Errors
///
/// The errors of send(2): `WouldBlock` if there is no room, `BrokenPipe` if the peer is closed.
#[inline]
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `bytes` is readable for its whole length and outlives the call.
    let count = retry(move || check(unsafe { libc::send(socket, start, length, FLAGS) }))?;
    Ok(count as usize)
}

/// Sends several slices at once over a stream. Returns the number of bytes, which may be less than
/// the total, and always is with more than 1024 slices.
///
/// # Errors
///
/// The errors of sendmsg(2): `WouldBlock` if there is no room, `BrokenPipe` if the peer is closed.
pub fn send_vectored(socket: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: all fields of the struct are integers or pointers, for which zero is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // std guarantees that an IoSlice is an iovec, and the call does not write to it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(SLICES) as _;
    // SAFETY: `message` refers to slices that are readable for their whole length and outlive the
    // call.
    let count = retry(|| check(unsafe { libc::sendmsg(socket, &raw const message, FLAGS) }))?;
    Ok(count as usize)
}

/// Receives once. Returns the number of bytes; for a stream, 0 means end of file.
///
/// # Errors
///
/// The errors of recv(2): `WouldBlock` if no data is available.
#[inline]
pub fn recv(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    recv_with(socket, buffer, 0)
}

/// Like [`recv`], but the data stays in the receive buffer.
///
/// ```
/// use mainspring_sys::socket::{peek, recv, send};
/// use std::os::unix::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// send(&theirs, b"abc")?;
/// let mut bytes = [0; 8];
/// assert_eq!(peek(&ours, &mut bytes)?, 3);
/// assert_eq!(recv(&ours, &mut bytes)?, 3);
/// assert_eq!(&bytes[..3], b"abc");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Same as [`recv`].
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    recv_with(socket, buffer, libc::MSG_PEEK)
}

#[inline]
fn recv_with(socket: impl AsFd, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `buffer` is writable for its whole length and outlives the call.
    let count = retry(move || check(unsafe { libc::recv(socket, start, length, flags) }))?;
    Ok(count as usize)
}

/// Receives once into several buffers, in their order. Returns the number of bytes; for a stream, 0
/// means end of file. Only the first 1024 buffers are used.
///
/// ```
/// use mainspring_sys::socket::{recv_vectored, send_vectored};
/// use std::io::{IoSlice, IoSliceMut};
/// use std::os::unix::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let head = IoSlice::new(b"head");
/// assert_eq!(send_vectored(&theirs, &[head, IoSlice::new(b"body")])?, 8);
/// let (mut head, mut body) = ([0; 4], [0; 16]);
/// let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
/// assert_eq!(recv_vectored(&ours, &mut buffers)?, 8);
/// assert_eq!((&head, &body[..4]), (b"head", &b"body"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of recvmsg(2): `WouldBlock` if no data is available.
pub fn recv_vectored(socket: impl AsFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: all fields of the struct are integers or pointers, for which zero is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // std guarantees that an IoSliceMut is an iovec.
    message.msg_iov = buffers.as_mut_ptr().cast();
    message.msg_iovlen = buffers.len().min(SLICES) as _;
    // SAFETY: `message` refers to buffers that are writable for their whole length and outlive the
    // call.
    let count = retry(|| check(unsafe { libc::recvmsg(socket, &raw mut message, 0) }))?;
    Ok(count as usize)
}

/// Sends a datagram to `to`. Returns the number of bytes.
///
/// # Errors
///
/// The errors of sendto(2): `WouldBlock` if there is no room.
pub fn send_to(socket: impl AsFd, bytes: &[u8], to: &Address) -> io::Result<usize> {
    let (socket, to) = (socket.as_fd().as_raw_fd(), KernelAddress::new(to));
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `bytes` and `to` are readable for their whole lengths and outlive the call.
    let send = || unsafe { libc::sendto(socket, start, length, FLAGS, to.as_ptr(), to.length()) };
    Ok(retry(|| check(send()))? as usize)
}

/// Receives a datagram. Returns its length and the address of its sender.
///
/// ```
/// use mainspring_sys::socket::{Address, recv_from, send_to};
/// use std::net::UdpSocket;
///
/// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// send_to(&theirs, b"ping", &Address::Inet(ours.local_addr()?))?;
/// let (length, from) = recv_from(&ours, &mut [0; 16])?;
/// assert_eq!((length, from.as_inet()), (4, Some(theirs.local_addr()?)));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of recvfrom(2): `WouldBlock` if no datagram is available.
pub fn recv_from(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
    recv_from_with(socket, buffer, 0)
}

/// Receives a datagram like [`recv_from`], and leaves it in the socket.
///
/// # Errors
///
/// Same as [`recv_from`].
pub fn peek_from(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
    recv_from_with(socket, buffer, libc::MSG_PEEK)
}

fn recv_from_with(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, Address)> {
    let socket = socket.as_fd().as_raw_fd();
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    let (count, from) = retry(|| {
        KernelAddress::receive(|address, room| {
            // SAFETY: `buffer` is writable for its whole length, `address` has room for `room`
            // bytes, and all outlive the call.
            check(unsafe { libc::recvfrom(socket, start, length, flags, address, room) })
        })
    })?;
    Ok((count as usize, from.address()?))
}
