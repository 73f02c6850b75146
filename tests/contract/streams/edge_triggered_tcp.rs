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

use crate::support::bytes::stretch;
use crate::support::descriptors::{fill, pair, tcp_pair, wait_for};
use crate::support::protocol::{
    Moment, Recording, Told, recording, settle, tick_until, ticks, write_down_reports,
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
fn small(kind: SelectorKind) -> (EventLoop<Told>, SimClock) {
    let clock = SimClock::new();
    let builder = EventLoop::builder()
        .selector(loopback::selector(kind))
        .clock(clock.clone())
        .read_buffer(BUFFER);
    let el = builder.build_with(Told::default()).unwrap();
    write_down_reports(&el);
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
struct Bench {
    el: EventLoop<Told>,
    clock: SimClock,
    conn: Transport,
    twin: TcpStream,
    peer: TcpStream,
}

impl Bench {
    fn new(kind: SelectorKind) -> Bench {
        Bench::scripted(kind, |_, _| {})
    }

    fn scripted(kind: SelectorKind, script: fn(&Transport, &Moment)) -> Bench {
        let (mut el, clock) = small(kind);
        let (ours, peer) = tcp_pair();
        peer.set_nodelay(true).unwrap();
        let twin = ours.try_clone().unwrap();
        let script = Recording::new(&Rc::new(()), move |_, _, conn, moment| {
            Ok(conn.map_or((), |conn| script(conn, moment)))
        });
        let conn = el.attach_with(ours, script).unwrap();
        settle(&mut el);
        Bench { el, clock, conn, twin, peer }
    }

    /// Makes the peer send `count` more bytes. Returns when they have arrived.
    fn sends(&mut self, count: usize) {
        let before = rustix::io::ioctl_fionread(&self.twin).unwrap() as usize;
        let at = self.bytes().len() + before;
        self.peer.write_all(&stretch(at, count)).unwrap();
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
        assert!(bytes == stretch(0, bytes.len()), "wrong bytes");
        bytes
    }

    #[track_caller]
    fn settles_with(&mut self, bytes: usize, order: &[Moment]) {
        settle(&mut self.el);
        assert_eq!(self.bytes().len(), bytes);
        assert_eq!(self.el.state().order(), [&[Moment::Made], order].concat());
    }
}

/// For input that ends anywhere in the last read.
#[test]
fn s1_input_longer_than_the_buffer_comes_in_one_tick() {
    on_every_selector(|kind| {
        let mut bench = Bench::new(kind);
        let mut sent = 0;
        for length in [1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 3 * BUFFER - 1] {
            bench.sends(length);
            sent += length;
            assert_eq!(tick(&mut bench.el), 1);
            assert_eq!(bench.bytes().len(), sent, "{length}");
            bench.settles_with(sent, &[]);
        }
        // Connections that are watched level-triggered behave the same.
        let (mut el, _) = small(kind);
        let (ours, mut theirs) = pair();
        el.attach_with(ours, recording()).unwrap();
        settle(&mut el);
        theirs.write_all(&stretch(0, 2 * BUFFER + 1)).unwrap();
        tick(&mut el);
        assert_eq!(el.state().bytes(), stretch(0, 2 * BUFFER + 1));
    });
}

/// One tick does not read all the input. The rest arrives although no further event comes.
#[test]
fn q5_large_input_is_read_over_several_ticks() {
    on_every_selector(|kind| {
        let mut bench = Bench::new(kind);
        bench.sends(MUCH);
        let mut turns = 0;
        while bench.bytes().len() < MUCH {
            let before = bench.bytes().len();
            // Marks that the neighbour ran.
            bench.el.call_soon(|_, told| told.moments.push(Moment::Resume));
            tick(&mut bench.el);
            let came = bench.bytes().len() - before;
            assert!((1..=MUCH / 5).contains(&came), "{came} bytes in one tick");
            let marks = bench.el.state().order().len() - 1;
            assert_eq!(marks, turns + 1, "the neighbour runs in each tick");
            turns += 1;
        }
        settle(&mut bench.el);
    });
}

/// A neighbour's data arrives in time, and so does the data of a peer that never stops sending.
#[test]
fn q5_an_endless_sender_delays_others_by_at_most_two_ticks() {
    on_every_selector(|kind| {
        let mut bench = Bench::new(kind);
        let (ours, mut neighbour) = tcp_pair();
        let twin = ours.try_clone().unwrap();
        let heard = Rc::new(std::cell::Cell::new(0));
        let ear = heard.clone();
        let hear =
            move |_: &_, _: &mut _, _: &Transport, data: &[u8]| Ok(ear.set(ear.get() + data.len()));
        bench.el.attach(ours, hear).unwrap();
        let mut sent = 0;
        for round in 1..=50 {
            bench.sends(MUCH / 2);
            sent += MUCH / 2;
            neighbour.write_all(b"x").unwrap();
            wait_for_bytes(&twin, 1);
            ticks(&mut bench.el, 2);
            assert_eq!(heard.get(), round);
        }
        bench.settles_with(sent, &[]);
    });
}

#[test]
fn s2_a_pause_between_two_reads_of_a_tick_applies_at_once() {
    on_every_selector(|kind| {
        let mut bench = Bench::scripted(kind, |conn, moment| {
            if matches!(moment, Moment::Data(_)) {
                conn.pause_reading();
            }
        });
        bench.sends(3 * BUFFER);
        bench.ends();
        for round in 1..=3 {
            bench.settles_with(round * BUFFER, &[]);
            bench.conn.resume_reading();
        }
        bench.settles_with(3 * BUFFER, &[Moment::Eof]);
    });
}

/// Input left by one tick waits, and nothing spins.
#[test]
fn s2_a_pause_between_two_ticks_loses_nothing() {
    on_every_selector(|kind| {
        let mut bench = Bench::new(kind);
        bench.sends(MUCH);
        tick(&mut bench.el);
        let came = bench.bytes().len();
        bench.conn.pause_reading();
        bench.settles_with(came, &[]);
        bench.sends(BUFFER);
        bench.settles_with(came, &[]);
        bench.conn.resume_reading();
        bench.conn.pause_reading();
        bench.settles_with(came, &[]);
        bench.conn.resume_reading();
        bench.settles_with(MUCH + BUFFER, &[]);
    });
}

#[test]
fn s1_the_end_is_delivered_whenever_it_arrives() {
    on_every_selector(|kind| {
        for length in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, MUCH] {
            // The end arrives with the bytes, after them, or before the first is read.
            let mut bench = Bench::new(kind);
            bench.sends(length);
            bench.ends();
            bench.settles_with(length, &[Moment::Eof]);

            let mut bench = Bench::new(kind);
            bench.sends(length);
            bench.settles_with(length, &[]);
            bench.ends();
            bench.settles_with(length, &[Moment::Eof]);

            let mut bench = Bench::new(kind);
            bench.conn.pause_reading();
            bench.sends(length);
            settle(&mut bench.el);
            bench.ends();
            bench.settles_with(0, &[]);
            bench.conn.resume_reading();
            bench.settles_with(length, &[Moment::Eof]);

            // A half-closed connection causes no events and can still write.
            bench.conn.write(b"still there");
            wait_for_bytes(&bench.peer, 11);
            assert_eq!(tick(&mut bench.el), 0);
        }
    });
}

/// A read stops short at urgent data. No callback gets the urgent byte itself.
#[test]
fn s1_urgent_data_delays_nothing() {
    on_every_selector(|kind| {
        for before in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, MUCH - 1] {
            let mut bench = Bench::new(kind);
            let mut sent = 0;
            for _ in 0..3 {
                bench.sends(before);
                send(&bench.peer, b"!", SendFlags::OOB).unwrap();
                wait_for(&bench.twin, PollFlags::PRI);
                bench.peer.write_all(&stretch(sent + before, 2)).unwrap();
                sent += before + 2;
                tick_until(&mut bench.el, |el| el.state().bytes().len() == sent);
                bench.settles_with(sent, &[]);
            }
        }
    });
}

/// The read that fills the queue is the last one before `pause_writing`.
#[test]
fn s2_pause_writing_comes_before_the_next_read() {
    on_every_selector(|kind| {
        let mut bench = Bench::scripted(kind, |conn, moment| match moment {
            Moment::Data(bytes) => conn.write(bytes),
            Moment::Pause => conn.pause_reading(),
            _ => {}
        });
        bench.conn.set_water_marks(0, u32::MAX);
        bench.conn.write(&vec![0; 10 << 20]);
        // The kernel grows its buffers for some time.
        let mut queued = usize::MAX;
        for _ in 0..100 {
            settle(&mut bench.el);
            if std::mem::replace(&mut queued, bench.conn.queued()) == bench.conn.queued() {
                break;
            }
        }
        assert!(queued > 0);
        bench.conn.set_water_marks(0, queued as u32 + 10);
        bench.sends(MUCH);
        bench.settles_with(2 * BUFFER, &[Moment::Pause]);
        assert_eq!(bench.conn.queued(), queued + 2 * BUFFER);
    });
}

/// The input is already there, so no wait is needed.
#[test]
fn s3_a_close_finds_an_end_that_has_arrived() {
    on_every_selector(|kind| {
        for length in [BUFFER - 1, BUFFER, 2 * BUFFER, MUCH] {
            let mut bench = Bench::scripted(kind, |conn, moment| {
                if matches!(moment, Moment::Data(_)) {
                    conn.close();
                }
            });
            bench.sends(length);
            bench.ends();
            bench.el.run().unwrap();
            let first = length.min(BUFFER);
            bench.settles_with(first, &[Moment::Lost(None)]);
            assert_eq!(bench.clock.elapsed(), Duration::ZERO, "{length}");

            // The same for a close from outside, when a tick left input unread.
            let mut bench = Bench::new(kind);
            bench.sends(MUCH);
            bench.ends();
            tick(&mut bench.el);
            bench.conn.close();
            bench.el.run().unwrap();
            assert_eq!(bench.el.state().loss(), Some(None));
            assert_eq!(bench.clock.elapsed(), Duration::ZERO);
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
        let mut el = builder.build_with(Told::default()).unwrap();
        let (ours, peer) = tcp_pair();
        let script = Recording::new(&Rc::new(()), |_, _, conn, moment| {
            if matches!(moment, Moment::Data(_)) {
                conn.unwrap().close();
            }
            Ok(())
        });
        // Shutting down our side wakes the watchers of the socket, so it comes first.
        el.attach_with(ours, script).unwrap().shutdown_write();
        settle(&mut el);
        fill(&peer);
        peer.shutdown(Shutdown::Write).unwrap();
        let mut ran = 0;
        tick_until(&mut el, |el| {
            ran += 1;
            el.state().loss() == Some(None)
        });
        assert!(ran > 10, "{ran} ticks");
        assert_eq!((el.state().bytes().len(), clock.elapsed()), (256, Duration::ZERO));
    });
}

/// The input is not there yet, so the close waits.
#[test]
fn s3_a_close_waits_for_the_end_of_a_sender() {
    on_every_selector(|kind| {
        let mut bench = Bench::new(kind);
        bench.conn.close();
        settle(&mut bench.el);
        for _ in 0..3 {
            bench.peer.write_all(&[0; MUCH]).unwrap();
            wait_for(&bench.twin, PollFlags::IN);
            settle(&mut bench.el);
            assert_eq!(bench.el.state().loss(), None);
        }
        drop((bench.peer, bench.twin));
        tick_until(&mut bench.el, |el| el.state().loss() == Some(None));
        assert_eq!(bench.clock.elapsed(), Duration::ZERO);
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
fn asked(kind: SelectorKind, attach: impl FnOnce(&mut EventLoop<Told>)) -> Vec<Interest> {
    let (mut el, log) = logged(kind, Told::default());
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
        let tcp = asked(kind, |el| drop(el.attach_with(tcp_pair().0, recording()).unwrap()));
        assert_eq!(tcp, [edge]);
        let unix = asked(kind, |el| drop(el.attach_with(pair().0, recording()).unwrap()));
        assert_eq!(unix, [level]);
        // The listener, the connecting socket, the accepted socket and the connected socket.
        let sockets = asked(kind, |el| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = el.serve_with(listener, recording).unwrap();
            el.connect(address, Duration::from_secs(5), |el, _, socket| {
                el.attach_with(socket?, recording()).map(drop)
            });
            tick_until(el, |el| server.connections() == 1 && el.state().moments.len() == 2);
        });
        let edges = sockets.iter().filter(|it| it.contains(Interest::PRIORITY)).count();
        assert_eq!(edges, if edge == level { 0 } else { 2 }, "{sockets:?}");
        let given_back = asked(kind, |el| {
            let socket = TaskStream::from_std(tcp_pair().0).unwrap().into_socket();
            el.attach_with(socket, recording()).unwrap();
        });
        assert_eq!(given_back, [edge]);
    });
}
