//! The ready deque: handles that are due, in order.
//!
//! Sources feed it, the loop runs it. It holds keys, never closures, so to cancel is to empty a
//! slot elsewhere; the key that is left behind here misses.

use std::collections::VecDeque;

use mainspring_sys::Readiness;

use crate::handle::Key;

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
    pub(crate) fn feed(&mut self, key: Key, readiness: Readiness) {
        self.handles.push_back(Ready { key, readiness });
    }

    pub(crate) fn pop(&mut self) -> Option<Ready> {
        self.handles.pop_front()
    }

    /// The length of the batch that begins now: what is added later waits for the next one.
    pub(crate) fn batch(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Ends a batch of `length` handles.
    pub(crate) fn end_batch(&mut self, length: usize) {
        if length > KEEP && self.handles.len() < KEEP / 4 {
            self.handles.shrink_to(KEEP);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.handles = VecDeque::new();
    }
}
