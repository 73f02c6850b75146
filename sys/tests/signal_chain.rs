//! Handlers of other code next to ours, and our handler in unusual situations.
//!
//! Dispositions belong to the process, so the tests run one at a time.

mod default_signals;

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainspring_sys::signal::Subscription;
use mainspring_sys::{Events, Selector, SelectorKind, Signal, Token, fd};

const TOKEN: Token = Token::new(3, 4);
const USR1: libc::c_int = libc::SIGUSR1;

static PLAIN: AtomicUsize = AtomicUsize::new(0);
static WITH_INFO: AtomicUsize = AtomicUsize::new(0);

type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);

extern "C" fn plain(number: libc::c_int) {
    PLAIN.fetch_add(usize::from(number == USR1), SeqCst);
}

extern "C" fn with_info(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let told = unsafe { (*info).si_signo };
    WITH_INFO.fetch_add(usize::from(told == number && !context.is_null()), SeqCst);
}

/// The action before [`chaining`], which calls its handler, like signal-hook.
static BELOW: Mutex<Option<libc::sigaction>> = Mutex::new(None);
static CHAINED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn chaining(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    CHAINED.fetch_add(1, SeqCst);
    let Some(below) = *BELOW.try_lock().expect("the handler is not reentrant") else { return };
    if matches!(below.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        return;
    }
    // SAFETY: the handlers of these tests below `chaining` have SA_SIGINFO.
    let handler = unsafe { std::mem::transmute::<usize, WithInfo>(below.sa_sigaction) };
    handler(number, info, context);
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static SERIAL: Mutex<()> = Mutex::new(());
    let guard = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    default_signals::set_default_signals();
    for count in [&PLAIN, &WITH_INFO, &CHAINED] {
        count.store(0, SeqCst);
    }
    guard
}

fn action(handler: libc::sighandler_t, flags: libc::c_int) -> libc::sigaction {
    // SAFETY: zero is a valid value of each field: integers, a set, an optional pointer.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// Installs an action, if there is one. Returns the previous one.
fn exchange(action: Option<libc::sigaction>) -> libc::sigaction {
    let mut before = MaybeUninit::zeroed();
    let action = action.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `action` is null or complete, and `before` has room for the result.
    assert_eq!(unsafe { libc::sigaction(USR1, action, before.as_mut_ptr()) }, 0);
    // SAFETY: the call has written the action.
    unsafe { before.assume_init() }
}

fn in_force() -> libc::sighandler_t {
    exchange(None).sa_sigaction
}

fn address(handler: extern "C" fn(libc::c_int)) -> libc::sighandler_t {
    handler as libc::sighandler_t
}

fn address_with_info(handler: WithInfo) -> libc::sighandler_t {
    handler as libc::sighandler_t
}

fn open() -> (Box<dyn Selector>, Subscription) {
    let mut selector = SelectorKind::available()[0].open().unwrap();
    let subscription = Subscription::new(&mut *selector, TOKEN).unwrap();
    (selector, subscription)
}

fn is_reported(selector: &mut dyn Selector) -> bool {
    let mut events = Events::with_capacity(4);
    selector.select(&mut events, Some(Duration::ZERO)).unwrap();
    !events.is_empty()
}

/// X3: a handler that was installed before ours is called as the kernel would call it, and the loop
/// gets the signal too. X4: the handler is installed again afterwards.
#[test]
fn x3_a_previous_handler_is_called() {
    let _serial = one_at_a_time();
    let plain = action(address(plain), libc::SA_RESTART);
    let with_info = action(address_with_info(with_info), libc::SA_SIGINFO);
    for (theirs, count) in [(plain, &PLAIN), (with_info, &WITH_INFO)] {
        let found = exchange(Some(theirs));
        let (_selector, mut subscription) = open();
        subscription.subscribe(Signal::USR1).unwrap();
        for round in 1..=3 {
            Signal::USR1.raise().unwrap();
            assert_eq!(count.load(SeqCst), round);
            assert_eq!(subscription.drain().unwrap().collect::<Vec<_>>(), [Signal::USR1]);
        }
        drop(subscription);
        assert_eq!(in_force(), theirs.sa_sigaction);
        Signal::USR1.raise().unwrap();
        assert_eq!(count.load(SeqCst), 4, "the handler is called once per signal");
        exchange(Some(found));
    }
}

/// The default action and SIG_IGN are not handlers, and are not called.
#[test]
fn x3_the_default_action_is_not_called() {
    let _serial = one_at_a_time();
    for theirs in [libc::SIG_DFL, libc::SIG_IGN] {
        let found = exchange(Some(action(theirs, 0)));
        let (_selector, mut subscription) = open();
        subscription.subscribe(Signal::USR1).unwrap();
        Signal::USR1.raise().unwrap();
        assert_eq!(subscription.drain().unwrap().count(), 1);
        drop(subscription);
        assert_eq!(in_force(), theirs);
        exchange(Some(found));
    }
}

/// A handler that the kernel would reset (SA_RESETHAND) is called once; then the default is
/// restored.
#[test]
fn x4_a_handler_that_resets_itself_is_called_once() {
    let _serial = one_at_a_time();
    let theirs = action(address(plain), libc::SA_RESETHAND);
    for signals in 0..3 {
        let found = exchange(Some(theirs));
        PLAIN.store(0, SeqCst);
        let (_selector, mut subscription) = open();
        subscription.subscribe(Signal::USR1).unwrap();
        (0..signals).for_each(|_| Signal::USR1.raise().unwrap());
        assert_eq!(PLAIN.load(SeqCst), signals.min(1));
        drop(subscription);
        let expected = if signals == 0 { theirs.sa_sigaction } else { libc::SIG_DFL };
        assert_eq!(in_force(), expected);
        exchange(Some(found));
    }
}

/// Other code installs its handler over ours and calls ours; then loops start and end. Each signal
/// reaches each handler once, in any order of installation.
#[test]
fn x4_handlers_over_and_under_ours_never_form_a_cycle() {
    let _serial = one_at_a_time();
    let found = exchange(Some(action(address(plain), 0)));
    let (_selector, mut first) = open();
    first.subscribe(Signal::USR1).unwrap();
    let theirs = action(address_with_info(chaining), libc::SA_SIGINFO);
    *BELOW.lock().unwrap() = Some(exchange(Some(theirs)));
    for round in 1..=8 {
        let (_selector, mut second) = open();
        second.subscribe(Signal::USR1).unwrap();
        Signal::USR1.raise().unwrap();
        assert_eq!(second.drain().unwrap().count(), 1);
        assert_eq!(first.drain().unwrap().count(), 1);
        assert_eq!((CHAINED.load(SeqCst), PLAIN.load(SeqCst)), (round, round));
    }
    drop(first);
    Signal::USR1.raise().unwrap();
    assert_eq!((CHAINED.load(SeqCst), PLAIN.load(SeqCst)), (9, 9), "the chain is complete");
    assert_eq!(in_force(), theirs.sa_sigaction);

    // They end and restore our handler, which no loop needs any more.
    exchange(BELOW.lock().unwrap().take());
    let (_selector, mut third) = open();
    third.subscribe(Signal::USR1).unwrap();
    Signal::USR1.raise().unwrap();
    assert_eq!((third.drain().unwrap().count(), PLAIN.load(SeqCst)), (1, 10));
    drop(third);
    assert_eq!(in_force(), address(plain));
    exchange(Some(found));
}

/// X3: a write to a full counter in edge mode makes no event.
#[test]
fn x3_a_full_wakeup_still_wakes() {
    let _serial = one_at_a_time();
    for kind in SelectorKind::available() {
        let mut selector = kind.open().unwrap();
        let mut subscription = Subscription::new(&mut *selector, TOKEN).unwrap();
        subscription.subscribe(Signal::USR1).unwrap();
        // The maximum of an eventfd; a pipe gets its eight bytes.
        fd::write(subscription.watched_fd(), &(u64::MAX - 1).to_ne_bytes()).unwrap();
        assert!(is_reported(&mut *selector));
        Signal::USR1.raise().unwrap();
        assert!(is_reported(&mut *selector), "{kind}");
        assert_eq!(subscription.drain().unwrap().collect::<Vec<_>>(), [Signal::USR1]);
    }
}

/// On systems with syscall(2), the handler writes without a cancellation point.
#[cfg(has_numbered_syscalls)]
mod cancellation {
    use std::io;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicBool;

    use super::*;

    static SURVIVED: AtomicBool = AtomicBool::new(false);

    extern "C" fn raise_while_cancelled(_: *mut c_void) -> *mut c_void {
        // SAFETY: the call has no arguments.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the thread runs, so its id is valid.
        assert_eq!(unsafe { libc::pthread_cancel(this) }, 0);
        Signal::USR1.raise().unwrap();
        SURVIVED.store(true, SeqCst);
        ptr::null_mut()
    }

    /// X3: the handler is not a cancellation point in a thread with a pending pthread_cancel(3),
    /// which would unwind through the interrupted code.
    #[test]
    fn x3_the_handler_is_not_a_cancellation_point() {
        let _serial = one_at_a_time();
        let (_selector, mut subscription) = open();
        subscription.subscribe(Signal::USR1).unwrap();
        let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
        let (at, null) = (thread.as_mut_ptr(), ptr::null_mut());
        // SAFETY: `at` has room for the id, and the function takes no argument.
        let made = unsafe { libc::pthread_create(at, ptr::null(), raise_while_cancelled, null) };
        assert_eq!(made, 0, "{}", io::Error::from_raw_os_error(made));
        // SAFETY: the call has written the id.
        let thread = unsafe { thread.assume_init() };
        // SAFETY: the thread is joined once, and its result is not requested.
        assert_eq!(unsafe { libc::pthread_join(thread, null.cast()) }, 0);
        assert!(SURVIVED.load(SeqCst));
        assert_eq!(subscription.drain().unwrap().count(), 1);
        assert!(subscription.watched_fd().as_raw_fd() > 2);
    }
}
