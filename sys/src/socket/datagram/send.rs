//! Sending datagrams in batches.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::facts::{Control, ROOM, Writer};
use super::features::max_segments;
use super::kernel::{self, Header};
use super::{Ecn, MAX_BATCH, Outgoing};
use crate::socket::address::{Address, KernelAddress};
use crate::socket::endpoints::peer_addr;

/// Maximum number of bytes in the datagrams that the kernel splits: those of an IPv4 packet minus
/// its headers.
const MAX_BYTES: usize = 65_507;

/// Memory for sending several datagrams by one call, and the limits of one socket.
///
/// ```
/// use mainspring_sys::socket::{Address, Outgoing, SendBatch};
/// use std::net::UdpSocket;
///
/// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let to = Address::Inet(theirs.local_addr()?);
/// let sent = SendBatch::new().send(&ours, [
///     Outgoing::new(b"first").to(&to),
///     Outgoing::new(b"abcabcab").to(&to).segment(3),
/// ])?;
/// assert_eq!((sent.datagrams, sent.total_bytes), (2, 13));
/// let mut buffer = [0; 16];
/// for expected in [&b"first"[..], b"abc", b"abc", b"ab"] {
///     let count = theirs.recv(&mut buffer)?;
///     assert_eq!(&buffer[..count], expected);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SendBatch {
    headers: Vec<Header>,
    slices: Vec<libc::iovec>,
    names: Vec<KernelAddress>,
    control: Vec<Control>,
    /// The progress after each message was sent.
    progress: Vec<SendProgress>,
    /// Number of datagrams into which the kernel splits the bytes of one message; 0 if it is not
    /// known yet.
    segments: usize,
    /// False if the kernel has refused the ECN codepoint of an IPv4 datagram.
    has_v4_ecn: bool,
    /// True if the socket is one of IPv4; `None` until that matters.
    is_v4: Option<bool>,
}

/// The part of a batch that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SendProgress {
    /// Number of [`Outgoing`] values that were sent whole.
    pub datagrams: usize,
    /// Number of bytes of the next one that were sent: whole segments.
    pub bytes: usize,
    /// Number of bytes that were sent in all.
    pub total_bytes: usize,
}

impl Default for SendBatch {
    fn default() -> SendBatch {
        SendBatch::new()
    }
}

/// A piece of an [`Outgoing`] that becomes one message.
#[derive(Clone, Copy)]
struct Piece<'d, 'a> {
    datagram: &'d Outgoing<'a>,
    bytes: &'a [u8],
    /// Length of the datagrams into which the kernel splits it; 0 if it is one.
    segment: u16,
}

impl SendBatch {
    /// Creates an empty batch. Its memory grows with the first sends, to 64 messages at most.
    pub fn new() -> SendBatch {
        SendBatch {
            headers: Vec::new(),
            slices: Vec::new(),
            names: Vec::new(),
            control: Vec::new(),
            progress: Vec::new(),
            segments: 0,
            has_v4_ecn: true,
            is_v4: None,
        }
    }

    /// Returns the number of datagrams into which the kernel splits the bytes of one message; 1 if
    /// it cannot, or if the device has refused it.
    pub fn segments(&mut self, socket: impl AsFd) -> usize {
        if self.segments == 0 {
            self.segments = max_segments(socket);
        }
        self.segments
    }

    /// Has all later datagrams split here, as after a refusal of the device.
    #[cfg(test)]
    pub(super) fn refuse_segments(&mut self) {
        self.segments = 1;
    }

    /// Sends as many of `datagrams` as there is room for, at most 64 messages, by one call if the
    /// kernel has sendmmsg(2).
    ///
    /// If the device cannot split datagrams (`EIO`, `EINVAL`), they are split here and sent again,
    /// and all later ones of this batch too. The same holds for ECN codepoints, which are left out.
    ///
    /// # Errors
    ///
    /// The errors of sendmsg(2) for the first message; then nothing was sent. `WouldBlock` if there
    /// is no room, even if the socket is blocking.
    pub fn send<'a, I>(&mut self, socket: impl AsFd, datagrams: I) -> io::Result<SendProgress>
    where
        I: IntoIterator<Item = Outgoing<'a>>,
        I::IntoIter: Clone,
    {
        let (socket, datagrams) = (socket.as_fd(), datagrams.into_iter());
        let known = (self.segments, self.has_v4_ecn);
        match self.send_once(socket, datagrams.clone()) {
            Err(error) if self.gives_up_feature(&error) => {
                // If the datagram is refused without the feature too, the feature was not the
                // reason.
                self.send_once(socket, datagrams).inspect_err(|another| {
                    if another.raw_os_error() == error.raw_os_error() {
                        (self.segments, self.has_v4_ecn) = known;
                    }
                })
            }
            result => result,
        }
    }

    fn send_once<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = Outgoing<'a>>,
    ) -> io::Result<SendProgress> {
        self.progress.clear();
        let mut total_bytes = 0;
        'full: for (index, datagram) in datagrams.enumerate() {
            let mut sent = 0;
            loop {
                let piece = self.piece(socket, &datagram, sent);
                sent += piece.bytes.len();
                total_bytes += piece.bytes.len();
                let is_whole = sent >= datagram.bytes.len();
                self.push(socket, piece);
                self.progress.push(match is_whole {
                    true => SendProgress { datagrams: index + 1, bytes: 0, total_bytes },
                    false => SendProgress { datagrams: index, bytes: sent, total_bytes },
                });
                if self.progress.len() == MAX_BATCH {
                    break 'full;
                }
                if is_whole {
                    break;
                }
            }
        }
        let count = self.progress.len();
        if count == 0 {
            return Ok(SendProgress::default());
        }
        self.link(count);
        // SAFETY: each header refers to an address and control messages of this batch, and to bytes
        // that `datagrams` borrows. All outlive the call.
        let called = unsafe { kernel::send(socket.as_raw_fd(), &mut self.headers[..count]) };
        let sent = called?;
        Ok(sent.checked_sub(1).map_or(SendProgress::default(), |last| self.progress[last]))
    }

    /// Returns the next message of a datagram of which `sent` bytes are in messages already.
    #[inline]
    fn piece<'d, 'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagram: &'d Outgoing<'a>,
        sent: usize,
    ) -> Piece<'d, 'a> {
        let rest = &datagram.bytes[sent..];
        let segment = datagram.segment;
        if segment == 0 || rest.len() <= segment {
            return Piece { datagram, bytes: rest, segment: 0 };
        }
        let at_once = self.segments(socket).min(MAX_BYTES / segment).max(1);
        let bytes = &rest[..rest.len().min(at_once * segment)];
        let split = if bytes.len() > segment { segment as u16 } else { 0 };
        Piece { datagram, bytes, segment: split }
    }

    /// Adds a message.
    #[inline]
    fn push(&mut self, socket: BorrowedFd<'_>, piece: Piece<'_, '_>) {
        let index = self.progress.len();
        if self.headers.len() == index {
            self.grow();
        }
        let iov_base = piece.bytes.as_ptr().cast_mut().cast(); // The call does not write to it.
        self.slices[index] = libc::iovec { iov_base, iov_len: piece.bytes.len() };
        let mut name_length = 0;
        if let Some(to) = piece.datagram.to {
            let name = &mut self.names[index];
            name.set(to);
            name_length = name.length();
        }
        let Outgoing { from, ecn, .. } = *piece.datagram;
        let has_facts = from.is_some() || ecn != Ecn::NotEct || piece.segment > 0;
        let used = if has_facts { self.put_facts(socket, index, piece) } else { 0 };
        let message = &mut self.headers[index].message;
        message.msg_namelen = name_length;
        message.msg_controllen = used as _;
    }

    /// Adds room for a message.
    #[cold]
    fn grow(&mut self) {
        let mut header = Header::empty();
        header.message.msg_iovlen = 1;
        self.headers.push(header);
        self.slices.push(libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
        self.names.push(KernelAddress::vacant());
        self.control.push(Control([0; ROOM]));
    }

    /// Writes the control messages of a piece. Returns their length.
    fn put_facts(&mut self, socket: BorrowedFd<'_>, index: usize, piece: Piece<'_, '_>) -> usize {
        let Outgoing { to, from, ecn, .. } = *piece.datagram;
        let to_v4 = match (to.and_then(Address::as_inet), from) {
            (Some(to), _) => is_v4(to.ip()),
            (None, Some(from)) => is_v4(from),
            (None, None) => self.is_v4_socket(socket),
        };
        let mut writer = Writer::new(&mut self.control[index]);
        if let Some(from) = from {
            writer.put_source(from, to_v4);
        }
        if ecn != Ecn::NotEct && (self.has_v4_ecn || !to_v4) {
            writer.put_ecn(ecn, to_v4);
        }
        if piece.segment > 0 {
            writer.put_segment(piece.segment);
        }
        writer.used()
    }

    /// Returns true if the socket is connected to a peer of IPv4, or if its peer is not known.
    fn is_v4_socket(&mut self, socket: BorrowedFd<'_>) -> bool {
        *self.is_v4.get_or_insert_with(|| {
            peer_addr(socket)
                .ok()
                .and_then(|peer| peer.as_inet())
                .is_none_or(|peer| is_v4(peer.ip()))
        })
    }

    /// Has the first `count` headers refer to their addresses, bytes and control messages. Done
    /// last, because the vectors may have moved before.
    fn link(&mut self, count: usize) {
        let parts = self.slices.iter_mut().zip(&mut self.names).zip(&mut self.control);
        for (header, ((slice, name), control)) in self.headers[..count].iter_mut().zip(parts) {
            let message = &mut header.message;
            let nothing = std::ptr::null_mut();
            let (is_named, has_control) = (message.msg_namelen > 0, message.msg_controllen > 0);
            message.msg_name = if is_named { name.place().cast() } else { nothing };
            message.msg_control = if has_control { (&raw mut control.0).cast() } else { nothing };
            message.msg_iov = slice;
        }
    }

    /// Returns true if `error` may be the refusal of a feature that the first message has used. The
    /// feature is not used again.
    fn gives_up_feature(&mut self, error: &io::Error) -> bool {
        let is_refusal = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL));
        let has_control =
            self.headers.first().is_some_and(|header| header.message.msg_controllen > 0);
        if !is_refusal || !has_control {
            return false;
        }
        let before = (self.segments, self.has_v4_ecn);
        self.segments = self.segments.min(1);
        self.has_v4_ecn &= error.raw_os_error() != Some(libc::EINVAL);
        before != (self.segments, self.has_v4_ecn)
    }
}

/// Returns true if a datagram to this address is sent over IPv4.
fn is_v4(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    }
}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendBatch(room for {} messages)", self.headers.len())
    }
}
