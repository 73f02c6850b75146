//! The ready deque: keys of due callbacks and tasks, in order.
//!
//! Sources feed it and the loop runs it. It holds keys, never closures. Cancelling a callback
//! empties its slot in the arena; the key that stays behind here no longer matches.

use std::mem;

use mainspring_sys::Readiness;

use crate::handle::Key;

#[cfg(test)]
mod tests;

/// An entry of the deque: a key that is due, and the readiness of its fd, which is empty for any
/// other source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) key: Key,
    pub(crate) readiness: Readiness,
}

/// Keys that are due, first in, first out.
///
/// Popped entries stay until the last one is popped: each batch runs to its end, so a `Vec` and a
/// position suffice, and cost less than a ring buffer.
#[derive(Debug, Default)]
pub(crate) struct ReadyDeque {
    entries: Vec<Ready>,
    /// Number of entries at the front that were popped. Zero outside of a batch.
    popped: usize,
}

/// Number of entries for which an empty deque keeps its memory. A larger burst gives it back.
const KEEP: usize = 16 * 1024;

impl ReadyDeque {
    /// Appends an entry.
    #[inline]
    pub(crate) fn feed(&mut self, key: Key, readiness: Readiness) {
        self.entries.push(Ready { key, readiness });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.popped
    }

    /// Returns the position of the entry that was popped last; `None` after the last one.
    pub(crate) fn position(&self) -> Option<usize> {
        self.popped.checked_sub(1)
    }

    /// Returns the keys of all entries.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.entries[self.popped..].iter().map(|ready| ready.key)
    }

    /// Removes and returns the entry at the front.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Ready> {
        let Some(Ready { key, readiness }) = self.entries.get(self.popped) else {
            self.clear();
            return None;
        };
        self.popped += 1;
        Some(Ready { key: *key, readiness: *readiness })
    }

    /// Begins a batch: moves all entries into the empty `batch`, in exchange for its memory.
    /// Entries that are fed later wait for the next batch.
    #[inline]
    pub(crate) fn take_batch(&mut self, batch: &mut ReadyDeque) {
        if batch.entries.capacity() > KEEP {
            batch.entries = Vec::new();
        }
        batch.clear(); // If its last entry panicked, `pop` has not cleared it.
        mem::swap(&mut self.entries, &mut batch.entries);
    }

    /// Puts the rest of an interrupted batch back, in front of everything that was fed since.
    pub(crate) fn put_back(&mut self, batch: &mut ReadyDeque) {
        batch.entries.drain(..batch.popped);
        batch.popped = 0;
        batch.entries.append(&mut self.entries);
        mem::swap(&mut self.entries, &mut batch.entries);
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.popped = 0;
    }
}
