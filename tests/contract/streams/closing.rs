//! Closing connections: `close`, `abort`, errors, panics, and the end of the loop
//! (docs/contract.md, S3).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{PipePair, Transport};
use mainspring::{Error, PanicPolicy};

use crate::support::bytes::pattern;
use crate::support::descriptors::{census, pair};
use crate::support::on_every_selector;
use crate::support::process::alone;
use crate::support::protocol::{
    Callback, Record, Recorder, recorder, recording_loop, tick_until_idle, ticks,
};
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;

/// Timeout of a read at the end of the stream. A child process of another test has a copy of each
/// socket until its exec.
const A_MINUTE: Duration = Duration::from_secs(60);

/// Reads to the end of the stream. The end has arrived unless a child process of another test still
/// has a copy of the socket.
fn read_all(peer: &mut UnixStream) -> Vec<u8> {
    peer.set_nonblocking(false).unwrap();
    peer.set_read_timeout(Some(A_MINUTE)).unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    got
}

#[test]
fn s3_close_sends_the_queue_and_accepts_nothing_more() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.write(&pattern(0, 1 << 20));
        conn.close();
        let queued = conn.queued();
        assert!(queued > 0 && conn.is_closing() && !conn.is_reading());
        conn.write(b"too late");
        conn.write_vectored(&[IoSlice::new(b"too late")]);
        conn.shutdown_write();
        conn.close();
        conn.resume_reading();
        assert_eq!(conn.queued(), queued);
        theirs.write_all(b"not read any more").unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        while theirs.read_to_end(&mut got).is_err() {
            tick(&mut el);
        }
        assert!(got == pattern(0, 1 << 20));
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!(el.state().bytes(), b"");
        assert_eq!(el.state().lost_reason(), Some(None));
        // A kernel with small buffers resumes the writer before the end; otherwise the connection
        // ends while paused.
        assert!(unresumed_pauses(&el.state().order()) <= 1);
    });
}

/// Returns the number of pauses that were not resumed.
fn unresumed_pauses(order: &[Callback]) -> usize {
    let count = |wanted| order.iter().filter(|callback| **callback == wanted).count();
    count(Callback::Pause) - count(Callback::Resume)
}

#[test]
fn s3_abort_drops_the_queue() {
    on_every_selector(|kind| {
        for closed_before in [false, true] {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            conn.write(&pattern(0, 1 << 20));
            if closed_before {
                conn.close();
            }
            let taken = (1 << 20) - conn.queued();
            conn.abort();
            conn.abort();
            assert_eq!(conn.queued(), 0);
            tick_until_idle(&mut el);
            assert!(read_all(&mut theirs) == pattern(0, taken));
            assert_eq!(el.state().lost_reason(), Some(None));
        }
    });
}

#[test]
fn s3_a_connection_closed_before_connection_made_ends_in_order() {
    on_every_selector(|kind| {
        let ways: [fn(&Transport); 2] = [Transport::close, Transport::abort];
        for end in ways {
            let (mut el, _) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            theirs.write_all(b"not read any more").unwrap();
            let conn = el.attach_with(ours, recorder()).unwrap();
            end(&conn);
            tick_until_idle(&mut el);
            assert_eq!(el.state().callbacks[0], Callback::Made);
            // A connection that was only closed waits for the end of its peer.
            crate::support::descriptors::hang_up(theirs);
            tick_until_idle(&mut el);
            assert_eq!(el.state().callbacks, [Callback::Made, Callback::Lost(None)]);
        }
    });
}

#[test]
fn s3_a_transport_kept_after_the_end_does_nothing() {
    alone("streams::closing::s3_a_transport_kept_after_the_end_does_nothing", || {
        on_every_selector(|kind| {
            let (mut el, _) = recording_loop(kind);
            let before = census();
            let ways: [fn(&Transport); 3] =
                [Transport::close, Transport::abort, Transport::shutdown_write];
            let kept: Vec<Transport> = ways
                .iter()
                .map(|end| {
                    let (ours, theirs) = pair();
                    let conn = el.attach(ours, |_, _, _, _| Ok(())).unwrap();
                    end(&conn);
                    drop(theirs);
                    conn
                })
                .collect();
            tick_until_idle(&mut el);
            assert_eq!(census(), before);
            for conn in &kept {
                conn.write(b"x");
                conn.write_vectored(&[IoSlice::new(b"x")]);
                conn.close();
                conn.abort();
                conn.shutdown_write();
                conn.pause_reading();
                conn.resume_reading();
                conn.set_water_marks(0, 0);
                assert!(conn.is_closing() && !conn.is_reading());
                assert_eq!(conn.queued(), 0);
                assert_eq!(conn.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
                assert_eq!(conn.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
                assert!(format!("{conn:?}").contains("DONE"));
            }
            tick_until_idle(&mut el);
            assert!(!el.is_alive());
            drop(el);
            kept.iter().for_each(|conn| conn.write(b"x"));
        });
    });
}

/// Callbacks in which a script can fail.
const CALLBACKS: [fn(&Callback) -> bool; 6] = [
    |it| *it == Callback::Made,
    |it| matches!(it, Callback::Data(_)),
    |it| *it == Callback::Eof,
    |it| *it == Callback::Pause,
    |it| *it == Callback::Resume,
    |it| matches!(it, Callback::Lost(_)),
];

/// Runs a connection through all its callbacks; `fail` returns the result of each.
fn run_all_callbacks(
    kind: mainspring::SelectorKind,
    fail: impl Fn(&Callback) -> mainspring::Result<()> + 'static,
) -> (Vec<Callback>, Vec<(u32, String)>, u32) {
    let (mut el, _) = recording_loop(kind);
    let (ours, mut theirs) = pair();
    let alive = Rc::new(());
    let script = Recorder::new(&alive, move |_, _, conn, callback| {
        if let (Some(conn), Callback::Data(_)) = (conn, callback) {
            conn.write(&[0; 1 << 20]);
        }
        if let (Some(conn), Callback::Eof) = (conn, callback) {
            conn.close();
        }
        fail(callback)
    });
    let line = line!() + 1;
    let conn = el.attach_with(ours, script).unwrap();
    tick(&mut el);
    let _ = theirs.write_all(b"x");
    tick_until_idle(&mut el);
    theirs.set_nonblocking(true).unwrap();
    for _ in 0..1000 {
        let _ = theirs.read(&mut [0; 10_000]);
        tick(&mut el);
    }
    let _ = theirs.shutdown(std::net::Shutdown::Write);
    tick_until_idle(&mut el);
    el.state().assert_in_order();
    assert!(el.state().lost_reason().is_some());
    assert_eq!(Rc::strong_count(&alive), 1, "the protocol was dropped");
    assert!(conn.is_closing());
    let record = std::mem::take(el.state_mut());
    (record.order(), record.reports, line)
}

#[test]
fn s3_an_error_of_any_callback_ends_the_connection_and_is_reported_once() {
    on_every_selector(|kind| {
        for (number, here) in CALLBACKS.iter().enumerate() {
            let fail = move |callback: &Callback| match here(callback) {
                true => Err(Error::other("on purpose")),
                false => Ok(()),
            };
            let (order, reports, line) = run_all_callbacks(kind, fail);
            assert_eq!(reports, [(line, "on purpose".to_owned())], "callback {number}: {order:?}");
            let reason = (number < 5).then_some(ErrorKind::Other);
            assert_eq!(order.last(), Some(&Callback::Lost(reason)));
        }
    });
}

/// During `connection_lost` the connection is over: queued bytes are dropped, and a transport that
/// was kept does nothing.
#[test]
fn s3_after_an_error_nothing_is_sent() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs) = pair();
        let kept = Rc::new(std::cell::OnceCell::<Transport>::new());
        let place = kept.clone();
        let script = Recorder::new(&Rc::new(()), move |_, _, conn, _| match conn {
            Some(conn) => {
                conn.write(b"before");
                Err(Error::other("on purpose"))
            }
            None => {
                let conn = place.get().expect("a transport");
                assert!(conn.is_closing());
                conn.write(b"after");
                assert_eq!(conn.queued(), 0);
                Ok(())
            }
        });
        kept.set(el.attach_with(ours, script).unwrap()).unwrap();
        tick_until_idle(&mut el);
        assert_eq!(el.state().order(), [Callback::Made, Callback::Lost(Some(ErrorKind::Other))]);
        assert_eq!(read_all(&mut theirs), b"before");
    });
}

#[test]
fn s3_an_error_in_connection_lost_is_reported_too() {
    on_every_selector(|kind| {
        let fail = |callback: &Callback| match callback {
            Callback::Eof => Err(Error::other("first")),
            Callback::Lost(Some(_)) => Err(Error::other("second")),
            _ => Ok(()),
        };
        let (_, reports, line) = run_all_callbacks(kind, fail);
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(reports.contains(&(line, "first".to_owned())));
        assert!(reports.contains(&(line, "second".to_owned())));
    });
}

#[test]
fn s3_would_block_is_no_error_in_any_callback() {
    on_every_selector(|kind| {
        for retry in [ErrorKind::WouldBlock, ErrorKind::Interrupted] {
            let fail = move |_: &Callback| Err(std::io::Error::from(retry).into());
            let (order, reports, _) = run_all_callbacks(kind, fail);
            assert_eq!(reports, []);
            let all = [Callback::Made, Callback::Pause, Callback::Resume, Callback::Eof];
            assert_eq!(order, [&all[..], &[Callback::Lost(None)]].concat());
        }
    });
}

/// A panic drops the protocol at once; no further callback runs.
#[test]
fn s3_a_panic_of_any_callback_drops_the_connection_once() {
    on_every_selector(|kind| {
        for policy in [PanicPolicy::Report, PanicPolicy::Propagate] {
            for here in [CALLBACKS[0], CALLBACKS[1], CALLBACKS[2], CALLBACKS[5]] {
                let (mut el, _) = recording_loop(kind);
                el.set_panic_policy(policy);
                let (ours, mut theirs) = pair();
                let alive = Rc::new(());
                let script = Recorder::new(&alive, move |_, _, conn, callback| {
                    if let (Some(conn), Callback::Eof) = (conn, callback) {
                        conn.close();
                    }
                    assert!(!here(callback), "a panic in {callback:?}");
                    Ok(())
                });
                let conn = el.attach_with(ours, script).unwrap();
                theirs.write_all(b"x").unwrap();
                theirs.shutdown(std::net::Shutdown::Write).unwrap();
                let run = AssertUnwindSafe(|| ticks(&mut el, 10));
                let panicked = catch_unwind(run).is_err();
                assert_eq!(panicked, policy == PanicPolicy::Propagate);
                tick_until_idle(&mut el);
                assert!(
                    el.state().callbacks.last().is_some_and(here),
                    "{:?}",
                    el.state().callbacks
                );
                assert_eq!(el.state().reports.len(), usize::from(!panicked));
                assert_eq!(Rc::strong_count(&alive), 1);
                assert!(conn.is_closing());
                // Closing the stream resets it if it is a Unix stream with unread bytes.
                assert!(!matches!(theirs.read(&mut [0]), Ok(1)));
            }
        }
    });
}

#[test]
fn s3_dropping_the_loop_drops_protocols_without_a_callback() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let losses = Rc::new(std::cell::Cell::new(0));
        let alive = Rc::new(());
        let mut conns = Vec::new();
        let mut peers = Vec::new();
        for way in 0..5 {
            let (ours, theirs) = pair();
            let lost = losses.clone();
            let script = Recorder::new(&alive, move |_, _, _, callback| {
                lost.set(lost.get() + u32::from(matches!(callback, Callback::Lost(_))));
                Ok(())
            });
            conns.push(el.attach_with(ours, script).unwrap());
            peers.push(theirs);
            if way > 0 {
                tick(&mut el);
            }
        }
        conns[1].write(&[0; 1 << 20]);
        conns[2].write(&[0; 1 << 20]);
        conns[2].close();
        conns[3].abort();
        drop(el);
        assert_eq!((losses.get(), Rc::strong_count(&alive)), (0, 1));
        for (conn, mut theirs) in conns.iter().zip(peers) {
            assert!(conn.is_closing());
            read_all(&mut theirs);
        }
    });
}

/// When the connection ends, both descriptors of the stream are deregistered at once, before they
/// are closed.
#[test]
fn s3_a_stream_is_deregistered_before_it_is_closed() {
    on_every_selector(|kind| {
        for abort in [true, false] {
            let (mut el, log) = logged(kind, Record::default());
            let ((us, _to_us), (_from_us, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
            let (reading, writing) = (us.as_raw_fd(), writer.as_raw_fd());
            let conn = el.attach_with(PipePair::new(us, writer), recorder()).unwrap();
            conn.write(&[0; 1 << 20]);
            tick_until_idle(&mut el);
            log.take();
            if abort {
                conn.abort();
            } else {
                drop(el);
            }
            assert_eq!(log.take(), [reading, writing].map(Call::Deregister));
        }
    });
}
