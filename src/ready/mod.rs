//! The ready deque: handles that are due, in order.
//!
//! Sources feed it, the loop runs it. It holds keys, never closures, so to cancel is to empty a
//! slot elsewhere; the key that is left behind here misses.

use std::mem;

use mainspring_sys::Readiness;

use crate::handle::Key;

#[cfg(test)]
mod tests;

/// A handle that is due, and what its fd is ready for (empty if it has none).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) key: Key,
    pub(crate) readiness: Readiness,
}

/// Handles that are due, first in, first out.
///
/// What is taken out of the front leaves its place when all of it is out: each batch runs to its
/// end, so a list and a position do, and cost less than a ring.
#[derive(Debug, Default)]
pub(crate) struct ReadyDeque {
    handles: Vec<Ready>,
    /// How many handles at the front are out.
    out: usize,
}

/// Capacity that an empty deque keeps; what a burst took beyond that is given back.
const KEEP: usize = 16 * 1024;

impl ReadyDeque {
    #[inline]
    pub(crate) fn feed(&mut self, key: Key, readiness: Readiness) {
        self.handles.push(Ready { key, readiness });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.handles.len() - self.out
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Ready> {
        let Some(Ready { key, readiness }) = self.handles.get(self.out) else {
            self.clear();
            return None;
        };
        self.out += 1;
        Some(Ready { key: *key, readiness: *readiness })
    }

    /// Begins a batch: all that is due goes into the empty `batch`, in exchange for its memory. What
    /// is fed from now on waits for the next one.
    #[inline]
    pub(crate) fn take_batch(&mut self, batch: &mut ReadyDeque) {
        if batch.handles.capacity() > KEEP {
            batch.handles = Vec::new();
        }
        batch.clear(); // A panic in its last turn has kept the batch from its end.
        mem::swap(self, batch);
    }

    /// Puts back what is left of a batch that a panic has ended: it comes first in the next one.
    pub(crate) fn put_back(&mut self, batch: &mut ReadyDeque) {
        batch.handles.append(&mut self.handles);
        mem::swap(self, batch);
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.handles.clear();
        self.out = 0;
    }
}
