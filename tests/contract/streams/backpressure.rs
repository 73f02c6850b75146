//! Back-pressure: writes never block or fail, and the water-mark callbacks alternate
//! (docs/contract.md, S2).

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mainspring::net::{Protocol, Transport};
use mainspring::{EventLoop, LoopHandle, Result, SelectorKind};

use crate::support::bytes::pattern;
use crate::support::descriptors::{fill, pair};
use crate::support::protocol::{
    Callback, Record, Recorder, recorder, recording_loop, tick_until, tick_until_idle,
};
use crate::support::ticks::{tick, wait_until};
use crate::support::{on_every_selector, simulated};

const HIGH: usize = 64 * 1024;
const LOW: usize = 16 * 1024;

/// Returns a connection with a full kernel buffer, so that everything written is queued.
fn full_connection(kind: SelectorKind) -> (EventLoop<Record>, Transport, UnixStream) {
    let (mut el, _) = recording_loop(kind);
    let (ours, theirs) = pair();
    fill(&ours);
    let conn = el.attach_with(ours, recorder()).unwrap();
    tick(&mut el);
    theirs.set_nonblocking(true).unwrap();
    (el, conn, theirs)
}

/// Reads and returns what is available.
fn drain(peer: &mut UnixStream) -> Vec<u8> {
    let mut got = Vec::new();
    match peer.read_to_end(&mut got) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
        _ => got,
    }
}

fn marks(el: &EventLoop<Record>) -> Vec<Callback> {
    el.state().order().split_off(1)
}

#[test]
fn s2_a_write_beyond_the_kernel_buffer_is_queued_completely() {
    on_every_selector(|kind| {
        let (mut el, conn, mut theirs) = full_connection(kind);
        let text = pattern(0, 5_000_000);
        conn.write(&text);
        assert_eq!(conn.queued(), text.len());
        let mut got = Vec::new();
        while conn.queued() > 0 {
            got.extend(drain(&mut theirs));
            tick(&mut el);
        }
        got.extend(drain(&mut theirs));
        assert!(got.ends_with(&text));
        assert!(!conn.is_closing());
    });
}

#[test]
fn s2_the_default_marks_are_exactly_64_and_16_kib() {
    on_every_selector(|kind| {
        let (mut el, conn, mut theirs) = full_connection(kind);
        conn.write(&vec![0; HIGH]);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), []);
        conn.write(b"x");
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause]);
        conn.write(&[0; 1000]);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause], "pause_writing is called once");
        while marks(&el) == [Callback::Pause] {
            assert!(conn.queued() > LOW, "{} bytes queued, but not resumed", conn.queued());
            theirs.read_exact(&mut [0; 1000]).unwrap();
            tick(&mut el);
        }
        assert_eq!(marks(&el), [Callback::Pause, Callback::Resume]);
        assert!(conn.queued() <= LOW);
        conn.write(&vec![0; 4 * HIGH]);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause, Callback::Resume, Callback::Pause]);
    });
}

#[test]
fn s2_custom_marks_apply_at_once_and_may_be_zero() {
    on_every_selector(|kind| {
        let (mut el, conn, mut theirs) = full_connection(kind);
        conn.write(&[0; 100]);
        conn.set_water_marks(10, 100);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), []);
        conn.set_water_marks(10, 99);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause]);
        conn.set_water_marks(99, 200);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause]);
        conn.set_water_marks(100, 200);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause, Callback::Resume]);
        conn.set_water_marks(0, 0);
        tick_until_idle(&mut el);
        drain(&mut theirs);
        tick_until_idle(&mut el);
        let both = [Callback::Pause, Callback::Resume];
        assert_eq!(marks(&el), [both.clone(), both.clone()].concat());
        assert_eq!(conn.queued(), 0);
        conn.write(b"taken at once");
        tick_until_idle(&mut el);
        assert_eq!(marks(&el).len(), 4);
        let wrong = catch_unwind(AssertUnwindSafe(|| conn.set_water_marks(2, 1)));
        assert!(wrong.is_err());
        conn.set_water_marks(u32::MAX, u32::MAX);
    });
}

/// Bytes that a protocol writes in `resume_writing` count at once: `pause_writing` must follow
/// without waiting for the peer.
#[test]
fn s2_a_queue_filled_in_resume_writing_pauses_again() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        fill(&ours);
        let script = Recorder::new(&Rc::new(()), |_, record: &mut Record, conn, callback| {
            if *callback == Callback::Resume && record.callbacks.len() < 10 {
                conn.unwrap().write(&[0; 1 << 20]);
            }
            Ok(())
        });
        let conn = el.attach_with(ours, script).unwrap();
        conn.write(&[0; HIGH + 1]);
        tick_until_idle(&mut el);
        theirs.set_nonblocking(true).unwrap();
        while marks(&el).len() < 2 {
            theirs.read_exact(&mut [0; 1000]).unwrap();
            tick(&mut el);
        }
        assert!(conn.queued() > HIGH);
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Pause, Callback::Resume, Callback::Pause]);
        drain(&mut theirs);
    });
}

/// The callbacks of the water marks may change the marks.
#[test]
fn s2_marks_changed_in_their_callbacks_apply_at_once() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, _theirs) = pair();
        fill(&ours);
        let script = Recorder::new(&Rc::new(()), |_, record: &mut Record, conn, callback| {
            if record.callbacks.len() < 10 {
                match callback {
                    Callback::Pause => conn.unwrap().set_water_marks(1000, 2000),
                    Callback::Resume => conn.unwrap().set_water_marks(10, 20),
                    _ => {}
                }
            }
            Ok(())
        });
        let conn = el.attach_with(ours, script).unwrap();
        conn.set_water_marks(10, 20);
        conn.write(&[0; 1000]);
        tick_until_idle(&mut el);
        assert!(marks(&el).len() >= 8, "{:?}", marks(&el));
        el.state().assert_in_order();
    });
}

/// A peer that writes and does not read cannot make the queue grow without limit: by default
/// reading pauses.
#[test]
fn s2_by_default_a_peer_that_reads_nothing_is_not_read() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach(ours, |_, _, conn, data| Ok(conn.write(data))).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut sent, mut most) = (0, 0);
        while conn.is_reading() {
            assert!(sent < 50 << 20, "reading from a peer that reads nothing never pauses");
            let piece = pattern(sent, 4096);
            sent += (&theirs).write(&piece).unwrap_or(0);
            tick(&mut el);
            most = most.max(conn.queued());
        }
        tick_until_idle(&mut el);
        assert!(most > HIGH && most <= HIGH + 64 * 1024, "{most} bytes queued");
        while let Ok(count) = (&theirs).write(&pattern(sent, 4096)) {
            sent += count;
            assert_eq!(tick(&mut el), 0, "the connection is still read");
        }
        let mut got = Vec::new();
        tick_until(&mut el, |_| {
            got.extend(drain(&mut theirs));
            got.len() == sent
        });
        assert!(got == pattern(0, sent));
        assert!(conn.is_reading());
    });
}

/// Reading can be paused for two reasons: by the user, and by default while the queue is long. Each
/// pause ends only by its own cause.
#[test]
fn s2_a_pause_of_the_user_outlasts_that_of_a_long_queue() {
    on_every_selector(|kind| {
        for user_is_first in [false, true] {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let note = |_: &LoopHandle<_>, record: &mut Record, conn: &Transport, data: &[u8]| {
                record.callbacks.push(Callback::Data(data.to_vec()));
                conn.write(&pattern(0, 1 << 20));
                Ok(conn.pause_reading())
            };
            let conn = el.attach(ours, note).unwrap();
            theirs.write_all(b"first").unwrap();
            tick_until_idle(&mut el);
            theirs.write_all(b"second").unwrap();
            theirs.set_nonblocking(true).unwrap();
            if user_is_first {
                conn.resume_reading();
                tick_until_idle(&mut el);
                assert!(el.state().bytes() == b"first" && conn.queued() > HIGH);
            }
            let mut got = 0;
            tick_until(&mut el, |_| {
                got += drain(&mut theirs).len();
                got >= 1 << 20
            });
            if !user_is_first {
                tick_until_idle(&mut el);
                assert!(!conn.is_reading() && el.state().bytes() == b"first");
                conn.resume_reading();
            }
            tick_until(&mut el, |el| el.state().bytes() == b"firstsecond");
        }
    });
}

/// The pause by the default `pause_writing` ends at the low-water mark, whatever protocol the
/// connection has by then.
#[test]
fn s2_a_default_pause_ends_after_the_protocol_is_replaced() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        fill(&ours);
        let conn = el.attach(ours, |_, _, _, _| Ok(())).unwrap();
        conn.write(&[0; HIGH + 1]);
        tick_until_idle(&mut el);
        assert!(!conn.is_reading());
        el.set_protocol(&conn, recorder()).unwrap();
        theirs.set_nonblocking(true).unwrap();
        tick_until(&mut el, |_| {
            drain(&mut theirs);
            conn.queued() == 0
        });
        tick_until_idle(&mut el);
        assert_eq!(marks(&el), [Callback::Resume]);
        theirs.write_all(b"question").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"question");
    });
}

/// Counts its input, and calls the default `pause_writing` each time.
struct Pausing;

impl Protocol<usize> for Pausing {
    fn data_received(
        &mut self,
        el: &LoopHandle<usize>,
        received: &mut usize,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        *received += data.len();
        self.pause_writing(el, received, conn)
    }
}

/// No callback would end the pause.
#[test]
fn s2_the_default_pauses_nothing_while_the_queue_is_short() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, Pausing).unwrap();
        for received in [8, 16] {
            theirs.write_all(b"question").unwrap();
            wait_until(&mut el, |el| *el.state() == received);
            assert!(conn.is_reading());
        }
    });
}

#[test]
fn s2_paused_reading_delivers_nothing_and_loses_nothing() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        tick_until_idle(&mut el);
        theirs.write_all(b"while it is read, ").unwrap();
        // The pause takes effect although the event may already be in the deque.
        let paused = conn.clone();
        el.call_soon(move |_, _| paused.pause_reading());
        tick_until_idle(&mut el);
        assert!(!conn.is_reading());
        theirs.write_all(b"while it is not").unwrap();
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"");
        conn.write(b"answer");
        assert_eq!(drain_exactly(&mut theirs, 6), b"answer");
        conn.resume_reading();
        conn.resume_reading();
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"while it is read, while it is not");
        conn.pause_reading();
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!(el.state().order(), [Callback::Made], "the end is held back too");
        conn.resume_reading();
        tick_until_idle(&mut el);
        assert_eq!(el.state().order(), [Callback::Made, Callback::Eof]);
        conn.resume_reading();
        assert!(!conn.is_reading());
        tick_until_idle(&mut el);
    });
}

fn drain_exactly(peer: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}
