//! Metadata of a datagram, as control messages of ip(7), ipv6(7) and udp(7).

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use super::Ecn;
use crate::socket::control::{Message, Messages, put_header, space};

/// Room for the metadata of one datagram: what a kernel reports, and what is sent. One more
/// message, such as the time of arrival, fits too.
pub(super) const ROOM: usize = 128;

/// Storage with the alignment of every control message.
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; ROOM]);

const INTEGER: usize = size_of::<libc::c_int>();
const _: () = assert!(
    space(size_of::<libc::in6_pktinfo>()) + space(INTEGER) + space(INTEGER) <= ROOM,
    "the facts of a datagram fit"
);

/// Metadata that the kernel has reported about a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub(super) to: Option<IpAddr>,
    pub(super) interface: Option<NonZeroU32>,
    pub(super) ecn: Ecn,
    /// Length of each merged datagram; `None` if it is one.
    pub(super) segment: Option<usize>,
}

impl Facts {
    /// Reads the metadata from control messages. Messages of other kinds are ignored.
    pub(super) fn read(control: &[u8]) -> Facts {
        let mut facts = Facts::default();
        for message in Messages(control) {
            facts.note(&message);
        }
        facts
    }

    fn note(&mut self, message: &Message<'_>) {
        let payload = message.payload;
        match (message.level, message.kind) {
            (libc::IPPROTO_IP, kind) if is_tos(kind) => self.ecn = ecn_of(payload),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => self.ecn = ecn_of(payload),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let ip = at::<16>(payload, offset_of!(libc::in6_pktinfo, ipi6_addr));
                self.to = ip.map(|ip| Ipv6Addr::from(ip).into());
                self.interface = index_at(payload, offset_of!(libc::in6_pktinfo, ipi6_ifindex));
            }
            #[cfg(has_ip_pktinfo)]
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let ip = at::<4>(payload, offset_of!(libc::in_pktinfo, ipi_addr));
                self.to = ip.map(|ip| Ipv4Addr::from(ip).into());
                self.interface = index_at(payload, offset_of!(libc::in_pktinfo, ipi_ifindex));
            }
            #[cfg(has_ip_recvdstaddr)]
            (libc::IPPROTO_IP, libc::IP_RECVDSTADDR) => {
                self.to = at::<4>(payload, 0).map(|ip| Ipv4Addr::from(ip).into());
            }
            #[cfg(has_udp_segment)]
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let length = at::<INTEGER>(payload, 0).map(libc::c_int::from_ne_bytes);
                self.segment = length
                    .and_then(|length| usize::try_from(length).ok())
                    .filter(|length| *length > 0);
            }
            _ => {}
        }
    }
}

/// Returns true for the kinds of message with the type of service of IPv4.
fn is_tos(kind: libc::c_int) -> bool {
    #[cfg(has_ip_recvtos)]
    let is_received = kind == libc::IP_RECVTOS;
    #[cfg(not(has_ip_recvtos))]
    let is_received = false;
    is_received || kind == libc::IP_TOS
}

/// Returns the codepoint in a type of service, which is one byte or an integer, depending
/// on the system.
fn ecn_of(payload: &[u8]) -> Ecn {
    match (at::<INTEGER>(payload, 0), payload) {
        (Some(integer), _) => Ecn::from_bits(libc::c_int::from_ne_bytes(integer) as u8),
        (None, [byte, ..]) => Ecn::from_bits(*byte),
        (None, []) => Ecn::NotEct,
    }
}

fn at<const N: usize>(payload: &[u8], offset: usize) -> Option<[u8; N]> {
    payload.get(offset..)?.first_chunk().copied()
}

fn index_at(payload: &[u8], offset: usize) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::from_ne_bytes(at(payload, offset)?))
}

/// Control messages that are being written.
pub(super) struct Writer<'a> {
    control: &'a mut Control,
    used: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(control: &'a mut Control) -> Writer<'a> {
        Writer { control, used: 0 }
    }

    /// Returns the number of bytes written.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    fn put(&mut self, level: libc::c_int, kind: libc::c_int, payload: &[u8]) {
        let (place, room) =
            put_header(&mut self.control.0[self.used..], level, kind, payload.len());
        place.copy_from_slice(payload);
        self.used += room;
    }

    /// Adds the address from which the datagram is sent. `to_v4` is true for an IPv4 receiver, also
    /// one that is written as an IPv6 address.
    pub(super) fn put_source(&mut self, from: IpAddr, to_v4: bool) {
        match from {
            IpAddr::V4(from) => self.put_v4_source(from),
            IpAddr::V6(from) => match from.to_ipv4_mapped() {
                Some(from) if to_v4 => self.put_v4_source(from),
                _ => {
                    let mut info = [0; size_of::<libc::in6_pktinfo>()];
                    let offset = offset_of!(libc::in6_pktinfo, ipi6_addr);
                    info[offset..offset + 16].copy_from_slice(&from.octets());
                    self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
                }
            },
        }
    }

    #[cfg(has_ip_pktinfo)]
    fn put_v4_source(&mut self, from: Ipv4Addr) {
        let mut info = [0; size_of::<libc::in_pktinfo>()];
        let offset = offset_of!(libc::in_pktinfo, ipi_spec_dst);
        info[offset..offset + 4].copy_from_slice(&from.octets());
        self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
    }

    #[cfg(has_ip_recvdstaddr)]
    fn put_v4_source(&mut self, from: Ipv4Addr) {
        self.put(libc::IPPROTO_IP, libc::IP_SENDSRCADDR, &from.octets());
    }

    #[cfg(not(any(has_ip_pktinfo, has_ip_recvdstaddr)))]
    fn put_v4_source(&mut self, _: Ipv4Addr) {}

    /// Adds the ECN codepoint. Does nothing for IPv4 on systems without such a message.
    pub(super) fn put_ecn(&mut self, ecn: Ecn, to_v4: bool) {
        let value = libc::c_int::from(ecn.bits());
        if !to_v4 {
            self.put(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value.to_ne_bytes());
        } else if cfg!(has_byte_tos) {
            self.put(libc::IPPROTO_IP, libc::IP_TOS, &[ecn.bits()]);
        } else if cfg!(has_ip_recvtos) {
            self.put(libc::IPPROTO_IP, libc::IP_TOS, &value.to_ne_bytes());
        }
    }

    /// Adds the length of each datagram into which the kernel splits the bytes.
    #[cfg(has_udp_segment)]
    pub(super) fn put_segment(&mut self, length: u16) {
        self.put(libc::SOL_UDP, libc::UDP_SEGMENT, &length.to_ne_bytes());
    }

    #[cfg(not(has_udp_segment))]
    pub(super) fn put_segment(&mut self, _: u16) {}
}

/// The values that `tests/socket_layout.c` checks against the systems' headers.
mod checks {
    use std::mem::{offset_of, size_of};

    use libc::in6_pktinfo;

    const _: () = assert!(
        offset_of!(in6_pktinfo, ipi6_addr) == 0
            && offset_of!(in6_pktinfo, ipi6_ifindex) == 16
            && size_of::<in6_pktinfo>() == 20
    );
    #[cfg(has_ip_pktinfo)]
    const _: () = assert!(
        offset_of!(libc::in_pktinfo, ipi_ifindex) == 0
            && offset_of!(libc::in_pktinfo, ipi_spec_dst) == 4
            && offset_of!(libc::in_pktinfo, ipi_addr) == 8
            && size_of::<libc::in_pktinfo>() == 12
    );
    #[cfg(has_udp_segment)]
    const _: () = assert!(
        libc::IP_PKTINFO == 8
            && libc::IP_TOS == 1
            && libc::IP_RECVTOS == 13
            && libc::IPV6_RECVPKTINFO == 49
            && libc::IPV6_PKTINFO == 50
            && libc::IPV6_RECVTCLASS == 66
            && libc::IPV6_TCLASS == 67
            && libc::UDP_SEGMENT == 103
            && libc::UDP_GRO == 104
    );
    #[cfg(has_narrow_cmsg)]
    const _: () = assert!(
        libc::IP_PKTINFO == 26
            && libc::IP_TOS == 3
            && libc::IP_RECVTOS == 27
            && libc::IPV6_RECVPKTINFO == 61
            && libc::IPV6_PKTINFO == 46
            && libc::IPV6_RECVTCLASS == 35
            && libc::IPV6_TCLASS == 36
    );
    #[cfg(has_ip_recvdstaddr)]
    const _: () = assert!(
        libc::IP_RECVDSTADDR == 7
            && libc::IP_SENDSRCADDR == 7
            && libc::IP_TOS == 3
            && libc::IPV6_RECVPKTINFO == 36
            && libc::IPV6_PKTINFO == 46
            && libc::IPV6_RECVTCLASS == 57
            && libc::IPV6_TCLASS == 61
    );
    #[cfg(has_byte_tos)]
    const _: () = assert!(libc::IP_RECVTOS == 68);
}
