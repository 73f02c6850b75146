//! Our handlers, and the handlers of other code that they call.
//!
//! A library that wants a signal (signal-hook, a run-time, a C program) may have put its handler in
//! force before ours. Ours calls it, so that both see each signal.
//!
//! # Invariants
//!
//! * Each level has a function of its own, which is at one place of the chain at most. A foreign
//!   handler that was put over ours, and calls it, is itself called by the next level. So no chain
//!   has a loop in it.
//! * A [`Previous`] is never freed, so a handler may call one at any moment.

use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::SeqCst;

use super::Signal;
use super::handler;

type Plain = extern "C" fn(libc::c_int);
type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);

/// Our handlers, one for each level.
const HANDLERS: [WithInfo; LEVELS] =
    [on_signal::<0>, on_signal::<1>, on_signal::<2>, on_signal::<3>];

/// The number of our handlers in one chain.
pub(super) const LEVELS: usize = 4;

/// One more than the highest number of a signal; see [`handler::check_number`].
const NUMBERS: usize = 129;

/// The handler that each level calls, by signal.
static PREVIOUS: [[AtomicPtr<Previous>; NUMBERS]; LEVELS] =
    [const { [const { AtomicPtr::new(ptr::null_mut()) }; NUMBERS] }; LEVELS];

/// A handler of other code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Previous {
    handler: libc::sighandler_t,
    has_info: bool,
    /// Resets itself to the default when it is called (SA_RESETHAND).
    is_once: bool,
}

impl Previous {
    /// The handler of `action`; none if that is the default, or to ignore the signal.
    pub(super) fn of(action: &libc::sigaction) -> Option<Previous> {
        (!is_default(action)).then_some(Previous {
            handler: action.sa_sigaction,
            has_info: action.sa_flags & libc::SA_SIGINFO != 0,
            is_once: action.sa_flags & libc::SA_RESETHAND != 0,
        })
    }

    fn call(self, number: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        if self.has_info {
            // SAFETY: sigaction(2) gave the address together with SA_SIGINFO, so it is a function
            // of this type.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, WithInfo>(self.handler) };
            handler(number, info, context);
        } else {
            // SAFETY: sigaction(2) gave the address without SA_SIGINFO, and it is neither SIG_DFL
            // nor SIG_IGN, so it is a function of this type.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, Plain>(self.handler) };
            handler(number);
        }
    }
}

/// True if `action` calls no handler.
pub(super) fn is_default(action: &libc::sigaction) -> bool {
    matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

/// The address of the handler of `level`, for an action with SA_SIGINFO.
pub(super) fn address(level: usize) -> libc::sighandler_t {
    HANDLERS[level] as libc::sighandler_t
}

/// The level whose handler is in force by `action`; none if it is other code's.
pub(super) fn level_of(action: &libc::sigaction) -> Option<usize> {
    (0..LEVELS).find(|level| address(*level) == action.sa_sigaction)
}

/// Has the handler of `level` call `previous` from now on. `known` keeps what was ever called, so
/// that each handler is leaked once only.
pub(super) fn set(
    level: usize,
    signal: Signal,
    previous: Option<Previous>,
    known: &mut Vec<&'static Previous>,
) {
    let Some(place) = place(level, signal.raw()) else { return };
    let leaked = previous.map(|previous| {
        let old = known.iter().copied().find(|old| **old == previous);
        old.unwrap_or_else(|| {
            let fresh: &'static Previous = Box::leak(Box::new(previous));
            known.push(fresh);
            fresh
        })
    });
    place.store(leaked.map_or(ptr::null_mut(), |it| ptr::from_ref(it).cast_mut()), SeqCst);
}

/// True if `level` has a handler of other code to call. One that resets itself is gone after its
/// call.
pub(super) fn calls_another(level: usize, signal: Signal) -> bool {
    place(level, signal.raw()).is_some_and(|place| !place.load(SeqCst).is_null())
}

fn place(level: usize, number: libc::c_int) -> Option<&'static AtomicPtr<Previous>> {
    PREVIOUS.get(level)?.get(usize::try_from(number).ok()?)
}

/// The handler of every watched signal. It leaves the signal for the loops first: a handler that
/// was there before may end the process.
extern "C" fn on_signal<const LEVEL: usize>(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    let errno = handler::errno_location();
    // SAFETY: each thread has an errno of its own, which is there as long as the thread.
    let before = unsafe { *errno };
    handler::deliver(number);
    call_previous(LEVEL, number, info, context);
    // SAFETY: as above.
    unsafe { *errno = before };
}

fn call_previous(
    level: usize,
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    let Some(place) = place(level, number) else { return };
    let previous = place.load(SeqCst);
    // SAFETY: the pointer is null or that of a leaked `Previous`, which is never freed and only
    // read.
    let Some(handler) = (unsafe { previous.as_ref() }) else { return };
    let is_first = || place.compare_exchange(previous, ptr::null_mut(), SeqCst, SeqCst).is_ok();
    if !handler.is_once || is_first() {
        handler.call(number, info, context);
    }
}
