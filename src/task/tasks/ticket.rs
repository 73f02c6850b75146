//! The position of a waiter in the queue of an fd.

use std::cell::Cell;

use crate::handle::Key;

/// A position in the queue of tasks that wait for an fd. The waiting future holds it, and gives it
/// up when it is done.
pub(crate) struct Ticket {
    /// The loop of the queue.
    pub(super) loop_id: Cell<u32>,
    /// Key to wake; [`Key::NONE`] outside a queue.
    pub(super) key: Cell<Key>,
    /// Number in the queue; zero means none.
    pub(super) number: Cell<u32>,
}

impl Ticket {
    pub(crate) const fn new() -> Ticket {
        Ticket { loop_id: Cell::new(0), key: Cell::new(Key::NONE), number: Cell::new(0) }
    }

    /// Returns true if the ticket may be in a queue. A waiter that was woken has left the queue,
    /// but its ticket is not cleared before it is polled.
    pub(crate) fn may_be_queued(&self) -> bool {
        self.key.get() != Key::NONE
    }

    /// Clears the ticket of a waiter that has left the queue.
    pub(crate) fn clear(&self) {
        self.key.set(Key::NONE);
        self.number.set(0);
    }
}
