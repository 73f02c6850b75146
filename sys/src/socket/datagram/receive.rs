//! Receiving datagrams in batches.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

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
    bytes: Box<[u8]>,
    max_length: usize,
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
            bytes: vec![0; count * max_length].into(),
            max_length,
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
    /// Those of recvmsg(2): `WouldBlock` if there is no datagram, even if the socket is blocking.
    pub fn recv(&mut self, socket: impl AsFd, features: DatagramFeatures) -> io::Result<usize> {
        self.recv_up_to(self.capacity(), socket, features)
    }

    /// Receives like [`recv`](DatagramBatch::recv), but at most `limit` datagrams. Fewer mean that
    /// the socket is empty.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](DatagramBatch::recv).
    pub fn recv_up_to(
        &mut self,
        limit: usize,
        socket: impl AsFd,
        features: DatagramFeatures,
    ) -> io::Result<usize> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let received = match self.max_length {
            0 => self.recv_into(socket, features, (0..limit).map(|_| &mut [][..])),
            length => self.recv_into(socket, features, bytes.chunks_exact_mut(length).take(limit)),
        };
        self.bytes = bytes;
        received
    }

    /// Receives like [`recv`](DatagramBatch::recv), but into `buffers`, one for each datagram.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](DatagramBatch::recv).
    pub fn recv_into<'b>(
        &mut self,
        socket: impl AsFd,
        features: DatagramFeatures,
        buffers: impl IntoIterator<Item = &'b mut [u8]>,
    ) -> io::Result<usize> {
        self.received = 0;
        let mut count = 0;
        for (buffer, place) in buffers.into_iter().zip(&mut self.slices) {
            let (iov_base, iov_len) = (buffer.as_mut_ptr().cast(), buffer.len());
            *place = libc::iovec { iov_base, iov_len };
            count += 1;
        }
        self.prepare(count, features);
        let headers = &mut self.headers[..count];
        // SAFETY: each header refers to an address, a buffer and separate control messages. All
        // are borrowed mutably by this function, so they outlive the call.
        let called =
            unsafe { kernel::receive(socket.as_fd().as_raw_fd(), headers, &mut self.deferred) };
        self.received = called?;
        for (header, name) in headers.iter().zip(&mut self.names).take(self.received) {
            name.set_length(header.message.msg_namelen);
        }
        Ok(self.received)
    }

    /// Has the first `count` headers refer to their addresses, buffers and control messages.
    fn prepare(&mut self, count: usize, features: DatagramFeatures) {
        let control_room = if features.has_control() { ROOM } else { 0 };
        let parts = self.slices.iter_mut().zip(&mut self.names).zip(&mut self.control);
        for (header, ((slice, name), control)) in self.headers[..count].iter_mut().zip(parts) {
            let (address, length) = name.room();
            let message = &mut header.message;
            message.msg_name = address.cast();
            message.msg_namelen = length;
            message.msg_iov = slice;
            message.msg_iovlen = 1;
            message.msg_control = (&raw mut control.0).cast();
            message.msg_controllen = control_room as _;
            message.msg_flags = 0;
        }
    }

    /// Returns a datagram of the latest [`recv`](DatagramBatch::recv); None beyond the last one.
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        let start = index.checked_mul(self.max_length)?;
        self.get_in(index, self.bytes.get(start..)?)
    }

    /// Returns a datagram of the latest [`recv_into`](DatagramBatch::recv_into); None beyond the
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
            from: self.names[index].address().unwrap_or(Address::Unix(UnixAddress::unnamed())),
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

impl fmt::Debug for DatagramBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, capacity, max_length) = (self.received, self.capacity(), self.max_length);
        write!(f, "DatagramBatch({len} of {capacity} datagrams of {max_length} bytes)")
    }
}
