//! What the process does at a signal: ours while somebody watches it, and then exactly what it was
//! before.
//!
//! # Invariant
//!
//! An entry of the [`REGISTRY`] is a signal that a loop watches, or one whose handler of ours other
//! code has replaced and may still call. Only the holder of the lock calls sigaction(2); no handler ever takes
//! the lock.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Signal;
use super::chain::{self, Previous};
use super::handler::{self, Mailbox};
use crate::syscall::check;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

struct Registry {
    watched: Vec<Watched>,
    known: Vec<&'static Previous>,
}

impl Registry {
    const fn new() -> Registry {
        Registry { watched: Vec::new(), known: Vec::new() }
    }
}

struct Watched {
    signal: Signal,
    watchers: usize,
    /// Disposition in force before each of our handlers was put there, by level. The highest one is in
    /// force, or other code has replaced it since and may call it.
    before: Vec<libc::sigaction>,
}

/// A mailbox for a loop that begins.
pub(super) fn claim() -> &'static Mailbox {
    let _one_at_a_time = lock();
    Mailbox::claim()
}

/// Adds a watcher. Our handler is in force then, and calls the one that was there.
pub(super) fn watch(signal: Signal) -> io::Result<()> {
    refuse(signal)?;
    let Registry { watched, known } = &mut *lock();
    let at = watched.iter().position(|entry| entry.signal == signal).unwrap_or_else(|| {
        watched.push(Watched { signal, watchers: 0, before: Vec::new() });
        watched.len() - 1
    });
    let ours = watched[at].put_in_force(known);
    match ours {
        Ok(()) => watched[at].watchers += 1,
        Err(_) if watched[at].before.is_empty() => drop(watched.swap_remove(at)),
        Err(_) => {}
    }
    ours
}

/// Removes a watcher. After the last one everything is as it was before the first.
pub(super) fn unwatch(signal: Signal) -> io::Result<()> {
    let Registry { watched, .. } = &mut *lock();
    let Some(at) = watched.iter().position(|entry| entry.signal == signal) else {
        return Ok(());
    };
    let entry = &mut watched[at];
    entry.watchers = entry.watchers.saturating_sub(1);
    if entry.watchers > 0 {
        return Ok(());
    }
    let restored = entry.take_back();
    if entry.before.is_empty() {
        watched.swap_remove(at);
    }
    restored
}

impl Watched {
    fn put_in_force(&mut self, known: &mut Vec<&'static Previous>) -> io::Result<()> {
        let in_force = current(self.signal)?;
        if let Some(level) = chain::level_of(&in_force) {
            // Other code has taken back what it had put above this level.
            self.before.truncate(level + 1);
            return Ok(());
        }
        if chain::is_default(&in_force) {
            self.before.clear(); // No handler is left that could call ours.
        }
        let level = self.before.len().min(chain::LEVELS - 1);
        // A chain that is too long ends here: to call on might be to call ourselves.
        let is_too_long = self.before.len() > level;
        let previous = |action| if is_too_long { None } else { Previous::of(action) };
        chain::set(level, self.signal, previous(&in_force), known);
        let before = exchange(self.signal, &ours(level)?)?;
        chain::set(level, self.signal, previous(&before), known);
        self.before.truncate(level);
        self.before.push(before);
        Ok(())
    }

    /// Puts in force what was there before, unless other code has the newer claim.
    fn take_back(&mut self) -> io::Result<()> {
        let Some(level) = chain::level_of(&current(self.signal)?) else { return Ok(()) };
        self.before.truncate(level + 1);
        let Some(mut before) = self.before.pop() else { return Ok(()) };
        let is_once = before.sa_flags & libc::SA_RESETHAND != 0;
        if is_once && !chain::is_default(&before) && !chain::calls_another(level, self.signal) {
            before.sa_sigaction = libc::SIG_DFL; // As the kernel does at its call.
        }
        exchange(self.signal, &before).map(drop)
    }
}

/// A panic under the lock leaves no entry half-made: they are changed last.
fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses what cannot be caught, and faults: a handler that returns only makes the thread repeat
/// the fault, for ever.
fn refuse(signal: Signal) -> io::Result<()> {
    let reason = match signal {
        Signal::KILL | Signal::STOP => "no process may catch it",
        Signal::SEGV | Signal::BUS | Signal::FPE | Signal::ILL | Signal::TRAP | Signal::SYS => {
            "it is a fault of the instruction being executed, not a message"
        }
        _ => return handler::check_number(signal),
    };
    let message = format!("{signal} cannot be watched: {reason}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Our action. System calls go on after it (SA_RESTART), it runs on the alternate stack where a
/// thread has one (SA_ONSTACK: the stacks of foreign run-times may be too small for a handler), no
/// other signal interrupts it, and it gets what a handler before it may ask for (SA_SIGINFO).
fn ours(level: usize) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all fields of the struct are integers or optional pointers, for which zeroes are a
    // value.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = chain::address(level);
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO;
    // SAFETY: `sa_mask` is a signal set that the call may write to.
    check(unsafe { libc::sigfillset(&raw mut action.sa_mask) })?;
    Ok(*action)
}

/// Puts `action` in force; the answer is what was in force before.
fn exchange(signal: Signal, action: &libc::sigaction) -> io::Result<libc::sigaction> {
    query(signal, action)
}

fn current(signal: Signal) -> io::Result<libc::sigaction> {
    query(signal, ptr::null())
}

/// sigaction(2). A null `action` changes nothing.
fn query(signal: Signal, action: *const libc::sigaction) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `action` is null or a whole action, whose handler is one that was in force or ours,
    // which is safe at any moment; `before` has room for what the call writes.
    check(unsafe { libc::sigaction(signal.raw(), action, before.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has written the action.
    Ok(unsafe { before.assume_init() })
}
