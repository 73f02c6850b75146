//! The arena: entries in numbered slots, each with a generation, so that an old key finds nothing.
//!
//! A removed entry is returned to the caller, to be dropped outside of any borrow: a user's `Drop`
//! may call the loop.
//!
//! # Invariants
//!
//! * A slot is in use, free, or retired. A slot is retired after its last generation.
//! * Index and generation identify one entry, and never another one.
//! * Memory is given back after a peak, see [`free_list`].

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

use self::free_list::{FreeList, Links};

pub(crate) mod free_list;
#[cfg(all(not(loom), test))]
mod tests;

/// An entry of an arena. It stores its generation itself, because a separate field would be padded
/// to eight bytes.
pub(crate) trait Entry {
    /// Maximum number of entries.
    const LIMIT: usize;

    /// Returns the generation with which the entry was created.
    fn generation(&self) -> u32;
}

/// Entries by index and generation.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: FreeList,
}

#[derive(Debug)]
enum Slot<T> {
    Used(T),
    /// Contains the generation of the next entry.
    Free {
        generation: u32,
        links: Links,
    },
    Retired,
}

impl<T> free_list::Slot for Slot<T> {
    #[inline]
    fn links(&self) -> Option<Links> {
        match self {
            Slot::Free { links, .. } => Some(*links),
            Slot::Used(_) | Slot::Retired => None,
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

    #[inline]
    fn generation(&self) -> u32 {
        match self {
            Slot::Free { generation, .. } => *generation,
            Slot::Used(_) | Slot::Retired => u32::MAX,
        }
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Arena<T> {
        Arena { slots: Vec::new(), free: FreeList::default() }
    }
}

impl<T: Entry> Arena<T> {
    /// Adds the entry that `make` returns for an index and a generation. Returns both.
    ///
    /// # Panics
    ///
    /// If the arena is full.
    #[inline]
    pub(crate) fn insert(&mut self, make: impl FnOnce(u32, u32) -> T) -> (u32, u32) {
        let Some(index) = self.free.take(&self.slots) else {
            let generation = self.free.append();
            assert!(self.slots.len() < T::LIMIT, "an arena holds at most {} entries", T::LIMIT);
            let index = self.slots.len() as u32;
            self.slots.push(Slot::Used(make(index, generation)));
            return (index, generation);
        };
        let slot = &mut self.slots[index as usize];
        let Slot::Free { generation, .. } = *slot else {
            unreachable!("a slot in use is on the free list")
        };
        *slot = Slot::Used(make(index, generation));
        (index, generation)
    }

    /// Returns the entry that was added with this index and generation.
    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        match self.slots.get(index as usize) {
            Some(Slot::Used(entry)) if entry.generation() == generation => Some(entry),
            _ => None,
        }
    }

    /// Mutable version of [`get`](Arena::get).
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        match self.slots.get_mut(index as usize) {
            Some(Slot::Used(entry)) if entry.generation() == generation => Some(entry),
            _ => None,
        }
    }

    /// Returns the entry at `index`, regardless of its generation. For owners that keep an index no
    /// longer than its entry.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match self.slots.get(index as usize) {
            Some(Slot::Used(entry)) => Some(entry),
            _ => None,
        }
    }

    /// Mutable version of [`at`](Arena::at).
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots.get_mut(index as usize) {
            Some(Slot::Used(entry)) => Some(entry),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, index: u32, generation: u32) -> Option<T> {
        self.get(index, generation)?;
        let slot = &mut self.slots[index as usize];
        let former = match generation.checked_add(1) {
            Some(generation) => {
                let links = self.free.links();
                let former = mem::replace(slot, Slot::Free { generation, links });
                self.free.add(&mut self.slots, index);
                former
            }
            None => mem::replace(slot, Slot::Retired),
        };
        match former {
            Slot::Used(entry) => Some(entry),
            Slot::Free { .. } | Slot::Retired => None,
        }
    }

    /// Returns the index of the first entry from the index `from` on, cyclically, that is `wanted`.
    pub(crate) fn find(&self, from: u32, wanted: impl Fn(&T) -> bool) -> Option<u32> {
        let length = self.slots.len() as u32;
        let start = if from < length { from } else { 0 };
        (start..length).chain(0..start).find(|index| self.at(*index).is_some_and(&wanted))
    }

    /// Returns all entries with their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| match slot {
            Slot::Used(entry) => Some((index, entry)),
            Slot::Free { .. } | Slot::Retired => None,
        })
    }

    /// Returns all entries, mutably.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Used(entry) => Some(entry),
            Slot::Free { .. } | Slot::Retired => None,
        })
    }

    /// Returns the number of entries, and of slots that get none anymore.
    pub(crate) fn count(&self) -> usize {
        self.free.taken()
    }

    /// Returns the number of entries that fit into the allocated memory.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }
}

/// Releases memory of a map that had far more keys. If called after each removal, it costs O(1)
/// amortized.
pub(crate) fn shrink_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    let capacity = map.capacity();
    if capacity > 4 * free_list::KEPT && capacity / 8 > map.len() {
        map.shrink_to(2 * map.len());
    }
}
