//! Repeated failures at a listener: it pauses instead of spinning, and one incident is one report
//! (docs/contract.md, S4).

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mainspring::net::TcpListener;
use mainspring::{EventLoop, SelectorKind};

use crate::support::descriptors::has_room_for;
use crate::support::process::{alone, alone_with_fault};
use crate::support::simulated;
use crate::support::ticks::tick;

/// Runs `check` on each selector, in a process where accept fails with EPERM, like behind a seccomp
/// filter. The connection stays in the backlog, and the listener stays ready.
fn with_accepts_forbidden(name: &str, check: fn(SelectorKind)) {
    let check = || SelectorKind::available().iter().for_each(|kind| check(*kind));
    let name = format!("servers::accept_backoff::{name}");
    alone_with_fault(&name, "accept4,accept:error=EPERM", check);
}

/// Runs a thousand ticks while the clock stands still. Returns the number of handles that ran.
fn ticks_without_time<S>(el: &mut EventLoop<S>) -> usize {
    (0..1000).map(|_| tick(el)).sum()
}

#[test]
fn s4_a_server_that_cannot_accept_pauses_and_reports_once() {
    with_accepts_forbidden("s4_a_server_that_cannot_accept_pauses_and_reports_once", |kind| {
        let (el, clock) = simulated(kind, 0);
        count_reports(&el);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        el.serve(listener, |_, _, _, _| Ok(())).unwrap();
        assert_pauses(el, clock, address);
    });
}

#[test]
fn s4_a_task_that_cannot_accept_pauses_and_reports_once() {
    with_accepts_forbidden("s4_a_task_that_cannot_accept_pauses_and_reports_once", |kind| {
        let (mut el, clock) = simulated(kind, 0);
        count_reports(&el);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        el.spawn(async move { listener.accept().await.map(drop) }).detach();
        tick(&mut el);
        assert_pauses(el, clock, address);
    });
}

fn count_reports(el: &EventLoop<usize>) {
    el.set_exception_handler(|_, reports, report| {
        println!("{report}");
        *reports += 1;
    });
}

fn assert_pauses(
    mut el: EventLoop<usize>,
    clock: mainspring::testing::SimClock,
    address: SocketAddr,
) {
    let _client = TcpStream::connect(address).unwrap();
    let ran = ticks_without_time(&mut el);
    assert!(ran <= 70, "{ran} handles ran while the clock stood still");
    assert_eq!(*el.state(), 1);
    // The pause ends, and another one follows, which belongs to the same incident.
    clock.advance(Duration::from_millis(100));
    let ran = ticks_without_time(&mut el);
    assert!((1..=70).contains(&ran), "{ran} handles ran after a pause");
    assert_eq!(*el.state(), 1);
}

/// select(2) does not support descriptors from 1024 on. Connections are accepted, but cannot be
/// registered.
#[test]
fn s4_connections_that_cannot_be_registered_are_one_incident() {
    let name = "servers::accept_backoff::s4_connections_that_cannot_be_registered_are_one_incident";
    if !SelectorKind::available().contains(&SelectorKind::Select) {
        return;
    }
    alone(name, || {
        if !has_room_for(2000) {
            return;
        }
        let (mut el, clock) = simulated(SelectorKind::Select, 0);
        count_reports(&el);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = el.serve(listener, |_, _, _, _| Ok(())).unwrap();
        let taken: Vec<File> = (0..1024).map(|_| File::open("/dev/null").unwrap()).collect();
        let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        let ran = ticks_without_time(&mut el);
        assert!(ran <= 70, "{ran} handles");
        assert_eq!((*el.state(), server.connections()), (1, 0));
        assert_eq!(server.accepted(), 64, "then the listener pauses");
        clock.advance(Duration::from_millis(100));
        ticks_without_time(&mut el);
        assert_eq!((*el.state(), server.accepted()), (1, 100), "it is the same incident");
        drop((taken, clients));
        let _client = TcpStream::connect(address).unwrap();
        clock.advance(Duration::from_millis(100));
        ticks_without_time(&mut el);
        assert_eq!((*el.state(), server.connections()), (1, 1), "the server works again");
    });
}
