//! Identity of descriptors: duplicates, reused numbers, selectors inside selectors, and the
//! selector's own descriptors.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};

use mainspring_sys::{SelectorKind, Token, TriggerMode, Wakeup, WakeupKind};

use crate::support::{READ, WRITE, alone, census, dup_from, on_every_kind, pair, subjects};

/// P5
#[test]
fn duplicates_of_a_descriptor_are_separate_registrations() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        let copy = dup_from(&ours, 0);
        subject.watch(&ours, 1, READ, TriggerMode::Level);
        subject.watch(&copy, 2, READ, TriggerMode::Level);
        theirs.write_all(b"x").unwrap();
        assert_eq!(subject.ready_slots(), [1, 2], "{}", subject.name);
        subject.unwatch(&ours);
        drop(ours);
        assert_eq!(subject.ready_slots(), [2], "{}", subject.name);
    });
}

/// P3
#[test]
fn w4_a_reused_number_belongs_to_the_new_file() {
    on_every_kind(|subject| {
        for round in 0..1_000 {
            let (ours, mut theirs) = pair();
            let (used, generation) = (dup_from(&ours, 200), round);
            assert_eq!(used.as_raw_fd(), 200);
            let token = Token::new(0, generation);
            subject.selector.register(200, token, READ, TriggerMode::Level).unwrap();
            assert_eq!(subject.now(), [], "{}, round {round}", subject.name);
            theirs.write_all(b"x").unwrap();
            assert_eq!(subject.ready_slots(), [0], "{}, round {round}", subject.name);
            assert_eq!(subject.events.as_slice()[0].token, token);
            subject.unwatch(&used);
            assert_eq!(subject.ready_slots(), [], "{}, round {round}", subject.name);
        }
    });
}

/// P6
#[test]
fn a_change_takes_effect_at_once() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        subject.watch(&ours, 1, READ | WRITE, TriggerMode::Level);
        subject.rewatch(&ours, 2, WRITE, TriggerMode::Level);
        assert_eq!(subject.now(), [(2, crate::support::W)], "{}", subject.name);
        subject.rewatch(&ours, 3, READ, TriggerMode::Level);
        assert_eq!(subject.now(), [(3, crate::support::R)], "{}", subject.name);
        subject.unwatch(&ours);
        assert_eq!(subject.now(), [], "{}", subject.name);
    });
}

/// P22
#[test]
fn a_selector_inside_another_is_readable_when_an_event_is_pending() {
    let _alone = alone();
    for (mut outer, mut inner) in subjects().into_iter().zip(subjects()) {
        let Some(number) = inner.selector.poll_fd().map(|fd| fd.as_raw_fd()) else { continue };
        if inner.is_library() {
            continue;
        }
        let (ours, mut theirs) = pair();
        inner.watch(&ours, 1, READ, TriggerMode::Level);
        outer.selector.register(number, Token::new(2, 0), READ, TriggerMode::Level).unwrap();
        assert_eq!(outer.ready_slots(), [], "{}", outer.name);
        theirs.write_all(b"x").unwrap();
        assert_eq!(outer.ready_slots(), [2], "{}", outer.name);
        assert_eq!(inner.ready_slots(), [1], "{}", inner.name);
    }
}

/// P22
#[test]
fn epoll_refuses_itself_and_cycles() {
    on_every_kind(|subject| {
        if subject.kind != SelectorKind::Epoll {
            return;
        }
        let own = subject.selector.poll_fd().unwrap().as_raw_fd();
        let (token, mode) = (Token::new(1, 0), TriggerMode::Level);
        let itself = subject.selector.register(own, token, READ, mode).unwrap_err();
        assert_eq!(itself.raw_os_error(), Some(libc::EINVAL), "{itself}");
        let mut other = subject.kind.open().unwrap();
        let others = other.poll_fd().unwrap().as_raw_fd();
        subject.selector.register(others, token, READ, mode).unwrap();
        let cycle = other.register(own, token, READ, mode).unwrap_err();
        assert_eq!(cycle.raw_os_error(), Some(libc::ELOOP), "{cycle}");
        assert_eq!(subject.ready_slots(), []);
    });
}

#[test]
fn a_reset_removes_all_registrations_and_keeps_the_number() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        theirs.write_all(b"x").unwrap();
        let number =
            |subject: &crate::support::Subject| subject.selector.poll_fd().map(|fd| fd.as_raw_fd());
        let (open, before) = (census(), number(subject));
        subject.watch(&ours, 1, READ, TriggerMode::Level);
        subject.watch(&file, 2, READ, TriggerMode::Level);
        assert_eq!(subject.ready_slots(), [1, 2]);
        subject.selector.reset().unwrap();
        assert_eq!(subject.now(), [], "{}", subject.name);
        if !cfg!(kqueue_is_library) {
            assert_eq!((census(), number(subject)), (open, before), "{}", subject.name);
        }
        let removed = subject.selector.deregister(ours.as_raw_fd()).unwrap_err();
        assert_eq!(removed.kind(), std::io::ErrorKind::NotFound, "{}", subject.name);
        subject.watch(&ours, 3, READ, TriggerMode::Level);
        subject.watch(&file, 4, READ, TriggerMode::Level);
        assert_eq!(subject.ready_slots(), [3, 4], "{}", subject.name);
    });
}

/// Checks every descriptor that `make` creates, found by comparing the open descriptors before and
/// after. Dropping the result must close them.
fn assert_well_behaved<T>(what: &str, must_not_wait: bool, make: impl FnOnce() -> T) {
    let before = census();
    let made = make();
    for fd in census().difference(&before) {
        assert!(
            flags(*fd, libc::F_GETFD) & libc::FD_CLOEXEC != 0,
            "{what}: fd {fd} is not close-on-exec"
        );
        let waits = flags(*fd, libc::F_GETFL) & libc::O_NONBLOCK == 0;
        assert!(!(waits && must_not_wait), "{what}: fd {fd} is blocking");
    }
    drop(made);
    assert_eq!(census(), before, "{what} leaks");
}

fn flags(fd: RawFd, command: libc::c_int) -> libc::c_int {
    // SAFETY: the two commands take no argument and touch no memory of ours.
    unsafe { libc::fcntl(fd, command) }
}

/// A selector's own fd is never read, so it need not be non-blocking.
#[test]
fn w11_own_descriptors_are_close_on_exec_and_non_blocking() {
    if cfg!(kqueue_is_library) {
        return;
    }
    let _alone = alone();
    for kind in SelectorKind::available() {
        assert_well_behaved(&kind.to_string(), false, || kind.open().unwrap());
        assert_well_behaved(&format!("{kind}, reset"), false, || {
            let mut selector = kind.open().unwrap();
            selector.reset().unwrap();
            selector
        });
        let mut selector = kind.open().unwrap();
        for wakeup in WakeupKind::available() {
            assert_well_behaved(&format!("{wakeup} at {kind}"), true, || {
                Wakeup::new(*wakeup, &mut *selector, Token::new(0, 0)).ok()
            });
            selector.reset().unwrap();
        }
    }
}
