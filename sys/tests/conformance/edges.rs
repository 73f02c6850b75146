//! Edge mode with a reader that stops before its call would block: what every selector reports, and
//! what poll(2) and select(2) cannot detect.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use mainspring_sys::{Readiness, SelectorKind, TriggerMode};

use crate::modes::{assert_silent, fill};
use crate::support::{BOTH, R, READ, Subject, W, WRITE, on_every_kind, pair};

const READ_CLOSED: Readiness = Readiness::READ_CLOSED;

/// Returns the readiness of the only registration; empty if it is not reported.
fn reported(subject: &mut Subject) -> Readiness {
    let seen = subject.now();
    assert!(seen.len() <= 1, "{}: {seen:?}", subject.name);
    seen.first().map_or(Readiness::empty(), |(_, readiness)| *readiness)
}

/// A kqueue does not report the peer's half-close before the last byte is read.
fn sees_the_end_behind_data(subject: &Subject) -> bool {
    subject.kind != SelectorKind::Kqueue
}

/// These selectors poll levels, so they miss changes that do not change a level.
fn has_levels_only(subject: &Subject) -> bool {
    matches!(subject.kind, SelectorKind::Poll | SelectorKind::Select)
}

#[test]
fn an_end_behind_unread_data_is_reported() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, BOTH, TriggerMode::Edge);
        theirs.write_all(b"abc").unwrap();
        assert!(reported(subject).contains(R | W));
        ours.read_exact(&mut [0; 2]).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let seen = reported(subject);
        if sees_the_end_behind_data(subject) {
            assert!(seen.contains(R | READ_CLOSED), "{}: {seen:?}", subject.name);
        }
        assert_silent(subject, "the end was reported");
        drop(theirs);
        let seen = reported(subject);
        if sees_the_end_behind_data(subject) {
            assert!(seen.contains(Readiness::HANGUP), "{}: {seen:?}", subject.name);
        }
        assert_silent(subject, "the hang-up was reported");
    });
}

#[test]
fn data_after_everything_was_read_is_reported() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        for round in 0..3 {
            theirs.write_all(b"abc").unwrap();
            assert_eq!(reported(subject), R, "{}: {round}", subject.name);
            ours.read_exact(&mut [0; 3]).unwrap(); // No call returned `WouldBlock`.
            assert_silent(subject, "no new data");
        }
    });
}

#[test]
fn room_after_a_short_write_is_reported() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, WRITE, TriggerMode::Edge);
        assert_eq!(reported(subject), W);
        for round in 0..3 {
            fill(&mut ours); // The selector is not informed.
            assert_silent(subject, "no room");
            while theirs.read(&mut [0; 4096]).is_ok() {}
            assert_eq!(reported(subject), W, "{}: {round}", subject.name);
        }
    });
}

/// A hang-up ends a wait that has begun, whatever was reported before.
#[test]
fn a_hang_up_ends_a_sleep() {
    on_every_kind(|subject| {
        for unread in [false, true] {
            let (mut ours, mut theirs) = pair();
            subject.watch(&ours, 0, BOTH, TriggerMode::Edge);
            theirs.write_all(b"x").unwrap();
            assert!(reported(subject).contains(R | W));
            if unread && subject.kind == SelectorKind::Select {
                subject.unwatch(&ours);
                continue; // It cannot distinguish an end from unread data.
            }
            if !unread {
                ours.read_exact(&mut [0]).unwrap();
            }
            let closer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                drop(theirs);
            });
            let seen = subject.within(Some(Duration::from_secs(30)));
            closer.join().unwrap();
            assert_eq!(seen.len(), 1, "{}: {unread}", subject.name);
            subject.unwatch(&ours);
        }
    });
}

/// After its error was taken, the socket works again.
#[test]
fn data_after_an_error_was_taken_is_reported() {
    on_every_kind(|subject| {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        ours.connect(address).unwrap();
        ours.set_nonblocking(true).unwrap();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        drop(theirs);
        ours.send(b"x").unwrap();
        let seen = subject.within(Some(Duration::from_secs(30)));
        assert!(seen[0].1.contains(R), "{}: {seen:?}", subject.name);
        assert_silent(subject, "the error was reported");
        assert!(ours.recv(&mut [0; 8]).is_err());
        assert_silent(subject, "the error is over");
        let Ok(theirs) = UdpSocket::bind(address) else { return }; // Another process took the address.
        theirs.send_to(b"y", ours.local_addr().unwrap()).unwrap();
        let seen = subject.within(Some(Duration::from_secs(30)));
        assert!(seen[0].1.contains(R), "{}: {seen:?}", subject.name);
    });
}

/// A hang-up that lasts is not reported again after the owner's call would have blocked. Otherwise
/// owner and selector would spin.
#[test]
fn a_drain_does_not_repeat_a_hang_up() {
    on_every_kind(|subject| {
        let (ours, theirs) = pair();
        subject.watch(&ours, 0, WRITE, TriggerMode::Edge);
        drop(theirs);
        assert!(reported(subject).contains(W));
        subject.clear_readiness(&ours, READ);
        assert_silent(subject, "the hang-up was reported");
    });
}

/// The documented difference: a level that is already high does not rise.
#[test]
fn data_behind_unread_data_is_reported_by_kernels_with_edges() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        theirs.write_all(b"abc").unwrap();
        assert_eq!(reported(subject), R);
        ours.read_exact(&mut [0]).unwrap();
        theirs.write_all(b"abc").unwrap();
        let expected = if has_levels_only(subject) { Readiness::empty() } else { R };
        assert_eq!(reported(subject), expected, "{}", subject.name);
        // The rest is not lost: it is reported after a read or a reregistration.
        subject.clear_readiness(&ours, READ);
        subject.rewatch(&ours, 0, READ, TriggerMode::Edge);
        assert_eq!(reported(subject), R, "{}", subject.name);
    });
}

/// Registrations in edge mode neither disturb nor starve those of other modes.
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
        assert_eq!(subject.ready_slots(), [0, 1, 2]);
        for _ in 0..3 {
            assert_eq!(subject.ready_slots(), [1]);
        }
        pairs[0].1.shutdown(Shutdown::Write).unwrap();
        let who = if sees_the_end_behind_data(subject) { &[0, 1][..] } else { &[1] };
        assert!(subject.ready_slots().ends_with(who), "{}", subject.name);
        for (ours, _) in &mut pairs {
            ours.read_exact(&mut [0]).unwrap();
        }
    });
}
