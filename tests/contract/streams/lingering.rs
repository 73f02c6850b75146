//! Bytes written before a `close` arrive, even at a peer that still sends (docs/contract.md, S3).

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::SelectorKind;
use mainspring::net::{PipePair, Transport, TransportStream};

use crate::support::bytes::pattern;
use crate::support::custom_stream::{Action, ReentrantStream, counting_pair};
use crate::support::descriptors::{pair, tcp_pair};
use crate::support::on_every_selector;
use crate::support::protocol::{
    Callback, Recorder, recorder, recording_loop, tick_until, tick_until_idle,
};
use crate::support::ticks::tick;

/// Maximum time that a closed connection waits for the end of its peer.
const LINGER: Duration = Duration::from_secs(2);

/// Checks that everything arrives although the peer sends before and after the close.
fn check_all_arrives<T, P>(kind: SelectorKind, length: usize, ours: T, mut peer: P)
where
    T: TransportStream + 'static,
    P: Read + Write,
{
    let (mut el, clock) = recording_loop(kind);
    let conn = el.attach_with(ours, recorder()).unwrap();
    tick(&mut el);
    conn.write(&pattern(0, length));
    peer.write_all(b"sent before the close").unwrap();
    conn.close();
    assert!(conn.is_closing() && !conn.is_reading());
    let (mut got, mut buffer) = (Vec::new(), vec![0; 100_000]);
    tick_until(&mut el, |_| {
        let count = match peer.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            count => count.expect("the connection was reset"),
        };
        got.extend_from_slice(&buffer[..count]);
        let _ = peer.write(b"sent after it");
        count == 0
    });
    assert!(got == pattern(0, length), "{} bytes", got.len());
    tick_until_idle(&mut el);
    assert_eq!(el.state().lost_reason(), None, "the peer has not ended");
    drop(peer);
    tick_until(&mut el, |el| el.state().lost_reason() == Some(None));
    assert_eq!((el.state().bytes(), clock.elapsed()), (Vec::new(), Duration::ZERO));
    assert_eq!(el.next_deadline(), None, "no timer is left");
}

#[test]
fn s3_bytes_before_a_close_reach_a_peer_that_still_sends() {
    on_every_selector(|kind| {
        for length in [100, 20 << 20] {
            let (ours, theirs) = tcp_pair();
            theirs.set_nonblocking(true).unwrap();
            check_all_arrives(kind, length, ours, theirs);
            let (ours, theirs) = pair();
            theirs.set_nonblocking(true).unwrap();
            check_all_arrives(kind, length, ours, theirs);
        }
    });
}

#[test]
fn s3_a_peer_that_does_not_end_is_waited_for_at_most_two_seconds() {
    on_every_selector(|kind| {
        for paused in [false, true] {
            let (mut el, clock) = recording_loop(kind);
            let (ours, mut theirs) = pair();
            let conn = el.attach_with(ours, recorder()).unwrap();
            if paused {
                conn.pause_reading();
            }
            conn.write(b"the last");
            conn.close();
            conn.close();
            theirs.set_nonblocking(true).unwrap();
            let mut got = String::new();
            theirs.read_to_string(&mut got).unwrap();
            assert_eq!(got, "the last", "and then the end at once");
            tick_until_idle(&mut el);
            let began = clock.elapsed();
            while el.state().lost_reason().is_none() {
                theirs.write_all(b"x").unwrap();
                assert!(el.is_alive() && conn.is_closing());
                clock.advance(LINGER / 20);
                tick_until_idle(&mut el);
            }
            assert_eq!(clock.elapsed() - began, LINGER);
            assert_eq!(el.state().callbacks, [Callback::Made, Callback::Lost(None)]);
            assert_eq!(theirs.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert!(el.next_deadline().is_none() && !el.is_alive());
        }
    });
}

#[test]
fn s3_run_waits_for_lingering_connections() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, _theirs) = pair();
        el.attach_with(ours, recorder()).unwrap().close();
        el.run().unwrap();
        assert_eq!((el.state().lost_reason(), clock.elapsed()), (Some(None), LINGER));
    });
}

#[test]
fn s3_abort_ends_the_wait_for_the_peer() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, _theirs) = pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        conn.close();
        tick_until_idle(&mut el);
        assert!(el.next_deadline().is_some() && el.state().lost_reason().is_none());
        conn.abort();
        assert!(el.next_deadline().is_some(), "connection_lost is queued");
        tick_until_idle(&mut el);
        assert_eq!((el.state().lost_reason(), clock.elapsed()), (Some(None), Duration::ZERO));
        assert_eq!(el.next_deadline(), None);
    });
}

/// The usual case, in which the peer ends first, needs no wait.
#[test]
fn s3_after_the_peers_end_a_close_does_not_wait() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, theirs, reads, ends) = counting_pair();
        let script = Recorder::new(&Rc::new(()), |_, _, conn, callback| {
            if *callback == Callback::Eof {
                conn.unwrap().close();
            }
            Ok(())
        });
        el.attach_with(ours, script).unwrap();
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!(el.state().callbacks, [Callback::Made, Callback::Eof, Callback::Lost(None)]);
        assert_eq!((reads.get(), ends.get()), (1, 0));
    });
}

/// A flood from the peer does not block the loop: it is read once an event, as always.
#[test]
fn s3_input_after_a_close_is_read_once_an_event() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, theirs, reads, ends) = counting_pair();
        let conn = el.attach_with(ours, recorder()).unwrap();
        tick(&mut el);
        conn.shutdown_write();
        conn.close();
        assert_eq!((reads.get(), ends.get()), (0, 1), "shutdown_write is called once");
        theirs.set_nonblocking(true).unwrap();
        for round in 1..=50 {
            while theirs.write(&[0; 65536]).is_ok() {}
            tick(&mut el);
            assert_eq!(reads.get(), round);
        }
        assert_eq!(el.state().bytes(), b"");
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!((el.state().lost_reason(), ends.get()), (Some(None), 1));
    });
}

#[test]
fn s3_a_stream_without_half_close_is_closed_at_once() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let ((us, _to_us), (_from_us, writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        el.attach_with(PipePair::new(us, writer), recorder()).unwrap().close();
        tick_until_idle(&mut el);
        assert_eq!(el.state().lost_reason(), Some(None));

        let (mut el, _) = recording_loop(kind);
        let (us, _to_us) = io::pipe().unwrap();
        el.attach_with(File::from(OwnedFd::from(us)), recorder()).unwrap().close();
        tick_until_idle(&mut el);
        assert_eq!(el.state().lost_reason(), Some(None));
    });
}

#[test]
fn s3_an_error_of_the_peer_ends_the_wait_for_it() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording_loop(kind);
        let (ours, theirs) = tcp_pair();
        el.attach_with(ours, recorder()).unwrap().close();
        tick_until_idle(&mut el);
        mainspring_sys::socket::set_linger_zero(&theirs, true).unwrap();
        drop(theirs);
        tick_until(&mut el, |el| el.state().lost_reason().is_some());
        assert_eq!((el.state().lost_reason(), clock.elapsed()), (Some(None), Duration::ZERO));
    });
}

#[test]
fn s3_a_loop_that_is_dropped_waits_for_no_peer() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, theirs) = pair();
        let alive = Rc::new(());
        let script = Recorder::new(&alive, |_, _, _, _| Ok(()));
        let conn = el.attach_with(ours, script).unwrap();
        conn.close();
        tick_until_idle(&mut el);
        drop(el);
        assert_eq!(Rc::strong_count(&alive), 1);
        assert!(conn.is_closing());
        assert_eq!(theirs.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// The input of the event that caused the close has been read; the next read waits for the next
/// event.
#[test]
fn s3_a_close_in_data_received_reads_no_further_in_this_event() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, mut theirs, reads, ends) = counting_pair();
        let script = Recorder::new(&Rc::new(()), |_, _, conn, callback| {
            if matches!(callback, Callback::Data(_)) {
                conn.unwrap().close();
            }
            Ok(())
        });
        el.attach_with(ours, script).unwrap();
        Write::write_all(&mut theirs, b"x").unwrap();
        tick_until_idle(&mut el);
        assert_eq!((reads.get(), ends.get()), (1, 1));
        crate::support::descriptors::hang_up(theirs);
        tick_until_idle(&mut el);
        assert_eq!((reads.get(), el.state().lost_reason()), (2, Some(None)));
    });
}

/// A call that the stream makes while it is used takes effect after the current operation.
#[test]
fn s3_a_stream_may_end_its_writing_during_a_call() {
    on_every_selector(|kind| {
        let actions: [fn(&Transport); 2] = [Transport::close, Transport::shutdown_write];
        let actions = actions.iter().flat_map(|it| [(*it, true), (*it, false)]);
        // The stream takes three bytes of the write in which it calls back.
        for ((action, writing), text) in actions.flat_map(|it| [(it, "all"), (it, "a part")]) {
            let (mut el, _) = recording_loop(kind);
            let (ours, theirs) = pair();
            let action: Action = Rc::new(action);
            let (on_read, on_write) =
                if writing { (None, Some(action)) } else { (Some(action), None) };
            let (stream, place) = ReentrantStream::new(ours, on_read, on_write);
            let conn = el.attach_with(stream, recorder()).unwrap();
            tick_until_idle(&mut el);
            *place.borrow_mut() = Some(conn.clone());
            conn.write(text.as_bytes());
            if !writing {
                TransportStream::write(&theirs, b"x").unwrap();
            }
            tick_until_idle(&mut el);
            assert_eq!(read_to_the_end(theirs), text);
            place.take();
        }
    });
}

/// The stream closes during `resume_writing`, the last callback that can notice it.
#[test]
fn s3_a_stream_may_close_in_resume_writing() {
    on_every_selector(|kind| {
        let (mut el, _) = recording_loop(kind);
        let (ours, theirs) = pair();
        let (stream, place) = ReentrantStream::new(ours, None, Some(Rc::new(Transport::close)));
        let its_place = place.clone();
        let script = Recorder::new(&Rc::new(()), move |_, _, conn, callback| {
            match (conn, callback) {
                (Some(conn), Callback::Made) => {
                    conn.set_water_marks(0, 0);
                    conn.write(&[0; 1 << 20]);
                }
                (Some(conn), Callback::Resume) => {
                    *its_place.borrow_mut() = Some(conn.clone());
                    conn.write(b"all");
                }
                _ => {}
            }
            Ok(())
        });
        el.attach_with(stream, script).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 20];
        tick_until(&mut el, |el| {
            let resumed = el.state().callbacks.contains(&Callback::Resume);
            resumed || TransportStream::read(&theirs, &mut buffer).is_ok_and(|count| count == 0)
        });
        tick_until_idle(&mut el);
        // Some kernels have buffers of only 4 KiB, so this takes several reads.
        let mut got = Vec::new();
        tick_until(&mut el, |_| (&theirs).read_to_end(&mut got).is_ok());
        assert!(got.ends_with(b"all"));
        place.take();
    });
}

/// Reads to the end of the stream, which must have arrived.
fn read_to_the_end(mut peer: UnixStream) -> String {
    peer.set_nonblocking(true).unwrap();
    let mut got = String::new();
    peer.read_to_string(&mut got).expect("the end has arrived");
    got
}
