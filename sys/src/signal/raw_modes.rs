//! Terminals in raw mode, as a signal handler sees them.
//!
//! A signal that ends or stops the process must not leave the terminal in raw mode. So while a
//! terminal is raw, our handler of these signals sets the former attributes, and then does what the
//! default action does. tcsetattr(3), tcgetpgrp(3), sigaction(2), pthread_sigmask(3) and raise(3)
//! are async-signal-safe (signal-safety(7)).
//!
//! # Invariants
//!
//! * A [`Modes`] is never freed, so a handler may read one at any time.
//! * A handler uses a descriptor only while it is counted in `ACTIVE`. [`Slot::release`] removes
//!   the modes first and then waits for zero, so the descriptor can be closed.
//! * A process changes only terminals that it has made raw itself, not those of its parent, and
//!   only while it is in the foreground.
//! * A forked child has the handlers of its parent, and keeps its slots. So a signal that ends or
//!   stops the process still does.

use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicPtr};

use super::mask;
use super::number::Signal;
use super::process_count::ActiveHandlers;

/// Signals that end or stop the process by default, and the one that continues it.
pub(crate) const SIGNALS: [Signal; 7] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::ABRT,
    Signal::TSTP,
    Signal::CONT,
];

/// Maximum number of terminals that are raw at the same time.
const SLOTS: usize = 8;

static TABLE: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

/// Number of handlers that use a descriptor.
static ACTIVE: ActiveHandlers = ActiveHandlers::new();

/// A terminal in raw mode.
pub(crate) struct Modes {
    pub(crate) fd: RawFd,
    /// The process that has set the raw mode.
    pub(crate) process: libc::pid_t,
    pub(crate) before: libc::termios,
    pub(crate) raw: libc::termios,
}

/// A place for the modes of one terminal.
pub(crate) struct Slot {
    modes: AtomicPtr<Modes>,
    /// True if the terminal becomes raw again when the process continues.
    is_raw: AtomicBool,
}

impl Slot {
    const fn new() -> Slot {
        Slot { modes: AtomicPtr::new(ptr::null_mut()), is_raw: AtomicBool::new(false) }
    }

    /// Stores the modes in a free slot. `None` if too many terminals are raw.
    pub(crate) fn claim(modes: &'static Modes) -> Option<&'static Slot> {
        let modes = ptr::from_ref(modes).cast_mut();
        let claim = |slot: &&Slot| {
            slot.modes.compare_exchange(ptr::null_mut(), modes, SeqCst, SeqCst).is_ok()
        };
        TABLE.iter().find(claim)
    }

    /// Sets whether a continued process makes the terminal raw again. No handler does when the
    /// call with false has returned.
    pub(crate) fn set_raw(&self, is_raw: bool) {
        self.is_raw.store(is_raw, SeqCst);
        if !is_raw {
            ACTIVE.wait_until_none();
        }
    }

    /// Frees the slot. No handler uses the descriptor any more.
    pub(crate) fn release(&self) {
        self.modes.store(ptr::null_mut(), SeqCst);
        ACTIVE.wait_until_none();
    }

    /// Returns true if this process, or the one that it was forked from, has a raw terminal here.
    fn is_claimed(&self) -> bool {
        !self.modes.load(SeqCst).is_null()
    }

    /// Returns the modes if they are of this process.
    fn modes(&self) -> Option<&'static Modes> {
        // SAFETY: the pointer is null or refers to leaked modes, which are never freed or changed.
        let modes = unsafe { self.modes.load(SeqCst).as_ref() }?;
        // SAFETY: the call has no arguments and touches no memory of ours.
        (modes.process == unsafe { libc::getpid() }).then_some(modes)
    }
}

/// Returns true if another process group is in the foreground of the terminal. False for a terminal
/// that is not the controlling one of this process. Async-signal-safe.
pub(crate) fn is_background(fd: RawFd) -> bool {
    // SAFETY: the call takes a number and touches no memory of ours.
    let foreground = unsafe { libc::tcgetpgrp(fd) };
    // SAFETY: the call has no arguments and touches no memory of ours.
    foreground > 0 && foreground != unsafe { libc::getpgrp() }
}

/// Does the default action of a signal that nothing else handles, with the terminals as they were
/// before the raw mode. Does nothing while no terminal is raw.
pub(super) fn default_action(number: libc::c_int) {
    let is_one = SIGNALS.iter().any(|signal| signal.raw() == number);
    if !is_one || !TABLE.iter().any(Slot::is_claimed) {
        return;
    }
    if number == Signal::CONT.raw() {
        return enter_again();
    }
    restore_all();
    take_default(number);
    enter_again(); // The process was stopped, and continues.
}

/// Makes terminals raw again after a stop.
pub(super) fn enter_again() {
    let is_raw = |slot: &Slot| slot.is_raw.load(SeqCst);
    set_all(is_raw, |modes| &modes.raw);
}

/// Restores the attributes of all terminals that this process has made raw. Async-signal-safe.
pub(crate) fn restore_all() {
    set_all(|_| true, |modes| &modes.before);
}

fn set_all(wanted: impl Fn(&Slot) -> bool, attributes: impl Fn(&Modes) -> &libc::termios) {
    ACTIVE.enter();
    for slot in TABLE.iter().filter(|slot| wanted(slot)) {
        if let Some(modes) = slot.modes().filter(|modes| !is_background(modes.fd)) {
            // SAFETY: the attributes are whole, and the descriptor is open while this handler is
            // counted.
            unsafe { libc::tcsetattr(modes.fd, libc::TCSANOW, attributes(modes)) };
        }
    }
    ACTIVE.leave();
}

/// Sends the signal again, with its default action. Returns if that has stopped the process.
fn take_default(number: libc::c_int) {
    let mut default = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    let mut ours = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    let only = mask::only(number);
    // SAFETY: zero is a valid value of all fields, and means the default action (SIG_DFL is 0).
    let default = unsafe { default.assume_init_mut() };
    default.sa_sigaction = libc::SIG_DFL;
    // SAFETY: both actions are whole and outlive the call.
    unsafe { libc::sigaction(number, default, ours.as_mut_ptr()) };
    // SAFETY: the call has an integer argument; the signal waits, as this handler blocks it.
    unsafe { libc::raise(number) };
    // SAFETY: the set is whole; the old mask is not requested. Here the signal takes effect.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only, ptr::null_mut()) };
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const only, ptr::null_mut()) };
    // SAFETY: the action was returned by the first call, and is ours.
    unsafe { libc::sigaction(number, ours.as_ptr(), ptr::null_mut()) };
}
