//! Wakers of tasks, which queue the task from any thread.
//!
//! A waker is an `Arc` with the task's key. On the thread where its loop runs, a wake feeds the
//! ready deque; anywhere else it goes through the inbox and wakes the loop.
//!
//! Most tasks wait only for objects of the loop, which wake by key and keep no waker. So each poll
//! borrows the loop's spare waker, with the task's key written into it. If the task has kept a
//! clone, that waker becomes the task's own; otherwise the next poll uses it again. Thus a switch
//! needs no atomic read-modify-write, and a waiting task is 88 bytes smaller.
//!
//! # Invariants
//!
//! * The key of a waker does not change while a task holds a clone of it.
//! * A wake only queues: it neither polls nor runs user code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::Waker;

use mainspring_sys::Wakeup;

use crate::handle::Key;
use crate::inbox::{Inbox, WakeLoop};
use crate::std_or_loom::AtomicBool;

#[cfg(all(loom, test))]
mod loom_tests;
mod wake;

/// Wakes on their way from other threads.
pub(crate) type WakeInbox = Inbox<Arc<TaskWaker>, Wakeup>;

/// The data behind the [`Waker`] of a task.
#[derive(Debug)]
pub(crate) struct TaskWaker {
    loop_id: u32,
    in_inbox: InInbox,
    /// Key of the task: slot and generation.
    key: AtomicU64,
    inbox: Arc<WakeInbox>,
}

impl TaskWaker {
    pub(super) fn key(&self) -> Key {
        let bits = self.key.load(Ordering::Relaxed);
        Key { slot: (bits >> 32) as u32, generation: bits as u32 }
    }

    /// Marks the waker as taken out of the inbox: the next wake sends it again.
    pub(super) fn received(&self) {
        self.in_inbox.received();
    }
}

/// A flag that is true while an item is in the inbox, so that the item is there once.
#[derive(Debug)]
struct InInbox(AtomicBool);

impl InInbox {
    fn new() -> InInbox {
        InInbox(AtomicBool::new(false))
    }

    /// Sends an item, unless it is in the inbox already.
    fn send<T, D: WakeLoop>(&self, inbox: &Inbox<T, D>, item: impl FnOnce() -> T) {
        if !self.0.swap(true, Ordering::AcqRel) {
            // Errors need no action: a closed loop has no tasks, and a loop with a broken wakeup
            // checks its inbox in its next tick.
            let _ = inbox.send(item());
        }
    }

    /// Clears the flag. Call this before the work of the item begins: a wake that comes during the
    /// work then sends the item again.
    fn received(&self) {
        // Acquire and release: the poll that follows must see what the waking thread has written.
        self.0.swap(false, Ordering::AcqRel);
    }
}

/// A task's waker as a poll uses it. A waiting task stores only its [`TaskWaker`].
#[derive(Debug)]
pub(crate) struct PolledWaker {
    data: Arc<TaskWaker>,
    waker: Waker,
}

impl PolledWaker {
    pub(super) fn new(loop_id: u32, inbox: Arc<WakeInbox>) -> PolledWaker {
        let (in_inbox, key) = (InInbox::new(), AtomicU64::new(0));
        PolledWaker::of(Arc::new(TaskWaker { loop_id, in_inbox, key, inbox }))
    }

    pub(super) fn of(data: Arc<TaskWaker>) -> PolledWaker {
        PolledWaker { waker: Waker::from(data.clone()), data }
    }

    pub(super) fn into_data(self) -> Arc<TaskWaker> {
        self.data
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Returns true if no clone of the waker exists: then another task may use it.
    pub(super) fn is_unshared(&self) -> bool {
        // `data` and `waker` are two.
        let unshared = Arc::strong_count(&self.data) == 2;
        // Pairs with the release when another thread drops its clone, like in Arc::get_mut.
        fence(Ordering::Acquire);
        unshared
    }

    /// Makes this the waker of the task `key`. Allowed only while it is unshared.
    pub(super) fn set_key(&self, key: Key) {
        let bits = u64::from(key.slot) << 32 | u64::from(key.generation);
        self.data.key.store(bits, Ordering::Relaxed);
    }
}
