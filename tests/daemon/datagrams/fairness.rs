//! A flooded endpoint delays no other one, however long the flood lasts (M2).

use std::net::{SocketAddr, UdpSocket};

use mainspring::net::{DatagramOptions, DatagramTransport, Outgoing};
use mainspring::{EventLoop, SelectorKind};

use super::support::{address_of, udp};
use crate::support::on_every_selector;
use crate::support::selector::counted;
use crate::support::ticks::{tick, wait_until};

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

/// A call receives up to 32 datagrams. After 256 KiB no further call is made, after less there is
/// one.
#[test]
fn m2_a_run_makes_no_call_after_256_kib() {
    on_every_selector(|kind| {
        for (length, is_the_last) in [(8192, true), (8191, false)] {
            let (mut el, endpoint) = receiving_lengths(kind);
            let peer = udp();
            (0..36).for_each(|_| _ = peer.send_to(&vec![0; length], address_of(&endpoint)));
            tick(&mut el);
            let first = el.state().len();
            tick(&mut el);
            let all = el.state().len();
            if all <= 32 {
                return println!("skipped: the socket has room for {all} datagrams only");
            }
            assert_eq!(first, if is_the_last { 32 } else { all }, "datagrams of {length} bytes");
        }
    });
}

/// A call receives up to four merged datagrams, which may have 64 KiB each.
#[test]
fn m2_merged_datagrams_count_with_their_bytes() {
    on_every_selector(|kind| {
        let (mut el, endpoint) = receiving_lengths(kind);
        let gro = DatagramOptions { gro: true, ..DatagramOptions::default() };
        if !endpoint.enable(&gro).unwrap().gro {
            return println!("skipped: this kernel merges no datagrams");
        }
        let client = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        let (to, bytes) = (endpoint.local_addr().unwrap(), vec![0; 60 * 1000]);
        client.send_batch(&[Outgoing::new(&bytes).to(&to).segment(1000); 12]);
        tick(&mut el);
        let first = el.state().len();
        wait_until(&mut el, |el| el.state().len() == 12);
        if el.state()[0] != bytes.len() {
            return println!("skipped: this device merges no datagrams");
        }
        // The first call receives less than 256 KiB.
        assert_eq!(first, 8);
    });
}

/// Returns a loop with an endpoint that has much room and stores the lengths of its datagrams.
fn receiving_lengths(kind: SelectorKind) -> (EventLoop<Vec<usize>>, DatagramTransport) {
    let el = EventLoop::builder().selector(kind).build_with(Vec::new()).unwrap();
    let socket = udp();
    // Linux lowers the number to its limit, and other kernels refuse it.
    _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 2 << 20);
    let endpoint = el.attach_datagram(socket, |_, lengths: &mut Vec<usize>, _, datagram| {
        lengths.push(datagram.bytes.len());
        Ok(())
    });
    (el, endpoint.unwrap())
}
