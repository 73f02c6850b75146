//! Servers: accepting, closing, and the end of their connections (docs/contract.md, S4).

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use mainspring::EventLoop;
use mainspring::net::{Address, ListenOptions, Server, listen};
use rustix::io::Errno;

use crate::support::descriptors::{hang_up, has_room_for};
use crate::support::network::{BACKLOG, client, echo, listener, wait_until_refused};
use crate::support::process::alone;
use crate::support::protocol::{
    Callback, Record, Recorder, record_reports, recorder, recording_loop, tick_until,
    tick_until_idle, ticks,
};
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector};

/// Returns true if the client's bytes come back within `within` ticks.
fn is_served(el: &mut EventLoop<Record>, client: &mut TcpStream, within: usize) -> bool {
    client.write_all(b"ping").unwrap();
    ticks(el, within);
    loopback::deliver();
    let mut answer = [0; 8];
    client.read(&mut answer).is_ok_and(|count| answer[..count] == *b"ping")
}

#[test]
fn s4_every_kind_of_listener_is_served() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let std = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut first = client(std.local_addr().unwrap());
        let (own, address) = listener();
        let mut second = client(address);
        let path = crate::support::network::short_dir()
            .join(format!("mainspring-s4-{}-{kind}", std::process::id()));
        let unix = UnixListener::bind(&path).unwrap();
        let mut third = UnixStream::connect(&path).unwrap();
        let servers = [echo(&el, std), echo(&el, own), echo(&el, unix)];
        third.write_all(b"unix").unwrap();
        tick_until_idle(&mut el);
        assert!(is_served(&mut el, &mut first, 3) && is_served(&mut el, &mut second, 3));
        let mut answer = [0; 4];
        third.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"unix");
        for server in &servers {
            assert_eq!((server.connections(), server.accepted()), (1, 1));
        }
        assert_eq!(servers[1].local_addr().unwrap(), Address::from(address));
        drop((first, second, third));
        // The ends may arrive later; the loop sleeps until then.
        while servers.iter().any(|server| server.connections() > 0) {
            el.tick(None).unwrap();
        }
        std::fs::remove_file(path).unwrap();
    });
}

/// A long backlog is accepted in batches, and a connected client is served in between (P43).
#[test]
fn s4_a_long_backlog_is_accepted_in_batches() {
    alone("servers::serve::s4_a_long_backlog_is_accepted_in_batches", || {
        if !has_room_for(1000) {
            return;
        }
        on_every_selector(|kind| {
            let builder = EventLoop::builder().selector(loopback::selector(kind)).accept_batch(8);
            let mut el = builder.build_with(Record::default()).unwrap();
            let (socket, address) = listener();
            let server = echo(&el, socket);
            let mut talker = client(address);
            tick_until_idle(&mut el);
            let waiting: Vec<_> = (0..BACKLOG).map(|_| client(address)).collect();
            let (mut before, mut full) = (1, 0);
            while before < 1 + BACKLOG as u64 {
                assert!(is_served(&mut el, &mut talker, 2), "after {before}");
                let accepted = server.accepted() - before;
                assert!((1..=16).contains(&accepted), "{accepted} in two ticks");
                full += usize::from(accepted == 16);
                before += accepted;
            }
            assert!(full >= BACKLOG / 16 - 2, "only {full} full batches");
            assert_eq!(server.connections(), 1 + BACKLOG);
            drop(waiting);
            tick_until_idle(&mut el);
            assert_eq!(server.connections(), 1);
        });
    });
}

/// Returns true if a child process inherits `fd`.
fn is_inherited(fd: RawFd) -> bool {
    let listing = Command::new("ls").arg("/dev/fd").output().unwrap();
    let names = String::from_utf8(listing.stdout).unwrap();
    assert!(names.lines().any(|name| name == "1"), "{names}");
    names.lines().any(|name| name == fd.to_string())
}

#[test]
fn s4_accepted_sockets_are_close_on_exec_non_blocking_and_nodelay() {
    let name = "servers::serve::s4_accepted_sockets_are_close_on_exec_non_blocking_and_nodelay";
    alone(name, || {
        on_every_selector(|kind| {
            let (mut el, log) = logged(kind, Record::default());
            let (socket, address) = listener();
            let copy = TcpListener::from(socket.try_clone().unwrap());
            let server = el.serve(socket, |_, _, conn, _| Ok(conn.write(&[0; 10 << 20]))).unwrap();
            log.take();
            let mut talker = client(address);
            talker.write_all(b"x").unwrap();
            ticks(&mut el, 10);
            // A blocking socket would not have returned from writing ten megabytes.
            assert_eq!(server.connections(), 1);
            let Some(&Call::Register(fd, _)) = log.take().first() else {
                panic!("the connection was not accepted")
            };
            // The descriptor that `ls` opens for the directory may have the same number, so several
            // are open.
            let _more: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
            assert!(fd > 4 && !is_inherited(fd), "{fd}");
            server.close();
            let _waiting = client(address);
            loopback::deliver();
            let (accepted, _) = copy.accept().unwrap();
            assert!(
                accepted.nodelay().unwrap(),
                "accepted sockets inherit the option of the listener"
            );
        });
    });
}

/// One connection cannot be watched; the others are not affected.
#[test]
fn s4_a_connection_that_fails_is_reported_and_the_next_one_is_served() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, Record::default());
        record_reports(&el);
        let (socket, address) = listener();
        let line = line!() + 1;
        let server = el.serve(socket, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        log.refuse_next(Errno::NOMEM);
        let mut failed = TcpStream::connect(address).unwrap();
        let mut waiting = client(address);
        tick_until_idle(&mut el);
        let reports = &el.state().reports;
        assert!(matches!(&reports[..], [(at, _)] if *at == line), "{reports:?}");
        assert_eq!(failed.read(&mut [0]).unwrap(), 0);
        assert!(is_served(&mut el, &mut waiting, 3));
        assert_eq!((server.connections(), server.accepted()), (1, 2));
    });
}

#[test]
fn s4_a_closed_server_accepts_no_client_and_keeps_its_connections() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (socket, address) = listener();
        let server = echo(&el, socket);
        let mut talker = client(address);
        tick_until_idle(&mut el);
        let mut waiting = client(address);
        server.close();
        server.close();
        assert_eq!(server.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        wait_until_refused(address);
        tick_until_idle(&mut el);
        assert!(is_served(&mut el, &mut talker, 2));
        assert!(matches!(waiting.read(&mut [0]), Ok(0) | Err(_)));
        assert_eq!((server.connections(), server.accepted()), (1, 1));
        assert!(el.is_alive());
        assert!(!el.cancel(server.handle()), "the registration is gone");
        hang_up(talker);
        tick_until_idle(&mut el);
        assert!(!el.is_alive());
    });
}

/// The server is closed while it accepts and clients wait (P91). No further client is accepted, and
/// the address is free at once.
#[test]
fn s4_a_server_closed_while_it_accepts_frees_its_address_at_once() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (socket, address) = listener();
        let place = Rc::new(RefCell::new(None::<Server>));
        let made = Rc::new(Cell::new(0));
        let (its_place, its_count, alive) = (place.clone(), made.clone(), Rc::new(()));
        let server = el.serve_with(socket, move || {
            its_count.set(its_count.get() + 1);
            if its_count.get() == 3 {
                its_place.borrow().as_ref().expect("a server").close();
            }
            Recorder::new(&alive, |_, _, _, _| Ok(()))
        });
        *place.borrow_mut() = Some(server.unwrap());
        let clients: Vec<_> = (0..10).map(|_| client(address)).collect();
        tick_until_idle(&mut el);
        assert_eq!(made.get(), 3, "accepted after it was closed");
        wait_until_refused(address);
        let again = listen(address, &ListenOptions::default());
        let server = echo(&el, again.expect("the address is free"));
        let mut newcomer = client(address);
        tick_until_idle(&mut el);
        assert!(is_served(&mut el, &mut newcomer, 2));
        assert_eq!(server.accepted(), 1);
        clients.into_iter().for_each(hang_up);
        tick_until_idle(&mut el);
        let kept = place.take().unwrap();
        assert_eq!(kept.connections(), el.state().order().iter().filter(open).count());
    });
}

/// The protocol does not close at the end of the stream, so every connection that was made stays
/// open.
fn open(callback: &&Callback) -> bool {
    **callback == Callback::Made
}

#[test]
fn s4_close_clients_and_abort_clients_end_all_connections() {
    on_every_selector(|kind| {
        for abort in [false, true] {
            let (mut el, _) = recording_loop(kind);
            let (socket, address) = listener();
            let server = el.serve_with(socket, recorder).unwrap();
            let big = el.serve(listener().0, |_, _, _, _| Ok(())).unwrap();
            let mut clients = [client(address), client(address), client(address)];
            tick_until_idle(&mut el);
            assert_eq!(server.connections(), 3);
            match abort {
                true => server.abort_clients(),
                false => server.close_clients(),
            }
            tick_until_idle(&mut el);
            for client in &mut clients {
                client.set_nonblocking(false).unwrap(); // The end may arrive later.
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
            drop(clients);
            tick_until(&mut el, |_| server.connections() == 0); // The ends may arrive later.
            assert_eq!(big.connections(), 0);
            tick_until_idle(&mut el);
            let lost =
                el.state().callbacks.iter().filter(|it| **it == Callback::Lost(None)).count();
            assert_eq!(lost, 3);
            let _next = client(address);
            tick_until_idle(&mut el);
            assert_eq!(
                (server.connections(), server.accepted()),
                (1, 4),
                "the server still accepts"
            );
        }
    });
}

#[test]
fn s4_close_clients_sends_the_queue_and_abort_clients_does_not() {
    on_every_selector(|kind| {
        for abort in [false, true] {
            let (mut el, _) = recording_loop(kind);
            let (socket, address) = listener();
            let server = el.serve(socket, |_, _, conn, _| Ok(conn.write(&[7; 20 << 20]))).unwrap();
            let mut talker = client(address);
            talker.write_all(b"x").unwrap();
            tick_until_idle(&mut el);
            match abort {
                true => server.abort_clients(),
                false => server.close_clients(),
            }
            let mut got = Vec::new();
            while talker.read_to_end(&mut got).is_err_and(|it| it.kind() == ErrorKind::WouldBlock) {
                tick(&mut el);
            }
            assert_eq!(got.len() == 20 << 20, !abort, "{} bytes", got.len());
        }
    });
}

#[test]
fn s4_a_dropped_server_goes_on_and_a_background_server_lets_run_return() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (socket, address) = listener();
        let server = echo(&el, socket);
        assert!(el.set_name(server.handle(), "front door"));
        let handle = server.handle();
        drop(server);
        let mut talker = client(address);
        ticks(&mut el, 3);
        assert!(is_served(&mut el, &mut talker, 3));
        assert!(el.is_alive());
        assert!(el.set_background(handle));
        drop(talker);
        el.run().unwrap(); // Returns when the last connection ends.
        assert!(!el.is_alive());
        let mut talker = client(address);
        ticks(&mut el, 3);
        assert!(is_served(&mut el, &mut talker, 3), "a background server still accepts");
        assert!(el.cancel(handle));
        wait_until_refused(address);
        assert!(is_served(&mut el, &mut talker, 3));
    });
}

#[test]
fn s4_a_source_that_does_not_listen_is_refused_or_reported_once() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let line = line!() + 1;
        let server = el.serve(stream, |_, _, _, _| Ok(())).unwrap();
        peer.write_all(b"x").unwrap();
        tick_until_idle(&mut el);
        let reports = &el.state().reports;
        assert!(matches!(&reports[..], [(at, _)] if *at == line), "{reports:?}");
        assert!(!el.cancel(server.handle()));
        server.close();
        let (socket, _) = listener();
        let shared = Rc::new(socket);
        echo(&el, shared.clone());
        let again = el.serve(shared, |_, _, _, _| Ok(()));
        assert!(matches!(again, Err(mainspring::Error::AlreadyWatched { .. })));
        el.close();
        assert!(matches!(
            el.serve(listener().0, |_, _, _, _| Ok(())),
            Err(mainspring::Error::Closed)
        ));
    });
}

#[test]
fn s4_a_server_returns_its_limits() {
    on_every_selector(|kind| {
        let (el, _) = recording_loop(kind);
        let server = el.serve(listener().0, |_, _, _, _| Ok(())).unwrap();
        assert_eq!((server.max_connections(), server.idle_limit()), (usize::MAX, None));
        server.set_max_connections(3);
        server.set_idle_limit(Some(Duration::from_secs(5)));
        assert_eq!(
            (server.max_connections(), server.idle_limit()),
            (3, Some(Duration::from_secs(5)))
        );
    });
}
