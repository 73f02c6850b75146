//! The queue of connections that a listener has not accepted.

use std::os::fd::RawFd;

#[cfg(has_tcp_queue_info)]
use crate::syscall::check;

/// The accept queue of a TCP listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptQueue {
    /// Number of connections that wait.
    pub waiting: u32,
    /// The backlog, as the kernel limits it. Further connections are refused while more than this
    /// number wait, so one more than the limit has room.
    pub limit: u32,
}

impl AcceptQueue {
    /// True if the system has these numbers.
    pub const IS_KNOWN: bool = cfg!(has_tcp_queue_info);
}

/// Returns the accept queue, by `TCP_INFO` of tcp(7): for a listener, Linux has its length in the
/// place of the unacknowledged segments, and its limit in that of the selectively acknowledged
/// ones. `None` for another file, and on other systems.
///
/// ```
/// use mainspring_sys::socket::{AcceptQueue, accept_queue};
/// use std::net::{TcpListener, TcpStream};
/// use std::os::fd::AsRawFd;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let _client = TcpStream::connect(listener.local_addr()?)?;
/// let queue = accept_queue(listener.as_raw_fd());
/// assert_eq!(queue.is_some(), AcceptQueue::IS_KNOWN);
/// assert!(queue.is_none_or(|queue| queue.waiting == 1 && queue.limit > 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(has_tcp_queue_info)]
pub fn accept_queue(fd: RawFd) -> Option<AcceptQueue> {
    /// Value of the state, the first byte, for a listener.
    const LISTEN: u8 = 10;
    const UNACKED: usize = 6;
    const SACKED: usize = 7;
    let mut info = [0_u32; 8]; // The kernel writes the part that fits.
    let mut length = size_of_val(&info) as libc::socklen_t;
    let place = (&raw mut info).cast();
    // SAFETY: `place` has room for `length` bytes, and both outlive the call. A wrong number is an
    // error, not a fault.
    let read = check(unsafe {
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut length)
    });
    let is_listener = info[0].to_ne_bytes()[0] == LISTEN && length as usize == size_of_val(&info);
    let queue = AcceptQueue { waiting: info[UNACKED], limit: info[SACKED] };
    (read.is_ok() && is_listener).then_some(queue)
}

#[cfg(not(has_tcp_queue_info))]
#[allow(missing_docs)]
pub fn accept_queue(_: RawFd) -> Option<AcceptQueue> {
    None
}
