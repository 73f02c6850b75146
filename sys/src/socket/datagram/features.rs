//! Features of a datagram socket: the options that the kernel grants.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::socket::address::Address;
use crate::socket::endpoints::local_addr;
use crate::socket::option::set;

/// Features to request from the kernel. All are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramOptions {
    /// Reports the local address and the interface of each datagram (`IP_PKTINFO`,
    /// `IPV6_RECVPKTINFO`, `IP_RECVDSTADDR`).
    pub packet_info: bool,
    /// Reports the ECN codepoint of each datagram (`IP_RECVTOS`, `IPV6_RECVTCLASS`).
    pub ecn: bool,
    /// Makes the kernel merge datagrams of the same sender and length (`UDP_GRO`, udp(7)). Each
    /// then needs a buffer of 64 KiB. See [`Datagram::segments`](super::Datagram::segments).
    pub gro: bool,
    /// Never fragments datagrams: one that is longer than the route allows is dropped, or is the
    /// error `EMSGSIZE` (`IP_MTU_DISCOVER` with `IP_PMTUDISC_PROBE`, `IP_DONTFRAG`).
    pub dont_fragment: bool,
}

/// Features that a datagram socket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DatagramFeatures {
    /// The local address of each datagram is reported.
    pub packet_info: bool,
    /// The ECN codepoint of each datagram is reported.
    pub ecn: bool,
    /// The kernel may merge datagrams.
    pub gro: bool,
    /// Datagrams are not fragmented.
    pub dont_fragment: bool,
}

impl DatagramFeatures {
    /// Returns true if datagrams come with control messages.
    pub(super) fn has_control(self) -> bool {
        self.packet_info || self.ecn || self.gro
    }

    /// Returns the features of both.
    #[must_use]
    pub fn union(self, other: DatagramFeatures) -> DatagramFeatures {
        DatagramFeatures {
            packet_info: self.packet_info || other.packet_info,
            ecn: self.ecn || other.ecn,
            gro: self.gro || other.gro,
            dont_fragment: self.dont_fragment || other.dont_fragment,
        }
    }
}

/// Enables the features of `options` that the kernel supports for this socket, and returns them. A
/// Unix socket has none.
///
/// ```
/// use mainspring_sys::socket::{DatagramOptions, enable_datagram_features};
/// use std::net::UdpSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let wanted = DatagramOptions { packet_info: true, ..DatagramOptions::default() };
/// let features = enable_datagram_features(&socket, &wanted)?;
/// assert!(features.packet_info && !features.ecn);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of getsockname(2): not a socket; `Unsupported` for a family that is neither internet
/// nor Unix.
pub fn enable_datagram_features(
    socket: impl AsFd,
    options: &DatagramOptions,
) -> io::Result<DatagramFeatures> {
    let socket = socket.as_fd();
    let Address::Inet(local) = local_addr(socket)? else { return Ok(DatagramFeatures::default()) };
    let is_v4 = local.is_ipv4();
    Ok(DatagramFeatures {
        packet_info: options.packet_info && report_packet_info(socket, is_v4),
        ecn: options.ecn && report_ecn(socket, is_v4),
        gro: options.gro && merge(socket),
        dont_fragment: options.dont_fragment && forbid_fragments(socket, is_v4),
    })
}

/// Sets a number of the level IP, IPv6 or UDP. Returns false if the kernel refuses it.
fn is_set(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, to: libc::c_int) -> bool {
    set(socket, level, name, to).is_ok()
}

fn report_packet_info(socket: BorrowedFd<'_>, is_v4: bool) -> bool {
    match is_v4 {
        true => report_v4_address(socket),
        false => is_set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

#[cfg(has_ip_pktinfo)]
fn report_v4_address(socket: BorrowedFd<'_>) -> bool {
    is_set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
}

#[cfg(has_ip_recvdstaddr)]
fn report_v4_address(socket: BorrowedFd<'_>) -> bool {
    is_set(socket, libc::IPPROTO_IP, libc::IP_RECVDSTADDR, 1)
}

#[cfg(not(any(has_ip_pktinfo, has_ip_recvdstaddr)))]
fn report_v4_address(_: BorrowedFd<'_>) -> bool {
    false
}

fn report_ecn(socket: BorrowedFd<'_>, is_v4: bool) -> bool {
    // An IPv6 socket may receive IPv4 as well. The kernel refuses the option where it may not.
    let of_v4 = report_v4_tos(socket);
    if is_v4 { of_v4 } else { is_set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1) }
}

#[cfg(has_ip_recvtos)]
fn report_v4_tos(socket: BorrowedFd<'_>) -> bool {
    is_set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
}

#[cfg(not(has_ip_recvtos))]
fn report_v4_tos(_: BorrowedFd<'_>) -> bool {
    false
}

#[cfg(has_udp_segment)]
fn merge(socket: BorrowedFd<'_>) -> bool {
    is_set(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

#[cfg(not(has_udp_segment))]
fn merge(_: BorrowedFd<'_>) -> bool {
    false
}

#[cfg(has_mtu_discover)]
fn forbid_fragments(socket: BorrowedFd<'_>, is_v4: bool) -> bool {
    let of_v4 = is_set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE);
    if is_v4 {
        return of_v4;
    }
    let probes =
        is_set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE);
    // Without this one, a datagram above the interface's own limit is still fragmented.
    probes && is_set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)
}

#[cfg(not(has_mtu_discover))]
fn forbid_fragments(socket: BorrowedFd<'_>, is_v4: bool) -> bool {
    #[cfg(has_ip_dontfrag)]
    let of_v4 = is_set(socket, libc::IPPROTO_IP, libc::IP_DONTFRAG, 1);
    #[cfg(not(has_ip_dontfrag))]
    let of_v4 = false;
    if is_v4 { of_v4 } else { is_set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1) }
}

/// Returns the number of datagrams into which the kernel splits the bytes of one call; 1 if it
/// cannot.
#[cfg(has_udp_segment)]
pub fn max_segments(socket: impl AsFd) -> usize {
    /// UDP_MAX_SEGMENTS of linux/udp.h; newer kernels have 128.
    const SEGMENTS: usize = 64;
    let probed =
        crate::socket::option::get::<libc::c_int>(socket, libc::SOL_UDP, libc::UDP_SEGMENT);
    if probed.is_ok() { SEGMENTS } else { 1 }
}

/// Returns the number of datagrams into which the kernel splits the bytes of one call: 1.
#[cfg(not(has_udp_segment))]
pub fn max_segments(_: impl AsFd) -> usize {
    1
}
