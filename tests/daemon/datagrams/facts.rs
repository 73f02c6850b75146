//! Local addresses, ECN, merged and split datagrams, truncation (M6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mainspring::net::{Datagram, DatagramOptions, Ecn, Outgoing, UnixDatagram};

use super::support::{address_of, udp};
use crate::support::ticks::wait_until;
use crate::support::{on_every_selector, simulated};

fn all() -> DatagramOptions {
    DatagramOptions { packet_info: true, ecn: true, gro: true, dont_fragment: true }
}

/// Facts of a received datagram.
type Facts = (Vec<u8>, Option<IpAddr>, Ecn);

#[test]
fn m6_a_wildcard_socket_reports_the_local_address_and_answers_from_it() {
    on_every_selector(|kind| {
        for (bind, ip) in [
            ("0.0.0.0:0", IpAddr::from(Ipv4Addr::LOCALHOST)),
            ("[::]:0", Ipv6Addr::LOCALHOST.into()),
            ("[::]:0", Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()),
        ] {
            let (mut el, _) = simulated(kind, Vec::<Facts>::new());
            let server = el.bind_datagram(bind, |_, seen: &mut Vec<Facts>, server, datagram| {
                for bytes in datagram.segments() {
                    seen.push((bytes.to_vec(), datagram.to, datagram.ecn));
                    let answer = Outgoing::new(b"answer").to(&datagram.from).ecn(Ecn::Ect1);
                    server.send_batch(&[datagram.to.map_or(answer, |ip| answer.from(ip))]);
                }
                Ok(())
            });
            let Ok(server) = server else { continue };
            let features = server.enable(&all()).unwrap();
            let mapped = ip.to_canonical();
            let Ok(client) = std::net::UdpSocket::bind((mapped, 0)) else {
                println!("skipped: there is no {mapped}");
                continue;
            };
            let port = address_of(&server).port();
            let receiver = (mapped, port);
            client.connect(receiver).expect("a system whose [::] receives IPv4");
            client.send(b"question").unwrap();
            wait_until(&mut el, |el| !el.state().is_empty());
            let (bytes, local, ecn) = el.state_mut().pop().unwrap();
            assert_eq!((&bytes[..], ecn), (&b"question"[..], Ecn::NotEct));
            if features.packet_info {
                assert_eq!(local, Some(ip));
            }
            // A connected client receives only from the address to which it has sent.
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), 6);
        }
    });
}

#[test]
fn m6_ecn_codepoints_arrive() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let server = el.bind_datagram("127.0.0.1:0", |_, seen: &mut Vec<Ecn>, _, datagram| {
            seen.extend(datagram.segments().map(|_| datagram.ecn));
            Ok(())
        });
        let server = server.unwrap();
        let client = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        let features = server.enable(&all()).unwrap();
        let (address, sent) = (server.local_addr().unwrap(), [Ecn::Ce, Ecn::NotEct, Ecn::Ect0]);
        client.send_batch(&sent.map(|ecn| Outgoing::new(b"x").to(&address).ecn(ecn)));
        wait_until(&mut el, |el| el.state().len() == sent.len());
        if features.ecn {
            assert_eq!(*el.state(), sent);
        }
    });
}

#[test]
fn m6_split_and_merged_datagrams_keep_their_bounds() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let server = el.bind_datagram("127.0.0.1:0", |_, seen: &mut Vec<usize>, _, datagram| {
            seen.extend(datagram.segments().map(<[u8]>::len));
            Ok(())
        });
        let server = server.unwrap();
        server.enable(&all()).unwrap();
        let client = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        let (address, bytes) = (server.local_addr().unwrap(), vec![1; 12_345]);
        client.send_batch(&[
            Outgoing::new(&bytes).to(&address).segment(1000),
            Outgoing::new(b"").to(&address),
            Outgoing::new(&bytes[..7]).to(&address).segment(1000),
        ]);
        wait_until(&mut el, |el| el.state().len() == 15);
        let mut expected = vec![1000; 12];
        expected.extend([345, 0, 7]);
        assert_eq!(*el.state(), expected);
    });
}

/// A datagram has only its own bytes.
#[test]
fn m6_a_short_datagram_shows_no_bytes_of_the_one_before() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let server = el.bind_datagram("127.0.0.1:0", |_, seen: &mut Vec<Vec<u8>>, _, datagram| {
            assert!(!datagram.truncated);
            seen.push(datagram.bytes.to_vec());
            Ok(())
        });
        let (server, peer) = (server.unwrap(), udp());
        for bytes in [&[7; 65_000][..], b"ab", b""] {
            peer.send_to(bytes, address_of(&server)).unwrap();
            let seen = el.state().len();
            wait_until(&mut el, |el| el.state().len() > seen);
            assert_eq!(el.state().last().unwrap(), bytes);
        }
    });
}

/// A Unix datagram that is longer than the buffer of 64 KiB.
#[test]
fn m6_a_truncated_datagram_is_marked() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let seen = |_: &_, seen: &mut Vec<_>, _: &_, datagram: &Datagram<'_>| {
            Ok(seen.push((datagram.bytes.len(), datagram.truncated)))
        };
        el.attach_datagram(ours, seen).unwrap();
        let theirs = theirs.into_std();
        if theirs.send(&vec![7; 64 * 1024 + 1]).is_err() {
            return println!("skipped: this system sends no datagram of 64 KiB");
        }
        theirs.send(&[7; 100]).unwrap();
        wait_until(&mut el, |el| el.state().len() == 2);
        assert_eq!(*el.state(), [(64 * 1024, true), (100, false)]);
    });
}
