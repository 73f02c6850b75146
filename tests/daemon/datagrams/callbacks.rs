//! The order of the callbacks, pauses, errors and panics (M1, M2, M5).

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mainspring::net::{Address, UdpSocket as TaskSocket, UnixDatagram};
use mainspring::{Error, EventLoop, PanicPolicy};

use super::support::{Log, Logging, address_of, take, udp};
use crate::support::network::{bind_again, refusing_datagrams};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

#[test]
fn m1_callbacks_come_in_their_order() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        let peer = udp();
        for bytes in ["one", "", "three"] {
            peer.send_to(bytes.as_bytes(), address_of(&endpoint)).unwrap();
        }
        tick(&mut el);
        tick(&mut el);
        assert_eq!(take(&log), ["made", "one", "", "three"]);
        endpoint.close();
        peer.send_to(b"late", endpoint_address(&endpoint)).ok();
        el.run().unwrap();
        assert_eq!(take(&log), ["lost"]);
        assert!(endpoint.is_closing());
        endpoint.send_to(b"x", &peer.local_addr().unwrap().into());
        endpoint.close();
        endpoint.abort();
        assert_eq!(el.run().unwrap(), ());
        assert_eq!(take(&log), [""; 0]);
    });
}

fn endpoint_address(endpoint: &mainspring::net::DatagramTransport) -> std::net::SocketAddr {
    endpoint.local_addr().map_or(([127, 0, 0, 1], 9).into(), |it| it.as_inet().unwrap())
}

#[test]
fn m1_unix_datagrams_have_endpoints_too() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let endpoint = el.attach_datagram(ours, |_, seen: &mut Vec<(Vec<u8>, bool)>, ours, it| {
            assert!(it.from.as_unix().unwrap().is_unnamed());
            seen.push((it.bytes.to_vec(), it.truncated));
            ours.send(b"answer");
            Ok(())
        });
        let endpoint = endpoint.unwrap();
        let theirs = theirs.into_std();
        theirs.send(b"question").unwrap();
        tick(&mut el);
        let mut buffer = [0; 16];
        assert_eq!(theirs.recv(&mut buffer).unwrap(), 6);
        let long = vec![7; 64 * 1024 + 1];
        if theirs.send(&long).is_ok() {
            tick(&mut el);
            assert_eq!(el.state_mut().pop().unwrap(), (long[1..].to_vec(), true));
        }
        assert_eq!(el.state()[0], (b"question".to_vec(), false));
        // A peer that is gone does not cause one run after another.
        drop(theirs);
        tick(&mut el);
        assert!((0..5).map(|_| tick(&mut el)).sum::<usize>() <= 1);
        endpoint.close();
        el.run().unwrap();
    });
}

#[test]
fn m2_a_pause_loses_no_datagram() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let endpoint = el.bind_datagram("127.0.0.1:0", |_, seen: &mut Vec<u8>, ours, datagram| {
            seen.push(datagram.bytes[0]);
            if datagram.bytes[0] % 5 == 0 {
                ours.pause_reading();
            }
            Ok(())
        });
        let endpoint = endpoint.unwrap();
        let other = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
        let peer = udp();
        let send = |to: &mainspring::net::DatagramTransport, number| {
            peer.send_to(&[number], address_of(to)).unwrap();
        };
        (1..=12).for_each(|number| send(&endpoint, number));
        for seen in [5, 10, 12] {
            tick(&mut el);
            assert_eq!(*el.state(), (1..=seen).collect::<Vec<u8>>());
            assert_eq!(endpoint.is_reading(), seen == 12);
            // The kept datagrams stay intact while another endpoint receives.
            send(&other, 0);
            // Resumed and paused at once: nothing is passed on.
            endpoint.resume_reading();
            endpoint.pause_reading();
            tick(&mut el);
            assert_eq!(el.state().len(), usize::from(seen));
            endpoint.resume_reading();
        }
    });
}

#[test]
fn m5_errors_and_panics_of_a_callback_are_reported_and_the_endpoint_goes_on() {
    on_every_selector(|kind| {
        for policy in [PanicPolicy::Report, PanicPolicy::Propagate] {
            let (mut el, _) = simulated(kind, String::new());
            el.set_panic_policy(policy);
            let reports = Rc::new(RefCell::new(Vec::new()));
            let reported = reports.clone();
            el.set_exception_handler(move |_, _, report| {
                reported.borrow_mut().push(report.error.to_string());
            });
            let endpoint =
                el.bind_datagram("127.0.0.1:0", |_, seen: &mut String, _, datagram| match datagram
                    .bytes
                {
                    b"error" => Err(Error::Io(std::io::Error::other("a bad datagram"))),
                    b"retry" => Err(Error::Io(std::io::ErrorKind::WouldBlock.into())),
                    b"panic" => panic!("a worse datagram"),
                    bytes => {
                        seen.push_str(&String::from_utf8_lossy(bytes));
                        Ok(())
                    }
                });
            let endpoint = endpoint.unwrap();
            let peer = udp();
            for bytes in ["a", "error", "b", "retry", "c", "panic", "d", "e"] {
                peer.send_to(bytes.as_bytes(), address_of(&endpoint)).unwrap();
            }
            let run = |el: &mut EventLoop<String>| {
                _ = catch_unwind(AssertUnwindSafe(|| (0..4).for_each(|_| _ = tick(el))));
            };
            run(&mut el);
            run(&mut el);
            assert_eq!(el.state(), "abcde", "after a panic the rest of the batch is passed on");
            let reports = reports.borrow();
            assert!(reports[0].contains("a bad datagram"), "{reports:?}");
            assert_eq!(reports.len(), if policy == PanicPolicy::Report { 2 } else { 1 });
            assert!(!endpoint.is_closing());
        }
    });
}

#[test]
fn m5_a_refusal_is_an_error_of_one_datagram() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let (keeper, closed) = refusing_datagrams();
        let socket = TaskSocket::bind("127.0.0.1:0").unwrap();
        let endpoint = el.attach_datagram_with(socket, Logging(log.clone())).unwrap();
        endpoint.connect(closed).unwrap();
        endpoint.send(b"lost");
        for _ in 0..3 {
            tick(&mut el);
        }
        assert_eq!(take(&log), ["made", "error ConnectionRefused"]);
        let server = bind_again(keeper);
        endpoint.send(b"question");
        let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"answer", from).unwrap();
        tick(&mut el);
        assert_eq!(take(&log), ["answer"]);
    });
}

/// A forged sender (port 0), another family, a datagram that is too long: none ends the endpoint.
#[test]
fn m5_a_datagram_that_cannot_be_sent_costs_only_itself() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let endpoint = el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap();
        let peer = udp();
        let wrong: [Address; 2] = ["127.0.0.1:0".parse().unwrap(), "[::1]:9".parse().unwrap()];
        wrong.iter().for_each(|to| endpoint.send_to(b"x", to));
        endpoint.send_to(&vec![0; 70_000], &peer.local_addr().unwrap().into());
        endpoint.send(b"no peer");
        endpoint.send_to(b"good", &peer.local_addr().unwrap().into());
        tick(&mut el);
        tick(&mut el);
        let seen = take(&log);
        assert_eq!(seen.iter().filter(|line| line.starts_with("error")).count(), 4, "{seen:?}");
        assert_eq!(peer.recv(&mut [0; 16]).unwrap(), 4);
        (0..100).for_each(|_| endpoint.send_to(b"x", &wrong[0]));
        tick(&mut el);
        assert_eq!(take(&log).len(), 16, "further errors are dropped");
        assert!(!endpoint.is_closing());
    });
}
