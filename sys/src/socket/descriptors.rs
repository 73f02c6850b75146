//! Passing descriptors over Unix sockets, as `SCM_RIGHTS` messages of unix(7).
//!
//! # Invariants
//!
//! * A received descriptor has an owner before any other code runs, and is close-on-exec.
//! * Descriptors that the caller does not get are closed.

use std::error::Error;
use std::fmt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::control::{Messages, put_header, space};
use super::transfer::FLAGS;
use crate::fd::owned;
use crate::syscall::{check, retry};

/// Maximum number of descriptors in one message: the limit of Linux (`SCM_MAX_FD`). Other kernels
/// accept as many or more.
pub const MAX_FDS: usize = 253;

/// Number of descriptors that a received message may have. XNU accepts 509 in a message, and loses
/// those that do not fit without closing them.
const ROOM_FDS: usize = 512;

const FD: usize = size_of::<RawFd>();
const ROOM: usize = space(ROOM_FDS * FD);

/// Flags for receiving. With `MSG_CMSG_CLOEXEC` no other thread can fork before the flag is set.
#[cfg(has_cmsg_cloexec)]
const RECV_FLAGS: libc::c_int = libc::MSG_CMSG_CLOEXEC;
#[cfg(not(has_cmsg_cloexec))]
const RECV_FLAGS: libc::c_int = 0;

/// Storage with the alignment of every control message.
#[repr(C, align(8))]
struct Control([u8; ROOM]);

/// Sends `bytes` once, with `fds` attached to the first of them. Returns the number of bytes, which
/// may be less than `bytes.len()` for a stream; all of `fds` have been sent even then.
///
/// The kernel duplicates the descriptors, so the caller may close them at once.
///
/// ```
/// use mainspring_sys::socket::{recv_fds, send_fds};
/// use std::io::{PipeReader, Read, Write};
/// use std::os::fd::AsFd;
/// use std::os::unix::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let (reader, mut writer) = std::io::pipe()?;
/// send_fds(&ours, b"a pipe", &[reader.as_fd()])?;
/// let mut buffer = [0; 16];
/// let (count, mut fds) = recv_fds(&theirs, &mut buffer)?;
/// assert_eq!((count, fds.len()), (6, 1));
/// writer.write_all(b"x")?;
/// assert_eq!(PipeReader::from(fds.remove(0)).read(&mut buffer)?, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of sendmsg(2): `WouldBlock` if there is no room, `BrokenPipe` if the peer is closed,
/// `ETOOMANYREFS` if too many sent descriptors have not been received yet. `InvalidInput` for more
/// than [`MAX_FDS`] descriptors, and for descriptors without a byte, which a stream would lose.
pub fn send_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    check_fds(bytes, fds.len())?;
    let mut control = Control([0; ROOM]);
    let numbers = fds.iter().map(AsRawFd::as_raw_fd);
    let room = put_message(&mut control, libc::SOL_SOCKET, libc::SCM_RIGHTS, numbers);
    let mut slice =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all fields of the struct are integers or pointers, for which zero is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = room as _;
    }
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: `message` refers to bytes and to a control message that are readable for their whole
    // length and outlive the call.
    let count = retry(|| check(unsafe { libc::sendmsg(socket, &raw const message, FLAGS) }))?;
    Ok(count as usize)
}

/// Checks that one [`send_fds`] accepts `bytes` and so many descriptors.
///
/// # Errors
///
/// `InvalidInput` for more than [`MAX_FDS`], and for descriptors without a byte.
pub fn check_fds(bytes: &[u8], fds: usize) -> io::Result<()> {
    if fds > MAX_FDS {
        let message = format!("{fds} descriptors in one message: at most {MAX_FDS} are possible");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if fds > 0 && bytes.is_empty() {
        let message = "descriptors are sent along with at least one byte";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Writes a control message with these descriptors, and returns the room that it takes.
fn put_message(
    control: &mut Control,
    level: libc::c_int,
    kind: libc::c_int,
    numbers: impl ExactSizeIterator<Item = RawFd>,
) -> usize {
    let (payload, room) = put_header(&mut control.0, level, kind, numbers.len() * FD);
    for (place, number) in payload.as_chunks_mut::<FD>().0.iter_mut().zip(numbers) {
        *place = number.to_ne_bytes();
    }
    room
}

/// Receives once. Returns the number of bytes, and the descriptors that came with them; they are
/// close-on-exec.
///
/// One call returns the descriptors of at most one [`send_fds`], together with its first byte. On
/// Linux, bytes sent before that may precede it in the buffer; on BSDs it is the first one. For a
/// stream, 0 bytes mean end of file. Control messages of other kinds are ignored.
///
/// A plain [`recv`](super::recv) closes the descriptors that come with its bytes.
///
/// # Errors
///
/// The errors of recvmsg(2): `WouldBlock` if no data is available; on FreeBSD `EMSGSIZE` at the
/// descriptor limit. [`LostFds`] if not all descriptors have arrived: the bytes are in `buffer`,
/// and the descriptors that did arrive have been closed.
pub fn recv_fds(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; ROOM]);
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all fields of the struct are integers or pointers, for which zero is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = ROOM as _;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: `message` refers to a buffer and to room for control messages that are writable for
    // their whole length and outlive the call.
    let mut call = || unsafe { libc::recvmsg(socket, &raw mut message, RECV_FLAGS) };
    let count = retry(|| check(call()))? as usize;
    let received = &control.0[..ROOM.min(message.msg_controllen as usize)];
    let (fds, refused) = own(received);
    if refused > 0 || message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other(LostFds { bytes: count, arrived: fds.len() }));
    }
    Ok((count, fds))
}

/// Takes ownership of all descriptors in control messages that the kernel has just written. Returns
/// those that were sent, and the number of those that could not be made safe to own.
fn own(received: &[u8]) -> (Vec<OwnedFd>, usize) {
    let (mut fds, mut refused) = (Vec::new(), 0);
    for_each_fd(received, |kind, number| match owned(number).and_then(prepare) {
        Ok(fd) if kind == Kind::Sent => fds.push(fd),
        Ok(process) => drop(process),
        Err(_) => refused += 1,
    });
    (fds, refused)
}

/// The kernel has set close-on-exec.
#[cfg(has_cmsg_cloexec)]
fn prepare(fd: OwnedFd) -> io::Result<OwnedFd> {
    Ok(fd)
}

/// Sets close-on-exec, which recvmsg(2) cannot do here.
#[cfg(not(has_cmsg_cloexec))]
fn prepare(fd: OwnedFd) -> io::Result<OwnedFd> {
    crate::fd::set_cloexec(fd.as_fd())?;
    Ok(fd)
}

/// Origin of a descriptor in a control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The peer has sent it.
    Sent,
    /// The kernel has added it, because the socket has the option `SO_PASSPIDFD`.
    Process,
}

impl Kind {
    fn of(level: libc::c_int, kind: libc::c_int) -> Option<Kind> {
        /// A pidfd of the sender (linux/socket.h, since Linux 6.5); the libc crate lacks it.
        const SCM_PIDFD: libc::c_int = 4;
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => Some(Kind::Sent),
            (libc::SOL_SOCKET, SCM_PIDFD) if cfg!(has_scm_pidfd) => Some(Kind::Process),
            _ => None,
        }
    }
}

/// Calls `handle` with each descriptor in the control messages, in order. A message that is cut
/// short ends them.
fn for_each_fd(received: &[u8], mut handle: impl FnMut(Kind, RawFd)) {
    for message in Messages(received) {
        let kind = Kind::of(message.level, message.kind);
        for number in message.payload.as_chunks::<FD>().0 {
            let number = RawFd::from_ne_bytes(*number);
            if let (Some(kind), 0..) = (kind, number) {
                handle(kind, number);
            }
        }
    }
}

/// Error of [`recv_fds`]: not all descriptors of a message have arrived.
///
/// The process or the system is at its descriptor limit, or a security module has refused some of
/// them. No kernel reports how many were lost. Those that did arrive have been closed, because a
/// message without some of its descriptors has lost its meaning.
///
/// ```
/// use mainspring_sys::socket::LostFds;
///
/// fn bytes(error: &std::io::Error) -> Option<usize> {
///     Some(error.get_ref()?.downcast_ref::<LostFds>()?.bytes())
/// }
/// # assert_eq!(bytes(&std::io::Error::other("another")), None);
/// ```
#[derive(Debug)]
pub struct LostFds {
    bytes: usize,
    arrived: usize,
}

impl LostFds {
    /// Returns the number of bytes that the call has received into its buffer.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of descriptors that did arrive, and have been closed.
    pub fn arrived(&self) -> usize {
        self.arrived
    }
}

impl fmt::Display for LostFds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LostFds { bytes, arrived } = self;
        write!(f, "descriptors of a message of {bytes} bytes were lost after {arrived} of them: ")?;
        f.write_str("the limit of descriptors is reached, or a security module refused them")
    }
}

impl Error for LostFds {}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::control::length;
    use super::*;

    /// Returns the numbers that `for_each_fd` finds.
    fn found(received: &[u8]) -> Vec<(Kind, RawFd)> {
        let mut all = Vec::new();
        for_each_fd(received, |kind, number| all.push((kind, number)));
        all
    }

    /// A control message as a kernel writes it, with its padding.
    fn message(level: libc::c_int, kind: libc::c_int, numbers: &[RawFd]) -> Vec<u8> {
        let mut control = Control([0; ROOM]);
        let room = put_message(&mut control, level, kind, numbers.iter().copied());
        control.0[..room].to_vec()
    }

    fn rights(numbers: &[RawFd]) -> Vec<u8> {
        message(libc::SOL_SOCKET, libc::SCM_RIGHTS, numbers)
    }

    #[test]
    fn d1_messages_of_other_kinds_are_ignored() {
        let other = message(libc::SOL_SOCKET, 0x77, &[5, 6]);
        let received = [other.clone(), rights(&[7, 8, 9]), other, rights(&[10])].concat();
        assert_eq!(found(&received), [7, 8, 9, 10].map(|number| (Kind::Sent, number)));
        assert_eq!(found(&message(libc::IPPROTO_TCP, libc::SCM_RIGHTS, &[5])), []);
        assert_eq!(found(&[]), []);
    }

    #[cfg(has_scm_pidfd)]
    #[test]
    fn d1_a_pidfd_of_the_kernel_is_not_a_sent_descriptor() {
        let received = [message(libc::SOL_SOCKET, 4, &[11]), rights(&[12])].concat();
        assert_eq!(found(&received), [(Kind::Process, 11), (Kind::Sent, 12)]);
    }

    /// BSDs cut a message at the end of the room, and leave the length of the whole one.
    #[test]
    fn d2_a_message_that_is_cut_ends_them() {
        let whole = rights(&[3, 4, 5]);
        assert_eq!(found(&whole[..length(2 * FD)]).len(), 2);
        assert_eq!(found(&whole[..length(FD) + 1]).len(), 1);
        assert_eq!(found(&whole[..length(0)]), []);
        assert_eq!(found(&whole[..size_of::<libc::cmsghdr>() - 1]), []);
    }

    proptest! {
        #![proptest_config(crate::socket::cases(2000))]

        /// Any bytes from a kernel end the loop, and no number is negative.
        #[test]
        fn d1_any_control_bytes_are_read_to_their_end(
            start in vec(-9..9i32, 0..4),
            rest in vec(any::<u8>(), 0..200),
        ) {
            let received = [rights(&start), rest].concat();
            prop_assert!(found(&received).iter().all(|(_, number)| *number >= 0));
        }
    }
}
