//! Fds that are closed while registered: reported once if the kernel reports it, and never a busy
//! loop.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use mainspring_sys::{Events, Readiness, SelectorKind, Token, TriggerMode};

use crate::support::{R, READ, Subject, WRITE, dup_from, on_every_kind, pair};

/// A number that no other descriptor gets.
const FAR: RawFd = 200;

fn reports_closed(subject: &Subject) -> bool {
    matches!(subject.kind, SelectorKind::Poll | SelectorKind::Select)
}

fn assert_sleeps(subject: &mut Subject) {
    let (wait, start) = (Duration::from_millis(2), Instant::now());
    assert_eq!(subject.within(Some(wait)), [], "{}", subject.name);
    assert!(start.elapsed() >= wait, "{}: the wait ended early", subject.name);
}

#[test]
fn w8_a_closed_fd_is_reported_once_and_affects_no_other() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        let lost = dup_from(&pair().0, FAR);
        subject.watch(&lost, 1, WRITE, TriggerMode::Level);
        subject.watch(&ours, 2, READ, TriggerMode::Level);
        let number = lost.as_raw_fd();
        drop(lost);
        let expected =
            if reports_closed(subject) { vec![(1, Readiness::INVALID)] } else { Vec::new() };
        assert_eq!(subject.now(), expected, "{}", subject.name);
        assert_sleeps(subject);
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.now(), [(2, R)], "{}", subject.name);
        if !subject.is_library() {
            let removed = subject.selector.deregister(number).unwrap_err();
            assert_eq!(removed.raw_os_error(), Some(libc::EBADF), "{}: {removed}", subject.name);
        }
    });
}

/// A dead registration: neither a drain nor a new mode revives it, and its number can be reused.
#[test]
fn w8_a_dead_registration_stays_dead() {
    on_every_kind(|subject| {
        if subject.is_library() {
            return;
        }
        let lost = dup_from(&pair().0, FAR);
        let number = lost.as_raw_fd();
        subject.watch(&lost, 1, WRITE, TriggerMode::Edge);
        drop(lost);
        subject.now();
        subject.selector.clear_readiness(number, WRITE);
        assert_sleeps(subject);
        let (ours, _theirs) = pair();
        let new = dup_from(&ours, FAR);
        assert_eq!(new.as_raw_fd(), number);
        assert_sleeps(subject);
        let token = Token::new(3, 0);
        let changed =
            subject.selector.reregister(number, token, WRITE, TriggerMode::Level).unwrap_err();
        assert_eq!(changed.kind(), ErrorKind::NotFound, "{}: {changed}", subject.name);
        subject.watch(&new, 4, WRITE, TriggerMode::Level);
        assert_eq!(subject.ready_slots(), [4], "{}", subject.name);
        subject.unwatch(&new);
        assert_sleeps(subject);
    });
}

/// Files that no kernel watches are in our own tables, so every selector reports them.
#[test]
fn w8_a_closed_file_is_reported_once() {
    on_every_kind(|subject| {
        let file = dup_from(&File::open("/dev/null").unwrap(), FAR);
        let number = file.as_raw_fd();
        subject.watch(&file, 1, READ, TriggerMode::Level);
        assert_eq!(subject.now(), [(1, R)]);
        drop(file);
        assert_eq!(subject.now(), [(1, Readiness::INVALID)], "{}", subject.name);
        assert_sleeps(subject);
        let (ours, mut theirs) = pair();
        let new = dup_from(&ours, FAR);
        assert_eq!(new.as_raw_fd(), number);
        subject.watch(&new, 2, READ, TriggerMode::Level);
        assert_sleeps(subject);
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.now(), [(2, R)], "{}", subject.name);
        subject.unwatch(&new);
        assert_sleeps(subject);
    });
}

/// A file was closed without deregistering, and its number is now a socket. The kernel detects
/// that, and so do our tables, by the identity of the file.
#[test]
fn w4_a_number_that_was_a_file_is_not_always_ready() {
    on_every_kind(|subject| {
        let file = dup_from(&File::open("/dev/null").unwrap(), FAR);
        subject.watch(&file, 1, READ, TriggerMode::Level);
        drop(file);
        let (ours, mut theirs) = pair();
        let new = dup_from(&ours, FAR);
        let (number, token) = (new.as_raw_fd(), Token::new(2, 0));
        let change =
            subject.selector.reregister(number, token, READ, TriggerMode::Level).unwrap_err();
        assert_eq!(change.kind(), ErrorKind::NotFound, "{}", subject.name);
        subject.selector.register(number, token, READ, TriggerMode::Level).unwrap();
        assert_sleeps(subject);
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.now(), [(2, R)], "{}", subject.name);
    });
}

/// If more fds are closed than fit, each is reported once.
#[test]
fn w8_many_closed_fds_are_each_reported_once() {
    on_every_kind(|subject| {
        let (ours, _theirs) = pair();
        let lost: Vec<_> = (0..10).map(|_| dup_from(&ours, FAR)).collect();
        for (slot, fd) in (0..).zip(&lost) {
            subject.watch(fd, slot, READ, TriggerMode::Level);
        }
        drop(lost);
        subject.events = Events::with_capacity(3);
        let mut reported = Vec::new();
        for _ in 0..4 {
            let seen = subject.now();
            assert!(seen.iter().all(|(_, readiness)| *readiness == Readiness::INVALID), "{seen:?}");
            reported.extend(seen.into_iter().map(|(slot, _)| slot));
        }
        reported.sort_unstable();
        let expected = if reports_closed(subject) { (0..10).collect() } else { Vec::new() };
        assert_eq!(reported, expected, "{}", subject.name);
        assert_sleeps(subject);
    });
}
