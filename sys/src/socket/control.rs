//! Control messages of sendmsg(2) and recvmsg(2), as cmsg(3) describes them.
//!
//! The layout is asserted here, and against the systems' own headers by `tests/socket_layout.c`.
//!
//! Messages are read and written byte by byte, so a length that a kernel reports wrongly is no
//! fault, and no byte is read that the kernel did not write.

use std::mem::{offset_of, size_of};

/// Returns the length of a control message with `payload` bytes, without padding after them.
pub(super) const fn length(payload: usize) -> usize {
    // SAFETY: the function is arithmetic on integers.
    (unsafe { libc::CMSG_LEN(payload as libc::c_uint) }) as usize
}

/// Returns the room that a control message with `payload` bytes takes, with the padding after them.
pub(super) const fn space(payload: usize) -> usize {
    // SAFETY: as above.
    (unsafe { libc::CMSG_SPACE(payload as libc::c_uint) }) as usize
}

/// Writes the header of a control message to the begin of `control`. Returns the place of its
/// payload, and the room that the whole message takes.
///
/// # Panics
///
/// If the message does not fit.
pub(super) fn put_header(
    control: &mut [u8],
    level: libc::c_int,
    kind: libc::c_int,
    payload: usize,
) -> (&mut [u8], usize) {
    // SAFETY: all fields of the struct are integers, for which zero is a valid value.
    let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
    header.cmsg_len = length(payload) as _; // The width differs between systems.
    // The length of musl has half of the width that Linux reads. The padding is the other half.
    control[..length(0)].fill(0);
    put(control, offset_of!(libc::cmsghdr, cmsg_len), &header.cmsg_len.to_ne_bytes());
    put(control, offset_of!(libc::cmsghdr, cmsg_level), &level.to_ne_bytes());
    put(control, offset_of!(libc::cmsghdr, cmsg_type), &kind.to_ne_bytes());
    (&mut control[length(0)..length(payload)], space(payload))
}

fn put(control: &mut [u8], at: usize, bytes: &[u8]) {
    control[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A control message that a kernel has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) level: libc::c_int,
    pub(super) kind: libc::c_int,
    /// The payload. It is shorter than sent if the message was cut.
    pub(super) payload: &'a [u8],
}

/// The control messages in `received`, in order. A message that is cut short is the last one.
#[derive(Debug, Clone)]
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        let received = self.0;
        let (message_length, level, kind) = header(received)?;
        let end = message_length.min(received.len());
        let rest = message_length
            .checked_sub(length(0))
            .and_then(|payload| received.get(space(payload.min(received.len()))..));
        self.0 = rest.unwrap_or_default();
        Some(Message { level, kind, payload: received.get(length(0)..end).unwrap_or_default() })
    }
}

/// Returns length, level and kind of the first message; `None` if there is no whole header.
#[inline]
fn header(received: &[u8]) -> Option<(usize, libc::c_int, libc::c_int)> {
    let header = received.get(..size_of::<libc::cmsghdr>())?;
    // SAFETY: the pointer is readable for the size of the struct, and any bytes are a valid value
    // of its fields, which are integers.
    let header: libc::cmsghdr = unsafe { header.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
    Some((header.cmsg_len as usize, header.cmsg_level, header.cmsg_type))
}

/// The values that `tests/socket_layout.c` checks against the systems' headers.
#[cfg(any(has_sockaddr_len, has_udp_segment))]
mod checks {
    use std::mem::{offset_of, size_of};

    use libc::cmsghdr;

    use super::{length, space};

    const _: () = assert!(libc::SCM_RIGHTS == 1);
    #[cfg(has_sockaddr_len)]
    const _: () = assert!(
        libc::SOL_SOCKET == 0xffff
            && offset_of!(cmsghdr, cmsg_len) == 0
            && offset_of!(cmsghdr, cmsg_level) == 4
            && offset_of!(cmsghdr, cmsg_type) == 8
            && size_of::<cmsghdr>() == 12
    );
    #[cfg(all(target_pointer_width = "64", has_udp_segment))]
    const _: () = assert!(
        libc::SOL_SOCKET == 1
            && offset_of!(cmsghdr, cmsg_len) == 0
            && offset_of!(cmsghdr, cmsg_level) == 8
            && offset_of!(cmsghdr, cmsg_type) == 12
            && size_of::<cmsghdr>() == 16
    );
    #[cfg(has_narrow_cmsg)]
    const _: () = assert!(
        length(0) == 12 && length(5) == 17 && space(0) == 12 && space(1) == 16 && space(20) == 32
    );
    #[cfg(all(target_pointer_width = "64", not(has_narrow_cmsg)))]
    const _: () = assert!(
        length(0) == 16 && length(5) == 21 && space(0) == 16 && space(1) == 24 && space(20) == 40
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel may read more bytes of the header than the C library has names for.
    #[test]
    fn a_header_leaves_no_former_bytes() {
        let [mut clean, mut used] = [[0; 32], [0xff; 32]];
        for control in [&mut clean, &mut used] {
            put_header(control, 1, 2, 4).0.fill(3);
        }
        assert_eq!(clean[..length(4)], used[..length(4)]);
    }
}
