//! The callbacks of a loop, by key.
//!
//! The types of a callback (`C`) and of its source (`O`) are parameters, because layers above
//! define them. A removed callback is returned to the caller, to be dropped outside of any borrow.
//!
//! The slots are those of an [`Arena`](crate::arena::Arena), written out. Through the generic type,
//! a callback was built on the stack and copied into its slot: 25 instructions (4 %) of a
//! `call_later` with its cancellation, and 6 of an event.
//!
//! # Invariants
//!
//! * A slot is free, in use, or retired. A slot in use has a callback, or is reserved for one.
//! * A key identifies one callback, and never another one.
//! * Memory is given back after a peak, see [`free_list`](crate::arena::free_list).

use std::mem;
use std::panic::Location;

use crate::arena::free_list::{self, FreeList, Links};
use crate::handle::Key;

mod registered_at;
#[cfg(test)]
mod tests;

pub(crate) use self::registered_at::{REFRESH_EVERY, RegisteredAt};

/// A callback, or a slot reserved for one.
#[derive(Debug)]
pub(crate) struct CallbackEntry<O, C> {
    /// Makes the callback ready.
    pub(crate) source: O,
    pub(crate) location: &'static Location<'static>,
    pub(crate) registered_at: RegisteredAt,
    /// `None` while the slot is only reserved.
    pub(crate) callback: Option<C>,
    generation: u32,
}

#[derive(Debug)]
enum CallbackSlot<O, C> {
    /// Contains the generation of the next callback.
    Free {
        generation: u32,
        links: Links,
    },
    Used(CallbackEntry<O, C>),
    Retired,
}

impl<O, C> free_list::Slot for CallbackSlot<O, C> {
    #[inline]
    fn links(&self) -> Option<Links> {
        match self {
            CallbackSlot::Free { links, .. } => Some(*links),
            CallbackSlot::Used(_) | CallbackSlot::Retired => None,
        }
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        if let CallbackSlot::Free { links, .. } = self {
            links.next = next;
        }
    }

    #[inline]
    fn set_previous(&mut self, previous: u32) {
        if let CallbackSlot::Free { links, .. } = self {
            links.previous = previous;
        }
    }

    fn generation(&self) -> u32 {
        match self {
            CallbackSlot::Free { generation, .. } => *generation,
            CallbackSlot::Used(_) | CallbackSlot::Retired => u32::MAX,
        }
    }
}

/// Callbacks by key.
#[derive(Debug)]
pub(crate) struct Callbacks<O, C> {
    slots: Vec<CallbackSlot<O, C>>,
    free: FreeList,
}

impl<O, C> Default for Callbacks<O, C> {
    fn default() -> Callbacks<O, C> {
        Callbacks { slots: Vec::new(), free: FreeList::default() }
    }
}

impl<O, C> Callbacks<O, C> {
    /// Returns the number of callbacks.
    pub(crate) fn count(&self) -> usize {
        self.free.taken()
    }

    /// Adds a callback, or reserves a slot for one. `tick` is the number of the tick.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        source: O,
        location: &'static Location<'static>,
        tick: u64,
        callback: Option<C>,
    ) -> Key {
        self.insert_with(location, tick, callback, |_| source)
    }

    /// Like [`insert`](Callbacks::insert), but makes the source from the key.
    #[inline]
    pub(crate) fn insert_with(
        &mut self,
        location: &'static Location<'static>,
        tick: u64,
        callback: Option<C>,
        source: impl FnOnce(Key) -> O,
    ) -> Key {
        let registered_at = RegisteredAt::new(tick);
        let Some(slot) = self.free.take(&self.slots) else {
            let generation = self.free.append();
            let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < Key::SOON_BASE);
            let slot = slot.expect("a loop holds fewer than 2^30 callbacks");
            let source = source(Key { slot, generation });
            let entry = CallbackEntry { source, location, registered_at, callback, generation };
            self.slots.push(CallbackSlot::Used(entry));
            return Key { slot, generation };
        };
        let place = &mut self.slots[slot as usize];
        let CallbackSlot::Free { generation, .. } = *place else {
            unreachable!("a slot in use is on the free list")
        };
        let source = source(Key { slot, generation });
        let entry = CallbackEntry { source, location, registered_at, callback, generation };
        *place = CallbackSlot::Used(entry);
        Key { slot, generation }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut CallbackEntry<O, C>> {
        match self.slots.get_mut(key.slot as usize) {
            Some(CallbackSlot::Used(entry)) if entry.generation == key.generation => Some(entry),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<CallbackEntry<O, C>> {
        self.get(key)?;
        match self.vacate(key) {
            CallbackSlot::Used(entry) => Some(entry),
            CallbackSlot::Free { .. } | CallbackSlot::Retired => None,
        }
    }

    /// Removes an entry, and returns only its callback.
    // Moving all of the entry costs a timer 8 instructions more, and a stall: its parts are read in
    // other sizes than they were written.
    #[inline(always)]
    pub(crate) fn take(&mut self, key: Key) -> Option<C> {
        let callback = self.get(key)?.callback.take();
        self.vacate(key);
        callback
    }

    /// Frees the slot of an entry, and returns its content.
    #[inline(always)]
    fn vacate(&mut self, key: Key) -> CallbackSlot<O, C> {
        let place = &mut self.slots[key.slot as usize];
        let Some(generation) = key.generation.checked_add(1) else {
            return mem::replace(place, CallbackSlot::Retired);
        };
        let links = self.free.links();
        let former = mem::replace(place, CallbackSlot::Free { generation, links });
        self.free.add(&mut self.slots, key.slot);
        former
    }

    /// Returns the slot of the first callback, cyclically from `from` on, that is `wanted`.
    pub(crate) fn find(
        &self,
        from: u32,
        mut wanted: impl FnMut(Key, &CallbackEntry<O, C>) -> bool,
    ) -> Option<u32> {
        let length = self.slots.len() as u32;
        let start = if from < length { from } else { 0 };
        (start..length).chain(0..start).find(|slot| match &self.slots[*slot as usize] {
            CallbackSlot::Used(entry) => {
                wanted(Key { slot: *slot, generation: entry.generation }, entry)
            }
            CallbackSlot::Free { .. } | CallbackSlot::Retired => false,
        })
    }

    /// Returns all callbacks with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &CallbackEntry<O, C>)> {
        (0..).zip(&self.slots).filter_map(|(slot, place)| match place {
            CallbackSlot::Used(entry) => Some((Key { slot, generation: entry.generation }, entry)),
            CallbackSlot::Free { .. } | CallbackSlot::Retired => None,
        })
    }

    /// Passes all callbacks to `change`, and keeps their ages. Called in one of 2^30 ticks, see
    /// [`REFRESH_EVERY`].
    pub(crate) fn refresh_ages(&mut self, tick: u64, mut change: impl FnMut(&mut C)) {
        for place in &mut self.slots {
            if let CallbackSlot::Used(entry) = place {
                entry.registered_at.refresh(tick);
                entry.callback.iter_mut().for_each(&mut change);
            }
        }
    }

    /// Returns the keys of all callbacks.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }
}
