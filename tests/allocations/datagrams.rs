//! Allocations of datagrams: none after warm-up, and the memory of a closed endpoint is free (Q10).

use std::net::UdpSocket;

use mainspring::net::{self, Address, DatagramBatch, DatagramOptions, Ecn, Outgoing, UnixDatagram};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, LoopHandle, SelectorKind};

use crate::{COUNTS, Turn, expect_none, tick};

/// Number of datagrams of a batch.
const BATCH: usize = 8;

fn to(socket: &UdpSocket) -> Address {
    socket.local_addr().expect("a bound socket").into()
}

/// Returns a step that sends a batch and runs the loop until all answers are there.
fn asks(server: Address) -> Turn {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    Box::new(move |el| {
        for _ in 0..BATCH {
            peer.send_to(b"question", server.as_inet().expect("an address of UDP")).expect("room");
        }
        let done = *el.state() + BATCH;
        while *el.state() < done {
            tick(el);
        }
        for _ in 0..BATCH {
            assert_eq!(peer.recv(&mut [0; 16]).expect("an answer"), 8);
        }
    })
}

#[test]
fn q10_an_echo_of_datagrams_allocates_nothing() {
    expect_none("an echo of single datagrams", BATCH, |el, _| {
        let server = el.bind_datagram("127.0.0.1:0", |_, ran, server, datagram| {
            *ran += 1;
            server.send_to(datagram.bytes, &datagram.from);
            Ok(())
        });
        asks(server.expect("an endpoint").local_addr().expect("it is bound"))
    });
}

/// Answers with all facts: ECN, local address, and a part that is split.
#[test]
fn q10_an_echo_of_batches_allocates_nothing() {
    expect_none("an echo of batches", BATCH, |el, _| {
        let server = el.bind_datagram("127.0.0.1:0", |_, ran, server, datagram| {
            *ran += 1;
            let answer = Outgoing::new(datagram.bytes).to(&datagram.from).ecn(Ecn::Ect0);
            server.send_batch(&[datagram.to.map_or(answer, |ip| answer.from(ip))]);
            Ok(())
        });
        let server = server.expect("an endpoint");
        let wanted =
            DatagramOptions { packet_info: true, ecn: true, gro: true, ..Default::default() };
        server.enable(&wanted).expect("a socket");
        asks(server.local_addr().expect("it is bound"))
    });
}

#[test]
fn q10_batches_of_a_task_allocate_nothing() {
    expect_none("an echo of batches by a task", BATCH, |el, _| {
        let socket = net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = Address::Inet(socket.local_addr().expect("it is bound"));
        let handle: LoopHandle<usize> = el.handle().clone();
        el.spawn(async move {
            let mut batch = DatagramBatch::new(BATCH, 64);
            loop {
                let count = socket.recv_batch(&mut batch).await.expect("datagrams");
                for datagram in batch.iter() {
                    let answer = Outgoing::new(datagram.bytes).to(&datagram.from);
                    socket.send_batch(&[answer, Outgoing::new(b"")][..1]).await.expect("room");
                }
                (0..count).for_each(|_| _ = handle.call_soon(|_, ran| *ran += 1));
            }
        })
        .detach();
        asks(address)
    });
}

/// The receiver is full each time, so each datagram passes through the queue.
#[test]
fn q10_queued_datagrams_allocate_nothing() {
    expect_none("a queue of datagrams", 0, |el, clock| {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        let theirs = theirs.into_std();
        let endpoint = el.attach_datagram(ours, |_, _, _, _| Ok(())).expect("an endpoint");
        while endpoint.queued() == 0 {
            endpoint.send(b"x");
        }
        Box::new(move |el| {
            endpoint.send(b"x");
            theirs.recv(&mut [0]).expect("a datagram");
            clock.advance(crate::MILLI * 64);
            tick(el);
            assert_eq!(endpoint.queued(), 65);
        })
    });
}

/// An endpoint that closes keeps no buffers for datagrams that it does not pass on.
#[test]
fn q10_a_closing_endpoint_frees_its_buffers() {
    for way in ["close", "close in the callback", "abort", "cancel"] {
        for kind in SelectorKind::available() {
            let mut el = EventLoop::builder().selector(*kind).build_with(0).expect("a loop");
            let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
            let endpoint = el.attach_datagram(ours, move |_, ran: &mut usize, it, _| {
                *ran += 1;
                match way {
                    "close in the callback" => it.close(),
                    _ => it.pause_reading(),
                }
                Ok(())
            });
            let endpoint = endpoint.expect("an endpoint");
            // Closing takes a while, because the queue is not empty.
            while endpoint.queued() == 0 {
                endpoint.send(b"x");
            }
            let theirs = theirs.into_std();
            (0..2).for_each(|_| _ = theirs.send(b"x").expect("room"));
            let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let address = to(&other);
            el.attach_datagram(other, |_, ran, _, _| {
                *ran += 1;
                Ok(())
            })
            .expect("an endpoint");
            tick(&mut el);
            assert_eq!(*el.state(), 1);
            match way {
                "close" => endpoint.close(),
                "abort" => endpoint.abort(),
                "cancel" => assert!(el.cancel(endpoint.handle())),
                _ => {}
            }
            let (_, before) = COUNTS.get();
            UdpSocket::bind("127.0.0.1:0")
                .and_then(|peer| peer.send_to(b"x", address.as_inet().expect("an address of UDP")))
                .expect("room");
            while *el.state() == 1 {
                tick(&mut el);
            }
            let more = COUNTS.get().1 - before;
            assert!(more < 64 * 1024, "{way} on {kind}: {more} bytes for another endpoint");
        }
    }
}

/// A queue that is short each time keeps its memory, and a long one frees it when it is empty.
#[test]
fn q10_an_empty_queue_keeps_a_little_memory() {
    let mut el = EventLoop::builder().clock(SimClock::new()).build_with(0).expect("a loop");
    let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
    let theirs = theirs.into_std();
    let endpoint = el.attach_datagram(ours, |_, _, _, _| Ok(())).expect("an endpoint");
    let mut pass = |bytes: usize| {
        while endpoint.queued() < bytes {
            endpoint.send(&[7; 1000]);
        }
        while endpoint.queued() > 0 {
            while theirs.recv(&mut [0; 1000]).is_ok() {}
            el.tick(None).expect("a tick");
        }
        COUNTS.get()
    };
    pass(10_000);
    let (calls, held) = pass(10_000);
    assert_eq!(pass(10_000), (calls, held));
    let after = pass(2_000_000).1;
    assert!(after < held + 100_000, "{held} bytes before, {after} bytes after a long queue");
}
