//! TCP connections, which are watched edge-triggered where the kernel supports it: large input,
//! pauses, ends, urgent data and fairness (docs/contract.md, S1 to S3 and Q5).
//!
//! With edges, unread input is not reported again, so the transport itself must remember it.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{TcpStream as TaskStream, Transport};
use mainspring::selector::{Events, Token};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, Interest, Readiness, SelectorKind, TriggerMode};
use rustix::event::PollFlags;
use rustix::net::{SendFlags, send};

use crate::support::bytes::pattern;
use crate::support::descriptors::{fill, pair, tcp_pair, wait_for};
use crate::support::protocol::{
    Callback, Record, Recorder, record_reports, recorder, tick_until, tick_until_idle, ticks,
};
use crate::support::selector::counted;
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{loopback, on_every_selector};

/// Size of the read buffer, in bytes.
const BUFFER: usize = 8;
/// More bytes than one tick reads from a connection.
const MUCH: usize = 100 * BUFFER;

/// Returns a loop with a small read buffer.
fn small_buffer_loop(kind: SelectorKind) -> (EventLoop<Record>, SimClock) {
    let clock = SimClock::new();
    let builder = EventLoop::builder()
        .selector(loopback::selector(kind))
        .clock(clock.clone())
        .read_buffer(BUFFER);
    let el = builder.build_with(Record::default()).unwrap();
    record_reports(&el);
    (el, clock)
}

/// Waits until `count` bytes can be read.
fn wait_for_bytes(stream: &impl AsFd, count: usize) {
    while rustix::io::ioctl_fionread(stream).unwrap() < count as u64 {
        std::thread::yield_now();
    }
}

/// Waits until the kernel reports the end of the peer's data, which may still be unread.
fn wait_for_end(socket: &impl AsFd) {
    let mut selector = SelectorKind::available()[0].open().unwrap();
    let (fd, token) = (socket.as_fd().as_raw_fd(), Token::new(0, 0));
    selector.register(fd, token, Interest::READABLE, TriggerMode::Level).unwrap();
    let mut events = Events::with_capacity(1);
    while !events.as_slice().iter().any(|it| it.readiness.contains(Readiness::READ_CLOSED)) {
        selector.select(&mut events, None).unwrap();
    }
}

/// Connection with a small read buffer, a duplicate of its socket, and its peer.
struct Fixture {
    el: EventLoop<Record>,
    clock: SimClock,
    conn: Transport,
    twin: TcpStream,
    peer: TcpStream,
}

impl Fixture {
    fn new(kind: SelectorKind) -> Fixture {
        Fixture::scripted(kind, |_, _| {})
    }

    fn scripted(kind: SelectorKind, script: fn(&Transport, &Callback)) -> Fixture {
        let (mut el, clock) = small_buffer_loop(kind);
        let (ours, peer) = tcp_pair();
        peer.set_nodelay(true).unwrap();
        let twin = ours.try_clone().unwrap();
        let script = Recorder::new(&Rc::new(()), move |_, _, conn, callback| {
            Ok(conn.map_or((), |conn| script(conn, callback)))
        });
        let conn = el.attach_with(ours, script).unwrap();
        tick_until_idle(&mut el);
        Fixture { el, clock, conn, twin, peer }
    }

    /// Makes the peer send `count` more bytes. Returns when they have arrived.
    fn sends(&mut self, count: usize) {
        let before = rustix::io::ioctl_fionread(&self.twin).unwrap() as usize;
        let at = self.bytes().len() + before;
        self.peer.write_all(&pattern(at, count)).unwrap();
        wait_for_bytes(&self.twin, before + count);
    }

    /// Makes the peer end its data. Returns when the end has arrived.
    fn ends(&self) {
        self.peer.shutdown(Shutdown::Write).unwrap();
        wait_for_end(&self.twin);
    }

    /// Returns everything received, and asserts that it equals what was sent.
    #[track_caller]
    fn bytes(&self) -> Vec<u8> {
        let bytes = self.el.state().bytes();
        assert!(bytes == pattern(0, bytes.len()), "wrong bytes");
        bytes
    }

    #[track_caller]
    fn assert_idle_with(&mut self, bytes: usize, order: &[Callback]) {
        tick_until_idle(&mut self.el);
        assert_eq!(self.bytes().len(), bytes);
        assert_eq!(self.el.state().order(), [&[Callback::Made], order].concat());
    }
}

/// For input that ends anywhere in the last read.
#[test]
fn s1_input_longer_than_the_buffer_comes_in_one_tick() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::new(kind);
        let mut sent = 0;
        for length in [1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 3 * BUFFER - 1] {
            fixture.sends(length);
            sent += length;
            assert_eq!(tick(&mut fixture.el), 1);
            assert_eq!(fixture.bytes().len(), sent, "{length}");
            fixture.assert_idle_with(sent, &[]);
        }
        // Connections that are watched level-triggered behave the same.
        let (mut el, _) = small_buffer_loop(kind);
        let (ours, mut theirs) = pair();
        el.attach_with(ours, recorder()).unwrap();
        tick_until_idle(&mut el);
        theirs.write_all(&pattern(0, 2 * BUFFER + 1)).unwrap();
        tick(&mut el);
        assert_eq!(el.state().bytes(), pattern(0, 2 * BUFFER + 1));
    });
}

/// One tick does not read all the input. The rest arrives although no further event comes.
#[test]
fn q5_large_input_is_read_over_several_ticks() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::new(kind);
        fixture.sends(MUCH);
        let mut turns = 0;
        while fixture.bytes().len() < MUCH {
            let before = fixture.bytes().len();
            // Marks that the neighbour ran.
            fixture.el.call_soon(|_, record| record.callbacks.push(Callback::Resume));
            tick(&mut fixture.el);
            let came = fixture.bytes().len() - before;
            assert!((1..=MUCH / 5).contains(&came), "{came} bytes in one tick");
            let marks = fixture.el.state().order().len() - 1;
            assert_eq!(marks, turns + 1, "the neighbour runs in each tick");
            turns += 1;
        }
        tick_until_idle(&mut fixture.el);
    });
}

/// A neighbour's data arrives in time, and so does the data of a peer that never stops sending.
#[test]
fn q5_an_endless_sender_delays_others_by_at_most_two_ticks() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::new(kind);
        let (ours, mut neighbour) = tcp_pair();
        let twin = ours.try_clone().unwrap();
        let received = Rc::new(std::cell::Cell::new(0));
        let ear = received.clone();
        let hear =
            move |_: &_, _: &mut _, _: &Transport, data: &[u8]| Ok(ear.set(ear.get() + data.len()));
        fixture.el.attach(ours, hear).unwrap();
        let mut sent = 0;
        for round in 1..=50 {
            fixture.sends(MUCH / 2);
            sent += MUCH / 2;
            neighbour.write_all(b"x").unwrap();
            wait_for_bytes(&twin, 1);
            ticks(&mut fixture.el, 2);
            assert_eq!(received.get(), round);
        }
        fixture.assert_idle_with(sent, &[]);
    });
}

#[test]
fn s2_a_pause_between_two_reads_of_a_tick_applies_at_once() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::scripted(kind, |conn, callback| {
            if matches!(callback, Callback::Data(_)) {
                conn.pause_reading();
            }
        });
        fixture.sends(3 * BUFFER);
        fixture.ends();
        for round in 1..=3 {
            fixture.assert_idle_with(round * BUFFER, &[]);
            fixture.conn.resume_reading();
        }
        fixture.assert_idle_with(3 * BUFFER, &[Callback::Eof]);
    });
}

/// Input left by one tick waits, and nothing spins.
#[test]
fn s2_a_pause_between_two_ticks_loses_nothing() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::new(kind);
        fixture.sends(MUCH);
        tick(&mut fixture.el);
        let came = fixture.bytes().len();
        fixture.conn.pause_reading();
        fixture.assert_idle_with(came, &[]);
        fixture.sends(BUFFER);
        fixture.assert_idle_with(came, &[]);
        fixture.conn.resume_reading();
        fixture.conn.pause_reading();
        fixture.assert_idle_with(came, &[]);
        fixture.conn.resume_reading();
        fixture.assert_idle_with(MUCH + BUFFER, &[]);
    });
}

#[test]
fn s1_the_end_is_delivered_whenever_it_arrives() {
    on_every_selector(|kind| {
        for length in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, MUCH] {
            // The end arrives with the bytes, after them, or before the first is read.
            let mut fixture = Fixture::new(kind);
            fixture.sends(length);
            fixture.ends();
            fixture.assert_idle_with(length, &[Callback::Eof]);

            let mut fixture = Fixture::new(kind);
            fixture.sends(length);
            fixture.assert_idle_with(length, &[]);
            fixture.ends();
            fixture.assert_idle_with(length, &[Callback::Eof]);

            let mut fixture = Fixture::new(kind);
            fixture.conn.pause_reading();
            fixture.sends(length);
            tick_until_idle(&mut fixture.el);
            fixture.ends();
            fixture.assert_idle_with(0, &[]);
            fixture.conn.resume_reading();
            fixture.assert_idle_with(length, &[Callback::Eof]);

            // A half-closed connection causes no events and can still write.
            fixture.conn.write(b"still there");
            wait_for_bytes(&fixture.peer, 11);
            assert_eq!(tick(&mut fixture.el), 0);
        }
    });
}

/// A read stops short at urgent data. No callback gets the urgent byte itself.
#[test]
fn s1_urgent_data_delays_nothing() {
    on_every_selector(|kind| {
        for before in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, MUCH - 1] {
            let mut fixture = Fixture::new(kind);
            let mut sent = 0;
            for _ in 0..3 {
                fixture.sends(before);
                send(&fixture.peer, b"!", SendFlags::OOB).unwrap();
                wait_for(&fixture.twin, PollFlags::PRI);
                fixture.peer.write_all(&pattern(sent + before, 2)).unwrap();
                sent += before + 2;
                tick_until(&mut fixture.el, |el| el.state().bytes().len() == sent);
                fixture.assert_idle_with(sent, &[]);
            }
        }
    });
}

/// The read that fills the queue is the last one before `pause_writing`.
#[test]
fn s2_pause_writing_comes_before_the_next_read() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::scripted(kind, |conn, callback| match callback {
            Callback::Data(bytes) => conn.write(bytes),
            Callback::Pause => conn.pause_reading(),
            _ => {}
        });
        fixture.conn.set_water_marks(0, u32::MAX);
        fixture.conn.write(&vec![0; 10 << 20]);
        // The kernel grows its buffers for some time.
        let mut queued = usize::MAX;
        for _ in 0..100 {
            tick_until_idle(&mut fixture.el);
            if std::mem::replace(&mut queued, fixture.conn.queued()) == fixture.conn.queued() {
                break;
            }
        }
        assert!(queued > 0);
        fixture.conn.set_water_marks(0, queued as u32 + 10);
        fixture.sends(MUCH);
        fixture.assert_idle_with(2 * BUFFER, &[Callback::Pause]);
        assert_eq!(fixture.conn.queued(), queued + 2 * BUFFER);
    });
}

/// The input is already there, so no wait is needed.
#[test]
fn s3_a_close_finds_an_end_that_has_arrived() {
    on_every_selector(|kind| {
        for length in [BUFFER - 1, BUFFER, 2 * BUFFER, MUCH] {
            let mut fixture = Fixture::scripted(kind, |conn, callback| {
                if matches!(callback, Callback::Data(_)) {
                    conn.close();
                }
            });
            fixture.sends(length);
            fixture.ends();
            fixture.el.run().unwrap();
            let first = length.min(BUFFER);
            fixture.assert_idle_with(first, &[Callback::Lost(None)]);
            assert_eq!(fixture.clock.elapsed(), Duration::ZERO, "{length}");

            // The same for a close from outside, when a tick left input unread.
            let mut fixture = Fixture::new(kind);
            fixture.sends(MUCH);
            fixture.ends();
            tick(&mut fixture.el);
            fixture.conn.close();
            fixture.el.run().unwrap();
            assert_eq!(fixture.el.state().lost_reason(), Some(None));
            assert_eq!(fixture.clock.elapsed(), Duration::ZERO);
        }
    });
}

/// The peer cannot end before its bytes are read. Other connections do not wait for all of them.
#[test]
fn s3_a_close_reads_input_that_delays_the_peers_end() {
    on_every_selector(|kind| {
        let clock = SimClock::new();
        let builder = EventLoop::builder()
            .selector(loopback::selector(kind))
            .clock(clock.clone())
            .read_buffer(256);
        let mut el = builder.build_with(Record::default()).unwrap();
        let (ours, peer) = tcp_pair();
        let script = Recorder::new(&Rc::new(()), |_, _, conn, callback| {
            if matches!(callback, Callback::Data(_)) {
                conn.unwrap().close();
            }
            Ok(())
        });
        // Shutting down our side wakes the watchers of the socket, so it comes first.
        el.attach_with(ours, script).unwrap().shutdown_write();
        tick_until_idle(&mut el);
        fill(&peer);
        peer.shutdown(Shutdown::Write).unwrap();
        let mut ran = 0;
        tick_until(&mut el, |el| {
            ran += 1;
            el.state().lost_reason() == Some(None)
        });
        assert!(ran > 10, "{ran} ticks");
        assert_eq!((el.state().bytes().len(), clock.elapsed()), (256, Duration::ZERO));
    });
}

/// The input is not there yet, so the close waits.
#[test]
fn s3_a_close_waits_for_the_end_of_a_sender() {
    on_every_selector(|kind| {
        let mut fixture = Fixture::new(kind);
        fixture.conn.close();
        tick_until_idle(&mut fixture.el);
        for _ in 0..3 {
            fixture.peer.write_all(&[0; MUCH]).unwrap();
            wait_for(&fixture.twin, PollFlags::IN);
            tick_until_idle(&mut fixture.el);
            assert_eq!(fixture.el.state().lost_reason(), None);
        }
        drop((fixture.peer, fixture.twin));
        tick_until(&mut fixture.el, |el| el.state().lost_reason() == Some(None));
        assert_eq!(fixture.clock.elapsed(), Duration::ZERO);
    });
}

/// A request costs one wait and one callback, and no change of a registration.
#[test]
fn q10_a_steady_tcp_echo_costs_one_wait_and_one_callback() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = EventLoop::builder().selector(selector).build().unwrap();
        let (ours, mut peer) = tcp_pair();
        let twin = ours.try_clone().unwrap();
        el.attach(ours, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        calls.take();
        for _ in 0..100 {
            peer.write_all(b"ping").unwrap();
            wait_for_bytes(&twin, 4);
            assert_eq!(tick(&mut el), 1);
            wait_for_bytes(&peer, 4);
            std::io::Read::read_exact(&mut peer, &mut [0; 4]).unwrap();
        }
        assert_eq!(calls.take(), (100, 0), "waits and changes");
        assert_eq!(tick(&mut el), 0);
    });
}

/// Returns the interests that the loop registers when `attach` runs.
fn asked(kind: SelectorKind, attach: impl FnOnce(&mut EventLoop<Record>)) -> Vec<Interest> {
    let (mut el, log) = logged(kind, Record::default());
    attach(&mut el);
    let asked = |call: Call| match call {
        Call::Register(_, interest) => Some(interest),
        _ => None,
    };
    log.take().into_iter().filter_map(asked).collect()
}

/// Edge-triggered streams need to be notified of urgent data; with level triggering it would be
/// reported forever.
#[test]
fn w5_edge_triggered_streams_watch_for_urgent_data() {
    on_every_selector(|kind| {
        let level = Interest::READABLE;
        let edge = match kind.open().unwrap().has_edges() {
            true => level | Interest::PRIORITY,
            false => level,
        };
        let tcp = asked(kind, |el| drop(el.attach_with(tcp_pair().0, recorder()).unwrap()));
        assert_eq!(tcp, [edge]);
        let unix = asked(kind, |el| drop(el.attach_with(pair().0, recorder()).unwrap()));
        assert_eq!(unix, [level]);
        // The listener, the connecting socket, the accepted socket and the connected socket.
        let sockets = asked(kind, |el| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = el.serve_with(listener, recorder).unwrap();
            el.connect(address, Duration::from_secs(60), |el, _, socket| {
                el.attach_with(socket?, recorder()).map(drop)
            });
            tick_until(el, |el| server.connections() == 1 && el.state().callbacks.len() == 2);
        });
        let edges = sockets.iter().filter(|it| it.contains(Interest::PRIORITY)).count();
        assert_eq!(edges, if edge == level { 0 } else { 2 }, "{sockets:?}");
        let given_back = asked(kind, |el| {
            let socket = TaskStream::from_std(tcp_pair().0).unwrap().into_socket();
            el.attach_with(socket, recorder()).unwrap();
        });
        assert_eq!(given_back, [edge]);
    });
}
