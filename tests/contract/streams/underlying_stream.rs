//! Access to the stream of a transport, its addresses, and replacing its protocol
//! (docs/contract.md, S1 and S3).

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Socket, Transport};
use mainspring::{Error, EventLoop, LoopHandle, Watched};
use rustix::event::PollFlags;

use crate::support::bytes::pattern;
use crate::support::descriptors::{pair, tcp_pair, wait_for};
use crate::support::network::{client, listener};
use crate::support::on_every_selector;
use crate::support::protocol::{
    Callback, Recorder, recorder, recording_loop, tick_until, tick_until_idle,
};
use crate::support::ticks::tick;

#[test]
fn s3_reset_sends_a_reset_and_abort_does_not() {
    on_every_selector(|kind| {
        for reset in [true, false] {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = tcp_pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            conn.write(b"sent before");
            if reset {
                conn.reset()
            } else {
                conn.abort()
            }
            tick_until_idle(&mut el);
            assert_eq!(el.state().lost_reason(), Some(None));
            wait_for(&theirs, PollFlags::IN);
            let mut got = Vec::new();
            let end = theirs.read_to_end(&mut got).map_err(|error| error.kind());
            match reset {
                true => assert_eq!(end, Err(ErrorKind::ConnectionReset)),
                false => assert_eq!((end, &got[..]), (Ok(11), &b"sent before"[..])),
            }
        }
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair(); // A Unix stream cannot be reset.
        el.attach_with(ours, recorder()).unwrap().reset();
        tick_until_idle(&mut el);
        assert_eq!((el.state().lost_reason(), theirs.read(&mut [0]).unwrap()), (Some(None), 0));
    });
}

/// The protocol can read the peer's address although the client has disconnected.
#[test]
fn s5_the_address_of_a_client_that_has_reset_is_kept() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (listener, address) = listener();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let place = Rc::<RefCell<Option<Transport>>>::default();
        let (addresses, held) = (seen.clone(), place.clone());
        let factory = move || {
            let (addresses, held) = (addresses.clone(), held.clone());
            Recorder::new(&Rc::new(()), move |_, _, conn, _| {
                if let Some(conn) = conn {
                    *held.borrow_mut() = Some(conn.clone());
                }
                let conn = held.borrow().clone().unwrap();
                addresses.borrow_mut().push(conn.peer_addr().unwrap().as_inet().unwrap());
                Ok(())
            })
        };
        el.serve_with(listener, factory).unwrap();
        let client = client(address);
        let peer = client.local_addr().unwrap();
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        tick_until(&mut el, |el| el.state().lost_reason().is_some());
        tick_until_idle(&mut el);
        assert_eq!(*seen.borrow(), [peer, peer], "in connection_made and in connection_lost");
        let conn = place.take().unwrap();
        assert_eq!(
            conn.peer_addr().unwrap().as_inet(),
            Some(peer),
            "and after the connection has closed"
        );
        assert_eq!(conn.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn s1_with_stream_lends_the_stream_by_its_type() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, _theirs) = tcp_pair();
        let fd = ours.as_raw_fd();
        let conn = el.attach_with(ours, recorder()).unwrap();
        assert_eq!(conn.with_fd(|it| it.as_raw_fd()).unwrap(), fd);
        conn.with_stream(|it: &mut TcpStream| it.set_nodelay(true)).unwrap().unwrap();
        assert!(conn.with_stream(|it: &mut TcpStream| it.nodelay().unwrap()).unwrap());
        let wrong = conn.with_stream(|_: &mut UnixStream| ()).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        assert!(wrong.to_string().contains("UnixStream"), "{wrong}");
        assert!(conn.take_stream::<UnixStream>().is_err());
        conn.with_fd(|_| conn.abort()).unwrap();
        tick_until_idle(&mut el);
        let gone = conn.with_stream(|_: &mut TcpStream| ()).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotConnected);
        assert_eq!(conn.with_fd(|_| ()).unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

/// During an upgrade each byte goes to exactly one of the two owners.
#[test]
fn s1_take_stream_loses_no_byte() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = tcp_pair();
        let taken = Rc::new(RefCell::new(None));
        let place = taken.clone();
        let script = Recorder::new(&Rc::new(()), move |_, _, conn, callback| {
            if let (Some(conn), Callback::Data(_)) = (conn, callback) {
                conn.write(&pattern(0, 16 << 20));
                *place.borrow_mut() = Some(conn.take_stream::<TcpStream>()?);
                assert!(conn.take_stream::<TcpStream>().is_err() && conn.is_closing());
            }
            Ok(())
        });
        let conn = el.attach_with(ours, script).unwrap();
        theirs.write_all(b"first").unwrap();
        tick_until(&mut el, |el| el.state().lost_reason().is_some());
        assert_eq!(
            el.state().callbacks,
            [Callback::Made, Callback::Data(b"first".to_vec()), Callback::Lost(None)]
        );
        assert_eq!(conn.with_fd(|_| ()).unwrap_err().kind(), ErrorKind::NotConnected);
        let (stream, unsent) = taken.take().unwrap();
        theirs.write_all(b"second").unwrap();
        let again = el.attach_with(stream, recorder()).unwrap();
        again.write(&unsent);
        theirs.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        tick_until(&mut el, |_| {
            let _ = theirs.read_to_end(&mut got);
            got.len() == 16 << 20
        });
        assert!(got == pattern(0, 16 << 20));
        let last_mark = |it: &&Callback| matches!(it, Callback::Pause | Callback::Resume);
        let new: Vec<_> =
            el.state().callbacks[3..].iter().filter(|it| !last_mark(it)).cloned().collect();
        assert_eq!(new, [Callback::Made, Callback::Data(b"second".to_vec())]);
    });
}

#[test]
fn s3_a_server_counts_a_connection_until_its_stream_is_taken() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (listener, address) = listener();
        let place = Rc::<RefCell<Option<Socket>>>::default();
        let taken = place.clone();
        let server = el
            .serve(listener, move |_, _, conn, _| {
                *taken.borrow_mut() = Some(conn.take_stream::<Socket>()?.0);
                Ok(())
            })
            .unwrap();
        let mut client = client(address);
        client.write_all(b"x").unwrap();
        tick_until(&mut el, |_| server.accepted() == 1 && server.connections() == 0);
        let socket = place.take().unwrap();
        assert_eq!(socket.peer_addr().unwrap().as_inet().unwrap(), client.local_addr().unwrap());
    });
}

/// The new protocol owns the connection, whatever the old one does after it was replaced.
#[test]
fn s1_set_protocol_during_a_callback_hands_over_the_connection() {
    on_every_selector(|kind| {
        for way in 0..4 {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let (alive, new_alive) = (Rc::new(()), Rc::new(()));
            let tag = new_alive.clone();
            let script = Recorder::new(&alive, move |el, _, conn, callback| {
                let (Some(conn), Callback::Data(_)) = (conn, callback) else { return Ok(()) };
                el.set_protocol(conn, Recorder::new(&tag, |_, _, _, _| Ok(())))?;
                el.set_protocol(conn, Recorder::new(&tag, |_, _, _, _| Ok(())))?;
                match way {
                    0 => Ok(()),
                    1 => Ok(conn.write(&[0; 1 << 20])),
                    2 => Ok(conn.abort()),
                    _ => Err(Error::other("of the old one")),
                }
            });
            let conn = el.attach_with(ours, script).unwrap();
            theirs.write_all(b"old").unwrap();
            tick_until_idle(&mut el);
            assert_eq!(Rc::strong_count(&alive), 1, "the old protocol is dropped");
            let mut expected =
                vec![Callback::Made, Callback::Data(b"old".to_vec()), Callback::Made];
            match way {
                0 => {}
                1 => expected.push(Callback::Pause),
                2 => expected.push(Callback::Lost(None)),
                _ => expected.push(Callback::Lost(Some(ErrorKind::Other))),
            }
            assert_eq!(el.state().callbacks, expected, "way {way}");
            assert_eq!(el.state().reports.len(), usize::from(way == 3));
            if way < 2 {
                theirs.write_all(b"new").unwrap();
                tick_until_idle(&mut el);
                assert_eq!(el.state().callbacks.last(), Some(&Callback::Data(b"new".to_vec())));
                conn.abort();
                tick_until_idle(&mut el);
            }
            assert!(el.state().callbacks.last().is_some_and(|it| matches!(it, Callback::Lost(_))));
            assert_eq!(Rc::strong_count(&new_alive), 1);
        }
    });
}

#[test]
fn s1_set_protocol_works_from_outside() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (listener, address) = listener();
        let place = Rc::<RefCell<Option<Transport>>>::default();
        let alive = Rc::new(());
        let (held, tag) = (place.clone(), alive.clone());
        let factory = move || {
            let held = held.clone();
            Recorder::new(&tag, move |_, _, conn, _| {
                *held.borrow_mut() = conn.cloned();
                Ok(())
            })
        };
        let server = el.serve_with(listener, factory).unwrap();
        let mut client = client(address);
        tick_until(&mut el, |_| place.borrow().is_some());
        let conn = place.take().unwrap();
        let protocols = Rc::strong_count(&alive);
        el.set_protocol(&conn, recorder()).unwrap();
        assert_eq!(Rc::strong_count(&alive), protocols - 1, "dropped at once");
        el.set_protocol(&conn, recorder()).unwrap();
        assert_eq!(server.connections(), 1, "the server still counts it");
        client.write_all(b"x").unwrap();
        tick_until(&mut el, |el| el.state().bytes() == b"x");
        let (stranger, _) = recording_loop(kind);
        assert!(matches!(stranger.set_protocol(&conn, recorder()), Err(Error::Gone { .. })));
        drop(client);
        tick_until(&mut el, |el| el.state().callbacks.contains(&Callback::Eof));
        conn.close();
        tick_until_idle(&mut el);
        assert_eq!(server.connections(), 0);
        assert!(matches!(el.set_protocol(&conn, recorder()), Err(Error::Gone { .. })));
    });
}

/// Source with two descriptors, which returns one of them.
struct TwoDescriptors(UnixStream, UnixStream, bool);

impl AsFd for TwoDescriptors {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if self.2 { self.1.as_fd() } else { self.0.as_fd() }
    }
}

#[test]
fn w8_a_source_that_changes_its_descriptor_ends_its_watcher() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let (other, _peer) = pair();
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let source = TwoDescriptors(ours, other, false);
        let watcher = el.add_reader(source, move |_, _, watched| {
            count.set(count.get() + 1);
            assert_eq!(Watched::with_mut(watched, |it| it.0.read(&mut [0; 1]))??, 1);
            if count.get() < 2 {
                return Ok(());
            }
            let changed = Watched::with_mut(watched, |it| it.2 = true);
            assert!(matches!(changed, Err(Error::Watch { .. })));
            Ok(())
        });
        theirs.write_all(b"abc").unwrap();
        for _ in 0..5 {
            tick(&mut el);
        }
        assert_eq!(calls.get(), 2);
        assert!(!el.cancel(watcher.unwrap()));
    });
}

/// The local address is bound before connecting. An address that cannot be bound is an error of the
/// attempt.
#[test]
fn s5_a_callback_connects_from_the_given_address() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind);
        let mut el = builder.build_with(Vec::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        type Ends = Vec<Result<(), ErrorKind>>;
        let note = |_: &LoopHandle<Ends>, ends: &mut Ends, socket: mainspring::Result<Socket>| {
            ends.push(socket.map(drop).map_err(|error| error.kind()));
        };
        let minute = Duration::from_secs(60);
        let free = loop {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            el.connect_from(free, to, minute, note);
            el.run().unwrap();
            match el.state_mut().pop() {
                Some(Err(ErrorKind::AddrInUse)) => {} // Another test has the port now.
                ended => {
                    assert_eq!(ended, Some(Ok(())));
                    break free;
                }
            }
        };
        assert_eq!(listener.accept().unwrap().1, free);
        // No interface has this address (RFC 5737).
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 0));
        el.connect_from(nowhere, to, minute, note);
        el.connect_from("no address", to, minute, note);
        el.run().unwrap();
        let failures = [Err(ErrorKind::AddrNotAvailable), Err(ErrorKind::InvalidInput)];
        assert_eq!(*el.state(), failures);
    });
}
