//! Edge mode by a reader that stops before its call would block: what every selector reports all the
//! same, and what poll(2) and select(2) cannot see.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use mainspring_sys::{Readiness, SelectorKind, TriggerMode};

use crate::modes::{assert_silent, fill};
use crate::support::{BOTH, R, READ, Subject, W, WRITE, on_every_kind, pair};

const READ_CLOSED: Readiness = Readiness::READ_CLOSED;

/// What is reported of the only registration; nothing if nothing is.
fn news(subject: &mut Subject) -> Readiness {
    let said = subject.now();
    assert!(said.len() <= 1, "{}: {said:?}", subject.name);
    said.first().map_or(Readiness::empty(), |(_, readiness)| *readiness)
}

/// A kqueue says nothing of the peer's half before the last byte is read.
fn sees_the_end_behind_data(subject: &Subject) -> bool {
    subject.kind != SelectorKind::Kqueue
}

/// Only these ask for levels, so they miss what does not change one.
fn has_levels_only(subject: &Subject) -> bool {
    matches!(subject.kind, SelectorKind::Poll | SelectorKind::Select)
}

#[test]
fn an_end_behind_unread_data_is_news() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, BOTH, TriggerMode::Edge);
        theirs.write_all(b"abc").unwrap();
        assert!(news(subject).contains(R | W));
        ours.read_exact(&mut [0; 2]).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let said = news(subject);
        if sees_the_end_behind_data(subject) {
            assert!(said.contains(R | READ_CLOSED), "{}: {said:?}", subject.name);
        }
        assert_silent(subject, "the end was reported");
        drop(theirs);
        let said = news(subject);
        if sees_the_end_behind_data(subject) {
            assert!(said.contains(Readiness::HANGUP), "{}: {said:?}", subject.name);
        }
        assert_silent(subject, "the hang-up was reported");
    });
}

#[test]
fn data_after_all_was_read_is_news() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        for round in 0..3 {
            theirs.write_all(b"abc").unwrap();
            assert_eq!(news(subject), R, "{}: {round}", subject.name);
            ours.read_exact(&mut [0; 3]).unwrap(); // And no call that would block.
            assert_silent(subject, "nothing new");
        }
    });
}

#[test]
fn room_after_a_short_write_is_news() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, WRITE, TriggerMode::Edge);
        assert_eq!(news(subject), W);
        for round in 0..3 {
            fill(&mut ours); // The selector hears nothing of it.
            assert_silent(subject, "no room");
            while theirs.read(&mut [0; 4096]).is_ok() {}
            assert_eq!(news(subject), W, "{}: {round}", subject.name);
        }
    });
}

/// A hang-up ends a wait that has begun, whatever else was reported before.
#[test]
fn a_hang_up_ends_a_sleep() {
    on_every_kind(|subject| {
        for unread in [false, true] {
            let (mut ours, mut theirs) = pair();
            subject.watch(&ours, 0, BOTH, TriggerMode::Edge);
            theirs.write_all(b"x").unwrap();
            assert!(news(subject).contains(R | W));
            if unread && subject.kind == SelectorKind::Select {
                subject.unwatch(&ours);
                continue; // It cannot tell an end from the data before it.
            }
            if !unread {
                ours.read_exact(&mut [0]).unwrap();
            }
            let closer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                drop(theirs);
            });
            let said = subject.within(Some(Duration::from_secs(30)));
            closer.join().unwrap();
            assert_eq!(said.len(), 1, "{}: {unread}", subject.name);
            subject.unwatch(&ours);
        }
    });
}

/// After an error was fetched the socket is as good as new.
#[test]
fn data_after_an_error_that_is_over_is_news() {
    on_every_kind(|subject| {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        ours.connect(address).unwrap();
        ours.set_nonblocking(true).unwrap();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        drop(theirs);
        ours.send(b"x").unwrap();
        let said = subject.within(Some(Duration::from_secs(30)));
        assert!(said[0].1.contains(R), "{}: {said:?}", subject.name);
        assert_silent(subject, "the error was reported");
        assert!(ours.recv(&mut [0; 8]).is_err());
        assert_silent(subject, "the error is over");
        let Ok(theirs) = UdpSocket::bind(address) else { return }; // Another process was faster.
        theirs.send_to(b"y", ours.local_addr().unwrap()).unwrap();
        let said = subject.within(Some(Duration::from_secs(30)));
        assert!(said[0].1.contains(R), "{}: {said:?}", subject.name);
    });
}

/// What was reported stays reported when the owner says that its call would have blocked, as long as
/// it lasts: else the two would go round for ever.
#[test]
fn a_drain_does_not_repeat_a_hang_up() {
    on_every_kind(|subject| {
        let (ours, theirs) = pair();
        subject.watch(&ours, 0, WRITE, TriggerMode::Edge);
        drop(theirs);
        assert!(news(subject).contains(W));
        subject.clear_readiness(&ours, READ);
        assert_silent(subject, "the hang-up was reported");
    });
}

/// The documented difference: a level that is high already does not rise.
#[test]
fn data_behind_unread_data_is_news_to_a_kernel_with_edges() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        theirs.write_all(b"abc").unwrap();
        assert_eq!(news(subject), R);
        ours.read_exact(&mut [0]).unwrap();
        theirs.write_all(b"abc").unwrap();
        let expected = if has_levels_only(subject) { Readiness::empty() } else { R };
        assert_eq!(news(subject), expected, "{}", subject.name);
        // The rest is not lost: read, or asked for again.
        subject.clear_readiness(&ours, READ);
        subject.rewatch(&ours, 0, READ, TriggerMode::Edge);
        assert_eq!(news(subject), R, "{}", subject.name);
    });
}

/// Registrations of other modes are not disturbed by those by edges, nor kept from their turn.
#[test]
fn edges_and_levels_share_a_selector() {
    on_every_kind(|subject| {
        let mut pairs: Vec<(UnixStream, UnixStream)> = (0..3).map(|_| pair()).collect();
        for (slot, mode) in
            [TriggerMode::Edge, TriggerMode::Level, TriggerMode::Oneshot].into_iter().enumerate()
        {
            subject.watch(&pairs[slot].0, slot as u32, READ, mode);
            pairs[slot].1.write_all(b"x").unwrap();
        }
        assert_eq!(subject.who(), [0, 1, 2]);
        for _ in 0..3 {
            assert_eq!(subject.who(), [1]);
        }
        pairs[0].1.shutdown(Shutdown::Write).unwrap();
        let who = if sees_the_end_behind_data(subject) { &[0, 1][..] } else { &[1] };
        assert!(subject.who().ends_with(who), "{}", subject.name);
        for (ours, _) in &mut pairs {
            ours.read_exact(&mut [0]).unwrap();
        }
    });
}
