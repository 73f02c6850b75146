//! Socket options, each one call of setsockopt(2) or getsockopt(2).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use crate::syscall::check;

/// Sends small segments at once (`TCP_NODELAY`), instead of waiting for more data or for an
/// acknowledgement.
///
/// # Errors
///
/// The errors of setsockopt(2): not a TCP socket.
pub fn set_nodelay(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_flag(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, on)
}

/// Returns true if small segments are sent at once (`TCP_NODELAY`).
///
/// # Errors
///
/// The errors of getsockopt(2): not a TCP socket.
pub fn nodelay(socket: impl AsFd) -> io::Result<bool> {
    get_flag(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)
}

/// Allows binding to an address with connections of its last owner in TIME_WAIT (`SO_REUSEADDR`).
///
/// # Errors
///
/// The errors of setsockopt(2).
pub fn set_reuse_address(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_flag(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, on)
}

/// Returns true if `SO_REUSEADDR` is set.
///
/// # Errors
///
/// The errors of getsockopt(2).
pub fn reuse_address(socket: impl AsFd) -> io::Result<bool> {
    get_flag(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)
}

/// Allows several sockets to be bound to one address (`SO_REUSEPORT`). Linux then distributes
/// connections over them; elsewhere the last socket may get them all.
///
/// # Errors
///
/// `Unsupported` if the kernel has no such option; the errors of setsockopt(2).
pub fn set_reuse_port(socket: impl AsFd, on: bool) -> io::Result<()> {
    #[cfg(has_reuse_port)]
    return set_flag(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, on);
    #[cfg(not(has_reuse_port))]
    {
        let _ = (socket, on);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns true if `SO_REUSEPORT` is set.
///
/// # Errors
///
/// `Unsupported` where the kernel has no such option; the errors of getsockopt(2).
pub fn reuse_port(socket: impl AsFd) -> io::Result<bool> {
    #[cfg(has_reuse_port)]
    return get_flag(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT);
    #[cfg(not(has_reuse_port))]
    {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Selects if an IPv6 socket bound to `[::]` leaves IPv4 to other sockets (`IPV6_V6ONLY`).
///
/// # Errors
///
/// The errors of setsockopt(2): not an IPv6 socket.
pub fn set_v6_only(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_flag(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, on)
}

/// Returns true if an IPv6 socket bound to `[::]` leaves IPv4 to other sockets (`IPV6_V6ONLY`).
///
/// # Errors
///
/// The errors of getsockopt(2): not an IPv6 socket.
pub fn v6_only(socket: impl AsFd) -> io::Result<bool> {
    get_flag(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
}

/// Returns true for a datagram socket (`SO_TYPE`).
///
/// # Errors
///
/// The errors of getsockopt(2): not a socket.
pub fn is_datagram(socket: impl AsFd) -> io::Result<bool> {
    integer(socket, libc::SO_TYPE).map(|kind| kind == libc::SOCK_DGRAM)
}

/// Sets the size of the send buffer in bytes (`SO_SNDBUF`). The kernel rounds it, and Linux doubles
/// it. A value above `c_int::MAX` is set as `c_int::MAX`, which every kernel reduces or refuses.
///
/// ```
/// use mainspring_sys::socket::{send_buffer, set_send_buffer};
/// use std::os::unix::net::UnixStream;
///
/// let (stream, _peer) = UnixStream::pair()?;
/// set_send_buffer(&stream, 32 * 1024)?;
/// assert!(send_buffer(&stream)? >= 32 * 1024);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of setsockopt(2).
pub fn set_send_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, clamped(bytes))
}

/// Sets the size of the receive buffer in bytes (`SO_RCVBUF`), like [`set_send_buffer`].
///
/// # Errors
///
/// The errors of setsockopt(2).
pub fn set_recv_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, clamped(bytes))
}

/// Returns the size of the send buffer in bytes, as the kernel counts it.
///
/// # Errors
///
/// The errors of getsockopt(2).
pub fn send_buffer(socket: impl AsFd) -> io::Result<usize> {
    integer(socket, libc::SO_SNDBUF).map(|bytes| bytes.max(0) as usize)
}

/// Returns the size of the receive buffer in bytes, as the kernel counts it.
///
/// # Errors
///
/// The errors of getsockopt(2).
pub fn recv_buffer(socket: impl AsFd) -> io::Result<usize> {
    integer(socket, libc::SO_RCVBUF).map(|bytes| bytes.max(0) as usize)
}

/// Takes the pending error of the socket (`SO_ERROR`). The next call finds none.
///
/// ```
/// use mainspring_sys::socket::take_error;
///
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// assert!(take_error(&socket)?.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of getsockopt(2): not a socket.
pub fn take_error(socket: impl AsFd) -> io::Result<Option<io::Error>> {
    let number = integer(socket, libc::SO_ERROR)?;
    Ok((number != 0).then(|| io::Error::from_raw_os_error(number)))
}

/// Returns true if the socket listens (`SO_ACCEPTCONN`).
pub(crate) fn is_listening(fd: RawFd) -> io::Result<bool> {
    get_of_fd::<libc::c_int>(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).map(|value| value != 0)
}

/// Makes writes to a closed peer return an error without a signal (`SO_NOSIGPIPE`).
#[cfg(has_so_nosigpipe)]
pub(super) fn set_no_sigpipe(socket: impl AsFd) -> io::Result<()> {
    set_flag(socket, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, true)
}

fn clamped(bytes: usize) -> libc::c_int {
    libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX)
}

/// A C struct or integer that is the value of an option: every bit pattern of the right length is
/// valid.
pub(super) trait Value: Copy {
    /// All zeroes.
    const ZERO: Self;
}

impl Value for libc::c_int {
    const ZERO: libc::c_int = 0;
}

impl Value for libc::c_uint {
    const ZERO: libc::c_uint = 0;
}

impl Value for libc::linger {
    const ZERO: libc::linger = libc::linger { l_onoff: 0, l_linger: 0 };
}

#[cfg(has_so_peercred)]
impl Value for libc::ucred {
    const ZERO: libc::ucred = libc::ucred { pid: 0, uid: 0, gid: 0 };
}

pub(super) fn set_flag(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    on: bool,
) -> io::Result<()> {
    set(socket, level, name, libc::c_int::from(on))
}

pub(super) fn get_flag(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<bool> {
    get::<libc::c_int>(socket, level, name).map(|value| value != 0)
}

pub(super) fn set<T: Value>(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: T,
) -> io::Result<()> {
    let (socket, length) = (socket.as_fd().as_raw_fd(), size_of::<T>() as libc::socklen_t);
    let value = (&raw const value).cast();
    // SAFETY: `value` points to a whole `T`, which outlives the call.
    check(unsafe { libc::setsockopt(socket, level, name, value, length) }).map(drop)
}

pub(super) fn get<T: Value>(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    get_of_fd(socket.as_fd().as_raw_fd(), level, name)
}

/// Returns the value of an option of the socket with this number, which may not be open.
pub(super) fn get_of_fd<T: Value>(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = T::ZERO;
    let mut length = size_of::<T>() as libc::socklen_t;
    let place = (&raw mut value).cast();
    // SAFETY: `place` has room for `length` bytes, both outlive the call, and every bit pattern is
    // a `T`, as `Value` guarantees. A wrong number is an error, not a fault.
    check(unsafe { libc::getsockopt(fd, level, name, place, &raw mut length) })?;
    Ok(value)
}

fn integer(socket: impl AsFd, name: libc::c_int) -> io::Result<libc::c_int> {
    get(socket, libc::SOL_SOCKET, name)
}
