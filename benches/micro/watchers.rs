//! Watchers on each selector: changes of registrations, and ticks with readable descriptors.
//!
//! A readable descriptor is a UDP socket with a datagram from itself that is never read. It needs
//! one descriptor, so a thousand of them fit into the 1024 of select(2).

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use mainspring::{EventLoop, Interest, SelectorKind};

use crate::{FEW, SHORT};

fn loop_on(kind: SelectorKind) -> EventLoop<u64> {
    EventLoop::builder().selector(kind).build_with(0).expect("the system has this selector")
}

fn ready_socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    socket.send_to(b"x", address).expect("the socket has room for a byte");
    socket
}

#[divan::bench(args = SelectorKind::available(), sample_size = FEW)]
fn add_remove(bencher: Bencher<'_, '_>, kind: &SelectorKind) {
    let el = loop_on(*kind);
    let socket = Arc::new(ready_socket());
    bencher.bench_local(|| {
        let reader = el.add_reader(socket.clone(), |_, _, _| Ok(()));
        assert!(el.cancel(reader.expect("a socket can be watched")));
    });
}

/// Switches between interest in reading and in writing.
#[divan::bench(args = SelectorKind::available(), sample_size = SHORT)]
fn set_interest(bencher: Bencher<'_, '_>, kind: &SelectorKind) {
    let el = loop_on(*kind);
    let watcher = el.watch(ready_socket(), Interest::READABLE, |_, _, _| Ok(()));
    let watcher = watcher.expect("a socket can be watched");
    let mut interests = [Interest::WRITABLE, Interest::READABLE].into_iter().cycle();
    bencher.bench_local(|| {
        let interest = interests.next().expect("a cycle has no end");
        el.set_interest(watcher, interest).expect("the socket is watched");
    });
}

#[divan::bench(args = SelectorKind::available(), consts = [1, 10, 100, 1000], sample_size = FEW)]
fn tick_with_ready<const READY: usize>(bencher: Bencher<'_, '_>, kind: &SelectorKind) {
    let mut el = loop_on(*kind);
    for _ in 0..READY {
        let reader = el.add_reader(ready_socket(), |_, ran, _| {
            *ran += 1;
            Ok(())
        });
        reader.expect("a socket can be watched");
    }
    bencher.counter(ItemsCount::new(READY)).bench_local(|| {
        let ran = el.tick(None).expect("the selector works");
        assert_eq!(ran, READY);
    });
}
