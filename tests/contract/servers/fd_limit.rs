//! Servers at the descriptor limit of the process (docs/contract.md, S4). The limit applies to the
//! whole process, so each test runs in its own.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mainspring::net::{Server, Transport};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Interest, SelectorKind};
use rustix::io::Errno;

use crate::support::descriptors::FdLimit;
use crate::support::network::{client, echo, listener};
use crate::support::process::alone;
use crate::support::protocol::{Record, record_reports, recording_loop, tick_until_idle, ticks};
use crate::support::selector::{Call, Log, logged};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector};

/// Pause of a listener after it met the limit.
const PAUSE: Duration = Duration::from_millis(100);

fn gets_echo(el: &mut EventLoop<Record>, client: &mut TcpStream) -> bool {
    client.write_all(b"hello").unwrap();
    (0..5).any(|_| {
        // Only ticks that do not sleep: the clock must not advance.
        el.tick(Some(Duration::ZERO)).unwrap();
        loopback::deliver();
        matches!(client.read(&mut [0; 8]), Ok(5))
    })
}

/// Server with one connected client, and clients that wait because descriptors are short.
struct FullServer {
    el: EventLoop<Record>,
    clock: SimClock,
    server: Server,
    inside: TcpStream,
    waiting: Vec<TcpStream>,
    line: u32,
}

impl FullServer {
    fn new(kind: SelectorKind, waiting: usize) -> FullServer {
        let (mut el, clock) = recording_loop(kind);
        let (socket, address) = listener();
        let line = line!() + 1;
        let server = el.serve(socket, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        let inside = client(address);
        ticks(&mut el, 3);
        assert_eq!(server.connections(), 1);
        let waiting = (0..waiting).map(|_| client(address)).collect();
        FullServer { el, clock, server, inside, waiting, line }
    }

    /// Runs one tick, which may sleep until the pause is over.
    fn sleep(&mut self) {
        self.el.tick(None).unwrap();
    }

    fn accepted(&self) -> u64 {
        self.server.accepted()
    }

    fn rejected(&mut self) -> usize {
        loopback::deliver();
        let gone = |client: &mut TcpStream| match client.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        self.waiting.iter_mut().map(gone).filter(|gone| *gone).count()
    }
}

#[test]
fn s4_at_the_fd_limit_clients_are_served_and_nothing_spins() {
    alone("servers::fd_limit::s4_at_the_fd_limit_clients_are_served_and_nothing_spins", || {
        on_every_selector(|kind| {
            let mut full_server = FullServer::new(kind, 30);
            let full = FdLimit::new();
            tick_until_idle(&mut full_server.el);
            for pause in 1..=5_u32 {
                // During the pause nothing runs although clients wait, and the connected client
                // is served.
                let ran: usize = (0..100).map(|_| tick_now(&mut full_server)).sum();
                assert_eq!(ran, 0, "{ran} callbacks ran in pause {pause}");
                assert!(gets_echo(&mut full_server.el, &mut full_server.inside));
                let began = full_server.clock.elapsed();
                while full_server.clock.elapsed() == began {
                    full_server.sleep();
                }
                assert_eq!(full_server.clock.elapsed() - began, PAUSE);
                tick_until_idle(&mut full_server.el);
                // The oldest clients are rejected after each pause that did not help.
                assert_eq!(
                    full_server.rejected(),
                    (pause as usize * 8).min(30),
                    "in pause {pause}"
                );
            }
            assert_eq!(full_server.accepted(), 1);
            let reports = &full_server.el.state().reports;
            assert!(matches!(&reports[..], [(at, _)] if *at == full_server.line), "{reports:?}");
            drop(full);
            let mut newcomer = client(full_server.server.local_addr().unwrap().as_inet().unwrap());
            full_server.sleep();
            tick_until_idle(&mut full_server.el);
            assert!(gets_echo(&mut full_server.el, &mut newcomer));
        });
    });
}

/// Runs a tick and checks that the clock did not advance.
fn tick_now(full_server: &mut FullServer) -> usize {
    let before = full_server.clock.elapsed();
    let ran = full_server.el.tick(Some(Duration::ZERO)).unwrap();
    assert_eq!(full_server.clock.elapsed(), before);
    ran
}

#[test]
fn s4_after_the_fd_limit_all_clients_are_accepted_when_the_pause_ends() {
    alone(
        "servers::fd_limit::s4_after_the_fd_limit_all_clients_are_accepted_when_the_pause_ends",
        || {
            on_every_selector(|kind| {
                let mut full_server = FullServer::new(kind, 20);
                let mut full = FdLimit::new();
                tick_until_idle(&mut full_server.el);
                full.taken.clear();
                assert_eq!(
                    tick_now(&mut full_server),
                    0,
                    "the listener pauses until the time is over"
                );
                let began = full_server.clock.elapsed();
                full_server.sleep();
                tick_until_idle(&mut full_server.el);
                assert_eq!(full_server.clock.elapsed() - began, PAUSE);
                assert_eq!((full_server.accepted(), full_server.server.connections()), (21, 21));
                assert_eq!(full_server.rejected(), 0);
                assert_eq!(full_server.el.state().reports.len(), 1);
                // No timer is left: an incident has one timer, and this incident is over.
                assert_eq!(full_server.el.next_deadline(), None);
            });
        },
    );
}

#[test]
fn s4_at_the_fd_limit_a_closed_connection_makes_room_at_once() {
    alone("servers::fd_limit::s4_at_the_fd_limit_a_closed_connection_makes_room_at_once", || {
        on_every_selector(|kind| {
            let mut full_server = FullServer::new(kind, 3);
            let full = FdLimit::new();
            tick_until_idle(&mut full_server.el);
            let began = full_server.clock.elapsed();
            full_server.inside.shutdown(std::net::Shutdown::Write).unwrap();
            ticks(&mut full_server.el, 10);
            assert_eq!(full_server.accepted(), 2, "one free place, one client");
            assert_eq!(
                full_server.clock.elapsed(),
                began,
                "it did not wait for the end of the pause"
            );
            assert_eq!(full_server.el.state().reports.len(), 1, "it is the same incident");
            let [first, ..] = &mut full_server.waiting[..] else { unreachable!() };
            assert!(gets_echo(&mut full_server.el, first));
            assert_eq!(full_server.rejected(), 0);
            drop(full);
            full_server.sleep();
            tick_until_idle(&mut full_server.el);
            assert_eq!(full_server.accepted(), 4);
            assert_eq!(full_server.el.next_deadline(), None);
        });
    });
}

/// Clients connect and disconnect at the limit, so that one is accepted again and again.
#[test]
fn s4_each_incident_is_reported_once() {
    alone("servers::fd_limit::s4_each_incident_is_reported_once", || {
        on_every_selector(|kind| {
            let mut full_server = FullServer::new(kind, 40);
            let mut full = FdLimit::new();
            tick_until_idle(&mut full_server.el);
            for round in 0..30 {
                full.taken.pop();
                full_server.clock.advance(PAUSE / 2 * (1 + round % 3));
                tick_until_idle(&mut full_server.el);
                full_server.sleep();
            }
            assert_eq!((full_server.accepted(), full_server.rejected()), (31, 0));
            assert_eq!(full_server.el.state().reports.len(), 1);
            full.taken.clear();
            full_server.sleep();
            tick_until_idle(&mut full_server.el);
            assert_eq!(full_server.accepted(), 41);
            for (calm, incidents) in [(PAUSE, 1), (10 * PAUSE, 2)] {
                full_server.clock.advance(calm);
                full.taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
                let address = full_server.server.local_addr().unwrap().as_inet().unwrap();
                full.taken.pop();
                full_server.waiting.push(client(address));
                tick_until_idle(&mut full_server.el);
                assert_eq!(full_server.el.state().reports.len(), incidents, "after {calm:?}");
                full.taken.clear();
                full_server.sleep();
                tick_until_idle(&mut full_server.el);
            }
            assert_eq!(full_server.accepted(), 43);
        });
    });
}

#[test]
fn s4_a_server_may_be_closed_during_a_pause() {
    alone("servers::fd_limit::s4_a_server_may_be_closed_during_a_pause", || {
        on_every_selector(|kind| {
            let mut full_server = FullServer::new(kind, 3);
            let full = FdLimit::new();
            tick_until_idle(&mut full_server.el);
            let address = full_server.server.local_addr().unwrap().as_inet().unwrap();
            full_server.server.close();
            full_server.inside.shutdown(std::net::Shutdown::Write).unwrap();
            full_server.el.run().unwrap();
            assert_eq!((full_server.accepted(), full_server.server.connections()), (1, 0));
            drop(full);
            let refused = TcpStream::connect(address).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn s4_a_server_without_a_reserve_descriptor_is_refused() {
    alone("servers::fd_limit::s4_a_server_without_a_reserve_descriptor_is_refused", || {
        on_every_selector(|kind| {
            let (el, log) = logged(kind, Record::default());
            let (socket, _) = listener();
            let full = FdLimit::new();
            let refused = el.serve(socket, |_, _, conn: &Transport, _| Ok(conn.close()));
            assert!(matches!(refused, Err(mainspring::Error::Create { .. })), "{refused:?}");
            assert_eq!(log.take(), []);
            drop(full);
            assert!(!el.is_alive());
        });
    });
}

/// When a pause ends and the kernel has no memory to watch the listener again, another pause
/// follows.
#[test]
fn s4_watching_a_listener_again_is_retried() {
    alone("servers::fd_limit::s4_watching_a_listener_again_is_retried", || {
        on_every_selector(|kind| {
            let (mut el, log) = logged(kind, Record::default());
            record_reports(&el);
            let (socket, address): (_, SocketAddr) = listener();
            let server = echo(&el, socket);
            let mut waiting = client(address);
            let full = FdLimit::new();
            tick_until_idle(&mut el);
            drop(full);
            assert!(was_deregistered_last(&log));
            log.refuse_next(Errno::NOMEM);
            // Two pauses on the real clock: re-registering fails after the first one.
            while server.accepted() == 0 {
                let ran = el.tick(Some(Duration::from_secs(30))).unwrap();
                assert!(ran > 0, "the loop would sleep forever");
            }
            assert!(gets_echo(&mut el, &mut waiting));
            let begun = log.take();
            let tries = begun.iter().filter(is_read_registration).count();
            assert_eq!(tries, 3, "refused, watched, and the connection: {begun:?}");
        });
    });
}

fn is_read_registration(call: &&Call) -> bool {
    matches!(call, Call::Register(_, interest) if interest.contains(Interest::READABLE))
}

/// Returns true if the listener was deregistered, as it is during a pause.
fn was_deregistered_last(log: &Log) -> bool {
    matches!(log.take().last(), Some(Call::Deregister(_)))
}

/// The exception handler that gets the report may close the server.
#[test]
fn s4_the_exception_handler_may_close_the_server_at_the_limit() {
    alone("servers::fd_limit::s4_the_exception_handler_may_close_the_server_at_the_limit", || {
        on_every_selector(|kind| {
            let mut full_server = FullServer::new(kind, 3);
            let server = full_server.server.clone();
            full_server.el.set_exception_handler(move |_, record, report| {
                record.reports.push((0, report.error.to_string()));
                server.close();
            });
            let full = FdLimit::new();
            tick_until_idle(&mut full_server.el);
            assert_eq!(full_server.el.state().reports.len(), 1);
            assert!(gets_echo(&mut full_server.el, &mut full_server.inside));
            assert_eq!(full_server.el.next_deadline(), None);
            assert_eq!(tick(&mut full_server.el), 0);
            drop(full);
        });
    });
}
