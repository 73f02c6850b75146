//! The three modes mean the same on every selector, whoever keeps them: the kernel or our table.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mainspring_sys::{Interest, Readiness, TriggerMode};

use crate::support::{BOTH, R, READ, Subject, W, WRITE, on_every_kind, pair};

/// Nothing is reported, and the selector sleeps over it instead of looking again and again.
pub fn assert_silent(subject: &mut Subject, when: &str) {
    let (wait, start) = (Duration::from_millis(2), Instant::now());
    assert_eq!(subject.within(Some(wait)), [], "{}: {when}", subject.name);
    assert!(start.elapsed() >= wait, "{}: no sleep, {when}", subject.name);
}

/// Reads until a read would block, and says so.
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
        assert_silent(subject, "a drain does not arm a one-shot registration");
        subject.rewatch(&ours, 7, READ, TriggerMode::Oneshot);
        assert_eq!(subject.now(), [(7, R)]);
        assert_silent(subject, "it was reported again");
    });
}

/// A registration that sleeps is not shown to the kernel: a hang-up would be reported for ever.
#[test]
fn oneshot_sleeps_over_a_hang_up() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        subject.watch(&ours, 0, BOTH, TriggerMode::Oneshot);
        assert_eq!(subject.now(), [(0, W)]);
        theirs.write_all(b"x").unwrap();
        drop(theirs);
        assert_silent(subject, "a hang-up of a sleeping registration");
        subject.rewatch(&ours, 0, READ, TriggerMode::Oneshot);
        let said = subject.now()[0].1;
        assert!(said.contains(subject.must_say(R | Readiness::HANGUP, READ)), "{}", subject.name);
        assert_silent(subject, "the hang-up was reported");
    });
}

#[test]
fn edge_reports_a_beginning_once() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        for _ in 0..3 {
            theirs.write_all(b"x").unwrap();
            assert_eq!(subject.now(), [(0, R)], "{}", subject.name);
            assert_silent(subject, "nothing new since the report");
            drain(subject, &mut ours);
            assert_silent(subject, "clear_readiness");
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
        let said = subject.now();
        assert!(said.len() == 1 && said[0].1.contains(R), "{}: {said:?}", subject.name);
        fill(&mut ours);
        subject.clear_readiness(&ours, WRITE);
        assert_silent(subject, "no room, and data was reported");
        while theirs.read(&mut [0; 4096]).is_ok() {}
        let said = subject.now();
        assert!(said.len() == 1 && said[0].1.contains(W), "{}: {said:?}", subject.name);
        drain(subject, &mut ours);
        theirs.write_all(b"x").unwrap();
        let said = subject.now();
        assert!(said.len() == 1 && said[0].1.contains(R), "{}: {said:?}", subject.name);
    });
}

#[test]
fn edge_begins_anew_with_a_reregistration() {
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

/// A kernel reports a hang-up whatever is asked for. One direction that is still armed must not
/// make it spin.
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
        let said = subject.now();
        assert_eq!(said.len(), 1, "{}", subject.name);
        assert!(said[0].1.contains(subject.must_say(R | W | Readiness::HANGUP, BOTH)));
        assert_silent(subject, "the hang-up was reported");
    });
}

#[test]
fn a_drain_counts_only_for_what_was_asked() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Edge);
        subject.clear_readiness(&ours, WRITE);
        assert_silent(subject, "room is not asked for");
        subject.clear_readiness(&theirs, READ); // Nobody watches it.
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
        assert_silent(subject, "edge, clear_readiness and reported");
        if subject.everything().contains(Interest::PRIORITY) {
            subject.rewatch(&file, 0, Interest::PRIORITY, TriggerMode::Level);
            assert_silent(subject, "a file has no priority data");
        }
    });
}
