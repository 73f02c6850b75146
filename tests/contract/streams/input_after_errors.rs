//! Input that has arrived is delivered, even if the other direction fails (docs/contract.md, S1).

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Transport, TransportStream};
use mainspring::{EventLoop, SelectorKind};
use rustix::event::PollFlags;

use crate::support::bytes::pattern;
use crate::support::custom_stream::AlteredStream;
use crate::support::descriptors::{pair, tcp_pair, wait_for};
use crate::support::on_every_selector;
use crate::support::protocol::{
    Callback, Record, Recorder, recorder, recording_loop, tick_until, tick_until_idle,
};
use crate::support::ticks::tick;

/// More bytes than one tick reads, and no multiple of the buffer size.
const ANSWER: usize = 30_000;

/// Returns a loop that needs several reads for the answer.
fn small_buffer_loop(kind: SelectorKind) -> EventLoop<Record> {
    let builder = EventLoop::builder().selector(kind).read_buffer(1000);
    builder.build_with(Record::default()).unwrap()
}

#[track_caller]
fn assert_answered(el: &mut EventLoop<Record>, kinds: &[ErrorKind]) {
    tick_until(el, |el| el.state().lost_reason().is_some());
    tick_until_idle(el);
    let record = el.state();
    assert_eq!(record.bytes().len(), ANSWER);
    assert!(record.bytes() == pattern(0, ANSWER));
    let reason = record.lost_reason().flatten().expect("the connection ended with an error");
    assert!(kinds.contains(&reason), "{reason:?}");
    assert!(!record.callbacks.contains(&Callback::Eof), "the end is part of the error");
}

const RESET: [ErrorKind; 2] = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];

/// Ways in which reading is paused: by the long queue, also by the user, not at all.
const HELD: [fn(&Transport); 3] = [
    |conn| conn.write(&[0; 16 << 20]),
    |conn| {
        conn.pause_reading();
        conn.write(&[0; 16 << 20]);
    },
    |conn| {
        conn.set_water_marks(32 << 20, 32 << 20);
        conn.write(&[0; 16 << 20]);
    },
];

#[test]
fn s1_an_early_answer_before_a_reset_is_delivered_over_tcp() {
    on_every_selector(|kind| {
        for hold in HELD {
            let mut el = small_buffer_loop(kind);
            let (ours, mut theirs) = tcp_pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            tick_until_idle(&mut el);
            hold(&conn);
            tick_until_idle(&mut el);
            assert!(conn.queued() > 0);
            theirs.write_all(&pattern(0, ANSWER)).unwrap();
            drop(theirs); // With unread input, which resets the connection.
            assert_answered(&mut el, &RESET);
            assert!(conn.is_closing() && conn.queued() == 0);
        }
    });
}

#[test]
fn s1_an_early_answer_before_a_reset_is_delivered_over_unix_sockets() {
    on_every_selector(|kind| {
        for hold in HELD {
            let mut el = small_buffer_loop(kind);
            let (ours, mut theirs) = pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            tick_until_idle(&mut el);
            hold(&conn);
            tick_until_idle(&mut el);
            theirs.write_all(&pattern(0, ANSWER)).unwrap();
            drop(theirs);
            assert_answered(&mut el, &RESET);
        }
    });
}

/// Calls that get the error between two ticks.
#[test]
fn s1_an_error_of_a_call_between_ticks_loses_no_input() {
    let calls: [fn(&Transport); 2] = [
        |conn| conn.write(b"more"),
        |conn| conn.write_vectored(&[IoSlice::new(b"m"), IoSlice::new(b"ore")]),
    ];
    on_every_selector(|kind| {
        for call in calls {
            for paused in [false, true] {
                let mut el = small_buffer_loop(kind);
                let (ours, mut theirs) = pair();
                let watched = ours.try_clone().unwrap();
                let conn = el.attach_with(ours, recorder()).unwrap();
                tick_until_idle(&mut el);
                if paused {
                    conn.pause_reading();
                    tick_until_idle(&mut el);
                }
                theirs.write_all(&pattern(0, ANSWER)).unwrap();
                drop(theirs);
                wait_for(&watched, PollFlags::ERR); // A child of another test may have a copy.
                call(&conn);
                assert!(conn.is_closing() && !conn.is_reading());
                conn.pause_reading(); // Has no effect any longer.
                assert_answered(&mut el, &[ErrorKind::BrokenPipe]);
            }
        }
    });
}

/// A protocol that writes each piece back gets the error inside a callback.
#[test]
fn s1_an_error_of_a_write_inside_a_callback_loses_no_input() {
    on_every_selector(|kind| {
        let mut el = small_buffer_loop(kind);
        let (ours, mut theirs) = pair();
        let script = Recorder::new(&Rc::new(()), |_, _, conn, callback| {
            if let (Some(conn), Callback::Data(bytes)) = (conn, callback) {
                conn.write(bytes);
                conn.pause_reading();
            }
            Ok(())
        });
        el.attach_with(ours, script).unwrap();
        tick_until_idle(&mut el);
        theirs.write_all(&pattern(0, ANSWER)).unwrap();
        drop(theirs);
        assert_answered(&mut el, &[ErrorKind::BrokenPipe]);
    });
}

#[test]
fn s1_an_error_of_shutdown_write_loses_no_input() {
    on_every_selector(|kind| {
        let mut el = small_buffer_loop(kind);
        let (ours, mut theirs) = pair();
        let stream = AlteredStream {
            shutdown_write: Box::new(|_| Err(io::ErrorKind::Unsupported.into())),
            ..AlteredStream::new(ours)
        };
        let conn = el.attach_with(stream, recorder()).unwrap();
        tick_until_idle(&mut el);
        theirs.write_all(&pattern(0, ANSWER)).unwrap();
        conn.shutdown_write();
        assert_answered(&mut el, &[ErrorKind::Unsupported]);
    });
}

/// If the peer shut down reading but writes on, the error is delayed only up to a limit.
#[test]
fn s1_a_peer_that_writes_on_after_the_error_is_ended_at_a_limit() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        theirs.shutdown(Shutdown::Read).unwrap();
        theirs.set_nonblocking(true).unwrap();
        theirs.write_all(b"x").unwrap();
        let bytes = Rc::new(Cell::new(0));
        let (seen, piece) = (bytes.clone(), vec![0; 1 << 20]);
        let conn = el.attach(ours, move |_, _, _, data| {
            seen.set(seen.get() + data.len());
            let _ = theirs.write(&piece); // There is always more to read.
            Ok(())
        });
        conn.unwrap().write(b"it is not read");
        for _ in 0..100_000 {
            if !el.is_alive() {
                break;
            }
            tick(&mut el);
        }
        assert!(!el.is_alive());
        assert!((1 << 20..=64 << 20).contains(&bytes.get()), "{}", bytes.get());
    });
}

/// After `close` no input is delivered, so an error ends the connection at once.
#[test]
fn s3_an_error_after_close_delivers_nothing() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, mut theirs) = tcp_pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        tick_until_idle(&mut el);
        conn.write(&[0; 16 << 20]);
        conn.close();
        theirs.write_all(&pattern(0, ANSWER)).unwrap();
        drop(theirs);
        tick_until(&mut el, |el| el.state().lost_reason().is_some());
        assert_eq!((el.state().bytes(), clock.elapsed()), (vec![], Duration::ZERO));
        assert!(RESET.contains(&el.state().lost_reason().flatten().unwrap()));
    });
}

/// A reset without any write of ours is reported after the input.
#[test]
fn s1_a_reset_after_bytes_is_an_error_after_the_bytes() {
    on_every_selector(|kind| {
        let mut el = small_buffer_loop(kind);
        let (ours, mut theirs) = tcp_pair();
        el.attach_with(ours.try_clone().unwrap(), recorder()).unwrap();
        tick_until_idle(&mut el);
        theirs.write_all(&pattern(0, ANSWER)).unwrap();
        rustix::net::sockopt::set_socket_linger(&theirs, Some(Duration::ZERO)).unwrap();
        drop(theirs);
        wait_for(&ours, PollFlags::ERR);
        assert_answered(&mut el, &[ErrorKind::ConnectionReset]);
    });
}
