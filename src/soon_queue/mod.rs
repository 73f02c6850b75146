//! Callbacks that wait for nothing but their turn, in the order in which they were queued.
//!
//! They run in that order as well, so they need no arena: each has the next number of a row for a
//! key, and whose turn it is stands in front.
//!
//! # Invariants
//!
//! * A key is one number of the row. There are 2^62 of them, so none is given twice.
//! * Each place has its key in the ready deque, and they are in the same order there.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::panic::Location;

use crate::handle::Key;

#[cfg(test)]
mod tests;

/// A callback, and where it was queued.
pub(crate) type Queued<C> = (C, &'static Location<'static>);

/// Empty if the callback was cancelled.
///
/// If it had to be dropped when the row cannot grow, a callback would be written to memory before it
/// is queued, and read again: a quarter of what it costs to queue one and to run it.
type Entry<C> = ManuallyDrop<Option<Queued<C>>>;

/// Callbacks by number.
#[derive(Debug)]
pub(crate) struct SoonQueue<C> {
    places: VecDeque<Entry<C>>,
    /// The number of the first place.
    first: u64,
}

/// Capacity that an empty row keeps; what a burst took beyond that is given back.
const KEEP: usize = 16 * 1024;

impl<C> Default for SoonQueue<C> {
    fn default() -> SoonQueue<C> {
        SoonQueue { places: VecDeque::new(), first: 0 }
    }
}

impl<C> SoonQueue<C> {
    #[inline]
    pub(crate) fn push(&mut self, callback: C, location: &'static Location<'static>) -> Key {
        let number = self.first + self.places.len() as u64;
        self.places.push_back(ManuallyDrop::new(Some((callback, location))));
        Key::soon(number)
    }

    /// Takes out the callback in front, whose turn it is; none if it was cancelled.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Queued<C>> {
        let next = ManuallyDrop::into_inner(self.places.pop_front()?);
        self.first += 1;
        if self.places.is_empty() && self.places.capacity() > KEEP {
            self.give_back();
        }
        next
    }

    #[cold]
    fn give_back(&mut self) {
        self.places = VecDeque::new();
    }

    /// Takes out a callback whose turn will not come. Its place stays, as its key stays in the ready
    /// deque.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<Queued<C>> {
        self.place(key)?.take()
    }

    /// Where the callback was queued, if it is still there.
    pub(crate) fn location(&mut self, key: Key) -> Option<&'static Location<'static>> {
        self.place(key)?.as_ref().map(|(_, location)| *location)
    }

    /// Whether nobody waits for a turn.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A place that has not had its turn.
    fn place(&mut self, key: Key) -> Option<&mut Entry<C>> {
        let at = key.soon_number()?.checked_sub(self.first)?;
        self.places.get_mut(usize::try_from(at).ok()?)
    }
}

impl<C> Drop for SoonQueue<C> {
    fn drop(&mut self) {
        self.places.drain(..).for_each(|place| drop(ManuallyDrop::into_inner(place)));
    }
}
