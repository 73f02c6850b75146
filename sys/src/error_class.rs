//! Classes of I/O errors: the meaning of an error number, by operation and kind of descriptor.
//!
//! The same number means different things for different calls. This is the only table of these
//! meanings, and the only place that classifies errors.
//!
//! * Any call: EAGAIN and EWOULDBLOCK are [`WouldBlock`](ErrorClass::WouldBlock) (POSIX), EINTR is
//!   [`Retry`](ErrorClass::Retry) (signal(7)). EMFILE, ENFILE, ENOMEM, and ENOBUFS unless listed
//!   below, are [`Capacity`](ErrorClass::Capacity) (POSIX).
//! * accept, [`Fault`](ErrorClass::Fault): EBADF, ENOTSOCK, EINVAL, EOPNOTSUPP, EFAULT. The
//!   descriptor cannot accept (POSIX).
//! * accept, [`OneOff`](ErrorClass::OneOff): ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT,
//!   EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, because Linux passes on network errors of the
//!   new connection, and EPERM of a firewall (accept(2)). All other errors too, because a peer may
//!   have caused them.
//! * Read and write of a stream, [`Disconnected`](ErrorClass::Disconnected): ECONNRESET, EPIPE,
//!   ECONNABORTED, ETIMEDOUT (tcp(7), unix(7)); ENOTCONN, where the peer had reset before the call
//!   (BSDs, XNU). EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENONET, ENETDOWN, ENETRESET, ENOPROTOOPT,
//!   EPROTO: a TCP connection that times out ends with its last ICMP error (icmp_err_convert of
//!   net/ipv4/icmp.c in Linux).
//! * Read of a terminal: EIO is the end of file, see [`end_of_terminal`]. Linux returns it after
//!   the last program has closed its side of a pseudo terminal (n_tty.c of the kernel); BSDs return
//!   0.
//! * Send a datagram, [`Backoff`](ErrorClass::Backoff): ENOBUFS. The queue of the Unix receiver or
//!   of the interface is full (send(2) of BSDs and XNU; Linux has the latter with IP_RECVERR,
//!   ip(7)).
//! * Send or receive a datagram, [`OneOff`](ErrorClass::OneOff): ECONNREFUSED and the ICMP errors
//!   above. An earlier datagram failed; a connected socket reports it once (udp(7)).
//! * Send a datagram, [`OneOff`](ErrorClass::OneOff): EMSGSIZE, EPERM, EACCES, because this one is
//!   too long or forbidden (udp(7), ip(7)); ECONNRESET, ENOTCONN, EPIPE, ENOENT, because its Unix
//!   receiver is gone (unix(7)).
//! * Receive from netlink, [`OneOff`](ErrorClass::OneOff): ENOBUFS. Messages were lost, so the
//!   state must be read again (netlink(7)).

use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::fd::poll_now;

/// Operation for which an error is classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// accept(2).
    Accept,
    /// A read of a stream socket or a pipe.
    Read,
    /// A write to a stream socket or a pipe.
    Write,
    /// Sending a datagram by UDP or to a Unix socket.
    SendDatagram,
    /// Receiving a datagram by UDP or at a Unix socket.
    ReceiveDatagram,
    /// Receiving messages from a netlink socket.
    ReceiveNetlink,
}

impl Operation {
    /// Returns the class of `error` for this operation. Same as [`classify`](classify()).
    ///
    /// ```
    /// use mainspring_sys::error_class::{ErrorClass, Operation};
    ///
    /// let full = std::io::Error::from(std::io::ErrorKind::WouldBlock);
    /// assert_eq!(Operation::Write.classify(&full), ErrorClass::WouldBlock);
    /// ```
    pub fn classify(self, error: &io::Error) -> ErrorClass {
        classify(self, error)
    }
}

/// Class of an error: the reasonable reaction to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Call again at once: a signal interrupted the call.
    Retry,
    /// Wait for readiness, and call again.
    WouldBlock,
    /// Call again after a pause: there is no readiness report when space becomes available.
    Backoff,
    /// The peer or the network ended the connection. This is normal and no reason for an alarm.
    Disconnected,
    /// One message or one connection failed. The descriptor still works.
    OneOff,
    /// The process or the system is out of descriptors or memory.
    Capacity,
    /// The descriptor or the program is at fault.
    Fault,
}

/// Network errors, reported by ICMP and by the local interfaces.
const NETWORK: &[libc::c_int] = &[
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::EHOSTDOWN,
    libc::ENETDOWN,
    libc::ENETRESET,
    libc::ENOPROTOOPT,
    libc::EPROTO,
    #[cfg(has_enonet)]
    libc::ENONET,
];

/// Errors of a stream connection that its peer ended.
const PEER: &[libc::c_int] =
    &[libc::ECONNRESET, libc::EPIPE, libc::ECONNABORTED, libc::ETIMEDOUT, libc::ENOTCONN];

/// Errors of POSIX accept() for a descriptor that can never accept.
const NO_LISTENER: &[libc::c_int] =
    &[libc::EBADF, libc::ENOTSOCK, libc::EOPNOTSUPP, libc::EINVAL, libc::EFAULT];

/// Errors of a receiver, or of a datagram that is too long or forbidden.
const DATAGRAM: &[libc::c_int] = &[
    libc::ECONNREFUSED,
    libc::ECONNRESET,
    libc::EMSGSIZE,
    libc::EPERM,
    libc::EACCES,
    libc::ENOTCONN,
    libc::EPIPE,
    libc::ENOENT,
];

/// Returns the class of `error` for `operation`, by the [table](self).
///
/// ```
/// use mainspring_sys::error_class::{ErrorClass, Operation, classify};
/// use std::io::{Error, ErrorKind};
///
/// let reset = Error::from(ErrorKind::ConnectionReset);
/// assert_eq!(classify(Operation::Read, &reset), ErrorClass::Disconnected);
/// assert_eq!(classify(Operation::Accept, &reset), ErrorClass::OneOff);
/// ```
pub fn classify(operation: Operation, error: &io::Error) -> ErrorClass {
    match error.kind() {
        ErrorKind::WouldBlock => return ErrorClass::WouldBlock,
        ErrorKind::Interrupted => return ErrorClass::Retry,
        _ => {}
    }
    match error.raw_os_error() {
        Some(number) => of_number(operation, number),
        None => of_kind(operation, error.kind()),
    }
}

fn of_number(operation: Operation, number: libc::c_int) -> ErrorClass {
    use Operation::{Accept, Read, ReceiveDatagram, ReceiveNetlink, SendDatagram, Write};
    let is_network = NETWORK.contains(&number);
    match (operation, number) {
        (Accept, _) if NO_LISTENER.contains(&number) => ErrorClass::Fault,
        (SendDatagram, libc::ENOBUFS) => ErrorClass::Backoff,
        (ReceiveNetlink, libc::ENOBUFS) => ErrorClass::OneOff,
        (_, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => ErrorClass::Capacity,
        (Accept, _) => ErrorClass::OneOff,
        (Read | Write, _) if is_network || PEER.contains(&number) => ErrorClass::Disconnected,
        (SendDatagram, _) if is_network || DATAGRAM.contains(&number) => ErrorClass::OneOff,
        (ReceiveDatagram, libc::ECONNREFUSED) => ErrorClass::OneOff,
        (ReceiveDatagram, _) if is_network => ErrorClass::OneOff,
        _ => ErrorClass::Fault,
    }
}

/// Classifies an error without a number, which no system call returned: one of a TLS stream, for
/// example.
fn of_kind(operation: Operation, kind: ErrorKind) -> ErrorClass {
    use ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkDown, NetworkUnreachable, NotConnected, TimedOut,
    };
    let is_network = matches!(kind, HostUnreachable | NetworkDown | NetworkUnreachable);
    let is_peer =
        matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut);
    match operation {
        Operation::Accept => ErrorClass::OneOff,
        Operation::Read | Operation::Write if is_network || is_peer => ErrorClass::Disconnected,
        Operation::SendDatagram | Operation::ReceiveDatagram
            if is_network || kind == ConnectionRefused =>
        {
            ErrorClass::OneOff
        }
        _ => ErrorClass::Fault,
    }
}

/// Returns the result of a read from `fd`, with 0 in place of the EIO by which Linux reports the
/// end of a pseudo terminal.
///
/// Any other EIO remains an error: of a disk, or of a terminal that is not hung up and that a
/// background process must not read (read(2)).
///
/// ```
/// use mainspring_sys::error_class::end_of_terminal;
/// use std::os::fd::AsFd;
///
/// let (reader, _writer) = std::io::pipe()?;
/// assert_eq!(end_of_terminal(reader.as_fd(), Ok(3))?, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The error of `result`, unless it is the end of a terminal.
#[inline]
pub fn end_of_terminal(fd: impl AsFd, result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(count) => Ok(count),
        Err(error) => end_or(fd.as_fd(), error),
    }
}

#[cold]
fn end_or(fd: BorrowedFd<'_>, error: io::Error) -> io::Result<usize> {
    if is_end(fd, &error) { Ok(0) } else { Err(error) }
}

fn is_end(fd: BorrowedFd<'_>, error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO) && fd.is_terminal() && is_hung_up(fd)
}

fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    poll_now(fd.as_raw_fd(), libc::POLLIN).is_ok_and(|found| found & libc::POLLHUP != 0)
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    fn of(operation: Operation, number: libc::c_int) -> ErrorClass {
        classify(operation, &Error::from_raw_os_error(number))
    }

    #[test]
    fn the_class_of_a_number_depends_on_the_operation() {
        use Operation::*;
        for (operation, number, expected) in [
            (Accept, libc::EAGAIN, ErrorClass::WouldBlock),
            (Accept, libc::EINTR, ErrorClass::Retry),
            (Accept, libc::EHOSTDOWN, ErrorClass::OneOff),
            (Accept, libc::EIO, ErrorClass::OneOff),
            (Accept, libc::ENOBUFS, ErrorClass::Capacity),
            (Accept, libc::EBADF, ErrorClass::Fault),
            (Read, libc::ECONNRESET, ErrorClass::Disconnected),
            (Read, libc::EHOSTDOWN, ErrorClass::Disconnected),
            (Read, libc::ENOBUFS, ErrorClass::Capacity),
            (Read, libc::EIO, ErrorClass::Fault),
            (Write, libc::EPIPE, ErrorClass::Disconnected),
            (Write, libc::ENOSPC, ErrorClass::Fault),
            (SendDatagram, libc::ENOBUFS, ErrorClass::Backoff),
            (SendDatagram, libc::ECONNREFUSED, ErrorClass::OneOff),
            (SendDatagram, libc::EMSGSIZE, ErrorClass::OneOff),
            (ReceiveDatagram, libc::ECONNREFUSED, ErrorClass::OneOff),
            (ReceiveDatagram, libc::EHOSTUNREACH, ErrorClass::OneOff),
            (ReceiveDatagram, libc::EBADF, ErrorClass::Fault),
            (ReceiveNetlink, libc::ENOBUFS, ErrorClass::OneOff),
            (ReceiveNetlink, libc::ENOMEM, ErrorClass::Capacity),
        ] {
            assert_eq!(of(operation, number), expected, "{operation:?} {number}");
        }
    }

    #[test]
    fn errors_without_a_number_are_classified_by_their_kind() {
        use Operation::*;
        for (operation, kind, expected) in [
            (Read, ErrorKind::WouldBlock, ErrorClass::WouldBlock),
            (Write, ErrorKind::Interrupted, ErrorClass::Retry),
            (Read, ErrorKind::TimedOut, ErrorClass::Disconnected),
            (Read, ErrorKind::InvalidData, ErrorClass::Fault),
            (Accept, ErrorKind::ConnectionAborted, ErrorClass::OneOff),
            (ReceiveDatagram, ErrorKind::ConnectionRefused, ErrorClass::OneOff),
            (ReceiveDatagram, ErrorKind::ConnectionReset, ErrorClass::Fault),
        ] {
            assert_eq!(classify(operation, &kind.into()), expected, "{operation:?} {kind}");
        }
    }

    /// EIO of a pipe, or of a terminal that is not hung up, is not an end; nor is another error.
    #[test]
    #[cfg_attr(miri, ignore = "needs a pipe and poll(2)")]
    fn only_a_hung_up_terminal_is_at_its_end() {
        use std::os::fd::AsFd;
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let failed = || Err(Error::from_raw_os_error(libc::EIO));
        assert!(end_of_terminal(reader.as_fd(), failed()).is_err(), "a pipe is not a terminal");
        let mut ends = [-1; 2];
        let [master, slave] = &mut ends;
        let null: *mut libc::c_void = std::ptr::null_mut();
        // SAFETY: `master` and `slave` are writable; a null pointer requests no name, settings or
        // size.
        let made = unsafe {
            libc::openpty(&raw mut *master, &raw mut *slave, null.cast(), null.cast(), null.cast())
        };
        assert_eq!(made, 0);
        let (master, slave) = crate::fd::owned_pair(ends).unwrap();
        assert!(end_of_terminal(master.as_fd(), failed()).is_err(), "the other side is still open");
        drop(slave);
        assert_eq!(end_of_terminal(master.as_fd(), failed()).unwrap(), 0);
        let refused = Err(Error::from_raw_os_error(libc::EPERM));
        assert!(end_of_terminal(master.as_fd(), refused).is_err());
    }
}
