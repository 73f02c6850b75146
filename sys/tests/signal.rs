//! Signals on the real system: delivery, refusal, and restored dispositions.
//!
//! Dispositions belong to the process, so the tests run one at a time.

mod default_signals;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use mainspring_sys::signal::Subscription;
use mainspring_sys::{Events, Interest, Selector, SelectorKind, Signal, Token, WakeupKind, fd};

const TOKEN: Token = Token::new(3, 4);
/// Long enough for any machine; only a failing test waits that long.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static SERIAL: Mutex<()> = Mutex::new(());
    let guard = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    default_signals::set_default_signals();
    guard
}

fn open() -> (Box<dyn Selector>, Subscription) {
    let mut selector = SelectorKind::available()[0].open().unwrap();
    let subscription = Subscription::new(&mut *selector, TOKEN).unwrap();
    (selector, subscription)
}

/// Returns true if the selector reports the subscription within `wait`.
fn is_reported(selector: &mut dyn Selector, wait: Option<Duration>) -> bool {
    let mut events = Events::with_capacity(4);
    selector.select(&mut events, wait).unwrap();
    assert!(events.as_slice().iter().all(|event| event.token == TOKEN));
    !events.is_empty()
}

fn take_pending(subscription: &mut Subscription) -> Vec<Signal> {
    subscription.drain().unwrap().collect()
}

fn action_of(signal: libc::c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: a null action changes nothing, and `action` has room for the current one.
    match unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } {
        // SAFETY: the call has written the action.
        0 => Ok(unsafe { action.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_action(signal: Signal, action: &libc::sigaction) {
    // SAFETY: the handlers of these tests do nothing.
    let result = unsafe { libc::sigaction(signal.raw(), action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn new_action(
    handler: libc::sighandler_t,
    flags: libc::c_int,
    masked: &[Signal],
) -> libc::sigaction {
    let mut action = action_of(libc::SIGUSR1).unwrap();
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the mask is a writable signal set.
    unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
    for signal in masked {
        // SAFETY: as above.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, signal.raw()) };
    }
    action
}

/// Returns handler, flags and mask: the whole disposition.
fn disposition(signal: libc::c_int) -> (libc::sighandler_t, libc::c_int, Vec<bool>) {
    // The kernel adds SA_RESTORER.
    const RESTORER: libc::c_int = 0x0400_0000;
    let action = action_of(signal).unwrap();
    // SAFETY: the mask is readable.
    let masked = |number| unsafe { libc::sigismember(&raw const action.sa_mask, number) } == 1;
    (action.sa_sigaction, action.sa_flags & !RESTORER, (1..32).map(masked).collect())
}

fn nothing() -> libc::sighandler_t {
    let handler: extern "C" fn(libc::c_int) = do_nothing;
    handler as libc::sighandler_t
}

fn kill(signal: Signal) {
    let process = std::process::id() as libc::pid_t;
    // SAFETY: the call takes integers.
    assert_eq!(unsafe { libc::kill(process, signal.raw()) }, 0);
}

/// X3: with every selector and every wakeup, each signal is delivered, and different signals do not
/// hide each other.
#[test]
fn x3_different_signals_never_hide_each_other() {
    let _serial = one_at_a_time();
    for selector in SelectorKind::available() {
        for kind in WakeupKind::available() {
            if *kind == WakeupKind::UserEvent {
                continue;
            }
            let mut selector = selector.open().unwrap();
            let mut subscription =
                Subscription::with_wakeup_kind(*kind, &mut *selector, TOKEN).unwrap();
            let signals = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::WINCH];
            for signal in signals {
                assert!(subscription.subscribe(signal).unwrap());
                assert!(!subscription.subscribe(signal).unwrap(), "{signal} is watched already");
            }
            assert!(!is_reported(&mut *selector, Some(Duration::ZERO)));
            for signal in signals.iter().rev().chain(&signals) {
                signal.raise().unwrap();
            }
            assert!(is_reported(&mut *selector, PATIENCE));
            let mut expected = signals;
            expected.sort();
            assert_eq!(take_pending(&mut subscription), expected);
            assert!(!is_reported(&mut *selector, Some(Duration::ZERO)));
            assert_eq!(take_pending(&mut subscription), []);
        }
    }
}

/// X3: the highest signal of the system, which has no name, is delivered like the others.
#[test]
fn x3_real_time_signals_are_delivered_too() {
    let _serial = one_at_a_time();
    let highest = (1..=128).rev().find_map(Signal::from_raw).unwrap();
    let (mut selector, mut subscription) = open();
    subscription.subscribe(highest).unwrap();
    kill(highest);
    assert!(is_reported(&mut *selector, PATIENCE));
    assert_eq!(take_pending(&mut subscription), [highest]);
}

/// X3: a signal directed at any thread of the process reaches the loop.
#[test]
fn x3_a_signal_for_another_thread_reaches_the_loop() {
    let _serial = one_at_a_time();
    let (mut selector, mut subscription) = open();
    subscription.subscribe(Signal::USR1).unwrap();
    let (end, ended) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        // SAFETY: the call has no arguments.
        sender.send(unsafe { libc::pthread_self() } as usize).unwrap();
        ended.recv()
    });
    let thread = receiver.recv().unwrap() as libc::pthread_t;
    // SAFETY: the thread is still waiting, so its id is valid.
    assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
    assert!(is_reported(&mut *selector, PATIENCE));
    assert_eq!(take_pending(&mut subscription), [Signal::USR1]);
    drop(end);
    other.join().unwrap().unwrap_err();
}

/// X4: several loops may watch one signal; each gets it, and the rest still do when one ends.
#[test]
fn x4_two_loops_get_a_signal_and_one_continues_alone() {
    let _serial = one_at_a_time();
    let before = disposition(libc::SIGUSR1);
    let (mut first, mut first_subscription) = open();
    first_subscription.subscribe(Signal::USR1).unwrap();
    let (ready, is_ready) = mpsc::channel();
    let second = thread::spawn(move || {
        let (mut selector, mut subscription) = open();
        subscription.subscribe(Signal::USR1).unwrap();
        ready.send(()).unwrap();
        assert!(is_reported(&mut *selector, PATIENCE));
        assert_eq!(take_pending(&mut subscription), [Signal::USR1]);
    });
    is_ready.recv().unwrap();
    kill(Signal::USR1);
    second.join().unwrap();
    assert!(is_reported(&mut *first, PATIENCE));
    assert_eq!(take_pending(&mut first_subscription), [Signal::USR1]);
    kill(Signal::USR1);
    assert!(is_reported(&mut *first, PATIENCE));
    assert_ne!(disposition(libc::SIGUSR1), before);
    drop(first_subscription);
    assert_eq!(disposition(libc::SIGUSR1), before);
}

/// X4: handler, flags and mask are restored exactly, by unsubscribing and by dropping, but only
/// after the last loop.
#[test]
fn x4_the_exact_disposition_is_restored() {
    let _serial = one_at_a_time();
    let found = action_of(libc::SIGUSR2).unwrap();
    for previous in [
        new_action(libc::SIG_IGN, 0, &[]),
        new_action(libc::SIG_DFL, 0, &[]),
        new_action(nothing(), libc::SA_RESTART | libc::SA_NODEFER, &[Signal::INT, Signal::TERM]),
        new_action(nothing(), libc::SA_SIGINFO | libc::SA_ONSTACK, &[Signal::HUP]),
    ] {
        set_action(Signal::USR2, &previous);
        let before = disposition(libc::SIGUSR2);
        let (_selector, mut one) = open();
        let (_selector, mut two) = open();
        assert!(one.subscribe(Signal::USR2).unwrap());
        let (handler, flags, _) = disposition(libc::SIGUSR2);
        assert_ne!(handler, before.0);
        assert_eq!(flags, libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO);
        assert!(two.subscribe(Signal::USR2).unwrap());
        assert!(one.unsubscribe(Signal::USR2).unwrap());
        assert!(!one.unsubscribe(Signal::USR2).unwrap());
        assert_eq!(disposition(libc::SIGUSR2).0, handler, "the second loop still watches");
        drop(two);
        assert_eq!(disposition(libc::SIGUSR2), before);
        assert!(one.subscribe(Signal::USR2).unwrap());
        assert!(one.unsubscribe(Signal::USR2).unwrap());
        assert_eq!(disposition(libc::SIGUSR2), before);
    }
    set_action(Signal::USR2, &found);
}

/// X4: a handler that other code has installed over ours stays; a new subscription still works.
#[test]
fn x4_a_newer_handler_of_other_code_stays() {
    let _serial = one_at_a_time();
    let found = action_of(libc::SIGUSR1).unwrap();
    let (mut selector, mut subscription) = open();
    subscription.subscribe(Signal::USR1).unwrap();
    set_action(Signal::USR1, &new_action(nothing(), 0, &[Signal::QUIT]));
    let theirs = disposition(libc::SIGUSR1);
    subscription.unsubscribe(Signal::USR1).unwrap();
    assert_eq!(disposition(libc::SIGUSR1), theirs);

    let (_selector, mut other) = open();
    other.subscribe(Signal::USR1).unwrap();
    set_action(Signal::USR1, &new_action(libc::SIG_IGN, 0, &[]));
    let ignored = disposition(libc::SIGUSR1);
    subscription.subscribe(Signal::USR1).unwrap();
    Signal::USR1.raise().unwrap();
    assert!(is_reported(&mut *selector, PATIENCE));
    drop((subscription, other));
    assert_eq!(disposition(libc::SIGUSR1), ignored);
    set_action(Signal::USR1, &found);
}

/// X4: signals that cannot be watched are refused, and nothing is installed or kept.
#[test]
fn x4_kill_stop_and_faults_are_refused() {
    let _serial = one_at_a_time();
    let (mut selector, mut subscription) = open();
    for name in ["KILL", "STOP", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS"] {
        let signal: Signal = name.parse().unwrap();
        let before = action_of(signal.raw()).map(|action| action.sa_sigaction);
        let refused = subscription.subscribe(signal).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains(&format!("SIG{name} cannot be watched: ")));
        let after = action_of(signal.raw()).map(|action| action.sa_sigaction);
        assert_eq!(before.ok(), after.ok());
        assert!(!subscription.unsubscribe(signal).unwrap());
    }
    assert!(!is_reported(&mut *selector, Some(Duration::ZERO)));
}

/// A pending signal is discarded when it is unsubscribed, even for a later subscription.
#[test]
fn unsubscribing_discards_pending_signals() {
    let _serial = one_at_a_time();
    let (_selector, mut subscription) = open();
    let (_selector, mut keeper) = open(); // Without a handler, the signal would kill the process.
    keeper.subscribe(Signal::USR1).unwrap();
    subscription.subscribe(Signal::USR1).unwrap();
    Signal::USR1.raise().unwrap();
    subscription.unsubscribe(Signal::USR1).unwrap();
    Signal::USR1.raise().unwrap();
    subscription.subscribe(Signal::USR1).unwrap();
    assert_eq!(take_pending(&mut subscription), []);
    assert_eq!(take_pending(&mut keeper), [Signal::USR1]);
}

/// X7: the copy in a forked child gets its own wakeup, and does not wake the parent.
#[test]
fn x7_a_forked_child_is_independent() {
    let _serial = one_at_a_time();
    let (mut selector, mut subscription) = open();
    subscription.subscribe(Signal::USR1).unwrap();
    Signal::USR1.raise().unwrap();
    // SAFETY: the child takes no lock that another thread could hold, and ends by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let independent = || -> io::Result<bool> {
            let mut selector = SelectorKind::available()[0].open()?;
            subscription.after_fork()?;
            let (fd, mode) = (subscription.watched_fd().as_raw_fd(), subscription.mode());
            selector.register(fd, TOKEN, Interest::READABLE, mode)?;
            let forgot = subscription.drain()?.next().is_none();
            Signal::USR1.raise()?;
            let reported = is_reported(&mut *selector, PATIENCE);
            let came = subscription.drain()?.eq([Signal::USR1]);
            drop(subscription);
            Ok(forgot
                && reported
                && came
                && action_of(libc::SIGUSR1)?.sa_sigaction == libc::SIG_DFL)
        };
        let code = if independent().unwrap_or(false) { 0 } else { 1 };
        // SAFETY: the call ends the process without running destructors.
        unsafe { libc::_exit(code) };
    }
    let mut status = -1;
    // SAFETY: `status` has room for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(is_reported(&mut *selector, Some(Duration::ZERO)));
    assert_eq!(
        take_pending(&mut subscription),
        [Signal::USR1],
        "the parent's own signal is still pending"
    );
    assert!(!is_reported(&mut *selector, Some(Duration::ZERO)), "the child woke its parent");
}

/// W11, P126: the wakeup descriptors are private to the process, and no signal is blocked.
#[test]
fn w11_the_wakeup_is_private_and_no_signal_is_blocked() {
    let _serial = one_at_a_time();
    for kind in WakeupKind::available() {
        let mut selector = SelectorKind::available()[0].open().unwrap();
        let before = open_fds();
        let result = Subscription::with_wakeup_kind(*kind, &mut *selector, TOKEN);
        if *kind == WakeupKind::UserEvent {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Unsupported);
            continue;
        }
        let mut subscription = result.unwrap();
        subscription.subscribe(Signal::USR1).unwrap();
        let made: Vec<RawFd> = open_fds().into_iter().filter(|fd| !before.contains(fd)).collect();
        assert!(made.contains(&subscription.watched_fd().as_raw_fd()));
        for fd in made {
            assert_eq!(flags_of(fd), (true, true), "{kind}: (close-on-exec, non-blocking)");
        }
        let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: a null set changes nothing, and `blocked` has room for the current one.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr()) };
        // SAFETY: the call has written the set.
        assert_eq!(unsafe { libc::sigismember(blocked.as_ptr(), libc::SIGUSR1) }, 0);
        drop(subscription);
        assert_eq!(open_fds(), before);
    }
}

fn open_fds() -> Vec<RawFd> {
    (0..1024).filter(|number| fd::is_open(*number)).collect()
}

fn flags_of(fd: RawFd) -> (bool, bool) {
    // SAFETY: the command takes no argument.
    let descriptor = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    // SAFETY: as above.
    let file = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    (descriptor & libc::FD_CLOEXEC != 0, file & libc::O_NONBLOCK != 0)
}
