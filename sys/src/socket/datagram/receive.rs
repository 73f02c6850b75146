//! Receiving datagrams in batches.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::facts::{Control, Facts, ROOM};
use super::kernel::{self, Header};
use super::{Datagram, DatagramFeatures, MAX_BATCH};
use crate::socket::address::{Address, KernelAddress};
use crate::socket::unix::UnixAddress;

/// Memory for receiving several datagrams by one call.
///
/// ```
/// use mainspring_sys::socket::{DatagramBatch, DatagramFeatures};
/// use std::net::UdpSocket;
///
/// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// for bytes in [&b"one"[..], b"", b"much too long"] {
///     theirs.send_to(bytes, ours.local_addr()?)?;
/// }
/// let mut batch = DatagramBatch::new(16, 8);
/// assert_eq!(batch.recv(&ours, DatagramFeatures::default())?, 3);
/// let seen: Vec<_> = batch.iter().map(|datagram| (datagram.bytes, datagram.truncated)).collect();
/// assert_eq!(seen, [(&b"one"[..], false), (b"", false), (b"much too", true)]);
/// assert_eq!(batch.get(0).unwrap().from.as_inet(), Some(theirs.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DatagramBatch {
    headers: Vec<Header>,
    slices: Vec<libc::iovec>,
    names: Vec<KernelAddress>,
    control: Vec<Control>,
    /// The buffers of [`recv`](DatagramBatch::recv), `max_length` bytes each.
    bytes: Vec<u8>,
    max_length: usize,
    /// Room for control messages with which all headers refer to `bytes`; `None` if they do not.
    /// The vectors do not grow, so the headers stay right. Between calls other parts are only read.
    linked: Option<usize>,
    /// Number of datagrams of the latest call.
    received: usize,
    /// Error that ended the latest call after some datagrams. Kernels with recvmmsg(2) keep it in
    /// the socket.
    deferred: Option<io::Error>,
}

impl DatagramBatch {
    /// Creates room for `datagrams` of up to `max_length` bytes each. Zero bytes suffice for
    /// [`recv_into`](DatagramBatch::recv_into). The number is limited to 64, and at least 1.
    pub fn new(datagrams: usize, max_length: usize) -> DatagramBatch {
        let count = datagrams.clamp(1, MAX_BATCH);
        let no_slice = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        DatagramBatch {
            headers: (0..count).map(|_| Header::empty()).collect(),
            slices: vec![no_slice; count],
            names: (0..count).map(|_| KernelAddress::vacant()).collect(),
            control: (0..count).map(|_| Control([0; ROOM])).collect(),
            bytes: vec![0; count * max_length],
            max_length,
            linked: None,
            received: 0,
            deferred: None,
        }
    }

    /// Returns the number of datagrams for which there is room.
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Returns the number of bytes for which there is room in each datagram.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Returns the number of datagrams of the latest call.
    pub fn len(&self) -> usize {
        self.received
    }

    /// Returns true if the latest call has received nothing.
    pub fn is_empty(&self) -> bool {
        self.received == 0
    }

    /// Receives the datagrams that are available, by one call if the kernel has recvmmsg(2).
    /// Returns how many, at least one. Fewer than [`capacity`](DatagramBatch::capacity) means that
    /// the socket is empty. `features` are those of the socket.
    ///
    /// # Errors
    ///
    /// The errors of recvmsg(2): `WouldBlock` if there is no datagram, even if the socket is
    /// blocking.
    pub fn recv(&mut self, socket: impl AsFd, features: DatagramFeatures) -> io::Result<usize> {
        self.recv_up_to(self.capacity(), socket, features)
    }

    /// Receives like [`recv`](DatagramBatch::recv), but at most `limit` datagrams. Fewer mean that
    /// the socket is empty.
    ///
    /// # Errors
    ///
    /// Same as [`recv`](DatagramBatch::recv).
    pub fn recv_up_to(
        &mut self,
        limit: usize,
        socket: impl AsFd,
        features: DatagramFeatures,
    ) -> io::Result<usize> {
        let room = control_room(features);
        if self.linked == Some(room) {
            self.reset(room);
        } else {
            self.link(room);
        }
        self.receive(socket.as_fd().as_raw_fd(), limit.min(self.capacity()))
    }

    /// Receives like [`recv`](DatagramBatch::recv), but into `buffers`, one for each datagram.
    ///
    /// # Errors
    ///
    /// Same as [`recv`](DatagramBatch::recv).
    pub fn recv_into<'b>(
        &mut self,
        socket: impl AsFd,
        features: DatagramFeatures,
        buffers: impl IntoIterator<Item = &'b mut [u8]>,
    ) -> io::Result<usize> {
        self.linked = None;
        let count = self.refer_to(buffers, control_room(features));
        self.receive(socket.as_fd().as_raw_fd(), count)
    }

    /// Calls the kernel with the first `count` headers.
    fn receive(&mut self, socket: RawFd, count: usize) -> io::Result<usize> {
        self.received = 0;
        let headers = &mut self.headers[..count];
        // SAFETY: each header refers to an address and control messages of this batch, and to a
        // buffer of it or of the caller. All are separate and outlive the call.
        self.received = unsafe { kernel::receive(socket, headers, &mut self.deferred) }?;
        Ok(self.received)
    }

    /// Has all headers refer to the buffers of this batch.
    #[cold]
    fn link(&mut self, control_room: usize) {
        let mut bytes = std::mem::take(&mut self.bytes);
        match self.max_length {
            0 => self.refer_to((0..self.capacity()).map(|_| &mut [][..]), control_room),
            length => self.refer_to(bytes.chunks_exact_mut(length), control_room),
        };
        self.bytes = bytes;
        self.linked = Some(control_room);
    }

    /// Has headers refer to `buffers`. Returns how many.
    fn refer_to<'b>(
        &mut self,
        buffers: impl IntoIterator<Item = &'b mut [u8]>,
        control_room: usize,
    ) -> usize {
        let parts = self.slices.iter_mut().zip(&mut self.names).zip(&mut self.control);
        let mut count = 0;
        for ((buffer, header), ((slice, name), control)) in
            buffers.into_iter().zip(&mut self.headers).zip(parts)
        {
            let (iov_base, iov_len) = (buffer.as_mut_ptr().cast(), buffer.len());
            *slice = libc::iovec { iov_base, iov_len };
            let message = &mut header.message;
            message.msg_name = name.place().cast();
            message.msg_iov = slice;
            message.msg_iovlen = 1;
            message.msg_control = (&raw mut control.0).cast();
            reset(message, control_room);
            count += 1;
        }
        count
    }

    /// Makes the headers of the latest call ready for another one.
    #[inline]
    fn reset(&mut self, control_room: usize) {
        // A call that has failed may have used the first header.
        for header in &mut self.headers[..self.received.max(1)] {
            reset(&mut header.message, control_room);
        }
    }

    /// Returns a datagram of the latest [`recv`](DatagramBatch::recv); `None` beyond the last one.
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        let start = index.checked_mul(self.max_length)?;
        self.get_in(index, self.bytes.get(start..)?)
    }

    /// Returns a datagram of the latest [`recv_into`](DatagramBatch::recv_into); `None` beyond the
    /// last one. `buffer` is the one into which it was received.
    pub fn get_in<'b>(&self, index: usize, buffer: &'b [u8]) -> Option<Datagram<'b>> {
        if index >= self.received {
            return None;
        }
        let header = &self.headers[index];
        let room = ROOM.min(header.message.msg_controllen as _);
        let facts = match room {
            0 => Facts::default(),
            _ => Facts::read(&self.control[index].0[..room]),
        };
        let bytes = &buffer[..buffer.len().min(header.length as usize)];
        Some(Datagram {
            bytes,
            from: self.names[index]
                .address_of(header.message.msg_namelen as usize)
                .unwrap_or(Address::Unix(UnixAddress::unnamed())),
            to: facts.to,
            interface: facts.interface,
            ecn: facts.ecn,
            segment: facts.segment.unwrap_or(bytes.len()),
            truncated: header.message.msg_flags & libc::MSG_TRUNC != 0,
        })
    }

    /// Returns the number of bytes of all datagrams of the latest call.
    pub fn total_length(&self) -> usize {
        self.headers[..self.received].iter().map(|header| header.length as usize).sum()
    }

    /// Returns the datagrams of the latest [`recv`](DatagramBatch::recv), in order.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.received).filter_map(|index| self.get(index))
    }
}

/// Returns the room for control messages: none without features, so that a Unix peer can pass none.
fn control_room(features: DatagramFeatures) -> usize {
    if features.has_control() { ROOM } else { 0 }
}

/// Sets the fields that a kernel changes.
#[inline]
fn reset(message: &mut libc::msghdr, control_room: usize) {
    message.msg_namelen = KernelAddress::ROOM;
    message.msg_controllen = control_room as _;
    message.msg_flags = 0;
}

impl fmt::Debug for DatagramBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, capacity, max_length) = (self.received, self.capacity(), self.max_length);
        write!(f, "DatagramBatch({len} of {capacity} datagrams of {max_length} bytes)")
    }
}
