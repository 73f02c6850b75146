//! The truth table: each state of a file, and what every selector reports for it.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use mainspring_sys::{Interest, Readiness, TriggerMode};

use crate::situations::{self, refused_connect, reset_connection, tcp_pair};
use crate::support::{BOTH, R, READ, Subject, VERDICT, W, WRITE, on_every_kind, oracle, wait_for};

const PRIORITY: Interest = Interest::PRIORITY;

/// Registers `interest` in `fd` and compares the report with poll(2).
fn compare(subject: &mut Subject, name: &str, fd: &impl std::os::fd::AsFd, interest: Interest) {
    subject.watch(fd, 0, interest, TriggerMode::Level);
    let expected = oracle(fd.as_fd().as_raw_fd(), interest);
    let expected: Vec<_> =
        expected.into_iter().map(|seen| (0, subject.must_say(seen, interest))).collect();
    let seen = subject.now();
    let seen: Vec<_> =
        seen.into_iter().map(|(slot, seen)| (slot, subject.must_say(seen, interest))).collect();
    assert_eq!(seen, expected, "{}: {name}, asked for {interest:?}", subject.name);
    subject.unwatch(fd);
}

#[test]
fn w10_every_situation_has_one_verdict() {
    on_every_kind(|subject| {
        for situation in situations::all() {
            let everything = subject.everything();
            subject.watch(&situation.fd, 0, everything, TriggerMode::Level);
            let seen = subject.now().first().map_or(Readiness::empty(), |(_, seen)| *seen);
            let expected = situation.verdict & everything.into();
            assert_eq!(seen & VERDICT, expected, "{}: {}", subject.name, situation.name);
            subject.unwatch(&situation.fd);
        }
    });
}

/// W10, W5: errors and hang-ups are reported for every interest.
#[test]
fn w10_poll_is_the_oracle_for_each_interest() {
    on_every_kind(|subject| {
        for situation in situations::all() {
            let interests = [READ, WRITE, PRIORITY, BOTH, BOTH | PRIORITY];
            let known = subject.everything();
            for interest in interests.into_iter().filter(|interest| known.contains(*interest)) {
                compare(subject, situation.name, &situation.fd, interest);
            }
        }
    });
}

/// W6: a file that epoll refuses is always ready, in each call, among other fds.
#[test]
fn w6_a_regular_file_is_always_ready() {
    on_every_kind(|subject| {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let (ours, mut theirs) = crate::support::pair();
        subject.watch(&file, 1, READ, TriggerMode::Level);
        subject.watch(&ours, 2, READ, TriggerMode::Level);
        assert_eq!(subject.within(None), [(1, R)]);
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.ready_slots(), [1, 2]);
        subject.rewatch(&file, 3, WRITE, TriggerMode::Level);
        assert!(subject.now().contains(&(3, W)));
        subject.unwatch(&file);
        assert_eq!(subject.ready_slots(), [2]);
    });
}

#[test]
fn an_error_is_reported_until_it_is_taken() {
    on_every_kind(|subject| {
        if subject.is_library() {
            return; // libkqueue takes the error itself.
        }
        let stream = reset_connection();
        subject.watch(&stream, 0, BOTH, TriggerMode::Level);
        let before = subject.now()[0].1;
        assert!(
            before.contains(subject.must_say(R | W | Readiness::ERROR | Readiness::HANGUP, BOTH))
        );
        let fetched = stream.take_error().unwrap().expect("the reset must be an error");
        assert_eq!(fetched.raw_os_error(), Some(libc::ECONNRESET));
        assert!(stream.take_error().unwrap().is_none(), "an error is taken only once");
        let after = subject.now()[0].1;
        assert!(!after.contains(Readiness::ERROR), "{}: {after:?}", subject.name);
        assert!(after.contains(R | W));
    });
}

#[test]
fn a_refused_connect_is_writable_with_an_error() {
    on_every_kind(|subject| {
        if subject.is_library() {
            return; // libkqueue takes the error itself.
        }
        let socket = refused_connect();
        subject.watch(&socket, 0, WRITE, TriggerMode::Level);
        let seen = subject.within(None)[0].1;
        assert!(
            seen.contains(subject.must_say(W | Readiness::ERROR, WRITE)),
            "{}: {seen:?}",
            subject.name
        );
        let error = std::net::TcpStream::from(socket).take_error().unwrap().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

/// P14: an urgent byte is reported only to an interest in priority data.
#[test]
fn an_urgent_byte_does_not_wake_a_reader() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = tcp_pair();
        // SAFETY: the byte is readable and outlives the call.
        let sent =
            unsafe { libc::send(theirs.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        wait_for(&ours, libc::POLLPRI);
        subject.watch(&ours, 0, READ, TriggerMode::Level);
        assert_eq!(subject.now(), []);
        if !subject.everything().contains(PRIORITY) {
            let token = mainspring_sys::Token::new(0, 0);
            let asked =
                subject.selector.reregister(ours.as_raw_fd(), token, PRIORITY, TriggerMode::Level);
            return assert_eq!(asked.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
        }
        subject.rewatch(&ours, 0, READ | PRIORITY, TriggerMode::Level);
        assert_eq!(subject.now(), [(0, Readiness::PRIORITY)]);
        theirs.write_all(b"x").unwrap();
        wait_for(&ours, libc::POLLIN);
        assert_eq!(subject.now(), [(0, R | Readiness::PRIORITY)]);
        ours.read_exact(&mut [0]).unwrap();
        assert!(!subject.now().iter().any(|(_, seen)| seen.contains(R)));
    });
}

/// P8: level mode reports data in each call, even without a change.
#[test]
fn data_is_reported_as_long_as_it_is_unread() {
    on_every_kind(|subject| {
        let (mut ours, mut theirs) = crate::support::pair();
        theirs.write_all(&[0; 64]).unwrap();
        subject.watch(&ours, 0, READ, TriggerMode::Level);
        for _ in 0..64 {
            assert_eq!(subject.now(), [(0, R)]);
            ours.read_exact(&mut [0]).unwrap();
        }
        assert_eq!(subject.now(), []);
    });
}
