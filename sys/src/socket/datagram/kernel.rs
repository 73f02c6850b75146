//! The calls that receive and send batches: recvmmsg(2) and sendmmsg(2), or loops in their place.

use std::io;
use std::os::fd::RawFd;

use crate::socket::transfer::FLAGS;
use crate::syscall::{check, retry};

/// A message of a batch: `struct mmsghdr` of recvmmsg(2). The libc crate has it for some systems
/// only.
#[repr(C)]
pub(super) struct Header {
    pub(super) message: libc::msghdr,
    /// Number of bytes that the kernel has moved.
    pub(super) length: libc::c_uint,
}

impl Header {
    pub(super) fn empty() -> Header {
        // SAFETY: all fields of the struct are integers or pointers, for which zero is valid.
        let message: libc::msghdr = unsafe { std::mem::zeroed() };
        Header { message, length: 0 }
    }
}

const RECEIVE: libc::c_int = libc::MSG_DONTWAIT;
const SEND: libc::c_int = libc::MSG_DONTWAIT | FLAGS;

/// Receives messages into `headers`. Returns how many.
///
/// An error behind the first message stays in the socket, and the next call returns it.
///
/// # Safety
///
/// Each header refers to an address, to slices and to control messages that are writable for their
/// lengths and outlive the call.
#[cfg(has_mmsg)]
pub(super) unsafe fn receive(
    socket: RawFd,
    headers: &mut [Header],
    _: &mut Option<io::Error>,
) -> io::Result<usize> {
    let (start, count) = (headers.as_mut_ptr(), headers.len() as libc::c_uint);
    // SAFETY: the caller guarantees it, and `start` is valid for `count` headers.
    let call = || unsafe { receive_many(socket, start, count) };
    Ok(retry(|| check(call()))? as usize)
}

/// Sends the messages of `headers`. Returns how many, at least one.
///
/// # Safety
///
/// Each header refers to an address, to slices and to control messages that are readable for their
/// lengths and outlive the call.
#[cfg(has_mmsg)]
pub(super) unsafe fn send(socket: RawFd, headers: &mut [Header]) -> io::Result<usize> {
    let (start, count) = (headers.as_mut_ptr(), headers.len() as libc::c_uint);
    // SAFETY: the caller guarantees it, and `start` is valid for `count` headers.
    let call = || unsafe { send_many(socket, start, count) };
    Ok(retry(|| check(call()))? as usize)
}

/// Calls recvmmsg(2) by number, because not every C library of Linux has it in the libc crate.
#[cfg(all(has_mmsg, has_numbered_syscalls))]
unsafe fn receive_many(socket: RawFd, start: *mut Header, count: libc::c_uint) -> libc::c_long {
    let no_timeout = std::ptr::null_mut::<libc::timespec>();
    // SAFETY: as the caller guarantees.
    unsafe { libc::syscall(libc::SYS_recvmmsg, socket, start, count, RECEIVE, no_timeout) }
}

#[cfg(all(has_mmsg, has_numbered_syscalls))]
unsafe fn send_many(socket: RawFd, start: *mut Header, count: libc::c_uint) -> libc::c_long {
    // SAFETY: as the caller guarantees.
    unsafe { libc::syscall(libc::SYS_sendmmsg, socket, start, count, SEND) }
}

#[cfg(all(has_mmsg, not(has_numbered_syscalls)))]
unsafe fn receive_many(socket: RawFd, start: *mut Header, count: libc::c_uint) -> libc::c_int {
    let no_timeout = std::ptr::null_mut::<libc::timespec>();
    // SAFETY: as the caller guarantees; `Header` has the layout of the C struct.
    unsafe { libc::recvmmsg(socket, start.cast(), count as _, RECEIVE as _, no_timeout) as _ }
}

#[cfg(all(has_mmsg, not(has_numbered_syscalls)))]
unsafe fn send_many(socket: RawFd, start: *mut Header, count: libc::c_uint) -> libc::c_int {
    // SAFETY: as the caller guarantees; `Header` has the layout of the C struct.
    unsafe { libc::sendmmsg(socket, start.cast(), count as _, SEND as _) as _ }
}

#[cfg(not(has_mmsg))]
pub(super) use one_by_one::{receive, send};

/// The same by one call for each message.
#[cfg(any(test, not(has_mmsg)))]
pub(super) mod one_by_one {
    use super::{Header, RECEIVE, RawFd, SEND, check, io, retry};

    /// Receives messages into `headers`. Returns how many. An error behind the first message is put
    /// into `deferred`, and the next call returns it.
    ///
    /// # Safety
    ///
    /// The contract of recvmsg(2), for each header.
    pub(in super::super) unsafe fn receive(
        socket: RawFd,
        headers: &mut [Header],
        deferred: &mut Option<io::Error>,
    ) -> io::Result<usize> {
        if let Some(error) = deferred.take() {
            return Err(error);
        }
        for (index, header) in headers.iter_mut().enumerate() {
            let message = &raw mut header.message;
            // SAFETY: the caller guarantees that the header refers to writable memory.
            let call = || unsafe { libc::recvmsg(socket, message, RECEIVE) };
            match retry(|| check(call())) {
                Ok(length) => header.length = length as libc::c_uint,
                Err(error) if index == 0 => return Err(error),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        *deferred = Some(error);
                    }
                    return Ok(index);
                }
            }
        }
        Ok(headers.len())
    }

    /// Sends the messages of `headers`. Returns how many, at least one.
    ///
    /// # Safety
    ///
    /// The contract of sendmsg(2), for each header.
    pub(in super::super) unsafe fn send(
        socket: RawFd,
        headers: &mut [Header],
    ) -> io::Result<usize> {
        for (index, header) in headers.iter_mut().enumerate() {
            let message = &raw const header.message;
            // SAFETY: the caller guarantees that the header refers to readable memory.
            let call = || unsafe { libc::sendmsg(socket, message, SEND) };
            match retry(|| check(call())) {
                Ok(length) => header.length = length as libc::c_uint,
                Err(error) if index == 0 => return Err(error),
                Err(_) => return Ok(index), // The next call begins with this message.
            }
        }
        Ok(headers.len())
    }
}

/// The values that `tests/socket_layout.c` checks against the systems' headers.
mod checks {
    use std::mem::{offset_of, size_of};

    use libc::msghdr;

    use super::Header;

    #[cfg(target_pointer_width = "64")]
    const _: () = assert!(
        offset_of!(msghdr, msg_name) == 0
            && offset_of!(msghdr, msg_namelen) == 8
            && offset_of!(msghdr, msg_iov) == 16
            && offset_of!(msghdr, msg_iovlen) == 24
            && offset_of!(msghdr, msg_control) == 32
            && offset_of!(msghdr, msg_controllen) == 40
    );
    #[cfg(all(target_pointer_width = "64", has_sockaddr_len))]
    const _: () = assert!(offset_of!(msghdr, msg_flags) == 44 && size_of::<msghdr>() == 48);
    #[cfg(all(target_pointer_width = "64", has_udp_segment))]
    const _: () = assert!(offset_of!(msghdr, msg_flags) == 48 && size_of::<msghdr>() == 56);
    #[cfg(target_pointer_width = "64")]
    const _: () = assert!(
        offset_of!(Header, length) == size_of::<msghdr>()
            && size_of::<Header>() == size_of::<msghdr>() + 8
    );
    #[cfg(has_sockaddr_len)]
    const _: () =
        assert!(libc::MSG_TRUNC == 0x10 && libc::MSG_CTRUNC == 0x20 && libc::MSG_DONTWAIT == 0x80);
    #[cfg(has_udp_segment)]
    const _: () =
        assert!(libc::MSG_TRUNC == 0x20 && libc::MSG_CTRUNC == 0x08 && libc::MSG_DONTWAIT == 0x40);
}
