//! The inbox: what other threads send to the loop, and the doorbell that tells it so.
//!
//! # Invariants
//!
//! * A sender puts its item in, then swaps the flag, and rings if it was the first. The loop reads
//!   the doorbell, then clears the flag, then takes the items. In this order no item waits while
//!   the loop sleeps with a silent doorbell: an item that comes after the taking finds the flag
//!   cleared, and its ring comes after the reading.
//! * Closed is a state of the queue, under its lock: a send either puts the item in before the loop
//!   takes the last ones, or gets it back.

use std::collections::VecDeque;
use std::io;

use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering};

#[cfg(all(loom, test))]
mod loom_tests;
#[cfg(all(not(loom), test))]
mod tests;

/// What ends a sleep from another thread.
pub(crate) trait Doorbell {
    /// Makes the selector report it; a ring on top of a ring is merged.
    fn ring(&self) -> io::Result<()>;
    /// Makes the selector silent again.
    fn silence(&self) -> io::Result<()>;
}

impl Doorbell for mainspring_sys::Wakeup {
    fn ring(&self) -> io::Result<()> {
        self.wake()
    }

    fn silence(&self) -> io::Result<()> {
        self.drain()
    }
}

/// Why an item was not sent.
#[derive(Debug)]
pub(crate) enum SendError<T> {
    /// The loop is closed; here is the item.
    Closed(T),
    /// The item is in the inbox, but the doorbell is broken.
    Doorbell(io::Error),
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// Tells the loop, once until it looks, that something was put into one of its inboxes.
#[derive(Debug)]
pub(crate) struct Notifier<D> {
    /// Set from the first send until the loop looks.
    notified: AtomicBool,
    /// Set if the doorbell refused to ring: then the loop looks in its next tick, whatever made it
    /// tick.
    unrung: AtomicBool,
    doorbell: D,
}

impl<D: Doorbell> Notifier<D> {
    fn new(doorbell: D) -> Notifier<D> {
        let (notified, unrung) = (AtomicBool::new(false), AtomicBool::new(false));
        Notifier { notified, unrung, doorbell }
    }

    fn notify(&self) -> io::Result<()> {
        if self.notified.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.doorbell.ring().inspect_err(|_| {
            // The next sender tries again, instead of relying on a ring that never was.
            self.notified.store(false, Ordering::Release);
            self.unrung.store(true, Ordering::Release);
        })
    }
}

/// Items on their way to the loop.
#[derive(Debug)]
pub(crate) struct Inbox<T, D> {
    queue: Mutex<Queue<T>>,
    /// Senders that keep the loop running.
    senders: AtomicUsize,
    notifier: Arc<Notifier<D>>,
}

impl<T, D: Doorbell> Inbox<T, D> {
    pub(crate) fn new(doorbell: D) -> Inbox<T, D> {
        Inbox::with_notifier(Arc::new(Notifier::new(doorbell)))
    }

    /// An inbox for other items, behind the same doorbell: who answers it looks into both.
    pub(crate) fn beside<U>(other: &Inbox<U, D>) -> Inbox<T, D> {
        Inbox::with_notifier(other.notifier.clone())
    }

    fn with_notifier(notifier: Arc<Notifier<D>>) -> Inbox<T, D> {
        let queue = Mutex::new(Queue { items: VecDeque::new(), closed: false });
        Inbox { queue, senders: AtomicUsize::new(0), notifier }
    }

    /// Puts an item in and sees to it that the loop looks.
    pub(crate) fn send(&self, item: T) -> Result<(), SendError<T>> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(SendError::Closed(item));
        }
        queue.items.push_back(item);
        drop(queue);
        self.notify().map_err(SendError::Doorbell)
    }

    /// Sees to it that the loop looks, with or without an item.
    pub(crate) fn notify(&self) -> io::Result<()> {
        self.notifier.notify()
    }

    /// The doorbell rang: what is in the inbox from now on rings again.
    pub(crate) fn answer(&self) -> io::Result<()> {
        self.notifier.doorbell.silence()?;
        self.notifier.notified.swap(false, Ordering::AcqRel);
        Ok(())
    }

    /// Exchanges what is in the inbox with the empty `taken`.
    pub(crate) fn take(&self, taken: &mut VecDeque<T>) {
        std::mem::swap(&mut self.lock().items, taken);
    }

    /// Lets nothing in any more. What is inside is the caller's to drop.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut queue = self.lock();
        queue.closed = true;
        std::mem::take(&mut queue.items)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether something was sent that the loop has not looked for yet.
    pub(crate) fn is_notified(&self) -> bool {
        let Notifier { notified, unrung, .. } = &*self.notifier;
        notified.load(Ordering::Acquire) || unrung.load(Ordering::Acquire)
    }

    /// Whether something was sent that the doorbell did not ring for, since this was last asked.
    #[inline]
    pub(crate) fn was_not_rung_for(&self) -> bool {
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

    /// A panic while the lock is held cannot leave the queue half-changed, so its poison means
    /// nothing.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
