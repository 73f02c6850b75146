//! The ready deque: handles that are due, in order.
//!
//! Sources feed it, the loop runs it. It holds keys, never closures, so to cancel is to empty a
//! slot elsewhere; the key that is left behind here misses.

use std::collections::VecDeque;
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
#[derive(Debug, Default)]
pub(crate) struct ReadyDeque {
    handles: VecDeque<Ready>,
}

/// Capacity that an empty deque keeps; what a burst took beyond that is given back.
const KEEP: usize = 16 * 1024;

impl ReadyDeque {
    #[inline]
    pub(crate) fn feed(&mut self, key: Key, readiness: Readiness) {
        self.handles.push_back(Ready { key, readiness });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Ready> {
        self.handles.pop_front()
    }

    /// Begins a batch: all that is due goes into the empty `batch`, in exchange for its memory. What
    /// is fed from now on waits for the next one.
    pub(crate) fn take_batch(&mut self, batch: &mut ReadyDeque) {
        if batch.handles.capacity() > KEEP {
            batch.handles = VecDeque::new();
        }
        mem::swap(self, batch);
    }

    /// Puts back what is left of a batch that a panic has ended: it comes first in the next one.
    pub(crate) fn put_back(&mut self, batch: &mut ReadyDeque) {
        batch.handles.append(&mut self.handles);
        mem::swap(self, batch);
    }

    pub(crate) fn clear(&mut self) {
        *self = ReadyDeque::default();
    }
}
