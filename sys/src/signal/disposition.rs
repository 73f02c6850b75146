//! Signal dispositions: our handler while a loop watches the signal, otherwise exactly the previous
//! one.
//!
//! # Invariant
//!
//! An entry of the [`REGISTRY`] is a signal that a loop watches, or for which other code has
//! replaced our handler and may still call it. Only the holder of the lock calls sigaction(2),
//! except a handler that stops the process for a raw terminal: it sets the default for that time,
//! and then our action again. No handler ever takes the lock.
//!
//! # Fork
//!
//! A forked child has its own registry, which begins with the entries of its parent. If another
//! thread of the parent held the lock during fork(2), the entries may be half-changed, and the
//! child's registry begins empty. Then our handlers that are installed in the child stay installed
//! until it executes another program.

use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::chain::{self, Previous};
use super::handler::{self, Mailbox};
use super::number::Signal;
use crate::per_process::PerProcess;
use crate::syscall::check;

static REGISTRY: PerProcess<Mutex<Registry>> = PerProcess::new(Mutex::new(Registry::new()));

#[derive(Debug)]
struct Registry {
    watched: Vec<Watched>,
    /// Handlers of other code that ours have ever called.
    leaked: Vec<&'static Previous>,
}

impl Registry {
    const fn new() -> Registry {
        Registry { watched: Vec::new(), leaked: Vec::new() }
    }
}

#[derive(Debug)]
struct Watched {
    signal: Signal,
    /// Number of loops that watch the signal.
    watchers: usize,
    /// Dispositions that our handlers replaced, by level. The last of our handlers is installed,
    /// unless other code has replaced it and may call it.
    before: Vec<libc::sigaction>,
}

/// Returns a mailbox for a new loop.
pub(super) fn claim() -> &'static Mailbox {
    let _one_at_a_time = lock();
    Mailbox::claim()
}

/// Adds a watcher. Our handler is then installed, and calls the previous one.
pub(crate) fn watch(signal: Signal) -> io::Result<()> {
    refuse(signal)?;
    let Registry { watched, leaked } = &mut *lock();
    let at = watched.iter().position(|entry| entry.signal == signal).unwrap_or_else(|| {
        watched.push(Watched { signal, watchers: 0, before: Vec::new() });
        watched.len() - 1
    });
    let ours = watched[at].install(leaked);
    match ours {
        Ok(()) => watched[at].watchers += 1,
        Err(_) if watched[at].before.is_empty() => drop(watched.swap_remove(at)),
        Err(_) => {}
    }
    ours
}

/// Removes a watcher. The last one restores the previous disposition.
pub(crate) fn unwatch(signal: Signal) -> io::Result<()> {
    let Registry { watched, .. } = &mut *lock();
    let Some(at) = watched.iter().position(|entry| entry.signal == signal) else {
        return Ok(());
    };
    let entry = &mut watched[at];
    entry.watchers = entry.watchers.saturating_sub(1);
    if entry.watchers > 0 {
        return Ok(());
    }
    let restored = entry.restore();
    if entry.before.is_empty() {
        watched.swap_remove(at);
    }
    restored
}

/// Returns true if the process ignores the signal.
pub(crate) fn is_ignored(signal: Signal) -> io::Result<bool> {
    let _one_at_a_time = lock();
    current(signal).map(|action| action.sa_sigaction == libc::SIG_IGN)
}

impl Watched {
    fn install(&mut self, leaked: &mut Vec<&'static Previous>) -> io::Result<()> {
        let installed = current(self.signal)?;
        if let Some(level) = chain::level_of(&installed) {
            // Other code has removed the handlers that it had installed over this level.
            self.before.truncate(level + 1);
            return Ok(());
        }
        if chain::is_default(&installed) {
            self.before.clear(); // No handler that could call ours is left.
        }
        let level = self.before.len().min(chain::LEVELS - 1);
        // A chain that is too long ends here: its next handler might be one of ours.
        let is_too_long = self.before.len() > level;
        let previous = |action| if is_too_long { None } else { Previous::of(action) };
        // Set before our handler is installed, because it may run at once.
        chain::set(level, self.signal, previous(&installed), leaked);
        let before = exchange(self.signal, &ours(level)?)?;
        // Other code may have installed another handler since `current`.
        chain::set(level, self.signal, previous(&before), leaked);
        self.before.truncate(level);
        self.before.push(before);
        Ok(())
    }

    /// Restores the previous disposition, unless other code has installed a newer one.
    fn restore(&mut self) -> io::Result<()> {
        let Some(level) = chain::level_of(&current(self.signal)?) else { return Ok(()) };
        self.before.truncate(level + 1);
        let Some(mut before) = self.before.pop() else { return Ok(()) };
        let is_once = before.sa_flags & libc::SA_RESETHAND != 0;
        if is_once && !chain::is_default(&before) && !chain::calls_another(level, self.signal) {
            before.sa_sigaction = libc::SIG_DFL; // Like the kernel, after its call.
        }
        exchange(self.signal, &before).map(drop)
    }
}

/// Ignores poison: entries are changed last, so a panic leaves none half-changed.
fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.get(inherit).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the registry of a forked child: the entries of its parent, unless a thread that does not
/// exist in the child holds the lock.
fn inherit(parent: &Mutex<Registry>) -> Mutex<Registry> {
    let entries = match parent.try_lock() {
        Ok(mut registry) => mem::replace(&mut *registry, Registry::new()),
        Err(TryLockError::Poisoned(registry)) => {
            mem::replace(&mut *registry.into_inner(), Registry::new())
        }
        Err(TryLockError::WouldBlock) => Registry::new(),
    };
    Mutex::new(entries)
}

/// Refuses signals that cannot be caught, and faults: after a handler of a fault returns, the
/// thread repeats the fault.
fn refuse(signal: Signal) -> io::Result<()> {
    let reason = match signal {
        Signal::KILL | Signal::STOP => "no process can catch it",
        Signal::SEGV | Signal::BUS | Signal::FPE | Signal::ILL | Signal::TRAP | Signal::SYS => {
            "it reports a fault of the instruction being executed"
        }
        _ => return handler::check_number(signal),
    };
    let message = format!("{signal} cannot be watched: {reason}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Returns our action. System calls are restarted after it (SA_RESTART). It runs on the alternate
/// stack of a thread that has one, because stacks of other runtimes may be too small for a handler
/// (SA_ONSTACK). No other signal interrupts it, and it gets the arguments that a previous handler
/// may need (SA_SIGINFO).
fn ours(level: usize) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all fields of the struct are integers or optional pointers, for which zero is a valid
    // value.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = chain::address(level);
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO;
    // SAFETY: `sa_mask` is a writable signal set.
    check(unsafe { libc::sigfillset(&raw mut action.sa_mask) })?;
    Ok(*action)
}

/// Installs `action` and returns the previous one.
fn exchange(signal: Signal, action: &libc::sigaction) -> io::Result<libc::sigaction> {
    query(signal, action)
}

fn current(signal: Signal) -> io::Result<libc::sigaction> {
    query(signal, ptr::null())
}

/// Calls sigaction(2). A null `action` changes nothing.
fn query(signal: Signal, action: *const libc::sigaction) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `action` is null or a whole action, with a handler that was installed before or that
    // is ours and async-signal-safe; `before` has room for the result.
    check(unsafe { libc::sigaction(signal.raw(), action, before.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has written the action.
    Ok(unsafe { before.assume_init() })
}
