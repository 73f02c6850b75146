//! Time limits and connection limits of a daemon (docs/contract.md, S8).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mainspring::net::Server;
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, SelectorKind};

use crate::support::bytes::pattern;
use crate::support::descriptors::{hang_up, pair};
use crate::support::network::{client, echo, listener};
use crate::support::on_every_selector;
use crate::support::protocol::{
    Callback, Record, recorder, recording_loop, tick_until, tick_until_idle, ticks,
};
use crate::support::ticks::tick;

const SECOND: Duration = Duration::from_secs(1);
/// More bytes than the kernel buffers.
const MUCH: usize = 16 << 20;

/// Returns a server with one client, which has requested much and reads nothing.
fn stuck(kind: SelectorKind) -> (EventLoop<Record>, SimClock, Server, TcpStream) {
    let (mut el, clock) = recording_loop(kind);
    let (listener, address) = listener();
    let answer = |_: &mainspring::LoopHandle<Record>, _: &mut Record, conn: &_, _: &[u8]| {
        mainspring::net::Transport::write(conn, &vec![0; MUCH]);
        Ok(())
    };
    let server = el.serve(listener, answer).unwrap();
    let mut client = client(address);
    client.write_all(b"give").unwrap();
    tick_until(&mut el, |_| server.connections() == 1);
    tick_until_idle(&mut el);
    (el, clock, server, client)
}

#[test]
fn s8_close_clients_has_a_time_limit() {
    on_every_selector(|kind| {
        let (mut el, clock, server, _client) = stuck(kind);
        server.close();
        server.close_clients();
        el.run().unwrap();
        assert_eq!((clock.elapsed(), server.connections()), (2 * SECOND, 0));
        assert_eq!(el.state().reports, []);

        let (mut el, clock, server, _client) = stuck(kind);
        server.close();
        server.close_clients_within(10 * SECOND);
        // Later than the limit in force, so it has no effect.
        server.close_clients_within(20 * SECOND);
        el.run().unwrap();
        assert_eq!((clock.elapsed(), server.connections()), (10 * SECOND, 0));

        let (mut el, clock, server, _client) = stuck(kind);
        server.close();
        server.close_clients_within(20 * SECOND);
        server.close_clients_within(5 * SECOND);
        el.run().unwrap();
        assert_eq!(clock.elapsed(), 5 * SECOND);
    });
}

#[test]
fn s8_a_close_beyond_its_limit_is_a_timeout() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.write(&vec![0; MUCH]);
        conn.close();
        conn.close_within(3 * SECOND); // A connection that is closing already gets the limit too.
        el.run().unwrap();
        assert_eq!(clock.elapsed(), 3 * SECOND);
        assert_eq!(el.state().lost_reason(), Some(Some(Error::TimedOut(3 * SECOND).kind())));
        assert_eq!(el.state().reports, []);
        theirs.read_exact(&mut [0; 10]).unwrap();

        // Everything was sent; only the peer's end is missing.
        let (mut el, clock) = recording_loop(kind);
        let (ours, _theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.write(b"all of it");
        conn.close_within(7 * SECOND);
        el.run().unwrap();
        assert_eq!((clock.elapsed(), el.state().lost_reason()), (7 * SECOND, Some(None)));
    });
}

/// A slow peer keeps the connection alive; a stuck one does not.
#[test]
fn s8_a_close_goes_on_while_the_peer_reads() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.write(&pattern(0, MUCH));
        conn.close();
        let mut got = 0;
        let mut buffer = vec![0; 1 << 20];
        while got < MUCH {
            clock.advance(50 * SECOND);
            tick(&mut el);
            got += theirs.read(&mut buffer).unwrap();
            ticks(&mut el, 2);
            let stalled = Some(Some(ErrorKind::TimedOut));
            assert_ne!(el.state().lost_reason(), stalled, "after {got} bytes");
        }
        hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!(el.state().lost_reason(), Some(None));

        let (mut el, clock) = recording_loop(kind);
        let (ours, _theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.write(&vec![0; MUCH]);
        conn.close();
        el.run().unwrap();
        assert_eq!(clock.elapsed(), 60 * SECOND);
    });
}

#[test]
fn s8_an_idle_connection_ends_at_its_limit() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.set_idle_limit(Some(10 * SECOND));
        let mut moves: [Box<dyn FnMut()>; 2] =
            [Box::new(|| theirs.write_all(b"in").unwrap()), Box::new(|| conn.write(b"out"))];
        for round in 0..6 {
            clock.advance(9 * SECOND);
            tick(&mut el);
            moves[round % 2]();
            ticks(&mut el, 2);
            assert_eq!(el.state().lost_reason(), None);
        }
        drop(moves);
        let begun = clock.elapsed();
        el.run().unwrap();
        assert_eq!(clock.elapsed() - begun, 10 * SECOND, "exactly");
        assert_eq!(el.state().lost_reason(), Some(Some(ErrorKind::TimedOut)));
        assert_eq!(el.state().reports, []);
    });
}

/// The limit costs neither a tick nor a timer operation for each byte.
#[test]
fn s8_an_idle_limit_costs_no_timer_operation_for_each_byte() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.set_idle_limit(Some(10 * SECOND));
        tick_until_idle(&mut el);
        let first = el.next_deadline();
        for _ in 0..100 {
            clock.advance(SECOND / 20);
            theirs.write_all(b"in").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(el.next_deadline(), first);
        }
        conn.set_idle_limit(None);
        assert_eq!(el.next_deadline(), None);
    });
}

#[test]
fn s8_a_server_applies_its_idle_limit_to_its_clients() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (listener, address) = listener();
        let server = echo(&el, listener);
        server.set_idle_limit(Some(30 * SECOND));
        let mut client = client(address);
        tick_until(&mut el, |_| server.connections() == 1);
        server.close();
        el.run().unwrap();
        assert_eq!((clock.elapsed(), server.connections()), (30 * SECOND, 0));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn s8_clients_beyond_the_limit_wait() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (listener, address) = listener();
        let server = echo(&el, listener);
        server.set_max_connections(2);
        let mut clients: Vec<_> = (0..5).map(|_| client(address)).collect();
        ticks(&mut el, 20);
        assert_eq!((server.connections(), server.accepted()), (2, 2));
        tick_until_idle(&mut el); // The listener does not spin.
        clients.remove(0);
        tick_until(&mut el, |_| server.accepted() == 3);
        tick_until_idle(&mut el);
        assert_eq!(server.connections(), 2);
        server.set_max_connections(10);
        tick_until(&mut el, |_| server.connections() == 4);
        server.set_max_connections(0);
        let _late = client(address);
        ticks(&mut el, 20);
        assert_eq!(server.accepted(), 5);
        drop(clients);
        tick_until(&mut el, |_| server.connections() == 0);
        tick_until_idle(&mut el);
        assert_eq!(server.accepted(), 5);
        assert_eq!(el.state().reports, []);
    });
}

#[test]
fn s8_a_client_that_is_not_admitted_gets_no_protocol() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (listener, address) = listener();
        let server = el.serve_with(listener, recorder).unwrap();
        let asked = std::rc::Rc::new(std::cell::Cell::new(0));
        let (count, again) = (asked.clone(), server.clone());
        server.set_admission(move |peer| {
            assert!(peer.as_inet().is_some_and(|it| it.ip().is_loopback()));
            count.set(count.get() + 1);
            again.set_admission(|_| true); // Admit the next client.
            false
        });
        let mut refused = client(address);
        tick_until(&mut el, |_| server.accepted() == 1);
        refused.set_nonblocking(false).unwrap();
        assert_eq!(refused.read(&mut [0]).unwrap(), 0);
        assert!(el.state().callbacks.is_empty());
        let _served = client(address);
        tick_until(&mut el, |_| server.connections() == 1);
        tick_until_idle(&mut el);
        assert_eq!((el.state().callbacks.len(), asked.get()), (1, 1));
        assert_eq!(el.state().callbacks, [Callback::Made]);
    });
}

#[test]
fn s1_a_read_buffer_beyond_all_memory_is_refused() {
    for bytes in [(1 << 30) + 1, usize::MAX] {
        let built = EventLoop::builder().read_buffer(bytes).build();
        assert!(matches!(built, Err(Error::Setting(_))));
    }
    let mut el = EventLoop::builder().read_buffer(1 << 20).build_with(Record::default()).unwrap();
    let (ours, mut theirs): (UnixStream, UnixStream) = pair();
    el.attach_with(ours, recorder()).unwrap();
    theirs.write_all(b"x").unwrap();
    tick_until_idle(&mut el);
    assert_eq!(el.state().bytes(), b"x");
}
