//! The three trigger modes mean the same on every selector, whether the kernel or our table
//! implements them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mainspring_sys::{Interest, Readiness, TriggerMode};

use crate::support::{BOTH, R, READ, Subject, W, WRITE, on_every_kind, pair};

/// Checks that nothing is reported, and that the selector sleeps for the whole wait.
pub fn assert_silent(subject: &mut Subject, when: &str) {
    let (wait, start) = (Duration::from_millis(2), Instant::now());
    assert_eq!(subject.within(Some(wait)), [], "{}: {when}", subject.name);
    assert!(start.elapsed() >= wait, "{}: the wait ended early: {when}", subject.name);
}

/// Reads until a read would block, and clears the readiness.
fn drain(subject: &mut Subject, stream: &mut UnixStream) {
    let refused = loop {
        match stream.read(&mut [0; 64]) {
            Ok(count) => assert!(count > 0, "end of file"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    subject.clear_readiness(stream, READ);
}

/// Writes until a write would block.
pub fn fill(stream: &mut UnixStream) {
    let refused = loop {
        if let Err(error) = stream.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
}

#[test]
fn oneshot_reports_once_until_reregistered() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Oneshot);
        assert_silent(subject, "nothing has happened");
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.now(), [(0, R)]);
        theirs.write_all(b"x").unwrap();
        assert_silent(subject, "it was reported");
        subject.clear_readiness(&ours, READ);
        assert_silent(subject, "clearing readiness does not arm a one-shot registration");
        subject.rewatch(&ours, 7, READ, TriggerMode::Oneshot);
        assert_eq!(subject.now(), [(7, R)]);
        assert_silent(subject, "it was reported again");
    });
}

/// A disabled registration is not passed to the kernel, which would report a hang-up in every wait.
#[test]
fn oneshot_ignores_a_hang_up_while_disabled() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        subject.watch(&ours, 0, BOTH, TriggerMode::Oneshot);
        assert_eq!(subject.now(), [(0, W)]);
        theirs.write_all(b"x").unwrap();
        drop(theirs);
        assert_silent(subject, "a hang-up of a disabled registration");
        subject.rewatch(&ours, 0, READ, TriggerMode::Oneshot);
        let seen = subject.now()[0].1;
        assert!(seen.contains(subject.must_say(R | Readiness::HANGUP, READ)), "{}", subject.name);
        assert_silent(subject, "the hang-up was reported");
    });
}

#[test]
fn edge_reports_a_change_once() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        for _ in 0..3 {
            theirs.write_all(b"x").unwrap();
            assert_eq!(subject.now(), [(0, R)], "{}", subject.name);
            assert_silent(subject, "nothing changed after the report");
            drain(subject, &mut ours);
            assert_silent(subject, "readiness was cleared");
        }
    });
}

#[test]
fn edge_has_two_directions() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, BOTH, TriggerMode::Edge);
        assert_eq!(subject.now(), [(0, W)]);
        assert_silent(subject, "room was reported");
        theirs.write_all(b"x").unwrap();
        let seen = subject.now();
        assert!(seen.len() == 1 && seen[0].1.contains(R), "{}: {seen:?}", subject.name);
        fill(&mut ours);
        subject.clear_readiness(&ours, WRITE);
        assert_silent(subject, "no room, and data was reported");
        while theirs.read(&mut [0; 4096]).is_ok() {}
        let seen = subject.now();
        assert!(seen.len() == 1 && seen[0].1.contains(W), "{}: {seen:?}", subject.name);
        drain(subject, &mut ours);
        theirs.write_all(b"x").unwrap();
        let seen = subject.now();
        assert!(seen.len() == 1 && seen[0].1.contains(R), "{}: {seen:?}", subject.name);
    });
}

#[test]
fn a_reregistration_starts_a_new_edge() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        assert_eq!(subject.now(), [(0, R)]);
        subject.rewatch(&ours, 5, READ, TriggerMode::Edge);
        assert_eq!(subject.now(), [(5, R)]);
        assert_silent(subject, "reported again");
    });
}

/// A kernel reports a hang-up for every interest. With one direction still armed, the selector must
/// not spin.
#[test]
fn edge_reports_a_hang_up_once() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        fill(&mut ours);
        let everything = subject.everything();
        subject.watch(&ours, 0, everything, TriggerMode::Edge);
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.now(), [(0, R)], "{}", subject.name);
        drop(theirs);
        let seen = subject.now();
        assert_eq!(seen.len(), 1, "{}", subject.name);
        assert!(seen[0].1.contains(subject.must_say(R | W | Readiness::HANGUP, BOTH)));
        assert_silent(subject, "the hang-up was reported");
    });
}

#[test]
fn clearing_readiness_affects_only_the_interest() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        subject.clear_readiness(&ours, WRITE);
        assert_silent(subject, "writability is not in the interest");
        subject.clear_readiness(&theirs, READ); // It is not registered.
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.now(), [(0, R)]);
    });
}

#[test]
fn modes_hold_for_files_that_are_always_ready() {
    on_every_kind(|subject| {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        subject.watch(&file, 0, READ, TriggerMode::Oneshot);
        assert_eq!(subject.now(), [(0, R)]);
        subject.clear_readiness(&file, READ);
        assert_silent(subject, "one-shot");
        subject.rewatch(&file, 0, BOTH, TriggerMode::Edge);
        assert_eq!(subject.now(), [(0, R | W)]);
        assert_silent(subject, "edge");
        subject.clear_readiness(&file, READ);
        assert_eq!(subject.now(), [(0, R)], "{}", subject.name);
        assert_silent(subject, "edge, cleared and reported");
        if subject.everything().contains(Interest::PRIORITY) {
            subject.rewatch(&file, 0, Interest::PRIORITY, TriggerMode::Level);
            assert_silent(subject, "a file has no priority data");
        }
    });
}
