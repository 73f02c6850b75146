//! The `call_soon` queue: closures that run in the next tick, in order.
//!
//! They run in insertion order, so a queue is enough, without an arena: a key is a sequence number,
//! and the front is always the next one to run.
//!
//! # Invariants
//!
//! * Keys are consecutive numbers. There are 2^62 of them, so none is used twice.
//! * Each entry has its key in the ready deque, in the same order.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::panic::Location;

use crate::handle::Key;

#[cfg(test)]
mod tests;

/// A closure, and the place where it was queued.
pub(crate) type Queued<C> = (C, &'static Location<'static>);

/// `None` if the closure was cancelled.
///
/// `ManuallyDrop`, so that `push_back` needs no unwind path. With one, the compiler spills the
/// closure to the stack before each push: 25 % of a `call_soon`.
type Entry<C> = ManuallyDrop<Option<Queued<C>>>;

/// Closures by sequence number.
#[derive(Debug)]
pub(crate) struct SoonQueue<C> {
    entries: VecDeque<Entry<C>>,
    /// Sequence number of the front entry.
    first: u64,
    /// The latest tick with hooks, and the number of the first closure that was queued in it.
    hooks: (u64, u64),
}

/// Number of entries for which an empty queue keeps its memory. A larger burst gives it back.
const KEEP: usize = 16 * 1024;

impl<C> Default for SoonQueue<C> {
    fn default() -> SoonQueue<C> {
        SoonQueue { entries: VecDeque::new(), first: 0, hooks: (0, 0) }
    }
}

impl<C> SoonQueue<C> {
    /// Appends a closure and returns its key, which the caller feeds to the ready deque.
    #[inline]
    pub(crate) fn push(&mut self, callback: C, location: &'static Location<'static>) -> Key {
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(ManuallyDrop::new(Some((callback, location))));
        Key::soon(number)
    }

    /// Removes the front entry and returns its closure, or `None` if that was cancelled.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Queued<C>> {
        let next = ManuallyDrop::into_inner(self.entries.pop_front()?);
        self.first += 1;
        if self.entries.is_empty() && self.entries.capacity() > KEEP {
            self.give_back();
        }
        next
    }

    #[cold]
    fn give_back(&mut self) {
        self.entries = VecDeque::new();
    }

    /// Removes and returns a closure that has not run. Its entry stays, like its key in the ready
    /// deque.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<Queued<C>> {
        self.entry(key)?.take()
    }

    /// Returns the place where a closure was queued that has not run.
    pub(crate) fn location(&mut self, key: Key) -> Option<&'static Location<'static>> {
        self.entry(key)?.as_ref().map(|(_, location)| *location)
    }

    /// Notes that hooks run in the tick `tick`, before its batch.
    pub(crate) fn note_hooks(&mut self, tick: u64) {
        if self.hooks.0 != tick {
            self.hooks = (tick, self.end());
        }
    }

    /// Returns the number of the first closure that was queued in the tick `tick`, which is under
    /// way or the latest one. `waiting` closures are not in its batch.
    ///
    /// Only hooks queue closures in a tick before its batch is taken. So without them, the closures
    /// of the batch are older than the tick, and the others are not.
    pub(crate) fn first_of_tick(&self, tick: u64, waiting: usize) -> u64 {
        match self.hooks {
            (with_hooks, first) if with_hooks == tick => first,
            _ => self.end() - waiting as u64,
        }
    }

    /// Returns the number of the next closure.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Returns the closures that have not run: their keys, and the places where they were queued.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &'static Location<'static>)> {
        (self.first..).zip(&self.entries).filter_map(|(number, entry)| {
            entry.as_ref().map(|(_, location)| (Key::soon(number), *location))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry<C>> {
        let at = key.soon_number()?.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(at).ok()?)
    }
}

impl<C> Drop for SoonQueue<C> {
    fn drop(&mut self) {
        self.entries.drain(..).for_each(|entry| drop(ManuallyDrop::into_inner(entry)));
    }
}
