//! Connecting with callbacks: each outcome is reported once (docs/contract.md, S5).

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Address, ListenOptions, Socket, listen};
use mainspring::{Error, EventLoop, LoopHandle, PanicPolicy, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::descriptors::{census, pair};
use crate::support::network::{SilentAddress, SocketFile, closed_address, full_unix_backlog_error};
use crate::support::process::alone;
use crate::support::protocol::{Record, recording_loop, tick_until, tick_until_idle};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector, simulated};

const LONG: Duration = Duration::from_secs(3600);

/// Outcome of each attempt: the kind of the error, or `None`.
type Ends = Vec<Option<ErrorKind>>;

fn note(_: &LoopHandle<Ends>, ends: &mut Ends, socket: Result<Socket>) {
    ends.push(socket.err().map(|error| error.kind()));
}

#[test]
fn s5_success_is_reported_once_over_tcp_and_unix() {
    alone("sockets::connect::s5_success_is_reported_once_over_tcp_and_unix", || {
        on_every_selector(|kind| {
            let (mut el, clock) = simulated(kind, Ends::new());
            let file = SocketFile::new("s5-success");
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let unix = listen(file.address(), &ListenOptions::default()).unwrap();
            let before = census();
            el.connect(tcp.local_addr().unwrap(), LONG, note);
            el.connect(file.address(), LONG, note);
            el.run().unwrap();
            assert_eq!(*el.state(), [None, None]);
            assert_eq!(census(), before);
            assert!(clock.elapsed() < LONG, "the attempt does not wait for its timeout");
            drop(unix);
        });
    });
}

#[test]
fn s5_the_callback_gets_a_connected_non_blocking_socket() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        el.connect(address, LONG, move |_, place, socket| {
            let socket = socket?;
            assert_eq!(socket.peer_addr()?, Address::from(address));
            *place = Some(TcpStream::from(OwnedFd::from(socket)));
            Ok(())
        });
        el.run().unwrap();
        let mut ours = el.state_mut().take().unwrap();
        let (mut theirs, from) = listener.accept().unwrap();
        assert_eq!(from, ours.local_addr().unwrap());
        ours.write_all(b"hi").unwrap();
        theirs.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// Refused, no such file, not a socket, full backlog, and timeout (P80).
#[test]
fn s5_each_failure_is_reported_once_and_leaves_no_descriptor() {
    alone("sockets::connect::s5_each_failure_is_reported_once_and_leaves_no_descriptor", || {
        on_every_selector(|kind| {
            let (mut el, clock) = simulated(kind, Ends::new());
            let (missing, full) = (SocketFile::new("s5-missing"), SocketFile::new("s5-full"));
            let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
            let _listener = listen(full.address(), &options).unwrap();
            let _first = mainspring_sys::socket::connect(&full.address()).unwrap();
            let full_backlog = full_unix_backlog_error(&full.address());
            let Some(silent) = SilentAddress::new() else { return };
            let failures = [
                (Address::from(closed_address()), ErrorKind::ConnectionRefused),
                (missing.address(), ErrorKind::NotFound),
                (full.address(), full_backlog),
                (silent.address.into(), ErrorKind::TimedOut),
            ];
            let before = census();
            for (address, expected) in failures {
                let began = clock.elapsed();
                let handle = el.connect(address.clone(), LONG, note);
                // Like `run`, but also ends if no timeout comes.
                for _ in 0..20 {
                    if el.is_alive() {
                        el.tick(Some(2 * LONG)).unwrap();
                    }
                }
                assert_eq!(std::mem::take(el.state_mut()), [Some(expected)], "{address}");
                assert_eq!(census(), before, "{address}");
                assert!(!el.is_alive() && !el.cancel(handle));
                let took = clock.elapsed() - began;
                let over = if expected == ErrorKind::TimedOut { LONG } else { Duration::ZERO };
                assert_eq!(took, over, "{address}");
            }
        });
    });
}

#[test]
fn s5_the_error_names_the_address_and_keeps_the_cause() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let address = closed_address();
        let line = line!() + 1;
        el.connect(address, LONG, |_, _, socket| socket.map(drop));
        tick_until_idle(&mut el);
        let expected = format!("cannot connect to {address}");
        assert_eq!(el.state().reports, [(line, expected)]);
    });
}

#[test]
fn s5_a_reset_before_the_first_tick_is_an_error() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Ends::new());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        el.connect(listener.local_addr().unwrap(), LONG, note);
        let (theirs, _) = listener.accept().unwrap();
        mainspring_sys::socket::set_linger_zero(&theirs, true).unwrap();
        drop(theirs);
        loopback::deliver();
        el.run().unwrap();
        assert_eq!(*el.state(), [Some(ErrorKind::ConnectionReset)]);
    });
}

#[test]
fn s5_without_descriptors_connecting_fails_once_and_later() {
    alone("sockets::connect::s5_without_descriptors_connecting_fails_once_and_later", || {
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, Vec::<Option<i32>>::new());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let full = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..full }).unwrap();
            let to = listener.local_addr().unwrap();
            el.connect(to, LONG, |_, ends, socket| match socket {
                Err(Error::Connect { source, .. }) => ends.push(source.raw_os_error()),
                other => panic!("{other:?}"),
            });
            assert!(el.state().is_empty(), "the callback does not run inside the call");
            el.run().unwrap();
            setrlimit(Resource::Nofile, full).unwrap();
            assert_eq!(*el.state(), [Some(rustix::io::Errno::MFILE.raw_os_error())]);
        });
    });
}

/// The descriptor number of a cancelled attempt can be used again at once, and the new owner gets
/// no event of the old one (P82).
#[test]
fn s5_a_cancelled_attempt_frees_its_descriptor_number() {
    alone("sockets::connect::s5_a_cancelled_attempt_frees_its_descriptor_number", || {
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, Ends::new());
            let Some(silent) = SilentAddress::new() else { return };
            let written = Rc::new(Cell::new(0));
            for _ in 0..10 {
                let before = census();
                let attempt = el.connect(silent.address, LONG, note);
                let number = *census().difference(&before).next().expect("a socket");
                tick(&mut el);
                assert!(el.cancel(attempt) && !el.cancel(attempt));
                assert_eq!(census(), before);
                let (socket, _peer) = pair();
                assert_eq!(socket.as_raw_fd(), number, "the number is reused");
                let count = written.clone();
                let writer = el.add_writer(socket, move |_, _, _| Ok(count.set(count.get() + 1)));
                let writer = writer.unwrap();
                tick(&mut el);
                assert_eq!(written.take(), 1, "the new writer works");
                assert!(el.cancel(writer));
                tick(&mut el);
            }
            assert_eq!(*el.state(), []);
        });
    });
}

/// A cancelled attempt must not keep the loop alive until its timeout.
#[test]
fn s5_a_cancelled_attempt_leaves_no_timer() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Ends::new());
        let Some(silent) = SilentAddress::new() else { return };
        let attempt = el.connect(silent.address, LONG, note);
        tick(&mut el);
        let began = clock.elapsed();
        assert!(el.cancel(attempt));
        assert!(!el.is_alive());
        assert_eq!(el.next_deadline(), None);
        el.run().unwrap();
        assert_eq!(clock.elapsed(), began);
        let finished = el.connect(closed_address(), LONG, note);
        assert!(el.cancel(finished), "even if the result is already queued");
        tick_until_empty(&mut el);
        assert_eq!(*el.state(), []);
    });
}

fn tick_until_empty(el: &mut EventLoop<Ends>) {
    assert!((0..10).any(|_| tick(el) == 0));
}

#[test]
fn s5_a_callback_may_cancel_its_own_and_other_attempts() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Ends::new());
        let own = Rc::new(Cell::new(None));
        let place = own.clone();
        let Some(silent) = SilentAddress::new() else { return };
        let other = el.connect(silent.address, LONG, note);
        let first =
            el.connect(closed_address(), LONG, move |el: &LoopHandle<Ends>, ends, socket| {
                note(el, ends, socket);
                assert!(el.cancel(other));
                el.cancel(place.get().unwrap());
            });
        own.set(Some(first));
        el.run().unwrap();
        assert_eq!(*el.state(), [Some(ErrorKind::ConnectionRefused)]);
    });
}

#[test]
fn s5_an_error_or_a_panic_of_the_callback_is_reported_once() {
    on_every_selector(|kind| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for panics in [false, true] {
            let (mut el, _) = recording_loop(kind);
            el.set_panic_policy(PanicPolicy::Report);
            let line = line!() + 1;
            el.connect(address, LONG, move |_, _, socket| {
                let _socket = socket?;
                assert!(!panics, "a panic");
                Err(Error::other("no luck"))
            });
            tick_until(&mut el, |el| !el.state().reports.is_empty());
            tick_until_idle(&mut el);
            assert!(!el.is_alive());
            let reports = &el.state().reports;
            assert!(matches!(&reports[..], [(at, _)] if *at == line), "{reports:?}");
            let (mut theirs, _) = listener.accept().unwrap();
            assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the socket was closed");
        }
    });
}

/// The loop is dropped during attempts; a closed loop starts none.
#[test]
fn s5_attempts_end_with_the_loop() {
    alone("sockets::connect::s5_attempts_end_with_the_loop", || {
        on_every_selector(|kind| {
            let Some(silent) = SilentAddress::new() else { return };
            let alive = Rc::new(());
            let before = census();
            let mut el = EventLoop::builder()
                .selector(loopback::selector(kind))
                .build_with(Record::default())
                .unwrap();
            for close in [false, true] {
                if close {
                    el.close();
                }
                let kept = alive.clone();
                el.connect(silent.address, LONG, move |_, _, _| drop(kept));
            }
            drop(el);
            assert_eq!((census(), Rc::strong_count(&alive)), (before, 1));
        });
    });
}

/// A result that is ready when the timeout is due is delivered: events come before timers.
#[test]
fn s5_success_and_timeout_in_one_tick_is_success() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Ends::new());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        el.connect(listener.local_addr().unwrap(), Duration::from_secs(1), note);
        clock.advance(LONG);
        el.run().unwrap();
        assert_eq!(*el.state(), [None]);
    });
}
