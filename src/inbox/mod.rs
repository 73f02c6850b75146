//! The inbox: a queue of messages from other threads to the loop, and the wakeup that ends the
//! loop's sleep.
//!
//! A wake costs a system call on both sides. So a loop that was notified keeps checking the queue,
//! and senders skip the wake, until the loop has found the queue empty at the end of a tick.
//!
//! # Invariants
//!
//! * `notified` is written under the lock of the queue. A sender that adds a message and finds the
//!   flag unset sets it and wakes the loop. While it is set other senders do not wake the loop,
//!   because the loop will check the queue.
//! * The loop drains the wakeup first and then takes the messages of each inbox behind it. As long
//!   as `notified` is set, it checks again before it sleeps. Taking nothing unsets the flag, under
//!   the lock. So no message waits while the loop sleeps and the wakeup is unset.
//! * `closed` is part of the queue, under its lock. A send either adds its message before the loop
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

/// A wakeup: wakes the loop from another thread.
pub(crate) trait WakeLoop {
    /// Makes the selector report the wakeup. Wakes before the next drain are coalesced.
    fn wake(&self) -> io::Result<()>;
    /// Ends the effect of earlier wakes.
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

/// A queue that senders and the loop share.
#[derive(Debug)]
#[repr(align(128))] // No shared cache lines; 128, because processors fetch them in pairs.
struct SharedQueue<T> {
    queue: Mutex<Queue<T>>,
    /// True if the loop will check the queue without a wake. Written under the lock only, and read
    /// without it.
    notified: AtomicBool,
    /// The process that the sending threads belong to.
    process: Process,
    /// The queue of a forked child. The child cannot use the inherited one: a thread of the parent
    /// may have held its lock at the fork, and nothing unlocks it in the child.
    of_child: OnceLock<Box<SharedQueue<T>>>,
}

#[derive(Debug)]
struct Queue<T> {
    /// Dropped only under the lock: at a fork, another thread may be changing it.
    messages: ManuallyDrop<VecDeque<T>>,
    closed: bool,
}

impl<T> SharedQueue<T> {
    fn new(queue: Queue<T>) -> SharedQueue<T> {
        let (queue, notified) = (Mutex::new(queue), AtomicBool::new(false));
        SharedQueue { queue, notified, process: Process::current(), of_child: OnceLock::new() }
    }

    /// Returns the queue of this process, a forked child of the process that made `self`.
    #[cold]
    fn of_this_process(&self) -> Option<&SharedQueue<T>> {
        let mut shared = self.of_child.get()?;
        while !shared.process.is_current() {
            shared = shared.of_child.get()?;
        }
        Some(shared)
    }

    /// Returns `None` if another thread holds the lock, or held it when the process was forked.
    fn try_lock(&self) -> Option<MutexGuard<'_, Queue<T>>> {
        match self.queue.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(poison)) => Some(poison.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Drop for SharedQueue<T> {
    fn drop(&mut self) {
        let messages = self.try_lock().map(|mut queue| mem::take(&mut *queue.messages));
        drop(messages);
    }
}

/// Capacity that an empty queue keeps. A larger one, from a burst, is given back.
const KEPT_CAPACITY: usize = 16 * 1024;

/// The wakeup of a loop, shared by its inboxes.
#[derive(Debug)]
struct SharedWakeup<D> {
    /// True if a wake failed. The loop then checks its inboxes in its next tick, whatever ends its
    /// sleep.
    wake_failed: AtomicBool,
    wakeup: D,
}

/// Messages from other threads to the loop.
#[derive(Debug)]
pub(crate) struct Inbox<T, D> {
    shared: SharedQueue<T>,
    /// Number of senders that keep the loop running.
    senders: AtomicUsize,
    shared_wakeup: Arc<SharedWakeup<D>>,
}

impl<T, D: WakeLoop> Inbox<T, D> {
    pub(crate) fn new(wakeup: D) -> Inbox<T, D> {
        let wake_failed = AtomicBool::new(false);
        Inbox::with_wakeup(Arc::new(SharedWakeup { wake_failed, wakeup }))
    }

    /// Creates a second inbox behind the wakeup of `other`. One wake serves both, so the loop must
    /// take the messages of both.
    pub(crate) fn with_wakeup_of<U>(other: &Inbox<U, D>) -> Inbox<T, D> {
        Inbox::with_wakeup(other.shared_wakeup.clone())
    }

    fn with_wakeup(shared_wakeup: Arc<SharedWakeup<D>>) -> Inbox<T, D> {
        let queue = Queue { messages: ManuallyDrop::default(), closed: false };
        Inbox { shared: SharedQueue::new(queue), senders: AtomicUsize::new(0), shared_wakeup }
    }

    /// Returns the wakeup of the loop.
    pub(crate) fn wakeup(&self) -> &D {
        &self.shared_wakeup.wakeup
    }

    /// Makes the copy of a forked child usable there. Messages that were queued at the fork are
    /// queued in both processes, unless a thread held the lock at that time.
    pub(crate) fn after_fork(&self) {
        let mut last = &self.shared;
        while let Some(next) = last.of_child.get() {
            last = next;
        }
        if last.process.is_current() {
            return;
        }
        let (mut messages, mut closed) = (VecDeque::new(), false);
        if let Some(mut queue) = last.try_lock() {
            (messages, closed) = (mem::take(&mut *queue.messages), queue.closed);
        }
        let shared = SharedQueue::new(Queue { messages: ManuallyDrop::new(messages), closed });
        shared.notified.store(true, Ordering::Release); // The loop checks the queue after a fork.
        let _ = last.of_child.set(Box::new(shared));
    }

    /// Returns the queue of this process, or `None` in a forked child before
    /// [`after_fork`](Inbox::after_fork).
    #[inline]
    fn shared(&self) -> Option<&SharedQueue<T>> {
        let is_current = self.shared.process.is_current();
        if is_current { Some(&self.shared) } else { self.shared.of_this_process() }
    }

    /// Queues a message, and wakes the loop unless it will check the queue anyway.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] and [`Error::Forked`]: the message is dropped. [`Error::Wake`]: it is
    /// queued, but the wake failed; the loop checks the queue in its next tick.
    #[inline]
    pub(crate) fn send(&self, message: T) -> Result<()> {
        // Not `ok_or`: the error would be made and dropped for each message.
        let Some(shared) = self.shared() else { return Err(Error::Forked) };
        let mut queue = lock(shared);
        if queue.closed {
            drop(queue); // First: the `Drop` of a message may send.
            return Err(Error::Closed);
        }
        queue.messages.push_back(message);
        self.notify_loop(shared, queue)
    }

    /// Makes the loop check the queue, without a message.
    pub(crate) fn notify(&self) -> Result<()> {
        let Some(shared) = self.shared() else { return Err(Error::Forked) };
        self.notify_loop(shared, lock(shared))
    }

    #[inline]
    fn notify_loop(&self, shared: &SharedQueue<T>, queue: MutexGuard<'_, Queue<T>>) -> Result<()> {
        let notified = &shared.notified;
        if notified.load(Ordering::Relaxed) {
            return Ok(());
        }
        notified.store(true, Ordering::Release);
        drop(queue); // First: the wake is a system call.
        self.wake(shared)
    }

    #[cold]
    fn wake(&self, shared: &SharedQueue<T>) -> Result<()> {
        self.shared_wakeup.wakeup.wake().map_err(|error| {
            // The next sender tries again, instead of relying on this wake.
            let queue = lock(shared);
            shared.notified.store(false, Ordering::Release);
            drop(queue);
            self.shared_wakeup.wake_failed.store(true, Ordering::Release);
            Error::Wake(error)
        })
    }

    /// Drains the wakeup. The loop calls this before it takes the messages of each inbox behind the
    /// wakeup: in the other order, a wake after the take would be lost.
    pub(crate) fn drain_wakeup(&self) -> Result<()> {
        self.shared_wakeup.wakeup.drain().map_err(Error::Select)
    }

    /// Exchanges the queue with the empty `taken`. If nothing was queued, the next sender wakes the
    /// loop again.
    pub(crate) fn take(&self, taken: &mut VecDeque<T>) {
        if taken.capacity() > KEPT_CAPACITY {
            *taken = VecDeque::new();
        }
        let Some(shared) = self.shared() else { return };
        let mut queue = lock(shared);
        mem::swap(&mut *queue.messages, taken);
        if taken.is_empty() {
            shared.notified.store(false, Ordering::Release);
        }
    }

    /// Passes all queued messages to `visit`, which must not send.
    pub(crate) fn for_each(&self, visit: impl FnMut(&T)) {
        if let Some(shared) = self.shared() {
            lock(shared).messages.iter().for_each(visit);
        }
    }

    /// Returns the number of senders that keep the loop running.
    pub(crate) fn senders(&self) -> usize {
        self.senders.load(Ordering::Acquire)
    }

    /// Refuses messages from now on, and returns those that are queued.
    pub(crate) fn close(&self) -> VecDeque<T> {
        // In a forked child, the queued messages are the parent's to run.
        let Some(shared) = self.shared() else { return VecDeque::new() };
        let mut queue = lock(shared);
        queue.closed = true;
        mem::take(&mut *queue.messages)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared().is_some_and(|shared| lock(shared).closed)
    }

    /// Returns true if the loop must check the queue before it sleeps, because senders skip the
    /// wake.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        self.shared().is_some_and(|shared| shared.notified.load(Ordering::Acquire))
    }

    /// Returns true if a message may be queued: senders skip the wake, or a wake failed.
    pub(crate) fn needs_check(&self) -> bool {
        self.is_notified() || self.shared_wakeup.wake_failed.load(Ordering::Acquire)
    }

    /// Returns true, once, if a wake has failed since the last call.
    #[inline]
    pub(crate) fn take_wake_failed(&self) -> bool {
        let wake_failed = &self.shared_wakeup.wake_failed;
        // The load is cheap in each tick; only a tick after a failed wake writes.
        wake_failed.load(Ordering::Acquire) && wake_failed.swap(false, Ordering::AcqRel)
    }

    /// Counts a sender that keeps the loop running.
    pub(crate) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a sender from the count. The last one wakes the loop, which it may have kept running
    /// alone.
    pub(crate) fn remove_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Ignored: senders got `Error::Wake` from `send`, and a destructor cannot return an
            // error.
            let _ = self.notify();
        }
    }

    pub(crate) fn has_senders(&self) -> bool {
        self.senders() > 0
    }
}

/// Ignores poison: a panic under the lock cannot leave the queue half-changed.
fn lock<T>(shared: &SharedQueue<T>) -> MutexGuard<'_, Queue<T>> {
    shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
}
