//! Wakers: how a task is scheduled again, from any thread.
//!
//! A waker is an `Arc` with the task's key. Where its loop runs, a wake feeds the ready deque;
//! anywhere else it goes through the inbox and rings the doorbell.
//!
//! Most tasks only wait for what is the loop's own, which wakes by key and keeps no waker. So a poll
//! lends the loop's spare waker, with the key of the task written into it; only if the task has kept
//! a clone does the waker become the task's own.
//!
//! # Invariants
//!
//! * A waker that anybody else holds never changes its key.
//! * A wake only queues: it never polls, and runs no user code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::{Wake, Waker};

use mainspring_sys::Wakeup;

use super::current;
use crate::handle::Key;
use crate::inbox::{Doorbell, Inbox};
use crate::sync::AtomicBool;

#[cfg(all(loom, test))]
mod loom_tests;

/// Wakes on their way from other threads.
pub(crate) type WakeInbox = Inbox<Arc<TaskWaker>, Wakeup>;

/// What is behind the [`Waker`] of a task.
#[derive(Debug)]
pub(crate) struct TaskWaker {
    loop_id: u32,
    sent: Sent,
    key: AtomicU64,
    inbox: Arc<WakeInbox>,
}

impl TaskWaker {
    pub(super) fn key(&self) -> Key {
        let bits = self.key.load(Ordering::Relaxed);
        Key { slot: (bits >> 32) as u32, generation: bits as u32 }
    }

    /// It is out of the inbox: the next wake sends it again.
    pub(super) fn received(&self) {
        self.sent.received();
    }
}

/// Whether something is in the inbox: it goes there once until it is received.
#[derive(Debug)]
struct Sent(AtomicBool);

impl Sent {
    fn new() -> Sent {
        Sent(AtomicBool::new(false))
    }

    fn send<T, D: Doorbell>(&self, inbox: &Inbox<T, D>, item: impl FnOnce() -> T) {
        if !self.0.swap(true, Ordering::AcqRel) {
            // A loop that is closed has no tasks, and one whose doorbell is broken looks into its
            // inbox in its next tick.
            let _ = inbox.send(item());
        }
    }

    /// Before what was sent is looked at: whoever changes that later sends it again.
    fn received(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<TaskWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<TaskWaker>) {
        match current::running() {
            Some(tasks) if tasks.loop_id() == self.loop_id => tasks.wake(self.key()),
            _ => self.sent.send(&self.inbox, || self.clone()),
        }
    }
}

/// A task's waker, as a poll has it. A task that waits keeps the inside only.
#[derive(Debug)]
pub(crate) struct Bell {
    inside: Arc<TaskWaker>,
    waker: Waker,
}

impl Bell {
    pub(super) fn new(loop_id: u32, inbox: Arc<WakeInbox>) -> Bell {
        let (sent, key) = (Sent::new(), AtomicU64::new(0));
        Bell::of(Arc::new(TaskWaker { loop_id, sent, key, inbox }))
    }

    pub(super) fn of(inside: Arc<TaskWaker>) -> Bell {
        Bell { waker: Waker::from(inside.clone()), inside }
    }

    pub(super) fn into_inside(self) -> Arc<TaskWaker> {
        self.inside
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether nobody else holds it.
    pub(super) fn is_free(&self) -> bool {
        let free = Arc::strong_count(&self.inside) == 2;
        // Whoever let go of it has done with it: see Arc::get_mut.
        fence(Ordering::Acquire);
        free
    }

    /// Makes it the waker of `key`; only while it is free.
    pub(super) fn assign(&self, key: Key) {
        let bits = u64::from(key.slot) << 32 | u64::from(key.generation);
        self.inside.key.store(bits, Ordering::Relaxed);
    }
}
