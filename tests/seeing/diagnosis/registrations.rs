//! Registrations that are forgotten, become more, or refuse peers (docs/contract.md, E9).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mainspring::net::{Address, ListenOptions, listen};
use mainspring::{EventLoop, FlagKind, Interest, LoopHandle, TimerHandle};
use mainspring_sys::socket::AcceptQueue;

use super::{is_only, kinds};
use crate::support::descriptors::pair;
use crate::support::network::{client, echo, listener};
use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn e9_a_reader_that_was_paused_and_not_resumed_is_found() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let line = line!() + 1;
        let reader = el.add_reader(ours, |_, (), ours| {
            (&**ours).read(&mut [0; 64]).map(drop).map_err(Into::into)
        });
        let reader = reader.unwrap();
        theirs.write_all(b"x").unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.set_interest(reader, Interest::empty()).unwrap();
        clock.advance(60 * SECOND);
        assert_eq!(kinds(&el.diagnose()), [], "no input waits");
        theirs.write_all(b"x").unwrap();
        assert_eq!(kinds(&el.diagnose()), [], "found for the first time");
        clock.advance(9 * SECOND);
        assert_eq!(kinds(&el.diagnose()), [], "not long enough");
        clock.advance(SECOND);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::PausedReader, file!(), line), "{diagnosis}");
        // It was resumed, and is paused again.
        el.set_interest(reader, Interest::READABLE).unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.set_interest(reader, Interest::empty()).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

#[test]
fn e9_a_writer_that_is_paused_is_not_flagged() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let writer = el.add_writer(ours, |_, (), _| Ok(())).unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.set_interest(writer, Interest::empty()).unwrap();
        theirs.write_all(b"input for another one").unwrap();
        for _ in 0..3 {
            assert_eq!(kinds(&el.diagnose()), []);
            clock.advance(60 * SECOND);
        }
    });
}

/// Adds timers of one place.
fn leak(el: &LoopHandle, count: usize) -> Vec<TimerHandle> {
    (0..count).map(|_| el.call_later(1000 * SECOND, |_, ()| {})).collect()
}

#[test]
fn e9_a_place_that_grows_in_each_call_is_found() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let line = line!() - 7;
        leak(&el, 100);
        for _ in 0..4 {
            assert_eq!(kinds(&el.diagnose()), []);
            leak(&el, 25);
        }
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::GrowingPlace, file!(), line), "{diagnosis}");
        assert_eq!(diagnosis.flags()[0].figures(), "200 now, 100 before the last 4 calls");
    });
}

#[test]
fn e9_near_misses_of_growing_places_are_not_flagged() {
    on_every_selector(|kind| {
        // Less than twice as many; fewer than a hundred more.
        for (first, more) in [(200, 40), (10, 24)] {
            let (el, _clock) = simulated(kind, ());
            leak(&el, first);
            for _ in 0..5 {
                assert_eq!(kinds(&el.diagnose()), []);
                if more == 40 || el.count_by_place()[0].count() < 100 {
                    leak(&el, more);
                }
            }
        }
        // Many more, but not in each call.
        let (el, _clock) = simulated(kind, ());
        for _ in 0..4 {
            for _ in 0..3 {
                leak(&el, 1000);
                assert_eq!(kinds(&el.diagnose()), []);
            }
            assert_eq!(kinds(&el.diagnose()), []);
        }
    });
}

#[test]
fn e9_a_timer_that_is_armed_again_and_again_is_a_hint() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let line = line!() + 1;
        let flush = el.add_timer(|_, ()| {}).unwrap();
        let reset = |el: &EventLoop, times: u32| {
            for _ in 0..times {
                el.reset_after(flush, SECOND);
                clock.advance(SECOND / 2);
            }
            el.reset_after(flush, SECOND);
        };
        reset(&el, 1);
        assert_eq!(kinds(&el.diagnose()), []);
        reset(&el, 198);
        assert_eq!(kinds(&el.diagnose()), [], "99 seconds");
        reset(&el, 2);
        let diagnosis = el.diagnose();
        assert!(is_only(&diagnosis, FlagKind::UnreachedTimer, file!(), line), "{diagnosis}");
        assert!(diagnosis.is_healthy() && diagnosis.flags()[0].is_hint());
        assert!(diagnosis.to_string().starts_with("hint, unreached timer: "));
        el.run().unwrap();
        reset(&el, 300);
        assert_eq!(kinds(&el.diagnose()), [], "it has been reached once");
    });
}

/// Returns a listener with a short queue, and the address.
fn short_queue(backlog: u32) -> (OwnedFd, SocketAddr) {
    let anywhere: Address = "127.0.0.1:0".parse().unwrap();
    let options = ListenOptions { backlog, ..ListenOptions::default() };
    let listener = listen(&anywhere, &options).unwrap();
    let bound = TcpListener::from(listener.try_clone().unwrap()).local_addr().unwrap();
    (listener, bound)
}

#[test]
fn e9_a_full_accept_queue_is_found() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let (listener, address) = short_queue(2);
        let server = echo(&el, listener);
        let mut clients: Vec<TcpStream> = vec![client(address), client(address)];
        assert_eq!(kinds(&el.diagnose()), [], "one more has room");
        clients.push(client(address));
        let diagnosis = el.diagnose();
        if diagnosis.unchecked().iter().any(|it| it.starts_with("accept queues: ")) {
            return println!("skipped: this system does not have the length of accept queues");
        }
        assert_eq!(kinds(&diagnosis), [FlagKind::FullAcceptQueue], "{diagnosis}");
        assert!(diagnosis.flags()[0].place().unwrap().starts_with("server "), "{diagnosis}");
        assert_eq!(diagnosis.flags()[0].figures(), "3 connections wait, the limit is 2");
        drop(server);
    });
}

/// A limit of zero lets one connection wait, and refuses the next one.
#[test]
fn e9_an_idle_listener_without_a_queue_is_healthy() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let (listener, address) = short_queue(0);
        let server = echo(&el, listener);
        assert_eq!(kinds(&el.diagnose()), [], "no client");
        let client = client(address);
        let expected: &[FlagKind] =
            if AcceptQueue::IS_KNOWN { &[FlagKind::FullAcceptQueue] } else { &[] };
        assert_eq!(kinds(&el.diagnose()), expected, "one client");
        drop((server, client));
    });
}

#[test]
fn e9_a_full_accept_queue_of_a_task_is_found() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (listener, address) = short_queue(1);
        let number = listener.as_raw_fd();
        let acceptor = async move {
            let listener = mainspring::net::TcpListener::from_std(listener.into())?;
            listener.accept().await.map(drop)
        };
        el.spawn(acceptor).detach();
        el.tick(Some(Duration::ZERO)).unwrap();
        let clients: Vec<TcpStream> = (0..2).map(|_| client(address)).collect();
        let diagnosis = el.diagnose();
        if AcceptQueue::IS_KNOWN {
            assert_eq!(kinds(&diagnosis), [FlagKind::FullAcceptQueue], "{diagnosis}");
            assert_eq!(diagnosis.flags()[0].place(), Some(&*format!("fd {number}")));
        }
        drop(clients);
    });
}

#[test]
fn e9_a_busy_server_is_healthy() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address) = listener();
        let server = echo(&el, listener);
        let mut client = client(address);
        client.write_all(b"x").unwrap();
        el.call_every(SECOND / 10, |_, ()| {}).unwrap();
        for round in 0..10 {
            for _ in 0..200 {
                el.tick(Some(SECOND)).unwrap();
            }
            clock.advance(60 * SECOND);
            let diagnosis = el.diagnose();
            assert_eq!(kinds(&diagnosis), [], "{round}: {diagnosis}");
        }
        drop(server);
    });
}
