//! Thousands of signals: none is lost, errno is preserved, and no foreign descriptor is written to.
//!
//! Dispositions belong to the process, so the tests run one at a time.

mod default_signals;

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mainspring_sys::signal::Subscription;
use mainspring_sys::{Events, Selector, SelectorKind, Signal, Token, WakeupKind, fd};

const TOKEN: Token = Token::new(3, 4);

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static SERIAL: Mutex<()> = Mutex::new(());
    let guard = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    default_signals::set_default_signals();
    guard
}

fn open(kind: WakeupKind) -> (Box<dyn Selector>, Subscription) {
    let mut selector = SelectorKind::available()[0].open().unwrap();
    let subscription = Subscription::with_wakeup_kind(kind, &mut *selector, TOKEN).unwrap();
    (selector, subscription)
}

fn is_reported(selector: &mut dyn Selector) -> bool {
    let mut events = Events::with_capacity(4);
    selector.select(&mut events, Some(Duration::ZERO)).unwrap();
    !events.is_empty()
}

/// Ends a storm even if the test panics: the scope waits for its threads.
struct Storm<'a>(&'a AtomicBool);

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn kill(signal: Signal) {
    let process = std::process::id() as libc::pid_t;
    // SAFETY: the call takes integers.
    assert_eq!(unsafe { libc::kill(process, signal.raw()) }, 0);
}

/// X3: no signal is lost if the wakeup is full.
#[test]
fn x3_a_full_wakeup_loses_no_signal() {
    let _serial = one_at_a_time();
    let (mut selector, mut subscription) = open(WakeupKind::Pipe);
    subscription.subscribe(Signal::USR1).unwrap();
    subscription.subscribe(Signal::USR2).unwrap();
    for _ in 0..20_000 {
        Signal::USR1.raise().unwrap(); // Eight bytes each, in total more than a pipe holds.
    }
    Signal::USR2.raise().unwrap();
    assert!(is_reported(&mut *selector));
    assert_eq!(subscription.drain().unwrap().collect::<Vec<_>>(), [Signal::USR1, Signal::USR2]);
    assert!(!is_reported(&mut *selector));
    Signal::USR2.raise().unwrap();
    assert!(is_reported(&mut *selector));
}

/// X3: the handler preserves errno, even if its own write fails because the wakeup is full.
#[test]
fn x3_errno_survives_a_storm() {
    let _serial = one_at_a_time();
    let (_selector, mut subscription) = open(WakeupKind::Pipe);
    subscription.subscribe(Signal::USR1).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Storm(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                kill(Signal::USR1);
            }
        });
        for round in 0..30_000 {
            // SAFETY: closing -1 only returns EBADF.
            unsafe { libc::close(-1) };
            Signal::USR1.raise().unwrap(); // On success, raise(3) leaves errno alone.
            let errno = io::Error::last_os_error().raw_os_error();
            assert_eq!(errno, Some(libc::EBADF), "round {round}");
        }
    });
    assert_eq!(subscription.drain().unwrap().collect::<Vec<_>>(), [Signal::USR1]);
}

/// P62, P129: no handler writes to a number that was reused.
#[test]
fn no_handler_writes_to_a_reused_number() {
    let _serial = one_at_a_time();
    let (_selector, mut keeper) = open(WakeupKind::Pipe);
    keeper.subscribe(Signal::USR1).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Storm(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    Signal::USR1.raise().unwrap();
                }
            });
        }
        for _ in 0..3_000 {
            let (selector, mut subscription) = open(WakeupKind::Pipe);
            subscription.subscribe(Signal::USR1).unwrap();
            drop((subscription, selector));
            // Pipes get the numbers that have just become free.
            let pipes = [fd::pipe().unwrap(), fd::pipe().unwrap()];
            for (reader, _writer) in &pipes {
                let nothing = fd::read(reader.as_fd(), &mut [0; 8]).unwrap_err();
                assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            }
        }
    });
}
