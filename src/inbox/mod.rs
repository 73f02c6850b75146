//! The inbox: what other threads send to the loop, and the doorbell that tells it so.
//!
//! A ring costs a system call on both sides. So a loop that was told of something keeps looking, and
//! nobody rings, until it has found nothing at the end of a tick.
//!
//! # Invariants
//!
//! * `told` is written under the lock of the queue: the sender who puts an item in and finds it
//!   unset sets it, and rings. While it is set nobody else rings, because the loop will look.
//! * The loop reads the doorbell first and then takes the items of each inbox behind it, and it looks
//!   again before it sleeps, as long as `told` is set. To take nothing unsets it, under the lock. So
//!   no item waits while the loop sleeps with a silent doorbell.
//! * Closed is a state of the queue, under its lock: a send either puts the item in before the loop
//!   takes the last ones, or is refused.

use std::collections::VecDeque;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::sync::{OnceLock, PoisonError, TryLockError};

use mainspring_sys::process::Process;

use crate::error::{Error, Result};
use crate::std_or_loom::{Arc, AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering};

#[cfg(all(loom, test))]
mod loom_tests;
#[cfg(all(not(loom), test))]
mod tests;

/// What ends a sleep from another thread.
pub(crate) trait WakeLoop {
    /// Makes the selector report it; a ring on top of a ring is merged.
    fn wake(&self) -> io::Result<()>;
    /// Makes the selector silent again.
    fn drain(&self) -> io::Result<()>;
}

impl WakeLoop for mainspring_sys::Wakeup {
    fn wake(&self) -> io::Result<()> {
        self.wake()
    }

    fn drain(&self) -> io::Result<()> {
        self.drain()
    }
}

/// What senders and the loop exchange, in cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Shelf<T> {
    queue: Mutex<Queue<T>>,
    /// Whether the loop will look. Written under the lock only, and read without it.
    told: AtomicBool,
    /// The process whose threads send here.
    process: Process,
    /// The shelf of a forked child. A thread of its parent may have held the lock of the inherited
    /// one, which nothing unlocks then.
    of_child: OnceLock<Box<Shelf<T>>>,
}

#[derive(Debug)]
struct Queue<T> {
    /// Dropped only by whatever holds the lock: at a fork, another thread may be changing it.
    items: ManuallyDrop<VecDeque<T>>,
    closed: bool,
}

impl<T> Shelf<T> {
    fn new(queue: Queue<T>) -> Shelf<T> {
        let (queue, told) = (Mutex::new(queue), AtomicBool::new(false));
        Shelf { queue, told, process: Process::current(), of_child: OnceLock::new() }
    }

    /// The shelf of a child of the process whose shelf this is.
    #[cold]
    fn inherited(&self) -> Option<&Shelf<T>> {
        let mut shelf = self.of_child.get()?;
        while !shelf.process.is_current() {
            shelf = shelf.of_child.get()?;
        }
        Some(shelf)
    }

    /// The queue, unless another thread has it, or had it when the process was forked.
    fn try_lock(&self) -> Option<MutexGuard<'_, Queue<T>>> {
        match self.queue.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(poison)) => Some(poison.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Drop for Shelf<T> {
    fn drop(&mut self) {
        let items = self.try_lock().map(|mut queue| mem::take(&mut *queue.items));
        drop(items);
    }
}

/// Capacity that an empty list keeps; what a burst took beyond that is given back.
const KEEP: usize = 16 * 1024;

/// The doorbell of a loop, for all of its inboxes.
#[derive(Debug)]
struct Notifier<D> {
    /// Set if the doorbell refused to ring: then the loop looks in its next tick, whatever made it
    /// tick.
    unrung: AtomicBool,
    doorbell: D,
}

/// Items on their way to the loop.
#[derive(Debug)]
pub(crate) struct Inbox<T, D> {
    shelf: Shelf<T>,
    /// Senders that keep the loop running.
    senders: AtomicUsize,
    notifier: Arc<Notifier<D>>,
}

impl<T, D: WakeLoop> Inbox<T, D> {
    pub(crate) fn new(doorbell: D) -> Inbox<T, D> {
        Inbox::with_notifier(Arc::new(Notifier { unrung: AtomicBool::new(false), doorbell }))
    }

    /// An inbox for other items, behind the same doorbell: who answers it looks into both.
    pub(crate) fn with_wakeup_of<U>(other: &Inbox<U, D>) -> Inbox<T, D> {
        Inbox::with_notifier(other.notifier.clone())
    }

    fn with_notifier(notifier: Arc<Notifier<D>>) -> Inbox<T, D> {
        let shelf = Shelf::new(Queue { items: ManuallyDrop::default(), closed: false });
        Inbox { shelf, senders: AtomicUsize::new(0), notifier }
    }

    /// The doorbell of the loop.
    pub(crate) fn wakeup(&self) -> &D {
        &self.notifier.doorbell
    }

    /// Makes a forked child's copy its own. What was inside is inside in both processes, unless a
    /// thread was just putting something in.
    pub(crate) fn after_fork(&self) {
        let mut last = &self.shelf;
        while let Some(next) = last.of_child.get() {
            last = next;
        }
        if last.process.is_current() {
            return;
        }
        let (mut items, mut closed) = (VecDeque::new(), false);
        if let Some(mut queue) = last.try_lock() {
            (items, closed) = (mem::take(&mut *queue.items), queue.closed);
        }
        let shelf = Shelf::new(Queue { items: ManuallyDrop::new(items), closed });
        shelf.told.store(true, Ordering::Release); // The loop will look.
        let _ = last.of_child.set(Box::new(shelf));
    }

    /// The shelf of this process; none in a forked child before [`after_fork`](Inbox::after_fork).
    #[inline]
    fn shelf(&self) -> Option<&Shelf<T>> {
        if self.shelf.process.is_current() { Some(&self.shelf) } else { self.shelf.inherited() }
    }

    /// Puts an item in and sees to it that the loop looks.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::Forked`]: the item is dropped. [`Error::Wake`]: the item is in, but the doorbell is
    /// broken; the loop looks in its next tick.
    #[inline]
    pub(crate) fn send(&self, item: T) -> Result<()> {
        let shelf = self.shelf().ok_or(Error::Forked)?;
        let mut queue = lock(shelf);
        if queue.closed {
            drop(queue); // What is dropped with the item may send.
            return Err(Error::Closed);
        }
        queue.items.push_back(item);
        self.tell(shelf, queue)
    }

    /// Sees to it that the loop looks, although nothing was put in.
    pub(crate) fn notify(&self) -> Result<()> {
        let shelf = self.shelf().ok_or(Error::Forked)?;
        self.tell(shelf, lock(shelf))
    }

    #[inline]
    fn tell(&self, shelf: &Shelf<T>, queue: MutexGuard<'_, Queue<T>>) -> Result<()> {
        let told = &shelf.told;
        if told.load(Ordering::Relaxed) {
            return Ok(());
        }
        told.store(true, Ordering::Release);
        drop(queue);
        self.ring(shelf)
    }

    #[cold]
    fn ring(&self, shelf: &Shelf<T>) -> Result<()> {
        self.notifier.doorbell.wake().map_err(|error| {
            // The next sender tries again, instead of relying on a ring that never was.
            let queue = lock(shelf);
            shelf.told.store(false, Ordering::Release);
            drop(queue);
            self.notifier.unrung.store(true, Ordering::Release);
            Error::Wake(error)
        })
    }

    /// The doorbell rang: makes it silent, before the loop looks into each inbox behind it.
    pub(crate) fn drain_wakeup(&self) -> Result<()> {
        self.notifier.doorbell.drain().map_err(Error::Select)
    }

    /// Exchanges what is in the inbox with the empty `taken`. If that is nothing, who sends from now
    /// on rings again.
    pub(crate) fn take(&self, taken: &mut VecDeque<T>) {
        if taken.capacity() > KEEP {
            *taken = VecDeque::new();
        }
        let Some(shelf) = self.shelf() else { return };
        let mut queue = lock(shelf);
        mem::swap(&mut *queue.items, taken);
        if taken.is_empty() {
            shelf.told.store(false, Ordering::Release);
        }
    }

    /// Lets nothing in any more. What is inside is the caller's to drop.
    pub(crate) fn close(&self) -> VecDeque<T> {
        // The copy of a forked child holds what its parent will run.
        let Some(shelf) = self.shelf() else { return VecDeque::new() };
        let mut queue = lock(shelf);
        queue.closed = true;
        mem::take(&mut *queue.items)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shelf().is_some_and(|shelf| lock(shelf).closed)
    }

    /// Whether the loop has to look before it sleeps, because nobody will ring.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        self.shelf().is_some_and(|shelf| shelf.told.load(Ordering::Acquire))
    }

    /// Whether something was sent that the loop has not looked for yet.
    pub(crate) fn needs_check(&self) -> bool {
        self.is_notified() || self.notifier.unrung.load(Ordering::Acquire)
    }

    /// Whether something was sent that the doorbell did not ring for, since this was last asked.
    #[inline]
    pub(crate) fn take_wake_failed(&self) -> bool {
        let unrung = &self.notifier.unrung;
        // A tick reads; only one that follows a broken ring writes.
        unrung.load(Ordering::Acquire) && unrung.swap(false, Ordering::AcqRel)
    }

    /// Counts a sender that keeps the loop running.
    pub(crate) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// The last one to go wakes the loop, which may have been kept running by it alone.
    pub(crate) fn remove_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A loop that cannot be woken has told so to those who sent; here nobody can be told.
            let _ = self.notify();
        }
    }

    pub(crate) fn has_senders(&self) -> bool {
        self.senders.load(Ordering::Acquire) > 0
    }
}

/// A panic while the lock is held cannot leave the queue half-changed, so its poison means nothing.
fn lock<T>(shelf: &Shelf<T>) -> MutexGuard<'_, Queue<T>> {
    shelf.queue.lock().unwrap_or_else(PoisonError::into_inner)
}
