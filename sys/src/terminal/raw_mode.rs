//! [`RawMode`]: a guard that restores the attributes of a terminal, whatever ends the process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use super::attributes::{attributes, set_attributes};
use crate::fd;
use crate::per_process::PerProcess;
use crate::process::Process;
use crate::signal::raw_modes::{self, Modes, Slot};
use crate::signal::{self, Signal};

/// A terminal in raw mode. Dropping the guard restores the attributes.
///
/// They are also restored
///
/// * when a signal ends the process: HUP, INT, QUIT, TERM or ABRT with the default action. A signal
///   that a loop or another handler handles changes nothing; after a panic, the drop restores;
/// * when exit(3) is called, which drops nothing;
/// * while the process is stopped by TSTP. It is raw again when the process continues.
///
/// SIGKILL and SIGSTOP cannot be caught. A copy of the guard in a forked child does nothing.
#[derive(Debug)]
pub struct RawMode {
    /// A duplicate, so that it stays open.
    terminal: OwnedFd,
    before: SavedAttributes,
    slot: Option<ClaimedSlot>,
    watched: Vec<Signal>,
    process: Process,
}

/// The attributes before the raw mode.
struct SavedAttributes(libc::termios);

/// A slot that this guard has.
struct ClaimedSlot(&'static Slot);

impl RawMode {
    /// Makes a terminal raw, like cfmakeraw(3): no echo, no line editing, no signals from keys, no
    /// output translation.
    ///
    /// # Errors
    ///
    /// `ENOTTY` if it is not a terminal; `PermissionDenied` in the background; `EMFILE` without a
    /// descriptor; `QuotaExceeded` if eight terminals are raw.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<RawMode> {
        let terminal = fd::duplicate(terminal)?;
        let fd = terminal.as_raw_fd();
        let before = attributes(fd)?;
        let mut raw = before;
        // SAFETY: the attributes are whole.
        unsafe { libc::cfmakeraw(&raw mut raw) };
        let modes = leak(Modes { fd, process: process_id(), before, raw });
        let slot = Slot::claim(modes).ok_or(io::ErrorKind::QuotaExceeded)?;
        restore_at_exit();
        let mut guard = RawMode {
            terminal,
            before: SavedAttributes(before),
            slot: Some(ClaimedSlot(slot)),
            watched: Vec::new(),
            process: Process::current(),
        };
        guard.watch()?;
        // Before the call: a stop right after it would leave the terminal as it was.
        slot.set_raw(true);
        set_attributes(fd, &raw)?;
        Ok(guard)
    }

    /// Watches the signals that would leave the terminal raw, except ignored ones.
    fn watch(&mut self) -> io::Result<()> {
        for signal in raw_modes::SIGNALS {
            if !signal::is_ignored(signal)? {
                signal::watch(signal)?;
                self.watched.push(signal);
            }
        }
        Ok(())
    }

    /// Restores the attributes, and returns the error that the drop would ignore.
    ///
    /// # Errors
    ///
    /// The errors of tcsetattr(3): `EIO` after a hang-up. `PermissionDenied` in the background,
    /// where nothing is changed.
    pub fn restore(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(ClaimedSlot(slot)) = self.slot.take() else { return Ok(()) };
        if !self.process.is_current() {
            return Ok(());
        }
        slot.set_raw(false);
        let restored = set_attributes(self.terminal.as_raw_fd(), &self.before.0);
        // After the restore, and before the slot is free: a signal in between does its default
        // action.
        for signal in self.watched.drain(..) {
            // sigaction(2) does not fail for a disposition that it returned itself.
            let _ = signal::unwatch(signal);
        }
        slot.release();
        restored
    }
}

impl AsFd for RawMode {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = self.end(); // A destructor cannot return it; `restore` does.
    }
}

impl std::fmt::Debug for SavedAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SavedAttributes")
    }
}

impl std::fmt::Debug for ClaimedSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClaimedSlot")
    }
}

/// Leaks the modes for handlers. Equal ones are leaked once.
fn leak(modes: Modes) -> &'static Modes {
    static LEAKED: PerProcess<Mutex<Vec<&'static Modes>>> = PerProcess::new(Mutex::new(Vec::new()));
    let leaked = LEAKED.get(|_| Mutex::new(Vec::new())); // No modes of the parent are equal.
    let mut leaked = leaked.lock().unwrap_or_else(PoisonError::into_inner);
    let old = leaked.iter().copied().find(|old| is_equal(old, &modes));
    old.unwrap_or_else(|| {
        let fresh: &'static Modes = Box::leak(Box::new(modes));
        leaked.push(fresh);
        fresh
    })
}

fn is_equal(one: &Modes, other: &Modes) -> bool {
    let flags =
        |attr: &libc::termios| (attr.c_iflag, attr.c_oflag, attr.c_cflag, attr.c_lflag, attr.c_cc);
    (one.fd, one.process) == (other.fd, other.process)
        && flags(&one.before) == flags(&other.before)
        && flags(&one.raw) == flags(&other.raw)
        && speeds(&one.before) == speeds(&other.before)
}

/// Returns the speeds of a line, which BSDs do not keep in the flags.
fn speeds(attributes: &libc::termios) -> [libc::speed_t; 2] {
    // SAFETY: the attributes are whole and outlive the call.
    let input = unsafe { libc::cfgetispeed(attributes) };
    // SAFETY: as above.
    [input, unsafe { libc::cfgetospeed(attributes) }]
}

/// Restores terminals when exit(3) is called.
fn restore_at_exit() {
    extern "C" fn at_exit() {
        raw_modes::restore_all();
    }
    // A forked child inherits the registration, and no lock of its parent.
    static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
    if !IS_REGISTERED.swap(true, SeqCst) {
        // SAFETY: the function only uses atomics and system calls. If registering it fails for lack
        // of memory, exit(3) leaves the terminal raw.
        unsafe { libc::atexit(at_exit) };
    }
}

fn process_id() -> libc::pid_t {
    // SAFETY: the call has no arguments and touches no memory of ours.
    unsafe { libc::getpid() }
}
