//! Every kind of wakeup with every selector.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mainspring_sys::{Token, TriggerMode, Wakeup, WakeupKind, fd};

use crate::support::{READ, Subject, on_every_kind};

const WAKEUP: Token = Token::new(9, 0);

/// Runs `check` with each kind of wakeup that `subject` supports.
fn with_each_wakeup(subject: &mut Subject, check: impl Fn(&mut Subject, WakeupKind, Wakeup)) {
    let mut tried = 0;
    for kind in WakeupKind::available() {
        match Wakeup::new(*kind, &mut *subject.selector, WAKEUP) {
            Ok(wakeup) => check(subject, *kind, wakeup),
            Err(error) => {
                let expected = (WakeupKind::UserEvent, ErrorKind::Unsupported);
                assert_eq!((*kind, error.kind()), expected, "{}: {error}", subject.name);
                continue;
            }
        }
        tried += 1;
        subject.selector.reset().unwrap();
    }
    assert!(tried > 0, "{} has no wakeup", subject.name);
}

#[test]
fn x2_wakes_are_merged_until_drained() {
    on_every_kind(|subject| {
        with_each_wakeup(subject, |subject, kind, wakeup| {
            assert_eq!(subject.ready_slots(), [], "{} and {kind}", subject.name);
            for _ in 0..3 {
                wakeup.wake().unwrap();
                wakeup.wake().unwrap();
                assert_eq!(subject.ready_slots(), [9], "{} and {kind}", subject.name);
                if kind != WakeupKind::UserEvent && wakeup.mode() == TriggerMode::Level {
                    assert_eq!(subject.ready_slots(), [9], "{} and {kind}", subject.name);
                }
                wakeup.drain().unwrap();
                assert_eq!(subject.ready_slots(), [], "{} and {kind}", subject.name);
                wakeup.drain().unwrap(); // A second drain is not an error.
            }
        });
    });
}

/// In edge mode the counter is never read: each wake is reported once.
#[test]
fn x2_a_wake_is_reported_once_where_the_kernel_has_edges() {
    on_every_kind(|subject| {
        with_each_wakeup(subject, |subject, kind, wakeup| {
            if wakeup.mode() == TriggerMode::Level {
                return assert!(kind != WakeupKind::Eventfd || !subject.selector.has_edges());
            }
            for _ in 0..3 {
                wakeup.wake().unwrap();
                assert_eq!(subject.ready_slots(), [9], "{} and {kind}", subject.name);
                assert_eq!(subject.ready_slots(), [], "{} and {kind}", subject.name);
            }
        });
    });
}

/// A full wakeup still works: no caller waits or gets an error, and no wake is lost.
#[test]
fn x2_a_full_wakeup_still_wakes() {
    on_every_kind(|subject| {
        with_each_wakeup(subject, |subject, kind, wakeup| {
            if let Some(written) = wakeup.written_fd() {
                while fd::write(written, &(u64::MAX / 2).to_ne_bytes()).is_ok() {}
            }
            for _ in 0..3 {
                wakeup.wake().unwrap();
            }
            assert_eq!(subject.ready_slots(), [9], "{} and {kind}", subject.name);
            wakeup.drain().unwrap();
            assert_eq!(subject.ready_slots(), [], "{} and {kind}", subject.name);
            wakeup.wake().unwrap();
            assert_eq!(subject.ready_slots(), [9], "{} and {kind}", subject.name);
        });
    });
}

/// A lost wake would leave the selector asleep forever.
#[test]
fn x2_no_wake_of_any_thread_is_lost() {
    const THREADS: usize = 3;
    const WAKES: usize = 2_000;
    on_every_kind(|subject| {
        with_each_wakeup(subject, |subject, kind, wakeup| {
            let sent = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for _ in 0..WAKES {
                            sent.fetch_add(1, Ordering::SeqCst);
                            wakeup.wake().unwrap();
                        }
                    });
                }
                while sent.load(Ordering::SeqCst) < THREADS * WAKES {
                    let seen = subject.within(None);
                    assert_eq!(seen.len(), 1, "{} and {kind}", subject.name);
                    wakeup.drain().unwrap();
                }
            });
        });
    });
}

/// A wakeup is an ordinary registration: it can be registered once, and deregistered.
#[test]
fn a_wakeup_with_an_fd_is_an_ordinary_registration() {
    on_every_kind(|subject| {
        with_each_wakeup(subject, |subject, kind, wakeup| {
            let Some(watched) = wakeup.watched_fd().map(|fd| fd.as_raw_fd()) else { return };
            let second =
                subject.selector.register(watched, WAKEUP, READ, TriggerMode::Level).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::AlreadyExists, "{} and {kind}", subject.name);
            subject.selector.deregister(watched).unwrap();
            wakeup.wake().unwrap();
            assert_eq!(subject.within(Some(Duration::from_micros(10))), []);
        });
    });
}

#[test]
fn the_best_wakeup_is_the_first_that_the_selector_has() {
    on_every_kind(|subject| {
        let wakeup = Wakeup::best(&mut *subject.selector, WAKEUP).unwrap();
        wakeup.wake().unwrap();
        assert_eq!(subject.ready_slots(), [9], "{}", subject.name);
        let user_event = subject.selector.user_event(WAKEUP).is_ok();
        assert_eq!(wakeup.watched_fd().is_none(), user_event, "{}", subject.name);
    });
}
