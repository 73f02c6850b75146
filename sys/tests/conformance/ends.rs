//! Interest in the end only: a source that is not read, and a peer that closes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use mainspring_sys::{Interest, Readiness, SelectorKind, Token, TriggerMode};

use crate::modes::assert_silent;
use crate::support::{READ, Subject, W, WRITE, on_every_kind, pair};

const END: Interest = Interest::READ_CLOSED;
const READ_CLOSED: Readiness = Readiness::READ_CLOSED;

/// Returns true if the selector refuses the interest: a kqueue does, without any effect.
fn is_refused(subject: &mut Subject, fd: &impl AsRawFd) -> bool {
    if subject.kind != SelectorKind::Kqueue {
        return false;
    }
    for interest in [END, END | WRITE] {
        let token = Token::new(0, 0);
        let error = subject.selector.register(fd.as_raw_fd(), token, interest, TriggerMode::Level);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    subject
        .selector
        .register(fd.as_raw_fd(), Token::new(0, 0), END | READ, TriggerMode::Level)
        .unwrap();
    true
}

/// True if the system reports that one direction is closed.
const HAS_HALVES: bool = cfg!(has_poll_rdhup);

#[test]
fn w10_the_end_is_reported_and_data_is_not() {
    on_every_kind(|subject| {
        for mode in [TriggerMode::Level, TriggerMode::Oneshot, TriggerMode::Edge] {
            let (mut ours, mut theirs) = pair();
            if is_refused(subject, &ours) {
                return;
            }
            subject.watch(&ours, 0, END, mode);
            theirs.write_all(b"data").unwrap();
            assert_silent(subject, "data was not asked for");
            if HAS_HALVES {
                theirs.shutdown(Shutdown::Write).unwrap();
                let seen = subject.now();
                assert_eq!(seen.len(), 1, "{} {mode:?}", subject.name);
                assert!(seen[0].1.contains(READ_CLOSED), "{}: {seen:?}", subject.name);
                match mode {
                    TriggerMode::Level => assert_eq!(subject.now().len(), 1),
                    _ => assert_silent(subject, "the end was reported"),
                }
                ours.read_exact(&mut [0; 4]).unwrap();
            }
            subject.rewatch(&ours, 0, END, mode);
            drop(theirs);
            let seen = subject.now();
            assert!(seen[0].1.contains(Readiness::HANGUP), "{}: {seen:?}", subject.name);
            subject.unwatch(&ours);
        }
    });
}

#[test]
fn w10_the_end_together_with_writability() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        if is_refused(subject, &ours) {
            return;
        }
        subject.watch(&ours, 0, END | WRITE, TriggerMode::Edge);
        assert_eq!(subject.now(), [(0, W)]);
        theirs.write_all(b"data").unwrap();
        assert!(subject.now().iter().all(|(_, seen)| !seen.contains(READ_CLOSED)));
        drop(theirs);
        let seen = subject.now();
        assert!(seen[0].1.contains(Readiness::HANGUP), "{}: {seen:?}", subject.name);
        assert_silent(subject, "the end was reported");
    });
}

/// A reset is an end too.
#[test]
fn w10_a_reset_is_an_end() {
    on_every_kind(|subject| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        if is_refused(subject, &ours) {
            return;
        }
        ours.write_all(b"unread").unwrap(); // Unread data makes the peer's close a reset.
        crate::support::wait_for(&theirs, libc::POLLIN);
        subject.watch(&ours, 0, END, TriggerMode::Level);
        assert_silent(subject, "nothing has ended");
        drop(theirs);
        let seen = subject.within(None);
        assert!(seen[0].1.contains(Readiness::ERROR), "{}: {seen:?}", subject.name);
    });
}
