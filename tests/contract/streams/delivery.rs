//! Bytes arrive complete and in order, and the end comes after the last byte (docs/contract.md,
//! S1).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{PipePair, Transport, TransportStream};
use mainspring::{EventLoop, SelectorKind};
use mainspring_sys::socket;
use rustix::event::PollFlags;

use crate::support::bytes::{Dice, stretch};
use crate::support::descriptors::{fill, pair, tcp_pair, wait_for};
use crate::support::protocol::{
    Moment, Recording, Told, recorded, recording, settle, tick_until, write_down_reports,
};
use crate::support::selector::logged;
use crate::support::ticks::tick;
use crate::support::{cases, loopback, on_every_selector};

/// The peer sends data and closes before the first tick, so hang-up and data arrive together.
fn check_all_before_the_end<T: TransportStream + 'static>(
    kind: SelectorKind,
    ours: T,
    peer: impl Write + AsFd,
) {
    let name = std::any::type_name::<T>();
    let text = stretch(0, 1000);
    let builder = EventLoop::builder().selector(loopback::selector(kind)).read_buffer(7);
    let mut el = builder.build_with(Told::default()).unwrap();
    let fd = ours.reader().as_raw_fd();
    let script = Recording::new(&Rc::new(()), |_, _, conn, moment| {
        if *moment == Moment::Eof {
            conn.unwrap().close();
        }
        Ok(())
    });
    el.attach_with(ours, script).unwrap();
    let mut peer = peer;
    peer.write_all(&text).unwrap();
    drop(peer);
    tick_until(&mut el, |el| el.state().loss().is_some());
    el.state().assert_in_order();
    assert_eq!(el.state().order(), [Moment::Made, Moment::Eof, Moment::Lost(None)], "{name} {fd}");
    assert_eq!(el.state().bytes(), text, "{name}");
    assert!(el.state().moments.len() > 1000 / 7);
}

#[test]
fn s1_the_end_comes_after_the_last_byte_even_with_a_hang_up() {
    on_every_selector(|kind| {
        let (ours, theirs) = tcp_pair();
        check_all_before_the_end(kind, ours, theirs);
        let (ours, theirs) = pair();
        check_all_before_the_end(kind, ours, theirs);
        let ((reader, to_us), (_from_us, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        check_all_before_the_end(kind, PipePair::new(reader, writer), to_us);
    });
}

#[test]
fn s1_sockets_of_the_loop_carry_bytes_both_ways() {
    on_every_selector(|kind| {
        let (mut el, _) = recorded(kind);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = el.serve(listener, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        el.connect(address, Duration::from_secs(5), |el, _, socket| {
            let script = Recording::new(&Rc::new(()), |_, told: &mut Told, conn, moment| {
                match (conn, moment) {
                    (Some(conn), Moment::Made) => conn.write(&stretch(0, 100_000)),
                    (Some(conn), Moment::Eof) => conn.close(),
                    (Some(conn), _) if told.bytes().len() == 100_000 => conn.shutdown_write(),
                    _ => {}
                }
                Ok(())
            });
            el.attach_with(socket?, script).map(drop)
        });
        tick_until(&mut el, |el| el.state().loss() == Some(None));
        el.state().assert_in_order();
        assert!(el.state().bytes() == stretch(0, 100_000));
        tick_until(&mut el, |_| server.connections() == 0);
    });
}

/// The peer shuts down its writing side, and ours goes on (P83).
fn check_half_close<T>(kind: SelectorKind, ours: T, mut peer: T, half: fn(&T))
where
    T: TransportStream + Read + 'static,
{
    let (mut el, log) = logged(kind, Told::default());
    write_down_reports(&el);
    let conn = el.attach_with(ours, recording()).unwrap();
    half(&peer);
    tick_until(&mut el, |el| el.state().moments.contains(&Moment::Eof));
    log.take();
    let mut buffer = [0; 1000];
    for round in 0..100 {
        conn.write(&stretch(round * 1000, 1000));
        peer.read_exact(&mut buffer).unwrap();
        assert!(buffer[..] == stretch(round * 1000, 1000)[..]);
        assert_eq!(tick(&mut el), 0, "round {round} had something to run");
    }
    assert_eq!(log.take(), [], "changes of registrations");
    assert_eq!(el.state().order(), [Moment::Made, Moment::Eof]);
    conn.write(b"never read");
    drop(peer);
    for _ in 0..100 {
        conn.write(b"to nobody");
        tick(&mut el);
    }
    let loss = el.state().loss().flatten();
    assert!(matches!(loss, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)), "{loss:?}");
    assert_eq!(el.state().reports, []);
    settle(&mut el);
}

#[test]
fn s1_after_the_peers_half_close_writing_goes_on() {
    on_every_selector(|kind| {
        let (ours, theirs) = tcp_pair();
        check_half_close(kind, ours, theirs, |it| it.shutdown(Shutdown::Write).unwrap());
        let (ours, theirs) = pair();
        check_half_close(kind, ours, theirs, |it| it.shutdown(Shutdown::Write).unwrap());
    });
}

#[test]
fn s1_after_our_half_close_reading_goes_on() {
    on_every_selector(|kind| {
        let (mut el, _) = recorded(kind);
        let (ours, mut theirs) = pair();
        fill(&ours);
        let conn = el.attach_with(ours, recording()).unwrap();
        conn.write(b"the last");
        conn.shutdown_write();
        conn.shutdown_write();
        conn.write(b"too late");
        conn.write_vectored(&[IoSlice::new(b"too late")]);
        assert_eq!(conn.queued(), 8);
        assert!(!conn.is_closing() && conn.is_reading());
        tick(&mut el);
        theirs.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        assert_eq!(theirs.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
        settle(&mut el);
        theirs.read_to_end(&mut got).unwrap();
        assert!(got.ends_with(b"the last"));
        theirs.write_all(b"still heard").unwrap();
        settle(&mut el);
        assert_eq!(el.state().bytes(), b"still heard");
        assert!(!conn.is_closing());
        crate::support::descriptors::hang_up(theirs);
        settle(&mut el);
        assert_eq!(el.state().order(), [Moment::Made, Moment::Eof, Moment::Lost(None)]);
        el.run().unwrap();
    });
}

/// When both directions have ended, whichever was first, and the queue is sent, the connection
/// ends.
#[test]
fn s3_a_connection_ends_when_both_directions_have_ended() {
    on_every_selector(|kind| {
        for queued in [0, 1 << 20] {
            let (mut el, _) = recorded(kind);
            let (ours, mut theirs) = pair();
            let conn = el.attach_with(ours, recording()).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            settle(&mut el);
            conn.write(&stretch(0, queued));
            conn.shutdown_write();
            settle(&mut el);
            assert_eq!(el.state().loss().is_some(), queued == 0);
            theirs.set_nonblocking(true).unwrap();
            let mut got = Vec::new();
            while theirs.read_to_end(&mut got).is_err() {
                tick(&mut el);
            }
            assert!(got == stretch(0, queued));
            settle(&mut el);
            assert_eq!(el.state().loss(), Some(None));
            assert_eq!(el.state().reports, []);
            el.run().unwrap();
        }
    });
}

/// Writes pieces of random sizes, except between `pause_writing` and `resume_writing` (P86).
struct Sender {
    dice: Dice,
    sent: usize,
    total: usize,
    most_queued: usize,
}

impl Sender {
    fn send(&mut self, told: &Told, conn: &Transport) {
        let is_tide = |it: &&Moment| matches!(it, Moment::Pause | Moment::Resume);
        let tide = told.moments.iter().rev().find(is_tide);
        if tide == Some(&Moment::Pause) || self.sent == self.total {
            return;
        }
        let size = self.dice.below(40_000).min(self.total - self.sent);
        let piece = stretch(self.sent, size);
        match self.dice.below(2) {
            0 => conn.write(&piece),
            _ => {
                let (a, rest) = piece.split_at(self.dice.below(size + 1));
                let (b, c) = rest.split_at(self.dice.below(rest.len() + 1));
                conn.write_vectored(&[a, b, &[], c].map(IoSlice::new));
            }
        }
        self.sent += size;
        self.most_queued = self.most_queued.max(conn.queued());
    }
}

/// Reads a random amount. Returns the total read so far.
fn sip(dice: &mut Dice, peer: &mut impl Read, read: usize) -> usize {
    let mut buffer = vec![0; 1 + dice.below(24_000)];
    match peer.read(&mut buffer) {
        Ok(count) => {
            assert!(buffer[..count] == stretch(read, count)[..], "wrong bytes after {read}");
            read + count
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => read,
        Err(error) => panic!("{error}"),
    }
}

fn check_a_slow_reader<T>(kind: SelectorKind, total: usize, ours: T, mut peer: impl Read)
where
    T: TransportStream + 'static,
{
    let (mut el, _) = recorded(kind);
    let mut reading = Dice::new(86);
    let conn = el.attach_with(ours, recording()).unwrap();
    let mut sender = Sender { dice: Dice::new(68), sent: 0, total, most_queued: 0 };
    let mut read = 0;
    while read < total {
        sender.send(el.state(), &conn);
        tick(&mut el);
        read = sip(&mut reading, &mut peer, read);
    }
    settle(&mut el);
    el.state().assert_in_order();
    let tides = el.state().moments.len() - 1;
    assert!(tides >= 8 && tides % 2 == 0, "{tides} water-mark callbacks");
    assert!(sender.most_queued <= 64 * 1024 + 40_000, "{} queued", sender.most_queued);
    assert_eq!(conn.queued(), 0);
}

/// Megabytes through a small send buffer to a slow reader (P86).
#[test]
fn s1_megabytes_reach_a_slow_reader_through_a_small_buffer() {
    on_every_selector(|kind| {
        let (ours, theirs) = tcp_pair();
        socket::set_send_buffer(&ours, 4096).unwrap();
        theirs.set_nonblocking(true).unwrap();
        // With a buffer this small, TCP often waits for delayed acknowledgements.
        check_a_slow_reader(kind, 1 << 20, ours, theirs);
        let (ours, theirs) = pair();
        socket::set_send_buffer(&ours, 4096).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let many = (cases(64) as usize) << 20;
        check_a_slow_reader(kind, many, ours, theirs);
        let ((us, _to_us), (reader, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        check_a_slow_reader(kind, many, PipePair::new(us, writer), reader);
    });
}

/// Some event loops never report to the writer of a pipe that its reader has closed.
#[test]
fn s1_a_pipe_without_reader_is_an_error_of_its_writer() {
    on_every_selector(|kind| {
        let (mut el, _) = recorded(kind);
        let ((us, mut to_us), (reader, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let conn = el.attach_with(PipePair::new(us, writer), recording()).unwrap();
        conn.write(&[0; 1 << 20]);
        settle(&mut el);
        to_us.write_all(b"heard").unwrap();
        settle(&mut el);
        assert_eq!(el.state().bytes(), b"heard");
        drop(reader);
        tick_until(&mut el, |el| el.state().loss().is_some());
        assert_eq!(el.state().loss(), Some(Some(ErrorKind::BrokenPipe)));
        settle(&mut el);
    });
}

#[test]
fn s1_the_pipes_of_a_pair_end_separately() {
    on_every_selector(|kind| {
        let (mut el, _) = recorded(kind);
        let ((us, mut to_us), (mut reader, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let conn = el.attach_with(PipePair::new(us, writer), recording()).unwrap();
        conn.write(&stretch(0, 200_000));
        conn.shutdown_write();
        tick(&mut el);
        assert!(conn.queued() > 0);
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let mut got = Vec::new();
        while reader.read_to_end(&mut got).is_err() {
            tick(&mut el);
        }
        assert!(got == stretch(0, 200_000));
        to_us.write_all(b"heard").unwrap();
        drop(to_us);
        settle(&mut el);
        assert_eq!(el.state().bytes(), b"heard");
        assert!(el.state().moments.contains(&Moment::Eof));
        assert_eq!(el.state().loss(), Some(None));
    });
}

#[test]
fn s1_a_reset_by_the_peer_is_an_error_once() {
    on_every_selector(|kind| {
        for queued in [0, 1 << 20] {
            let (mut el, _) = recorded(kind);
            let (ours, theirs) = tcp_pair();
            let conn = el.attach_with(ours, recording()).unwrap();
            conn.write(&vec![0; queued]);
            settle(&mut el);
            socket::set_linger_zero(&theirs, true).unwrap();
            drop(theirs);
            tick_until(&mut el, |el| el.state().loss().is_some());
            assert_eq!(el.state().loss(), Some(Some(ErrorKind::ConnectionReset)));
            assert!(!el.state().moments.contains(&Moment::Eof));
            settle(&mut el);
            assert_eq!(el.state().reports, [], "a reset is not reported");
        }
    });
}

/// The peer is a thread, so its bytes arrive at any time relative to the ticks.
#[test]
fn s1_a_thread_and_the_loop_exchange_bytes() {
    on_every_selector(|kind| {
        let (mut el, _) = recorded(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recording()).unwrap();
        let thread = std::thread::spawn(move || -> io::Result<UnixStream> {
            let mut line = [0; 5];
            for _ in 0..100 {
                theirs.write_all(b"hello")?;
                theirs.read_exact(&mut line)?;
                assert_eq!(&line, b"world");
            }
            Ok(theirs)
        });
        for round in 1..=100 {
            while el.state().bytes().len() < round * 5 {
                el.tick(None).unwrap();
            }
            conn.write(b"world");
        }
        let theirs = thread.join().unwrap().unwrap();
        wait_for(&theirs, PollFlags::OUT);
        conn.close();
        crate::support::descriptors::hang_up(theirs);
        settle(&mut el);
        assert_eq!(el.state().bytes(), b"hello".repeat(100));
        assert_eq!(el.state().loss(), Some(None));
    });
}
