//! The limit of open connections of a listener of tasks.
//!
//! # Invariants
//!
//! * A permit is taken in the poll that accepts, so tasks that accept together never exceed the
//!   limit.
//! * A permit is given back after the stream's socket has left the loop.
//! * When there is room every waiting task is woken, because the first one may be cancelled before
//!   it accepts.

use std::cell::Cell;
use std::rc::Rc;

use crate::task::{Promise, promise};

/// The count of a listener's open streams, and its limit.
pub(super) struct ConnectionLimit {
    /// Number of open streams.
    open: Cell<usize>,
    /// Limit on `open`; `usize::MAX` means no limit.
    max: Cell<usize>,
    /// Tasks that wait until `open` is below the limit.
    waiting: Cell<Vec<Promise<()>>>,
}

/// A permit of an open stream. Dropping it makes room for another one.
pub(super) struct Permit(Rc<ConnectionLimit>);

impl ConnectionLimit {
    /// Returns a count without a limit. It exists from the start, one allocation per listener and
    /// none per stream, because a limit that is set later counts the streams that are open then.
    pub(super) fn new() -> Rc<ConnectionLimit> {
        let (open, max, waiting) = (Cell::new(0), Cell::new(usize::MAX), Cell::default());
        Rc::new(ConnectionLimit { open, max, waiting })
    }

    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn max(&self) -> usize {
        self.max.get()
    }

    pub(super) fn is_reached(&self) -> bool {
        self.open.get() >= self.max.get()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Permit {
        self.open.set(self.open.get() + 1);
        Permit(self.clone())
    }

    /// Waits until `open` is below the limit. Another task may enter before the caller does.
    pub(super) async fn room(&self) {
        while self.is_reached() {
            let (promise, promised) = promise();
            let mut waiting = self.waiting.take();
            waiting.retain(|other: &Promise<()>| !other.is_closed()); // Left by cancelled tasks.
            waiting.push(promise);
            self.waiting.set(waiting);
            let _ = promised.await;
        }
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.set(max);
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        if !self.is_reached() {
            self.waiting.take().into_iter().for_each(|waiter| waiter.set_result(()));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.wake_waiting();
    }
}
