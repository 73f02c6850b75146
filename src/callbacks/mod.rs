//! The callbacks of a loop, by key.
//!
//! The types of a callback (`C`) and of its source (`O`) are parameters, because layers above
//! define them. A removed callback is returned to the caller, to be dropped outside of any borrow.

use std::panic::Location;

use crate::arena::{Arena, Entry};
use crate::handle::Key;

#[cfg(test)]
mod tests;

/// A callback, or the slot that is reserved for one.
#[derive(Debug)]
pub(crate) struct CallbackEntry<O, C> {
    /// Makes the callback ready.
    pub(crate) source: O,
    pub(crate) location: &'static Location<'static>,
    /// True if this callback does not keep [`run`](crate::EventLoop::run) alive.
    pub(crate) background: bool,
    /// `None` while the slot is only reserved.
    pub(crate) callback: Option<C>,
    generation: u32,
}

impl<O, C> Entry for CallbackEntry<O, C> {
    const LIMIT: usize = Key::SOON_BASE as usize;

    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }
}

/// Callbacks by key.
#[derive(Debug)]
pub(crate) struct Callbacks<O, C> {
    arena: Arena<CallbackEntry<O, C>>,
}

impl<O, C> Default for Callbacks<O, C> {
    fn default() -> Callbacks<O, C> {
        Callbacks { arena: Arena::default() }
    }
}

impl<O, C> Callbacks<O, C> {
    /// Adds a callback, or reserves a slot for one.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        source: O,
        location: &'static Location<'static>,
        callback: Option<C>,
    ) -> Key {
        self.insert_with(location, callback, |_| source)
    }

    /// Like [`insert`](Callbacks::insert), but makes the source from the key.
    #[inline]
    pub(crate) fn insert_with(
        &mut self,
        location: &'static Location<'static>,
        callback: Option<C>,
        source: impl FnOnce(Key) -> O,
    ) -> Key {
        let (slot, generation) = self.arena.insert(|slot, generation| {
            let source = source(Key { slot, generation });
            CallbackEntry { source, location, background: false, callback, generation }
        });
        Key { slot, generation }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut CallbackEntry<O, C>> {
        self.arena.get_mut(key.slot, key.generation)
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<CallbackEntry<O, C>> {
        self.arena.remove(key.slot, key.generation)
    }

    /// Returns the slot of the first callback from `from` on, in a circle, that is `wanted`.
    pub(crate) fn find(
        &self,
        from: u32,
        mut wanted: impl FnMut(Key, &CallbackEntry<O, C>) -> bool,
    ) -> Option<u32> {
        self.arena
            .find(from, |slot, entry| wanted(Key { slot, generation: entry.generation }, entry))
    }

    /// Returns the keys of all callbacks.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key =
            |(slot, entry): (u32, &CallbackEntry<O, C>)| Key { slot, generation: entry.generation };
        self.arena.iter().map(key).collect()
    }
}
