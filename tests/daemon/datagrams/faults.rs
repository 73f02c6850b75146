//! Errors of the kernel, injected by strace(1) (M3, M4, M6).

use std::time::Duration;

use mainspring::SelectorKind;
use mainspring::net::{DatagramBatch, DatagramOptions, Ecn, Outgoing};
use mainspring_sys::socket::enable_datagram_features;

use super::support::{Log, Logging, address_of, take, to, udp};
use crate::support::process::alone_with_fault;
use crate::support::simulated;
use crate::support::ticks::tick;

#[test]
fn m4_a_socket_that_cannot_receive_ends_with_the_error() {
    let name = "datagrams::faults::m4_a_socket_that_cannot_receive_ends_with_the_error";
    alone_with_fault(name, "recvmmsg:error=EBADF", || {
        let (mut el, _) = simulated(SelectorKind::Poll, Vec::new());
        el.set_exception_handler(|_, reports: &mut Vec<String>, report| {
            reports.push(report.error.to_string());
        });
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        udp().send_to(b"x", address_of(&endpoint)).unwrap();
        el.run().unwrap();
        assert_eq!(take(&log).len(), 2, "made and lost");
        let [report] = &el.state()[..] else { panic!("{:?}", el.state()) };
        assert!(report.starts_with("cannot receive from"), "{report}");
    });
}

#[test]
fn m4_without_memory_receiving_pauses_and_goes_on() {
    let name = "datagrams::faults::m4_without_memory_receiving_pauses_and_goes_on";
    alone_with_fault(name, "recvmmsg:error=ENOMEM:when=1..3", || {
        let (mut el, clock) = simulated(SelectorKind::Poll, ());
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        udp().send_to(b"x", address_of(&endpoint)).unwrap();
        while log.borrow().last().is_none_or(|line| line != "x") {
            el.tick(None).unwrap();
        }
        let error = "error OutOfMemory";
        assert_eq!(take(&log), ["made", error, error, error, "x"]);
        assert_eq!(clock.elapsed(), Duration::from_millis(1 + 2 + 4));
    });
}

/// Every second call fails, so no pause is longer than a first one.
#[test]
fn m4_pauses_of_receiving_are_short_again_after_a_success() {
    let name = "datagrams::faults::m4_pauses_of_receiving_are_short_again_after_a_success";
    alone_with_fault(name, "recvmmsg:error=ENOMEM:when=1+2", || {
        let (mut el, clock) = simulated(SelectorKind::Poll, ());
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        let peer = udp();
        for bytes in ["a", "b", "c"] {
            peer.send_to(bytes.as_bytes(), address_of(&endpoint)).unwrap();
            while log.borrow().last().is_none_or(|line| line != bytes) {
                el.tick(None).unwrap();
            }
        }
        assert_eq!(clock.elapsed(), Duration::from_millis(3));
    });
}

#[test]
fn m3_a_full_interface_is_tried_again_after_pauses() {
    let name = "datagrams::faults::m3_a_full_interface_is_tried_again_after_pauses";
    alone_with_fault(name, "sendmmsg:error=ENOBUFS:when=1..3", || {
        let (mut el, clock) = simulated(SelectorKind::Poll, ());
        let peer = udp();
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        endpoint.send_batch(&[Outgoing::new(b"one").to(&to(&peer))]);
        endpoint.send_to(b"two", &to(&peer));
        while endpoint.queued() > 0 {
            el.tick(None).unwrap();
        }
        let mut buffer = [0; 8];
        for expected in [b"one", b"two"] {
            assert_eq!((peer.recv(&mut buffer).unwrap(), &buffer[..3]), (3, &expected[..]));
        }
        assert_eq!(clock.elapsed(), Duration::from_millis(1 + 2 + 4));
    });
}

#[test]
fn m3_a_datagram_without_room_waits_for_the_report_of_room() {
    let name = "datagrams::faults::m3_a_datagram_without_room_waits_for_the_report_of_room";
    alone_with_fault(name, "sendmmsg:error=EAGAIN:when=1", || {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let peer = udp();
        let echo = el.bind_datagram("127.0.0.1:0", |_, _, echo, datagram| {
            echo.send_batch(&[Outgoing::new(datagram.bytes).to(&datagram.from)]);
            Ok(())
        });
        let echo = echo.unwrap();
        peer.send_to(b"x", address_of(&echo)).unwrap();
        assert_eq!(tick(&mut el), 1);
        assert_ne!(echo.queued(), 0, "it was refused, and not tried again in the same run");
        assert_eq!(tick(&mut el), 1);
        assert_eq!((echo.queued(), peer.recv(&mut [0; 8]).unwrap()), (0, 1));
        assert_eq!(tick(&mut el), 0);
    });
}

/// A device that cannot split: the datagrams are split here, and the refusal is remembered. The
/// codepoint is still sent.
#[test]
fn m6_a_refused_split_is_made_in_software() {
    let name = "datagrams::faults::m6_a_refused_split_is_made_in_software";
    alone_with_fault(name, "sendmmsg:error=EIO:when=1", || split_arrives(Ecn::Ect0));
}

/// A kernel that refuses control messages: neither segments nor codepoints are used again.
#[test]
fn m6_refused_facts_are_left_out() {
    let name = "datagrams::faults::m6_refused_facts_are_left_out";
    alone_with_fault(name, "sendmmsg:error=EINVAL:when=1", || split_arrives(Ecn::NotEct));
}

fn split_arrives(ecn: Ecn) {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let peer = udp();
    let wanted = DatagramOptions { ecn: true, ..DatagramOptions::default() };
    let features = enable_datagram_features(&peer, &wanted).unwrap();
    let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
    let receiver = to(&peer);
    for _ in 0..2 {
        let datagram = Outgoing::new(b"abcdefgh").to(&receiver).segment(3).ecn(Ecn::Ect0);
        endpoint.send_batch(&[datagram]);
    }
    let mut batch = DatagramBatch::new(8, 8);
    assert_eq!(batch.recv(&peer, features).unwrap(), 6);
    for (datagram, expected) in batch.iter().zip(["abc", "def", "gh", "abc", "def", "gh"]) {
        assert_eq!((datagram.bytes, datagram.ecn), (expected.as_bytes(), ecn));
    }
    assert_eq!(tick(&mut el), 0);
}

/// A socket on which each call fails: a run ends after it has passed on 16 errors.
#[test]
fn m2_a_run_ends_although_each_call_fails() {
    let name = "datagrams::faults::m2_a_run_ends_although_each_call_fails";
    alone_with_fault(name, "recvmmsg:error=ECONNREFUSED", || {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        tick(&mut el);
        take(&log);
        udp().send_to(b"x", address_of(&endpoint)).unwrap();
        assert_eq!((tick(&mut el), take(&log).len()), (1, 16));
        assert!(!endpoint.is_closing());
    });
}

/// A run sends 256 datagrams of the queue, so that it delays no other callback for long.
#[test]
fn m3_a_run_sends_a_limited_part_of_the_queue() {
    let name = "datagrams::faults::m3_a_run_sends_a_limited_part_of_the_queue";
    alone_with_fault(name, "sendmmsg:error=EAGAIN:when=1", || {
        let (mut el, _) = simulated(SelectorKind::Poll, ());
        let peer = udp();
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        let receiver = to(&peer);
        endpoint.send_batch(&[Outgoing::new(b"").to(&receiver); 300]);
        for queued in [300, 44, 0] {
            assert_eq!(endpoint.queued(), queued * 64);
            tick(&mut el);
        }
    });
}
