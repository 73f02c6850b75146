//! What the process does at a signal: ours while somebody watches it, and then exactly what it was
//! before.
//!
//! # Invariant
//!
//! An entry of [`WATCHED`] is a signal that at least one loop watches, with what was in force
//! before the first of them. Only the holder of the lock calls sigaction(2); no handler ever takes
//! the lock.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Signal;
use super::handler::{self, Mailbox};
use crate::syscall::check;

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

struct Watched {
    signal: Signal,
    watchers: usize,
    before: libc::sigaction,
}

/// A mailbox for a loop that begins.
pub(super) fn claim() -> &'static Mailbox {
    let _one_at_a_time = lock();
    Mailbox::claim()
}

/// Adds a watcher. The first one puts our handler in force.
pub(super) fn watch(signal: Signal) -> io::Result<()> {
    refuse(signal)?;
    let mut watched = lock();
    let before = exchange(signal, &ours()?)?;
    match watched.iter_mut().find(|entry| entry.signal == signal) {
        None => watched.push(Watched { signal, watchers: 1, before }),
        Some(entry) => {
            entry.watchers += 1;
            // Somebody has replaced our handler since. It is theirs that the last of us leaves
            // behind.
            if !is_ours(&before) {
                entry.before = before;
            }
        }
    }
    Ok(())
}

/// Removes a watcher. After the last one everything is as it was before the first.
pub(super) fn unwatch(signal: Signal) -> io::Result<()> {
    let mut watched = lock();
    let Some(at) = watched.iter().position(|entry| entry.signal == signal) else {
        return Ok(());
    };
    watched[at].watchers -= 1;
    if watched[at].watchers > 0 {
        return Ok(());
    }
    let Watched { before, .. } = watched.swap_remove(at);
    // Whoever has put a handler of its own in the place of ours has the newer claim, and keeps it.
    if is_ours(&current(signal)?) { exchange(signal, &before).map(drop) } else { Ok(()) }
}

/// A panic under the lock leaves no entry half-made: they are changed last.
fn lock() -> MutexGuard<'static, Vec<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
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
/// thread has one (SA_ONSTACK: the stacks of foreign run-times may be too small for a handler), and
/// no other signal interrupts it.
fn ours() -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all fields of the struct are integers or optional pointers, for which zeroes are a
    // value.
    let action = unsafe { action.assume_init_mut() };
    let on_signal: extern "C" fn(libc::c_int) = handler::on_signal;
    action.sa_sigaction = on_signal as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `sa_mask` is a signal set that the call may write to.
    check(unsafe { libc::sigfillset(&raw mut action.sa_mask) })?;
    Ok(*action)
}

fn is_ours(action: &libc::sigaction) -> bool {
    let on_signal: extern "C" fn(libc::c_int) = handler::on_signal;
    action.sa_sigaction == on_signal as libc::sighandler_t
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
