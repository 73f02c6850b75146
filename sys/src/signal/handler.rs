//! The code that runs inside a signal handler.
//!
//! A handler interrupts a thread between two instructions, perhaps in the middle of an allocation
//! or with a lock held. So this code consists of atomics, read(2) and write(2), which
//! signal-safety(7) allows. Nothing allocates, locks, indexes or panics, and `errno` is left
//! unchanged.
//!
//! # Invariants
//!
//! * A [`Mailbox`] is never freed and its `next` never changes, so a handler may walk the list at
//!   any time.
//! * `pending` holds the signals, and the wakeup only means "check `pending`". The handler sets the
//!   bit before it wakes the loop, and the loop drains the wakeup before it takes the bits. A bit
//!   that the loop did not take causes a wakeup after the drain.
//! * A handler writes to a wakeup descriptor only between increment and decrement of `active`, and
//!   reads the number in between. [`Mailbox::detach`] removes the number first and then waits for
//!   `active` to become zero. These operations have a total order (SeqCst), so a handler either
//!   finds no number or is waited for. Therefore no handler writes to a number that was closed and
//!   perhaps opened again by other code. A handler that interrupts the waiting thread itself
//!   finishes before that thread continues, and no handler waits for anything, so the wait ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64};

use super::info::{Arrivals, Sender, SignalInfo};
use super::number::Signal;
use super::process_count::ActiveHandlers;
use crate::process::Process;
use crate::syscall;

/// Value of `wakeup_fd` while no descriptor is attached.
const NO_FD: RawFd = -1;

/// The newest mailbox; `next` links to the older ones.
static NEWEST: AtomicPtr<Mailbox> = AtomicPtr::new(ptr::null_mut());

/// Pending signals of one loop.
#[derive(Debug)]
pub(super) struct Mailbox {
    next: Option<&'static Mailbox>,
    /// False while no loop has the mailbox.
    in_use: AtomicBool,
    /// Signals that the loop watches.
    wanted: Bits,
    /// Signals that the loop has not taken yet.
    pending: Bits,
    /// Number of the process that owns the loop.
    owner: AtomicU32,
    /// Signals that a forked child got before [`Mailbox::after_fork`].
    since_fork: Bits,
    arrivals: Arrivals,
    wakeup_fd: AtomicI32,
    active: ActiveHandlers,
}

impl Mailbox {
    /// Returns an empty mailbox: a released one, or a new one. The caller holds the lock of the
    /// registry.
    pub(super) fn claim() -> &'static Mailbox {
        if let Some(left) = all().find(|mailbox| !mailbox.in_use.load(SeqCst)) {
            left.in_use.store(true, SeqCst);
            left.owner.store(Process::current().number(), SeqCst);
            return left;
        }
        let fresh = Mailbox {
            next: all().next(),
            in_use: AtomicBool::new(true),
            wanted: Bits::default(),
            pending: Bits::default(),
            owner: AtomicU32::new(Process::current().number()),
            since_fork: Bits::default(),
            arrivals: Arrivals::new(),
            wakeup_fd: AtomicI32::new(NO_FD),
            active: ActiveHandlers::new(),
        };
        let fresh: &'static mut Mailbox = Box::leak(Box::new(fresh));
        let fresh = ptr::from_mut(fresh);
        // Published last: from now on a handler may read the mailbox.
        NEWEST.store(fresh, SeqCst);
        // SAFETY: the mailbox was leaked, so it is never freed, and it is only changed through
        // atomics.
        unsafe { &*fresh }
    }

    /// Releases the mailbox for another loop. No descriptor is attached, and no signal is watched
    /// any more.
    pub(super) fn release(&self) {
        debug_assert_eq!(self.wakeup_fd.load(SeqCst), NO_FD);
        self.pending.take();
        self.since_fork.take();
        self.in_use.store(false, SeqCst);
    }

    pub(super) fn want(&self, signal: Signal) {
        self.arrivals.reset(signal.raw());
        self.wanted.insert(signal.raw());
    }

    /// Stops watching the signal, and discards it if it is pending.
    pub(super) fn unwant(&self, signal: Signal) {
        self.wanted.remove(signal.raw());
        self.pending.remove(signal.raw());
        self.since_fork.remove(signal.raw());
    }

    pub(super) fn is_wanted(&self, signal: Signal) -> bool {
        self.wanted.contains(signal.raw())
    }

    /// Returns the watched signals as a mask, with bit n - 1 for signal n.
    pub(super) fn wanted(&self) -> u128 {
        self.wanted.mask()
    }

    /// Takes the pending signals: a mask with bit n - 1 for signal n.
    pub(super) fn take(&self) -> u128 {
        let came = self.pending.take();
        // A handler that was still running may have set a signal that is no longer watched.
        came & self.wanted()
    }

    /// Makes the handler write to `wakeup` from now on.
    pub(super) fn attach(&self, wakeup: BorrowedFd<'_>) {
        self.wakeup_fd.store(wakeup.as_raw_fd(), SeqCst);
    }

    /// Stops writing to the wakeup. When it returns, no handler will write to the descriptor, so it
    /// may be closed.
    pub(super) fn detach(&self) {
        self.wakeup_fd.store(NO_FD, SeqCst);
        self.active.wait_until_none();
    }

    /// Makes a forked child the owner, and discards the parent's pending signals. Does nothing if
    /// this process is the owner.
    pub(super) fn after_fork(&self) {
        if self.is_of_this_process() {
            return;
        }
        self.pending.take();
        self.owner.store(Process::current().number(), SeqCst);
        // A handler that has read the former owner still adds to `since_fork`; no later one does.
        self.active.wait_until_none();
        self.pending.add(self.since_fork.take());
    }

    fn is_of_this_process(&self) -> bool {
        self.owner.load(SeqCst) == Process::current().number()
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending.mask() != 0
    }

    /// Takes what the handler has stored about a signal. `None` if nothing is left.
    pub(super) fn take_info(&self, signal: Signal) -> Option<SignalInfo> {
        self.arrivals.take(signal)
    }

    /// Returns true if the loop watches the signal.
    fn deliver(&self, number: libc::c_int, sender: Sender) -> bool {
        // Counted before the number is read, so that `detach` waits for this handler.
        self.active.enter();
        let is_wanted = self.wanted.contains(number);
        if is_wanted {
            self.arrivals.record(number, sender); // Before the bit, which announces it.
            if self.is_of_this_process() {
                self.pending.insert(number);
                self.wake();
            } else {
                self.since_fork.insert(number); // The wakeup descriptor is the parent's.
            }
        }
        self.active.leave();
        is_wanted
    }

    fn wake(&self) {
        let fd = self.wakeup_fd.load(SeqCst);
        if fd == NO_FD || write_one(fd) {
            return;
        }
        // A write to a full eventfd makes no edge, so the eventfd is drained and written again. A
        // full pipe is readable, so it is already reported; its write end refuses the read.
        let mut count = [0; 8];
        // SAFETY: the descriptor stays open while this handler is counted in `active`, and is ours
        // to read.
        unsafe { syscall::read_without_cancel(fd, &mut count) };
        write_one(fd);
    }
}

/// Returns all mailboxes, newest first.
fn all() -> impl Iterator<Item = &'static Mailbox> {
    // SAFETY: the pointer is null or refers to a leaked mailbox, which is never freed and only
    // read.
    let newest = unsafe { NEWEST.load(SeqCst).as_ref() };
    std::iter::successors(newest, |mailbox| mailbox.next)
}

/// Marks a signal as pending in each mailbox with a loop that watches it. Returns true if there is
/// one.
pub(super) fn deliver(number: libc::c_int, sender: Sender) -> bool {
    all().fold(false, |is_wanted, mailbox| mailbox.deliver(number, sender) | is_wanted)
}

/// Writes to the wakeup. Returns false if it is full; other errors cannot be reported from here.
fn write_one(fd: RawFd) -> bool {
    let one = 1u64.to_ne_bytes();
    loop {
        // SAFETY: the caller is counted in `active`, so the descriptor stays open, and it is ours
        // to write to.
        let written = unsafe { syscall::write_without_cancel(fd, &one) };
        if written >= 0 {
            return true;
        }
        match io::Error::last_os_error().kind() {
            // Even a write that does not wait for room may wait for the lock of a pipe: FreeBSD.
            io::ErrorKind::Interrupted => {}
            kind => return kind != io::ErrorKind::WouldBlock,
        }
    }
}

/// A set of the signals 1 to 128; no system has more.
#[derive(Debug, Default)]
struct Bits {
    low: AtomicU64,
    high: AtomicU64,
}

impl Bits {
    /// Returns the word and the bit of a signal. `None` for a number that is not a signal.
    fn word_and_bit(&self, number: libc::c_int) -> Option<(&AtomicU64, u64)> {
        match number {
            1..=64 => Some((&self.low, 1 << (number - 1))),
            65..=128 => Some((&self.high, 1 << (number - 65))),
            _ => None,
        }
    }

    fn insert(&self, number: libc::c_int) {
        if let Some((word, bit)) = self.word_and_bit(number) {
            word.fetch_or(bit, SeqCst);
        }
    }

    fn remove(&self, number: libc::c_int) {
        if let Some((word, bit)) = self.word_and_bit(number) {
            word.fetch_and(!bit, SeqCst);
        }
    }

    fn contains(&self, number: libc::c_int) -> bool {
        self.word_and_bit(number).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
    }

    /// Returns the signals as a mask, with bit n - 1 for signal n.
    fn mask(&self) -> u128 {
        self.read(|word| word.load(SeqCst))
    }

    /// Removes all signals, and returns them as a mask.
    fn take(&self) -> u128 {
        self.read(|word| word.swap(0, SeqCst))
    }

    fn read(&self, word: impl Fn(&AtomicU64) -> u64) -> u128 {
        u128::from(word(&self.high)) << 64 | u128::from(word(&self.low))
    }

    /// Adds the signals of a mask.
    fn add(&self, mask: u128) {
        self.low.fetch_or(mask as u64, SeqCst);
        self.high.fetch_or((mask >> 64) as u64, SeqCst);
    }
}

/// Refuses a number that does not fit into [`Bits`].
pub(super) fn check_number(signal: Signal) -> io::Result<()> {
    if Bits::default().word_and_bit(signal.raw()).is_some() {
        return Ok(());
    }
    let message = format!("{signal} cannot be watched: its number is above 128");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    use super::*;
    use crate::fd;

    /// Replaces the lock of the registry.
    static SERIAL: Mutex<()> = Mutex::new(());

    #[test]
    fn bits_hold_the_signals_that_systems_have() {
        let bits = Bits::default();
        for number in [1, 64, 65, 128] {
            assert!(!bits.contains(number));
            bits.insert(number);
            assert!(bits.contains(number));
            assert_eq!(bits.mask(), 1 << (number - 1));
            bits.remove(number);
        }
        for number in [0, -1, 129, libc::c_int::MAX, libc::c_int::MIN] {
            bits.insert(number);
            assert!(!bits.contains(number));
        }
        assert_eq!(bits.mask(), 0);
    }

    /// A handler that has read the number may still write after the number was removed.
    #[test]
    fn detach_waits_for_active_handlers() {
        let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let (_reader, writer) = fd::pipe().unwrap();
        let mailbox = Mailbox::claim();
        for _ in 0..1000 {
            mailbox.attach(writer.as_fd());
            mailbox.active.enter();
            let has_written = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while mailbox.wakeup_fd.load(SeqCst) != NO_FD {
                        thread::yield_now();
                    }
                    has_written.store(true, Relaxed);
                    mailbox.active.leave();
                });
                mailbox.detach();
                assert!(has_written.load(Relaxed));
            });
        }
        mailbox.release();
    }

    #[test]
    fn a_released_mailbox_is_reused_and_empty() {
        let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let mailbox = Mailbox::claim();
        mailbox.want(Signal::USR1);
        let none = Sender::of(0, ptr::null_mut());
        mailbox.deliver(Signal::USR1.raw(), none);
        mailbox.deliver(Signal::USR2.raw(), none);
        assert_eq!(mailbox.pending.mask(), 1 << (Signal::USR1.raw() - 1));
        mailbox.wanted.remove(Signal::USR1.raw());
        assert_eq!(mailbox.take(), 0, "a late handler set a signal that is no longer watched");
        mailbox.pending.insert(Signal::USR2.raw());
        mailbox.release();
        mailbox.want(Signal::USR2);
        assert_eq!(mailbox.take(), 0);
        mailbox.unwant(Signal::USR2);
    }
}
