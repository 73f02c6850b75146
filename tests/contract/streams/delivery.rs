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

use crate::support::bytes::{RandomNumbers, pattern};
use crate::support::descriptors::{fill, pair, tcp_pair, wait_for};
use crate::support::protocol::{
    Callback, Record, Recorder, record_reports, recorder, recording_loop, tick_until,
    tick_until_idle,
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
    let text = pattern(0, 1000);
    let builder = EventLoop::builder().selector(loopback::selector(kind)).read_buffer(7);
    let mut el = builder.build_with(Record::default()).unwrap();
    let fd = ours.reader().as_raw_fd();
    let script = Recorder::new(&Rc::new(()), |_, _, conn, callback| {
        if *callback == Callback::Eof {
            conn.unwrap().close();
        }
        Ok(())
    });
    el.attach_with(ours, script).unwrap();
    let mut peer = peer;
    peer.write_all(&text).unwrap();
    drop(peer);
    tick_until(&mut el, |el| el.state().lost_reason().is_some());
    el.state().assert_in_order();
    assert_eq!(
        el.state().order(),
        [Callback::Made, Callback::Eof, Callback::Lost(None)],
        "{name} {fd}"
    );
    assert_eq!(el.state().bytes(), text, "{name}");
    assert!(el.state().callbacks.len() > 1000 / 7);
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
        let (mut el, _) = recording_loop(kind);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = el.serve(listener, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        el.connect(address, Duration::from_secs(60), |el, _, socket| {
            let script = Recorder::new(&Rc::new(()), |_, record: &mut Record, conn, callback| {
                match (conn, callback) {
                    (Some(conn), Callback::Made) => conn.write(&pattern(0, 100_000)),
                    (Some(conn), Callback::Eof) => conn.close(),
                    (Some(conn), _) if record.bytes().len() == 100_000 => conn.shutdown_write(),
                    _ => {}
                }
                Ok(())
            });
            el.attach_with(socket?, script).map(drop)
        });
        tick_until(&mut el, |el| el.state().lost_reason() == Some(None));
        el.state().assert_in_order();
        assert!(el.state().bytes() == pattern(0, 100_000));
        tick_until(&mut el, |_| server.connections() == 0);
    });
}

/// The peer shuts down its writing side, and ours continues (P83).
fn check_half_close<T>(kind: SelectorKind, ours: T, mut peer: T, half: fn(&T))
where
    T: TransportStream + Read + 'static,
{
    let (mut el, log) = logged(kind, Record::default());
    record_reports(&el);
    let conn = el.attach_with(ours, recorder()).unwrap();
    half(&peer);
    tick_until(&mut el, |el| el.state().callbacks.contains(&Callback::Eof));
    log.take();
    let mut buffer = [0; 1000];
    for round in 0..100 {
        conn.write(&pattern(round * 1000, 1000));
        peer.read_exact(&mut buffer).unwrap();
        assert!(buffer[..] == pattern(round * 1000, 1000)[..]);
        assert_eq!(tick(&mut el), 0, "round {round} had something to run");
    }
    assert_eq!(log.take(), [], "changes of registrations");
    assert_eq!(el.state().order(), [Callback::Made, Callback::Eof]);
    conn.write(b"never read");
    drop(peer);
    tick_until(&mut el, |el| {
        conn.write(b"unread");
        el.state().lost_reason().is_some()
    });
    let lost_reason = el.state().lost_reason().flatten();
    assert!(
        matches!(lost_reason, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)),
        "{lost_reason:?}"
    );
    assert_eq!(el.state().reports, []);
    tick_until_idle(&mut el);
}

#[test]
fn s1_after_the_peers_half_close_writing_continues() {
    on_every_selector(|kind| {
        let (ours, theirs) = tcp_pair();
        check_half_close(kind, ours, theirs, |it| it.shutdown(Shutdown::Write).unwrap());
        let (ours, theirs) = pair();
        check_half_close(kind, ours, theirs, |it| it.shutdown(Shutdown::Write).unwrap());
    });
}

#[test]
fn s1_after_our_half_close_reading_continues() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        fill(&ours);
        let conn = el.attach_with(ours, recorder()).unwrap();
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
        tick_until_idle(&mut el);
        theirs.read_to_end(&mut got).unwrap();
        assert!(got.ends_with(b"the last"));
        theirs.write_all(b"still received").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"still received");
        assert!(!conn.is_closing());
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!(el.state().order(), [Callback::Made, Callback::Eof, Callback::Lost(None)]);
        el.run().unwrap();
    });
}

/// When both directions have ended, whichever was first, and the queue is sent, the connection
/// ends.
#[test]
fn s3_a_connection_ends_when_both_directions_have_ended() {
    on_every_selector(|kind| {
        for queued in [0, 1 << 20] {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            tick_until_idle(&mut el);
            conn.write(&pattern(0, queued));
            conn.shutdown_write();
            tick_until_idle(&mut el);
            assert_eq!(el.state().lost_reason().is_some(), queued == 0);
            theirs.set_nonblocking(true).unwrap();
            let mut got = Vec::new();
            while theirs.read_to_end(&mut got).is_err() {
                tick(&mut el);
            }
            assert!(got == pattern(0, queued));
            tick_until_idle(&mut el);
            assert_eq!(el.state().lost_reason(), Some(None));
            assert_eq!(el.state().reports, []);
            el.run().unwrap();
        }
    });
}

/// Writes pieces of random sizes, except between `pause_writing` and `resume_writing` (P86).
struct Sender {
    random: RandomNumbers,
    sent: usize,
    total: usize,
    most_queued: usize,
}

impl Sender {
    fn send(&mut self, record: &Record, conn: &Transport) {
        let is_mark = |it: &&Callback| matches!(it, Callback::Pause | Callback::Resume);
        let last_mark = record.callbacks.iter().rev().find(is_mark);
        if last_mark == Some(&Callback::Pause) || self.sent == self.total {
            return;
        }
        let size = self.random.below(40_000).min(self.total - self.sent);
        let piece = pattern(self.sent, size);
        match self.random.below(2) {
            0 => conn.write(&piece),
            _ => {
                let (a, rest) = piece.split_at(self.random.below(size + 1));
                let (b, c) = rest.split_at(self.random.below(rest.len() + 1));
                conn.write_vectored(&[a, b, &[], c].map(IoSlice::new));
            }
        }
        self.sent += size;
        self.most_queued = self.most_queued.max(conn.queued());
    }
}

/// Reads a random amount. Returns the total read so far.
fn read_some(random: &mut RandomNumbers, peer: &mut impl Read, read: usize) -> usize {
    let mut buffer = vec![0; 1 + random.below(24_000)];
    match peer.read(&mut buffer) {
        Ok(count) => {
            assert!(buffer[..count] == pattern(read, count)[..], "wrong bytes after {read}");
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
    let (mut el, _) = recording_loop(kind);
    let mut reading = RandomNumbers::new(86);
    let conn = el.attach_with(ours, recorder()).unwrap();
    let mut sender = Sender { random: RandomNumbers::new(68), sent: 0, total, most_queued: 0 };
    let mut read = 0;
    while read < total {
        sender.send(el.state(), &conn);
        tick(&mut el);
        read = read_some(&mut reading, &mut peer, read);
    }
    tick_until_idle(&mut el);
    el.state().assert_in_order();
    let marks = el.state().callbacks.len() - 1;
    assert!(marks >= 8 && marks % 2 == 0, "{marks} water-mark callbacks");
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
        let (mut el, _) = recording_loop(kind);
        let ((us, mut to_us), (reader, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let conn = el.attach_with(PipePair::new(us, writer), recorder()).unwrap();
        conn.write(&[0; 1 << 20]);
        tick_until_idle(&mut el);
        to_us.write_all(b"received").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"received");
        drop(reader);
        tick_until(&mut el, |el| el.state().lost_reason().is_some());
        assert_eq!(el.state().lost_reason(), Some(Some(ErrorKind::BrokenPipe)));
        tick_until_idle(&mut el);
    });
}

#[test]
fn s1_the_pipes_of_a_pair_end_separately() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let ((us, mut to_us), (mut reader, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let conn = el.attach_with(PipePair::new(us, writer), recorder()).unwrap();
        conn.write(&pattern(0, 200_000));
        conn.shutdown_write();
        tick(&mut el);
        assert!(conn.queued() > 0);
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let mut got = Vec::new();
        while reader.read_to_end(&mut got).is_err() {
            tick(&mut el);
        }
        assert!(got == pattern(0, 200_000));
        to_us.write_all(b"received").unwrap();
        drop(to_us);
        tick_until(&mut el, |el| el.state().lost_reason().is_some());
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"received");
        assert!(el.state().callbacks.contains(&Callback::Eof));
        assert_eq!(el.state().lost_reason(), Some(None));
    });
}

#[test]
fn s1_a_reset_by_the_peer_is_an_error_once() {
    on_every_selector(|kind| {
        for queued in [0, 1 << 20] {
            let (mut el, _) = recording_loop(kind);
            let (ours, theirs) = tcp_pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            conn.write(&vec![0; queued]);
            tick_until_idle(&mut el);
            socket::set_linger_zero(&theirs, true).unwrap();
            drop(theirs);
            tick_until(&mut el, |el| el.state().lost_reason().is_some());
            assert_eq!(el.state().lost_reason(), Some(Some(ErrorKind::ConnectionReset)));
            assert!(!el.state().callbacks.contains(&Callback::Eof));
            tick_until_idle(&mut el);
            assert_eq!(el.state().reports, [], "a reset is not reported");
        }
    });
}

/// The peer is a thread, so its bytes arrive at any time relative to the ticks.
#[test]
fn s1_a_thread_and_the_loop_exchange_bytes() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
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
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"hello".repeat(100));
        assert_eq!(el.state().lost_reason(), Some(None));
    });
}
