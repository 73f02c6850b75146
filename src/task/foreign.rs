//! Wakers of other executors. Their panics do not reach the code that wakes or drops them.
//!
//! Such a panic follows the loop's panic policy, after the batch. Outside a running loop, the panic
//! hook has printed it, and nothing else happens.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::current;
use super::tasks::Tasks;
use crate::event_loop::ReportKind;
use crate::event_loop::report::internal;
use crate::panic::ignoring_panic;

/// Wakes a task of any executor.
pub(crate) fn wake(waker: Waker) {
    contain(|| waker.wake());
}

/// Drops the waker of a task of any executor.
pub(crate) fn discard(waker: Option<Waker>) {
    if waker.is_some() {
        contain(|| drop(waker));
    }
}

/// Stores a clone of `waker` in `cell`, unless the stored waker wakes the same task.
pub(crate) fn store(cell: &Cell<Option<Waker>>, waker: &Waker) {
    let stored = cell.take();
    if stored.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
        return cell.set(stored);
    }
    cell.set(Some(waker.clone()));
    discard(stored);
}

fn contain(code: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(code)) else { return };
    match current::running() {
        Some(tasks) => tasks.core.panicked(|error| internal(ReportKind::Waker, error), payload),
        None => ignoring_panic(|| drop(payload)),
    }
}

impl Tasks {
    /// Wakes in the middle of an operation of the loop: a panic waits for the end of the batch.
    pub(super) fn wake_contained(&self, waker: Waker) {
        self.core.contain_later(|error| internal(ReportKind::Waker, error), || waker.wake());
    }

    /// Drops a waker as the last step of an operation.
    pub(super) fn discard_waker(&self, waker: Option<Waker>) {
        self.core.contain(|error| internal(ReportKind::Waker, error), || drop(waker));
    }
}
