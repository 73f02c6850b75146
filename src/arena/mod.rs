//! The callbacks arena: every closure that the loop may call, under a key that never names another.
//!
//! The arena knows neither what it holds (`C`) nor what that waits for (`O`). Whatever it gives
//! away is dropped by the caller, outside of any borrow, because a user's `Drop` may call the loop.
//!
//! # Invariants
//!
//! * A slot is free, or taken with its callback in it, or kept for one that is on its way.
//! * A slot's generation changes when its entry goes.
//! * Memory is given back after a peak, see [`vacancy`](crate::vacancy).

use std::panic::Location;

use crate::handle::Key;
use crate::vacancy::{self, Links, Vacancies};

#[cfg(test)]
mod tests;

/// A taken slot.
#[derive(Debug)]
pub(crate) struct Entry<O, C> {
    /// What makes the callback ready.
    pub(crate) source: O,
    pub(crate) location: &'static Location<'static>,
    /// Whether it alone keeps [`run`](crate::EventLoop::run) going.
    pub(crate) background: bool,
    /// Empty while it is on its way.
    pub(crate) callback: Option<C>,
    generation: u32,
}

#[derive(Debug)]
enum Slot<O, C> {
    /// Generation of the next entry, and neighbours among the free slots.
    Free {
        generation: u32,
        links: Links,
    },
    Taken(Entry<O, C>),
    /// Its generations are used up.
    Retired,
}

impl<O, C> vacancy::Slot for Slot<O, C> {
    #[inline]
    fn links(&self) -> Option<Links> {
        match self {
            Slot::Free { links, .. } => Some(*links),
            Slot::Taken(_) | Slot::Retired => None,
        }
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        if let Slot::Free { links, .. } = self {
            links.next = next;
        }
    }

    #[inline]
    fn set_previous(&mut self, previous: u32) {
        if let Slot::Free { links, .. } = self {
            links.previous = previous;
        }
    }

    fn generation(&self) -> u32 {
        match self {
            Slot::Free { generation, .. } => *generation,
            Slot::Taken(_) | Slot::Retired => u32::MAX,
        }
    }
}

/// Arena by key.
#[derive(Debug)]
pub(crate) struct Arena<O, C> {
    slots: Vec<Slot<O, C>>,
    free: Vacancies,
}

impl<O, C> Default for Arena<O, C> {
    fn default() -> Arena<O, C> {
        Arena { slots: Vec::new(), free: Vacancies::default() }
    }
}

impl<O, C> Arena<O, C> {
    /// Takes a callback in, or keeps a slot for one that is put there later.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        source: O,
        location: &'static Location<'static>,
        callback: Option<C>,
    ) -> Key {
        self.insert_with(location, callback, |_| source)
    }

    /// The same for a source that is made for the key.
    #[inline]
    pub(crate) fn insert_with(
        &mut self,
        location: &'static Location<'static>,
        callback: Option<C>,
        source: impl FnOnce(Key) -> O,
    ) -> Key {
        let Some(slot) = self.free.take(&self.slots) else {
            let generation = self.free.append();
            let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < Key::SOON_BASE);
            let slot = slot.expect("a loop holds fewer than 2^30 callbacks");
            let source = source(Key { slot, generation });
            let entry = Entry { source, location, background: false, callback, generation };
            self.slots.push(Slot::Taken(entry));
            return Key { slot, generation };
        };
        let place = &mut self.slots[slot as usize];
        let Slot::Free { generation, .. } = *place else {
            unreachable!("a taken slot is listed as free")
        };
        let source = source(Key { slot, generation });
        *place = Slot::Taken(Entry { source, location, background: false, callback, generation });
        Key { slot, generation }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut Entry<O, C>> {
        match self.slots.get_mut(key.slot as usize) {
            Some(Slot::Taken(entry)) if entry.generation == key.generation => Some(entry),
            _ => None,
        }
    }

    /// Puts a callback into the slot that was kept for it. If that is gone it is given back.
    pub(crate) fn put_back(&mut self, key: Key, callback: C) -> Option<C> {
        match self.get(key) {
            Some(entry) if entry.callback.is_none() => {
                entry.callback = Some(callback);
                None
            }
            _ => Some(callback),
        }
    }

    /// Ends a tenancy.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<Entry<O, C>> {
        self.get(key)?;
        let place = &mut self.slots[key.slot as usize];
        let former = match key.generation.checked_add(1) {
            Some(generation) => {
                let links = self.free.links();
                let former = std::mem::replace(place, Slot::Free { generation, links });
                self.free.add(&mut self.slots, key.slot);
                former
            }
            None => std::mem::replace(place, Slot::Retired),
        };
        match former {
            Slot::Taken(entry) => Some(entry),
            Slot::Free { .. } | Slot::Retired => None,
        }
    }

    /// The first entry from slot `from` on, in turn, for which `wanted` holds.
    pub(crate) fn find(
        &self,
        from: u32,
        mut wanted: impl FnMut(Key, &Entry<O, C>) -> bool,
    ) -> Option<u32> {
        let length = self.slots.len() as u32;
        let start = if from < length { from } else { 0 };
        (start..length).chain(0..start).find(|slot| match &self.slots[*slot as usize] {
            Slot::Taken(entry) => wanted(Key { slot: *slot, generation: entry.generation }, entry),
            Slot::Free { .. } | Slot::Retired => false,
        })
    }

    /// All tenants.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(slot, place): (u32, &Slot<O, C>)| match place {
            Slot::Taken(Entry { generation, .. }) => Some(Key { slot, generation: *generation }),
            Slot::Free { .. } | Slot::Retired => None,
        };
        (0..).zip(&self.slots).filter_map(key).collect()
    }
}
