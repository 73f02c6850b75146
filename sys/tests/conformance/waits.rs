//! Length of waits: never too short, never endless, with any number of signals.

use std::io::Write;
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mainspring_sys::TriggerMode;

use crate::support::{R, READ, on_every_kind, pair, subjects};

#[test]
fn t4_a_wait_is_never_shorter_than_asked() {
    on_every_kind(|subject| {
        let (ours, _theirs) = pair();
        subject.watch(&ours, 0, READ, TriggerMode::Level);
        for nanos in [0, 1, 999, 900_000, 1_500_000, 2_000_001] {
            for _ in 0..5 {
                let (wait, start) = (Duration::from_nanos(nanos), Instant::now());
                assert_eq!(subject.within(Some(wait)), []);
                let took = start.elapsed();
                assert!(took >= wait, "{}: {took:?} instead of {wait:?}", subject.name);
            }
        }
    });
}

#[test]
fn t4_the_longest_durations_are_waits_like_others() {
    on_every_kind(|subject| {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        subject.watch(&ours, 0, READ, TriggerMode::Level);
        for wait in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 31)] {
            assert_eq!(subject.within(Some(wait)), [(0, R)], "{}", subject.name);
        }
        assert_eq!(subject.within(None), [(0, R)], "{}", subject.name);
    });
}

/// An event during a wait ends it, however long its timeout is.
#[test]
fn t4_an_event_ends_the_longest_wait() {
    on_every_kind(|subject| {
        for wait in [None, Some(Duration::MAX)] {
            let (ours, mut theirs) = pair();
            subject.watch(&ours, 0, READ, TriggerMode::Level);
            let writer = thread::spawn(move || {
                theirs.write_all(b"x").unwrap();
                theirs
            });
            assert_eq!(subject.within(wait), [(0, R)], "{}", subject.name);
            writer.join().unwrap();
            subject.unwatch(&ours);
        }
    });
}

static INTERRUPTIONS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: libc::c_int) {
    INTERRUPTIONS.fetch_add(1, Ordering::Relaxed);
}

/// Installs a handler for `SIGUSR2` that counts, and interrupts system calls.
fn count_interruptions() {
    // SAFETY: the struct has only integers and addresses, for which zero is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
    let nowhere = std::ptr::null_mut();
    // SAFETY: `action` is readable, and its handler does nothing but count; both outlive the call.
    let done = unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, nowhere) };
    assert_eq!(done, 0);
}

/// A wait under frequent signals ends, and not early. If it restarted after each of them, it would
/// never end.
#[test]
fn t4_signals_neither_end_nor_restart_a_wait() {
    count_interruptions();
    let _alone = crate::support::alone();
    for index in 0..subjects().len() {
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let (done, storm_over) = (over.clone(), over.clone());
        let waiter = thread::spawn(move || {
            let mut subject = subjects().swap_remove(index);
            let (ours, _theirs) = pair();
            subject.watch(&ours, 0, READ, TriggerMode::Level);
            let before = INTERRUPTIONS.load(Ordering::Relaxed);
            while INTERRUPTIONS.load(Ordering::Relaxed) < before + 10 {
                let (wait, start) = (Duration::from_millis(150), Instant::now());
                assert_eq!(subject.within(Some(wait)), [], "{}", subject.name);
                let took = start.elapsed();
                assert!(took >= wait, "{}: {took:?}", subject.name);
            }
            done.store(true, Ordering::Release);
        });
        while !storm_over.load(Ordering::Acquire) && !waiter.is_finished() {
            interrupt(&waiter);
        }
        waiter.join().unwrap();
    }
}

/// A wait without timeout is not ended by signals, and the event after them is not lost.
#[test]
fn t4_signals_do_not_end_an_endless_wait() {
    count_interruptions();
    let _alone = crate::support::alone();
    for index in 0..subjects().len() {
        let (send, receive) = mpsc::channel();
        let waiter = thread::spawn(move || {
            let mut subject = subjects().swap_remove(index);
            let (ours, theirs) = pair();
            subject.watch(&ours, 0, READ, TriggerMode::Level);
            send.send(theirs).unwrap();
            assert_eq!(subject.within(None), [(0, R)], "{}", subject.name);
        });
        let mut theirs = receive.recv().unwrap();
        let before = INTERRUPTIONS.load(Ordering::Relaxed);
        while INTERRUPTIONS.load(Ordering::Relaxed) < before + 10 && !waiter.is_finished() {
            interrupt(&waiter);
        }
        theirs.write_all(b"x").unwrap();
        waiter.join().unwrap();
    }
}

fn interrupt(waiter: &thread::JoinHandle<()>) {
    let thread = waiter.as_pthread_t() as libc::pthread_t; // An address on some systems.
    // SAFETY: the thread has not been joined, so its id is valid.
    let sent = unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
    assert!(sent == 0 || sent == libc::ESRCH);
    thread::yield_now();
}
