//! Wrong calls: the same errors on every selector, and nothing changed.

use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};

use mainspring_sys::{Interest, SelectorKind, Token, TriggerMode};

use crate::fd_limit::has_room_for;
use crate::support::{R, READ, Subject, W, WRITE, dup_from, on_every_kind, pair};

const NOBODY: Token = Token::new(99, 0);

fn assert_closed(result: std::io::Result<()>, subject: &Subject, what: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{}: {what}: {error}", subject.name);
}

/// P17
#[test]
fn w7_a_second_registration_already_exists() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        subject.watch(&ours, 1, READ, TriggerMode::Level);
        subject.watch(&file, 2, READ, TriggerMode::Level);
        for fd in [ours.as_raw_fd(), file.as_raw_fd()] {
            let second =
                subject.selector.register(fd, NOBODY, WRITE, TriggerMode::Level).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::AlreadyExists, "{}: {second}", subject.name);
        }
        theirs.write_all(b"x").unwrap();
        assert_eq!(
            subject.now(),
            [(1, R), (2, R)],
            "{}: the first registration must stay",
            subject.name
        );
    });
}

/// P17
#[test]
fn w7_an_fd_that_was_never_registered_is_not_found() {
    on_every_kind(|subject| {
        let (ours, theirs) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        subject.watch(&theirs, 0, READ, TriggerMode::Level);
        for fd in [ours.as_raw_fd(), file.as_raw_fd()] {
            let changed =
                subject.selector.reregister(fd, NOBODY, READ, TriggerMode::Level).unwrap_err();
            let removed = subject.selector.deregister(fd).unwrap_err();
            assert_eq!(changed.kind(), ErrorKind::NotFound, "{}: {changed}", subject.name);
            assert_eq!(removed.kind(), ErrorKind::NotFound, "{}: {removed}", subject.name);
        }
        subject.unwatch(&theirs);
        let twice = subject.selector.deregister(theirs.as_raw_fd()).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::NotFound, "{}: {twice}", subject.name);
    });
}

/// P17, P121
#[test]
fn w7_an_fd_that_is_not_open_is_refused() {
    on_every_kind(|subject| {
        let (ours, theirs) = pair();
        let closed = theirs.as_raw_fd();
        drop(theirs);
        for fd in [-1, RawFd::MIN, closed, 1_048_576, RawFd::MAX] {
            let added = subject.selector.register(fd, NOBODY, READ, TriggerMode::Level);
            assert_closed(added, subject, &format!("register {fd}"));
            let changed = subject.selector.reregister(fd, NOBODY, READ, TriggerMode::Level);
            assert_closed(changed, subject, &format!("reregister {fd}"));
            let removed = subject.selector.deregister(fd);
            assert_closed(removed, subject, &format!("deregister {fd}"));
            subject.selector.clear_readiness(fd, READ);
        }
        subject.watch(&ours, 3, WRITE, TriggerMode::Level);
        assert_eq!(subject.ready_slots(), [3], "{}: registering must still work", subject.name);
    });
}

/// P121
#[test]
fn w7_an_empty_interest_is_refused() {
    on_every_kind(|subject| {
        let (ours, _theirs) = pair();
        let (fd, nothing) = (ours.as_raw_fd(), Interest::empty());
        let added = subject.selector.register(fd, NOBODY, nothing, TriggerMode::Level).unwrap_err();
        assert_eq!(added.kind(), ErrorKind::InvalidInput, "{}", subject.name);
        subject.watch(&ours, 4, WRITE, TriggerMode::Level);
        let changed =
            subject.selector.reregister(fd, NOBODY, nothing, TriggerMode::Level).unwrap_err();
        assert_eq!(changed.kind(), ErrorKind::InvalidInput, "{}", subject.name);
        assert_eq!(subject.now(), [(4, W)], "{}: the first registration must stay", subject.name);
    });
}

/// Only select has a limit of fd numbers; its error names the fd, the limit and the alternatives.
#[test]
fn w7_select_refuses_large_numbers() {
    if !has_room_for(libc::FD_SETSIZE as u64 + 100) {
        return;
    }
    on_every_kind(|subject| {
        let (ours, _theirs) = pair();
        let limit = libc::FD_SETSIZE as RawFd;
        let (large, least) = (dup_from(&ours, limit + 3), dup_from(&ours, limit - 1));
        assert_eq!(least.as_raw_fd(), limit - 1);
        subject.watch(&least, 1, WRITE, TriggerMode::Level);
        let fd = large.as_raw_fd();
        let added = subject.selector.register(fd, Token::new(2, 0), WRITE, TriggerMode::Level);
        if subject.kind != SelectorKind::Select {
            added.unwrap();
            return assert_eq!(subject.ready_slots(), [1, 2], "{}", subject.name);
        }
        let error = added.unwrap_err();
        let (message, best) = (error.to_string(), SelectorKind::available()[0].to_string());
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{message}");
        for part in [fd.to_string(), limit.to_string(), "other selectors: ".to_string(), best] {
            assert!(message.contains(&part), "{part:?} is not in {message:?}");
        }
        assert_eq!(subject.ready_slots(), [1]);
    });
}
