//! Datagrams in batches, with the metadata that QUIC needs: local address, ECN, segments.
//!
//! [`DatagramBatch`] receives and [`SendBatch`] sends several datagrams by one call, where the
//! kernel has recvmmsg(2) and sendmmsg(2), and otherwise by one call for each.
//! [`enable_datagram_features`] makes the kernel report the metadata that it supports.
//!
//! # Invariants
//!
//! * After the first calls of a batch, receiving and sending allocate nothing for internet sockets.
//! * Room for control messages is offered only for features that the socket has. So a Unix peer
//!   cannot pass descriptors to a receiver that does not expect them: the kernel closes them.
//! * No datagram is truncated without [`Datagram::truncated`].

mod facts;
mod features;
mod kernel;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::address::Address;

pub use features::{DatagramFeatures, DatagramOptions, enable_datagram_features, max_segments};
pub use receive::DatagramBatch;
pub use send::{SendBatch, SendProgress};

/// Maximum number of datagrams of one call. UIO_MAXIOV, the limit of Linux, is 1024; beyond 64 the
/// cost of a call no longer matters.
const MAX_BATCH: usize = 64;

/// The ECN codepoint of an IP packet (RFC 3168, section 5).
///
/// ```
/// use mainspring_sys::socket::Ecn;
///
/// assert_eq!(Ecn::from_bits(0b10), Ecn::Ect0);
/// assert_eq!(Ecn::Ce.bits(), 0b11);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ecn {
    /// The sender does not support ECN.
    #[default]
    NotEct,
    /// The sender supports ECN: ECT(1).
    Ect1,
    /// The sender supports ECN: ECT(0).
    Ect0,
    /// A router was congested.
    Ce,
}

impl Ecn {
    /// Returns the codepoint in the lowest two bits of `bits`, which may be a whole type-of-service
    /// byte.
    pub fn from_bits(bits: u8) -> Ecn {
        match bits & 0b11 {
            0b00 => Ecn::NotEct,
            0b01 => Ecn::Ect1,
            0b10 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }

    /// Returns the two bits.
    pub fn bits(self) -> u8 {
        match self {
            Ecn::NotEct => 0b00,
            Ecn::Ect1 => 0b01,
            Ecn::Ect0 => 0b10,
            Ecn::Ce => 0b11,
        }
    }
}

/// A received datagram, or several of one sender that the kernel has merged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// The bytes. A datagram may be empty.
    pub bytes: &'a [u8],
    /// The address of the sender; unnamed for a Unix socket without an address.
    pub from: Address,
    /// The local address to which the datagram was sent. It may be a group or a broadcast address.
    /// `None` without [`DatagramOptions::packet_info`].
    pub to: Option<IpAddr>,
    /// The index of the network interface. `None` without [`DatagramOptions::packet_info`], and for
    /// IPv4 on BSDs.
    pub interface: Option<NonZeroU32>,
    /// The ECN codepoint; `NotEct` without [`DatagramOptions::ecn`].
    pub ecn: Ecn,
    /// The length of each merged datagram, in bytes; the last one may be shorter. The length of
    /// `bytes` if the kernel has merged nothing, as always without [`DatagramOptions::gro`].
    pub segment: usize,
    /// True if the datagram was longer than the buffer, and the rest is lost.
    pub truncated: bool,
}

impl<'a> Datagram<'a> {
    /// Returns the bytes of each merged datagram, in order. Without [`DatagramOptions::gro`] it is
    /// one.
    pub fn segments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (bytes, segment) = (self.bytes, self.segment.max(1));
        let count = bytes.len().div_ceil(segment).max(1); // An empty datagram is one, too.
        (0..count).map(move |index| {
            let start = index * segment;
            &bytes[start..bytes.len().min(start + segment)]
        })
    }
}

/// A datagram for sending, or several to one receiver that the kernel splits.
///
/// ```
/// use mainspring_sys::socket::{Address, Ecn, Outgoing};
///
/// let to: Address = "127.0.0.1:443".parse()?;
/// let datagram = Outgoing::new(b"hello").to(&to).ecn(Ecn::Ect0);
/// assert_eq!(datagram.bytes(), b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    bytes: &'a [u8],
    to: Option<&'a Address>,
    from: Option<IpAddr>,
    ecn: Ecn,
    /// Length of each datagram in bytes; 0 for one datagram.
    segment: usize,
}

impl<'a> Outgoing<'a> {
    /// Returns a datagram for the connected peer.
    pub fn new(bytes: &'a [u8]) -> Outgoing<'a> {
        Outgoing { bytes, to: None, from: None, ecn: Ecn::NotEct, segment: 0 }
    }

    /// Sets the receiver.
    #[must_use]
    pub fn to(self, to: &'a Address) -> Outgoing<'a> {
        Outgoing { to: Some(to), ..self }
    }

    /// Sets the local address from which it is sent, for a socket that is bound to several. A
    /// response should come from the [`Datagram::to`] of its request.
    #[must_use]
    pub fn from(self, from: IpAddr) -> Outgoing<'a> {
        Outgoing { from: Some(from), ..self }
    }

    /// Sets the ECN codepoint. Ignored on systems that cannot set it for a single datagram.
    #[must_use]
    pub fn ecn(self, ecn: Ecn) -> Outgoing<'a> {
        Outgoing { ecn, ..self }
    }

    /// Splits the bytes into datagrams of `length` bytes each; the last one may be shorter. The
    /// kernel splits them if it can (`UDP_SEGMENT`), and otherwise each is sent separately. Zero is
    /// one datagram.
    #[must_use]
    pub fn segment(self, length: usize) -> Outgoing<'a> {
        Outgoing { segment: length, ..self }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the receiver; `None` for the connected peer.
    pub fn receiver(&self) -> Option<&'a Address> {
        self.to
    }

    /// Returns the local address from which it is sent; `None` if the kernel chooses it.
    pub fn source(&self) -> Option<IpAddr> {
        self.from
    }

    /// Returns the ECN codepoint.
    pub fn codepoint(&self) -> Ecn {
        self.ecn
    }

    /// Returns the length of each datagram into which the bytes are split; 0 for one datagram.
    pub fn segment_length(&self) -> usize {
        self.segment
    }

    /// Returns the rest after the first `sent` bytes, which are whole segments.
    ///
    /// # Panics
    ///
    /// If there are fewer bytes.
    #[must_use]
    pub fn after(self, sent: usize) -> Outgoing<'a> {
        Outgoing { bytes: &self.bytes[sent..], ..self }
    }
}
