//! The amount of input that waits at a descriptor.

use std::os::fd::RawFd;

use super::accept_queue::accept_queue;
use super::kind::SocketKind;
use crate::fd::unread_bytes;

/// Returns an amount that falls when input is taken from `fd`: bytes, or the connections of a
/// listener. It is 0 for a file without a number of bytes, such as a timer, which one read empties.
///
/// `None` if the amount is not known, or if the number is not open. FIONREAD returns only the
/// length of the next datagram (udp(7)), and [`accept_queue`] does not support every listener.
///
/// ```
/// use mainspring_sys::socket::unread_input;
/// use std::io::Write;
/// use std::net::UdpSocket;
/// use std::os::fd::AsRawFd;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// writer.write_all(b"four")?;
/// assert_eq!(unread_input(reader.as_raw_fd()), Some(4));
/// assert_eq!(unread_input(UdpSocket::bind("127.0.0.1:0")?.as_raw_fd()), None);
/// assert_eq!(unread_input(-1), None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unread_input(fd: RawFd) -> Option<usize> {
    match SocketKind::of_fd(fd) {
        Ok(kind) if kind.is_listening() => accept_queue(fd).map(|queue| queue.waiting as usize),
        Ok(kind) if kind.is_stream() => unread_bytes(fd),
        Ok(_) => None,
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            Some(unread_bytes(fd).unwrap_or(0))
        }
        Err(_) => None,
    }
}
