//! A flooded endpoint delays no other one, however long the flood lasts (M2).

use std::net::{SocketAddr, UdpSocket};

use mainspring::net::DatagramOptions;

use super::support::{address_of, udp};
use crate::support::on_every_selector;
use crate::support::selector::counted;
use crate::support::ticks::tick;

/// Maximum number of datagrams of one endpoint in a tick.
const LIMIT: usize = 64;
const FLOODS: usize = 3;
const TICKS: usize = 200;

#[derive(Debug, Default)]
struct Seen {
    flooded: usize,
    bystander: usize,
}

fn flood(peer: &UdpSocket, to: SocketAddr, count: usize) {
    // The kernel drops those for which the receiver has no room.
    (0..count).for_each(|_| _ = peer.send_to(b"flood", to));
}

#[test]
fn m2_flooded_endpoints_delay_no_bystander() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = mainspring::EventLoop::builder()
            .selector(selector)
            .build_with(Seen::default())
            .unwrap();
        let endpoints: Vec<_> = (0..FLOODS)
            .map(|_| {
                let received =
                    |_: &_,
                     seen: &mut Seen,
                     it: &mainspring::net::DatagramTransport,
                     datagram: &mainspring::net::Datagram<'_>| {
                        seen.flooded += 1;
                        it.send_to(b"answer", &datagram.from);
                        Ok(())
                    };
                el.bind_datagram("127.0.0.1:0", received).unwrap()
            })
            .collect();
        let bystander = el
            .bind_datagram("127.0.0.1:0", |_, seen: &mut Seen, _, _| Ok(seen.bystander += 1))
            .unwrap();
        let peer = udp();
        tick(&mut el);
        calls.take();
        for round in 1..=TICKS {
            for endpoint in &endpoints {
                flood(&peer, address_of(endpoint), 2 * LIMIT);
            }
            peer.send_to(b"x", address_of(&bystander)).unwrap();
            let ran = tick(&mut el);
            assert!(ran <= FLOODS + 1, "{ran} entries in tick {round}");
            let flooded = std::mem::take(&mut el.state_mut().flooded);
            assert!(flooded <= FLOODS * LIMIT, "{flooded} datagrams in tick {round}");
            assert!(flooded >= FLOODS * 32, "{flooded} datagrams in tick {round}");
            assert_eq!((el.state().bystander, calls.take()), (round, (1, 0)));
        }
    });
}

/// Long datagrams end a run after 256 KiB, even if the kernel merges them.
#[test]
fn m2_a_tick_receives_a_limited_number_of_bytes() {
    on_every_selector(|kind| {
        for gro in [false, true] {
            let mut el = mainspring::EventLoop::builder().selector(kind).build_with(0).unwrap();
            let endpoint = el
                .bind_datagram("127.0.0.1:0", |_, bytes: &mut usize, _, it| {
                    *bytes += it.bytes.len();
                    Ok(())
                })
                .unwrap();
            endpoint.enable(&DatagramOptions { gro, ..DatagramOptions::default() }).unwrap();
            let peer = udp();
            for _ in 0..20 {
                (0..40).for_each(|_| _ = peer.send_to(&[0; 32_000], address_of(&endpoint)));
                tick(&mut el);
                let bytes = std::mem::take(el.state_mut());
                assert!(bytes > 0 && bytes <= 32 * 64 * 1024, "{bytes} bytes");
            }
        }
    });
}
