//! What runs inside a signal handler, and nothing else.
//!
//! A handler interrupts a thread between two instructions, perhaps in the middle of an allocation
//! or with a lock held. So what happens here is made of atomics, getpid(2), read(2) and write(2),
//! which signal-safety(7) allows; nothing allocates, locks, indexes or panics, and `errno` is left as
//! it was found.
//!
//! # Invariants
//!
//! * A [`Mailbox`] lives for ever and its `next` never changes, so a handler may walk the list at
//!   any moment.
//! * `pending` is the truth and the doorbell only says "look": the bit is set before the bell is
//!   rung, and the loop silences the bell before it takes the bits. A bit that the loop did not
//!   take rings after the silence.
//! * A handler writes to a doorbell only between `visitors` going up and down, and looks at its
//!   number in between. [`Mailbox::unplug`] takes the number away first and then waits for the
//!   visitors. By the total order of these (SeqCst) operations a handler either finds no number or
//!   is waited for, so no number is written to that has been closed, and perhaps opened again by
//!   somebody else. A handler that interrupts the waiting thread itself is over before that thread
//!   goes on, and no handler waits for anything, so the wait ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64};
use std::thread;
use std::time::Duration;

use super::Signal;
use crate::process::Process;
use crate::syscall;

/// The number of an unplugged doorbell.
const NO_DOORBELL: RawFd = -1;

/// The newest mailbox; the others follow from `next` to `next`.
static NEWEST: AtomicPtr<Mailbox> = AtomicPtr::new(ptr::null_mut());

/// Where the handler leaves signals for one loop.
#[derive(Debug)]
pub(super) struct Mailbox {
    next: Option<&'static Mailbox>,
    taken: AtomicBool,
    wanted: Bits,
    pending: Bits,
    /// The number of the process whose loop this is.
    owner: AtomicU32,
    /// Signals that came to a forked child before its copy of the loop was made its own.
    since_fork: Bits,
    doorbell: AtomicI32,
    visitors: Visitors,
}

impl Mailbox {
    /// An empty mailbox: one that another loop has left, or a new one. The caller holds the lock of
    /// the registry.
    pub(super) fn claim() -> &'static Mailbox {
        if let Some(left) = all().find(|mailbox| !mailbox.taken.load(SeqCst)) {
            left.taken.store(true, SeqCst);
            left.owner.store(Process::current().number(), SeqCst);
            return left;
        }
        let fresh = Mailbox {
            next: all().next(),
            taken: AtomicBool::new(true),
            wanted: Bits::default(),
            pending: Bits::default(),
            owner: AtomicU32::new(Process::current().number()),
            since_fork: Bits::default(),
            doorbell: AtomicI32::new(NO_DOORBELL),
            visitors: Visitors::default(),
        };
        let fresh: &'static mut Mailbox = Box::leak(Box::new(fresh));
        let fresh = ptr::from_mut(fresh);
        NEWEST.store(fresh, SeqCst);
        // SAFETY: it has just been leaked, so it lives for ever, and nobody ever writes to it but
        // through atomics.
        unsafe { &*fresh }
    }

    /// Leaves the mailbox to whoever claims one next. The doorbell is unplugged and nothing is
    /// wanted any more.
    pub(super) fn leave(&self) {
        debug_assert_eq!(self.doorbell.load(SeqCst), NO_DOORBELL);
        self.pending.read(|word| word.swap(0, SeqCst));
        self.since_fork.read(|word| word.swap(0, SeqCst));
        self.taken.store(false, SeqCst);
    }

    pub(super) fn want(&self, signal: Signal) {
        self.wanted.insert(signal.raw());
    }

    /// Forgets the signal, also if it has come and was not taken yet.
    pub(super) fn unwant(&self, signal: Signal) {
        self.wanted.remove(signal.raw());
        self.pending.remove(signal.raw());
        self.since_fork.remove(signal.raw());
    }

    pub(super) fn is_wanted(&self, signal: Signal) -> bool {
        self.wanted.contains(signal.raw())
    }

    /// The signals that are wanted, as a mask with bit n - 1 for signal n.
    pub(super) fn wanted(&self) -> u128 {
        self.wanted.read(|word| word.load(SeqCst))
    }

    /// Takes what has come: a mask with bit n - 1 for signal n.
    pub(super) fn take(&self) -> u128 {
        let came = self.pending.read(|word| word.swap(0, SeqCst));
        // A handler that was late may leave a signal that has just been given up.
        came & self.wanted()
    }

    /// Rings `doorbell` from now on.
    pub(super) fn plug(&self, doorbell: BorrowedFd<'_>) {
        self.doorbell.store(doorbell.as_raw_fd(), SeqCst);
    }

    /// Rings no more. When it returns, no handler will write to the doorbell, which may be closed
    /// then.
    pub(super) fn unplug(&self) {
        self.doorbell.store(NO_DOORBELL, SeqCst);
        self.visitors.wait_until_gone();
    }

    /// Makes a forked child the owner: what came to its parent is forgotten.
    pub(super) fn after_fork(&self) {
        self.pending.read(|word| word.swap(0, SeqCst));
        self.owner.store(Process::current().number(), SeqCst);
        let came = [&self.since_fork.low, &self.since_fork.high].map(|word| word.swap(0, SeqCst));
        for (word, came) in [&self.pending.low, &self.pending.high].into_iter().zip(came) {
            word.fetch_or(came, SeqCst);
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending.read(|word| word.load(SeqCst)) != 0
    }

    fn deliver(&self, number: libc::c_int) {
        self.visitors.enter();
        if !self.wanted.contains(number) {
        } else if self.owner.load(SeqCst) == Process::current().number() {
            self.pending.insert(number);
            self.ring();
        } else {
            self.since_fork.insert(number); // The doorbell is the parent's.
        }
        self.visitors.leave();
    }

    fn ring(&self) {
        let doorbell = self.doorbell.load(SeqCst);
        if doorbell == NO_DOORBELL || write_one(doorbell) {
            return;
        }
        // A full eventfd that is watched by edges makes no event: it is emptied, and rings again. A
        // full pipe is readable, so it is reported already; its writing end refuses the read.
        let mut count = [0; 8];
        // SAFETY: the doorbell stays open while we visit, and it is ours to read.
        unsafe { syscall::read_without_cancel(doorbell, &mut count) };
        write_one(doorbell);
    }
}

/// All mailboxes, newest first.
fn all() -> impl Iterator<Item = &'static Mailbox> {
    // SAFETY: the pointer is null or that of a leaked mailbox, which lives for ever and is only
    // read.
    let newest = unsafe { NEWEST.load(SeqCst).as_ref() };
    std::iter::successors(newest, |mailbox| mailbox.next)
}

/// Leaves a signal in each mailbox whose loop watches it.
pub(super) fn deliver(number: libc::c_int) {
    for mailbox in all() {
        mailbox.deliver(number);
    }
}

/// Rings; false if the doorbell is full. Any other error has no place to go.
fn write_one(doorbell: RawFd) -> bool {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the caller visits the mailbox, so the doorbell stays open, and it is ours to write to.
    let written = unsafe { syscall::write_without_cancel(doorbell, &one) };
    written >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
}

/// A set of the signals 1 to 128: no system has more.
#[derive(Debug, Default)]
struct Bits {
    low: AtomicU64,
    high: AtomicU64,
}

impl Bits {
    /// The word and the bit of a signal; none for a number that is no signal.
    fn place(&self, number: libc::c_int) -> Option<(&AtomicU64, u64)> {
        match number {
            1..=64 => Some((&self.low, 1 << (number - 1))),
            65..=128 => Some((&self.high, 1 << (number - 65))),
            _ => None,
        }
    }

    fn insert(&self, number: libc::c_int) {
        if let Some((word, bit)) = self.place(number) {
            word.fetch_or(bit, SeqCst);
        }
    }

    fn remove(&self, number: libc::c_int) {
        if let Some((word, bit)) = self.place(number) {
            word.fetch_and(!bit, SeqCst);
        }
    }

    fn contains(&self, number: libc::c_int) -> bool {
        self.place(number).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
    }

    fn read(&self, word: impl Fn(&AtomicU64) -> u64) -> u128 {
        u128::from(word(&self.high)) << 64 | u128::from(word(&self.low))
    }
}

/// How many threads of this process are inside a mailbox: the process in the upper half, the count
/// in the lower.
///
/// A child made by fork(2) inherits the count but not the threads that were counted. So the count
/// of another process means nobody.
#[derive(Debug, Default)]
struct Visitors(AtomicU64);

impl Visitors {
    fn enter(&self) {
        let process = process();
        let _ = self.0.fetch_update(SeqCst, SeqCst, |seen| Some(process | (here(seen) + 1)));
    }

    fn leave(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    fn wait_until_gone(&self) {
        const YIELDS: u32 = 1000;
        let mut looks = 0;
        while here(self.0.load(SeqCst)) != 0 {
            looks += 1;
            if looks < YIELDS {
                thread::yield_now();
            } else {
                // A real-time thread that only yields would never let a common one finish.
                thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

/// How many of `seen` are threads of this process.
fn here(seen: u64) -> u64 {
    if seen & PROCESS == process() { seen & !PROCESS } else { 0 }
}

const PROCESS: u64 = 0xffff_ffff_0000_0000;

fn process() -> u64 {
    // SAFETY: the call takes nothing and touches no memory of ours.
    let id = unsafe { libc::getpid() };
    u64::from(id as u32) << 32
}

pub(super) fn errno_location() -> *mut libc::c_int {
    #[cfg(errno_is_triple_errno)]
    use libc::___errno as location;
    #[cfg(errno_is_errno)]
    use libc::__errno as location;
    #[cfg(errno_is_errno_location)]
    use libc::__errno_location as location;
    #[cfg(errno_is_error)]
    use libc::__error as location;
    // SAFETY: the call takes nothing and only tells where this thread's errno is.
    unsafe { location() }
}

/// Refuses a number that does not fit into [`Bits`].
pub(super) fn check_number(signal: Signal) -> io::Result<()> {
    if Bits::default().place(signal.raw()).is_some() {
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

    use super::*;
    use crate::fd;

    /// Stands for the lock of the registry.
    static SERIAL: Mutex<()> = Mutex::new(());

    #[test]
    fn bits_hold_the_signals_that_systems_have() {
        let bits = Bits::default();
        for number in [1, 64, 65, 128] {
            assert!(!bits.contains(number));
            bits.insert(number);
            assert!(bits.contains(number));
            assert_eq!(bits.read(|word| word.load(SeqCst)), 1 << (number - 1));
            bits.remove(number);
        }
        for number in [0, -1, 129, libc::c_int::MAX, libc::c_int::MIN] {
            bits.insert(number);
            assert!(!bits.contains(number));
        }
        assert_eq!(bits.read(|word| word.load(SeqCst)), 0);
    }

    /// A visitor that has the number of the doorbell may still write when nobody else sees the
    /// number any more.
    #[test]
    fn unplugging_waits_for_the_visitor() {
        let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let (_reader, writer) = fd::pipe().unwrap();
        let mailbox = Mailbox::claim();
        for _ in 0..1000 {
            mailbox.plug(writer.as_fd());
            mailbox.visitors.enter();
            let has_written = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while mailbox.doorbell.load(SeqCst) != NO_DOORBELL {
                        thread::yield_now();
                    }
                    has_written.store(true, Relaxed);
                    mailbox.visitors.leave();
                });
                mailbox.unplug();
                assert!(has_written.load(Relaxed));
            });
        }
        mailbox.leave();
    }

    #[test]
    fn a_mailbox_that_was_left_is_used_again_and_is_empty() {
        let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let mailbox = Mailbox::claim();
        mailbox.want(Signal::USR1);
        mailbox.deliver(Signal::USR1.raw());
        mailbox.deliver(Signal::USR2.raw());
        assert_eq!(mailbox.pending.read(|word| word.load(SeqCst)), 1 << (Signal::USR1.raw() - 1));
        mailbox.wanted.remove(Signal::USR1.raw());
        assert_eq!(mailbox.take(), 0, "a late handler left what was given up");
        mailbox.pending.insert(Signal::USR2.raw());
        mailbox.leave();
        mailbox.want(Signal::USR2);
        assert_eq!(mailbox.take(), 0);
        mailbox.unwant(Signal::USR2);
    }

    /// The threads that a forked child's parent had inside are not inside in the child.
    #[test]
    fn visitors_of_another_process_are_nobody() {
        let visitors = Visitors(AtomicU64::new((process() ^ (1 << 40)) | 3));
        visitors.wait_until_gone();
        visitors.enter();
        assert_eq!(visitors.0.load(SeqCst), process() | 1);
        visitors.leave();
        visitors.wait_until_gone();
    }
}
