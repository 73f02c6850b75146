//! Facts by route: IPv4, IPv6, IPv4 through a socket of IPv6, and connected sockets.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::everything;
use crate::socket::datagram::*;

/// Returns the next datagram's codepoint, its local address, and if its interface is known.
fn received(socket: &UdpSocket, features: DatagramFeatures) -> (Ecn, Option<IpAddr>, bool) {
    let mut batch = DatagramBatch::new(1, 1 << 16);
    while batch.recv(socket, features).is_err() {
        std::thread::yield_now(); // Some loopbacks deliver late.
    }
    let datagram = batch.get(0).unwrap();
    (datagram.ecn, datagram.to, datagram.interface.is_some())
}

/// A codepoint and a local address arrive on each route, whether the receiver is named or the
/// socket is connected, with and without the sender's address.
#[test]
fn facts_travel_on_each_route() {
    for (sender, receiver, from) in [
        ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"),
        ("[::1]:0", "[::1]:0", "::1"),
        ("[::]:0", "127.0.0.1:0", "::ffff:127.0.0.1"),
        ("127.0.0.1:0", "[::]:0", "127.0.0.1"),
    ] {
        let (Ok(theirs), Ok(ours)) = (UdpSocket::bind(sender), UdpSocket::bind(receiver)) else {
            continue;
        };
        let features = enable_datagram_features(&ours, &everything()).unwrap();
        let mut to = ours.local_addr().unwrap();
        let is_mixed = sender.starts_with('[') != receiver.starts_with('[');
        if is_mixed && !cfg!(has_udp_segment) {
            continue; // A wildcard of IPv6 is not one of IPv4 on BSDs.
        }
        if is_mixed {
            let ip: std::net::Ipv4Addr = [127, 0, 0, 1].into();
            let mapped = ip.to_ipv6_mapped().into();
            to.set_ip(if sender.starts_with('[') { mapped } else { ip.into() });
        }
        let from: IpAddr = from.parse().unwrap();
        let (named, connected) = (Address::Inet(to), theirs.try_clone().unwrap());
        let mut batches = [SendBatch::new(), SendBatch::new()];
        for is_connected in [false, true] {
            if is_connected {
                connected.connect(to).unwrap();
            }
            for has_source in [false, true] {
                let mut datagram = Outgoing::new(b"x").ecn(Ecn::Ce);
                datagram = if is_connected { datagram } else { datagram.to(&named) };
                datagram = if has_source { datagram.from(from) } else { datagram };
                let sent = batches[usize::from(is_connected)].send(&theirs, [datagram]);
                let sent = sent.map(|progress| progress.datagrams);
                let what = format!("{sender} to {to}, {is_connected}, {has_source}");
                assert_eq!(sent.ok(), Some(1), "{what}");
                let (ecn, local, has_interface) = received(&ours, features);
                if features.ecn {
                    assert_eq!(ecn, Ecn::Ce, "{what}");
                }
                let expected = local_of(ours.local_addr().unwrap(), to);
                assert_eq!(local, features.packet_info.then_some(expected), "{what}");
                let is_told = cfg!(has_ip_pktinfo) || !expected.is_ipv4();
                assert_eq!(has_interface, features.packet_info && is_told, "{what}");
            }
        }
    }
}

/// Returns the address that a receiver sees for a datagram to `to`.
fn local_of(receiver: SocketAddr, to: SocketAddr) -> IpAddr {
    match (receiver.ip(), to.ip().to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
        (_, ip) => ip,
    }
}

/// The address of a broadcast is that of the datagram, and not that of the interface.
#[test]
fn the_local_address_of_a_broadcast_is_the_broadcast() {
    let (ours, theirs) =
        (UdpSocket::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let features = enable_datagram_features(&ours, &everything()).unwrap();
    theirs.set_broadcast(true).unwrap();
    let to: SocketAddr = ([127, 255, 255, 255], ours.local_addr().unwrap().port()).into();
    if theirs.send_to(b"x", to).is_err() || !features.packet_info || !cfg!(has_udp_segment) {
        return; // A loopback without broadcasts.
    }
    assert_eq!(received(&ours, features).1, Some(to.ip()));
}

#[cfg(has_mtu_discover)]
#[test]
fn fragments_are_forbidden_by_options() {
    use crate::socket::option::get;

    let is = |socket: &UdpSocket, level, name, value: libc::c_int| {
        assert_eq!(get::<libc::c_int>(socket, level, name).unwrap(), value);
    };
    let wanted = DatagramOptions { dont_fragment: true, ..DatagramOptions::default() };
    let v4 = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(enable_datagram_features(&v4, &wanted).unwrap().dont_fragment);
    is(&v4, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE);
    let Ok(v6) = UdpSocket::bind("[::1]:0") else { return };
    assert!(enable_datagram_features(&v6, &wanted).unwrap().dont_fragment);
    is(&v6, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE);
    is(&v6, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1);
}
