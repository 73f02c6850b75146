//! Servers at the process's limit of descriptors (docs/contract.md, S4). The limit applies to the
//! whole process, so each test runs in its own.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mainspring::net::{Server, Transport};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Interest, SelectorKind};
use rustix::io::Errno;

use crate::support::descriptors::Full;
use crate::support::network::{client, echo, listener};
use crate::support::process::alone;
use crate::support::protocol::{Told, recorded, settle, ticks, write_down_reports};
use crate::support::selector::{Call, Log, logged};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector};

/// Pause of a listener after it met the limit.
const REST: Duration = Duration::from_millis(100);

fn says_hello(el: &mut EventLoop<Told>, client: &mut TcpStream) -> bool {
    client.write_all(b"hello").unwrap();
    (0..5).any(|_| {
        // Only ticks that do not sleep: the clock must not advance.
        el.tick(Some(Duration::ZERO)).unwrap();
        loopback::deliver();
        matches!(client.read(&mut [0; 8]), Ok(5))
    })
}

/// Server with one connected client, and clients that wait because descriptors are short.
struct Crowd {
    el: EventLoop<Told>,
    clock: SimClock,
    server: Server,
    inside: TcpStream,
    waiting: Vec<TcpStream>,
    line: u32,
}

impl Crowd {
    fn new(kind: SelectorKind, waiting: usize) -> Crowd {
        let (mut el, clock) = recorded(kind);
        let (socket, address) = listener();
        let line = line!() + 1;
        let server = el.serve(socket, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        let inside = client(address);
        ticks(&mut el, 3);
        assert_eq!(server.connections(), 1);
        let waiting = (0..waiting).map(|_| client(address)).collect();
        Crowd { el, clock, server, inside, waiting, line }
    }

    /// Runs one tick, which may sleep until the pause is over.
    fn sleep(&mut self) {
        self.el.tick(None).unwrap();
    }

    fn accepted(&self) -> u64 {
        self.server.accepted()
    }

    fn turned_away(&mut self) -> usize {
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
            let mut crowd = Crowd::new(kind, 30);
            let full = Full::new();
            settle(&mut crowd.el);
            for rest in 1..=5_u32 {
                // During the pause nothing runs although clients wait, and the connected client
                // is served.
                let ran: usize = (0..100).map(|_| tick_now(&mut crowd)).sum();
                assert_eq!(ran, 0, "{ran} callbacks ran in pause {rest}");
                assert!(says_hello(&mut crowd.el, &mut crowd.inside));
                let began = crowd.clock.elapsed();
                while crowd.clock.elapsed() == began {
                    crowd.sleep();
                }
                assert_eq!(crowd.clock.elapsed() - began, REST);
                settle(&mut crowd.el);
                // The oldest clients are rejected after each pause that did not help.
                assert_eq!(crowd.turned_away(), (rest as usize * 8).min(30), "in pause {rest}");
            }
            assert_eq!(crowd.accepted(), 1);
            let reports = &crowd.el.state().reports;
            assert!(matches!(&reports[..], [(at, _)] if *at == crowd.line), "{reports:?}");
            drop(full);
            let mut newcomer = client(crowd.server.local_addr().unwrap().as_inet().unwrap());
            crowd.sleep();
            settle(&mut crowd.el);
            assert!(says_hello(&mut crowd.el, &mut newcomer));
        });
    });
}

/// Runs a tick and checks that the clock did not advance.
fn tick_now(crowd: &mut Crowd) -> usize {
    let before = crowd.clock.elapsed();
    let ran = crowd.el.tick(Some(Duration::ZERO)).unwrap();
    assert_eq!(crowd.clock.elapsed(), before);
    ran
}

#[test]
fn s4_after_the_fd_limit_all_clients_are_accepted_when_the_pause_ends() {
    alone(
        "servers::fd_limit::s4_after_the_fd_limit_all_clients_are_accepted_when_the_pause_ends",
        || {
            on_every_selector(|kind| {
                let mut crowd = Crowd::new(kind, 20);
                let mut full = Full::new();
                settle(&mut crowd.el);
                full.taken.clear();
                assert_eq!(tick_now(&mut crowd), 0, "the listener pauses until the time is over");
                let began = crowd.clock.elapsed();
                crowd.sleep();
                settle(&mut crowd.el);
                assert_eq!(crowd.clock.elapsed() - began, REST);
                assert_eq!((crowd.accepted(), crowd.server.connections()), (21, 21));
                assert_eq!(crowd.turned_away(), 0);
                assert_eq!(crowd.el.state().reports.len(), 1);
                // No timer is left: an incident has one timer, and this incident is over.
                assert_eq!(crowd.el.next_deadline(), None);
            });
        },
    );
}

#[test]
fn s4_at_the_fd_limit_a_closed_connection_makes_room_at_once() {
    alone("servers::fd_limit::s4_at_the_fd_limit_a_closed_connection_makes_room_at_once", || {
        on_every_selector(|kind| {
            let mut crowd = Crowd::new(kind, 3);
            let full = Full::new();
            settle(&mut crowd.el);
            let began = crowd.clock.elapsed();
            crowd.inside.shutdown(std::net::Shutdown::Write).unwrap();
            ticks(&mut crowd.el, 10);
            assert_eq!(crowd.accepted(), 2, "one free place, one client");
            assert_eq!(crowd.clock.elapsed(), began, "it did not wait for the end of the pause");
            assert_eq!(crowd.el.state().reports.len(), 1, "it is the same incident");
            let [first, ..] = &mut crowd.waiting[..] else { unreachable!() };
            assert!(says_hello(&mut crowd.el, first));
            assert_eq!(crowd.turned_away(), 0);
            drop(full);
            crowd.sleep();
            settle(&mut crowd.el);
            assert_eq!(crowd.accepted(), 4);
            assert_eq!(crowd.el.next_deadline(), None);
        });
    });
}

/// Clients connect and disconnect at the limit, so that one is accepted again and again.
#[test]
fn s4_each_incident_is_reported_once() {
    alone("servers::fd_limit::s4_each_incident_is_reported_once", || {
        on_every_selector(|kind| {
            let mut crowd = Crowd::new(kind, 40);
            let mut full = Full::new();
            settle(&mut crowd.el);
            for round in 0..30 {
                full.taken.pop();
                crowd.clock.advance(REST / 2 * (1 + round % 3));
                settle(&mut crowd.el);
                crowd.sleep();
            }
            assert_eq!((crowd.accepted(), crowd.turned_away()), (31, 0));
            assert_eq!(crowd.el.state().reports.len(), 1);
            full.taken.clear();
            crowd.sleep();
            settle(&mut crowd.el);
            assert_eq!(crowd.accepted(), 41);
            for (calm, incidents) in [(REST, 1), (10 * REST, 2)] {
                crowd.clock.advance(calm);
                full.taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
                let address = crowd.server.local_addr().unwrap().as_inet().unwrap();
                full.taken.pop();
                crowd.waiting.push(client(address));
                settle(&mut crowd.el);
                assert_eq!(crowd.el.state().reports.len(), incidents, "after {calm:?}");
                full.taken.clear();
                crowd.sleep();
                settle(&mut crowd.el);
            }
            assert_eq!(crowd.accepted(), 43);
        });
    });
}

#[test]
fn s4_a_server_may_be_closed_during_a_pause() {
    alone("servers::fd_limit::s4_a_server_may_be_closed_during_a_pause", || {
        on_every_selector(|kind| {
            let mut crowd = Crowd::new(kind, 3);
            let full = Full::new();
            settle(&mut crowd.el);
            let address = crowd.server.local_addr().unwrap().as_inet().unwrap();
            crowd.server.close();
            crowd.inside.shutdown(std::net::Shutdown::Write).unwrap();
            crowd.el.run().unwrap();
            assert_eq!((crowd.accepted(), crowd.server.connections()), (1, 0));
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
            let (el, log) = logged(kind, Told::default());
            let (socket, _) = listener();
            let full = Full::new();
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
            let (mut el, log) = logged(kind, Told::default());
            write_down_reports(&el);
            let (socket, address): (_, SocketAddr) = listener();
            let server = echo(&el, socket);
            let mut waiting = client(address);
            let full = Full::new();
            settle(&mut el);
            drop(full);
            assert!(is_last_a_goodbye(&log));
            log.refuse_next(Errno::NOMEM);
            // Two pauses on the real clock: re-registering fails after the first one.
            while server.accepted() == 0 {
                let ran = el.tick(Some(Duration::from_secs(30))).unwrap();
                assert!(ran > 0, "the loop would sleep forever");
            }
            assert!(says_hello(&mut el, &mut waiting));
            let begun = log.take();
            let tries = begun.iter().filter(is_a_beginning).count();
            assert_eq!(tries, 3, "refused, watched, and the connection: {begun:?}");
        });
    });
}

fn is_a_beginning(call: &&Call) -> bool {
    matches!(call, Call::Register(_, interest) if interest.contains(Interest::READABLE))
}

/// Returns true if the listener was deregistered, as it is during a pause.
fn is_last_a_goodbye(log: &Log) -> bool {
    matches!(log.take().last(), Some(Call::Deregister(_)))
}

/// The exception handler that gets the report may close the server.
#[test]
fn s4_the_exception_handler_may_close_the_server_at_the_limit() {
    alone("servers::fd_limit::s4_the_exception_handler_may_close_the_server_at_the_limit", || {
        on_every_selector(|kind| {
            let mut crowd = Crowd::new(kind, 3);
            let server = crowd.server.clone();
            crowd.el.set_exception_handler(move |_, told, report| {
                told.reports.push((0, report.error.to_string()));
                server.close();
            });
            let full = Full::new();
            settle(&mut crowd.el);
            assert_eq!(crowd.el.state().reports.len(), 1);
            assert!(says_hello(&mut crowd.el, &mut crowd.inside));
            assert_eq!(crowd.el.next_deadline(), None);
            assert_eq!(tick(&mut crowd.el), 0);
            drop(full);
        });
    });
}
