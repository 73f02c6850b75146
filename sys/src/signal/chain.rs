//! Chaining of signal handlers: ours call those that other code installed before.
//!
//! A library that handles a signal (signal-hook, a language runtime, a C program) may have
//! installed its handler before ours. Our handler calls it, so that both get each signal.
//!
//! # Invariants
//!
//! * Each level has its own handler function, which occurs at most once in a chain. If other code
//!   installs a handler over ours and calls ours, the next level is installed over it. So no chain
//!   is circular.
//! * A [`Previous`] is never freed, so a handler may call one at any time.

use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::SeqCst;

use super::handler;
use super::info::Sender;
use super::number::Signal;
use super::raw_modes;

type Plain = extern "C" fn(libc::c_int);
type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);

/// Our handlers, by level.
const HANDLERS: [WithInfo; LEVELS] =
    [on_signal::<0>, on_signal::<1>, on_signal::<2>, on_signal::<3>];

/// Maximum number of our handlers in one chain.
pub(super) const LEVELS: usize = 4;

/// One more than the highest signal number; see [`handler::check_number`].
const NUMBERS: usize = 129;

/// Handlers that our handlers call, by level and signal number. Null if there is none.
static PREVIOUS: [[AtomicPtr<Previous>; NUMBERS]; LEVELS] =
    [const { [const { AtomicPtr::new(ptr::null_mut()) }; NUMBERS] }; LEVELS];

/// A signal handler that other code installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Previous {
    handler: libc::sighandler_t,
    has_info: bool,
    /// True if the kernel resets it to the default when it is called (SA_RESETHAND).
    is_once: bool,
}

impl Previous {
    /// Returns the handler of `action`. `None` if `action` is the default or ignores the signal.
    pub(super) fn of(action: &libc::sigaction) -> Option<Previous> {
        (!is_default(action)).then_some(Previous {
            handler: action.sa_sigaction,
            has_info: action.sa_flags & libc::SA_SIGINFO != 0,
            is_once: action.sa_flags & libc::SA_RESETHAND != 0,
        })
    }

    fn call(self, number: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        if self.has_info {
            // SAFETY: sigaction(2) returned the address with SA_SIGINFO, so it is a function of
            // this type.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, WithInfo>(self.handler) };
            handler(number, info, context);
        } else {
            // SAFETY: sigaction(2) returned the address without SA_SIGINFO, and it is neither
            // SIG_DFL nor SIG_IGN, so it is a function of this type.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, Plain>(self.handler) };
            handler(number);
        }
    }
}

/// Returns true if `action` calls no handler.
pub(super) fn is_default(action: &libc::sigaction) -> bool {
    matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

/// Returns the address of the handler of `level`, for an action with SA_SIGINFO.
pub(super) fn address(level: usize) -> libc::sighandler_t {
    HANDLERS[level] as libc::sighandler_t
}

/// Returns the level of our handler in `action`. `None` if it is a handler of other code.
pub(super) fn level_of(action: &libc::sigaction) -> Option<usize> {
    (0..LEVELS).find(|level| address(*level) == action.sa_sigaction)
}

/// Makes the handler of `level` call `previous`. `leaked` contains all handlers that were ever set,
/// so that each is leaked only once.
pub(super) fn set(
    level: usize,
    signal: Signal,
    previous: Option<Previous>,
    leaked: &mut Vec<&'static Previous>,
) {
    let Some(slot) = slot(level, signal.raw()) else { return };
    let leaked = previous.map(|previous| {
        let old = leaked.iter().copied().find(|old| **old == previous);
        old.unwrap_or_else(|| {
            let fresh: &'static Previous = Box::leak(Box::new(previous));
            leaked.push(fresh);
            fresh
        })
    });
    slot.store(
        leaked.map_or(ptr::null_mut(), |previous| ptr::from_ref(previous).cast_mut()),
        SeqCst,
    );
}

/// Returns true if `level` still has a handler of other code to call. A handler that resets itself
/// is removed after its call.
pub(super) fn calls_another(level: usize, signal: Signal) -> bool {
    slot(level, signal.raw()).is_some_and(|slot| !slot.load(SeqCst).is_null())
}

fn slot(level: usize, number: libc::c_int) -> Option<&'static AtomicPtr<Previous>> {
    PREVIOUS.get(level)?.get(usize::try_from(number).ok()?)
}

/// Our handler of every watched signal. It first marks the signal for the loops, because the
/// previous handler may end the process.
extern "C" fn on_signal<const LEVEL: usize>(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    let errno = errno_location();
    // SAFETY: the address of this thread's errno is valid as long as the thread exists.
    let before = unsafe { *errno };
    let is_wanted = handler::deliver(number, Sender::of(number, info));
    let is_chained = call_previous(LEVEL, number, info, context);
    if !is_wanted && !is_chained {
        raw_modes::default_action(number);
    } else if number == libc::SIGCONT {
        raw_modes::enter_again();
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Returns true if there is a previous handler.
fn call_previous(
    level: usize,
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) -> bool {
    let Some(slot) = slot(level, number) else { return false };
    let previous = slot.load(SeqCst);
    // SAFETY: the pointer is null or refers to a leaked `Previous`, which is never freed and only
    // read.
    let Some(handler) = (unsafe { previous.as_ref() }) else { return false };
    // Two threads may get the signal at the same time; SA_RESETHAND allows one call.
    let is_first = || slot.compare_exchange(previous, ptr::null_mut(), SeqCst, SeqCst).is_ok();
    if !handler.is_once || is_first() {
        handler.call(number, info, context);
    }
    true
}

fn errno_location() -> *mut libc::c_int {
    #[cfg(errno_is_triple_errno)]
    use libc::___errno as location;
    #[cfg(errno_is_errno)]
    use libc::__errno as location;
    #[cfg(errno_is_errno_location)]
    use libc::__errno_location as location;
    #[cfg(errno_is_error)]
    use libc::__error as location;
    // SAFETY: the call has no arguments and returns the address of this thread's errno.
    unsafe { location() }
}
