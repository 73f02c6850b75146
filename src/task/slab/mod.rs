//! A slab: things by key, with a generation for each slot.
//!
//! # Invariants
//!
//! * A key names one tenant for ever; a slot whose generations are used up is retired.
//! * Memory is given back after a peak, see [`vacancy`](crate::vacancy).

use std::mem;

use crate::handle::Key;
use crate::vacancy::{self, Links, Vacancies};

#[cfg(all(not(loom), test))]
mod tests;

/// What a key of the guest names: the upper bits of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A task.
    Task,
    /// A waker that is not a task's of this loop.
    Waker,
    /// What most tasks do not have.
    Aside,
    /// An fd's readiness, and who waits for it.
    Io,
}

const SHIFT: u32 = 29;
/// What is left for the number of the slot.
pub(crate) const SLOT: u32 = (1 << SHIFT) - 1;

impl Kind {
    pub(crate) fn of(key: Key) -> Kind {
        match (key.slot & !Key::GUEST) >> SHIFT {
            0 => Kind::Task,
            1 => Kind::Waker,
            2 => Kind::Aside,
            _ => Kind::Io,
        }
    }
}

#[derive(Debug)]
enum Entry<T> {
    Taken {
        generation: u32,
        tenant: T,
    },
    /// Has the generation of its next tenant.
    Vacant {
        generation: u32,
        links: Links,
    },
    Retired,
}

impl<T> vacancy::Slot for Entry<T> {
    #[inline]
    fn links(&self) -> Option<Links> {
        match self {
            Entry::Vacant { links, .. } => Some(*links),
            Entry::Taken { .. } | Entry::Retired => None,
        }
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        if let Entry::Vacant { links, .. } = self {
            links.next = next;
        }
    }

    #[inline]
    fn set_previous(&mut self, previous: u32) {
        if let Entry::Vacant { links, .. } = self {
            links.previous = previous;
        }
    }

    #[inline]
    fn generation(&self) -> u32 {
        match self {
            Entry::Taken { generation, .. } | Entry::Vacant { generation, .. } => *generation,
            Entry::Retired => u32::MAX,
        }
    }
}

/// Things of one kind, by key.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// The upper bits of its keys.
    base: u32,
    entries: Vec<Entry<T>>,
    free: Vacancies,
}

impl<T> Slab<T> {
    pub(crate) fn new(kind: Kind) -> Slab<T> {
        let base = Key::GUEST | (kind as u32) << SHIFT;
        Slab { base, entries: Vec::new(), free: Vacancies::default() }
    }

    #[inline]
    pub(crate) fn insert(&mut self, tenant: T) -> Key {
        let Some(slot) = self.free.take(&self.entries) else { return self.append(tenant) };
        let entry = &mut self.entries[slot as usize];
        let generation = vacancy::Slot::generation(entry);
        *entry = Entry::Taken { generation, tenant };
        Key { slot: self.base | slot, generation }
    }

    #[inline]
    fn append(&mut self, tenant: T) -> Key {
        let (slot, generation) = (self.entries.len(), self.free.append());
        assert!(slot < SLOT as usize, "a loop holds fewer than 2^29 of each kind");
        self.entries.push(Entry::Taken { generation, tenant });
        Key { slot: self.base | slot as u32, generation }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut((key.slot & SLOT) as usize)? {
            Entry::Taken { generation, tenant } if *generation == key.generation => Some(tenant),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let slot = key.slot & SLOT;
        let entry = &mut self.entries[slot as usize];
        let former = match key.generation.checked_add(1) {
            Some(generation) => {
                let links = self.free.links();
                let former = mem::replace(entry, Entry::Vacant { generation, links });
                self.free.add(&mut self.entries, slot);
                former
            }
            None => mem::replace(entry, Entry::Retired),
        };
        match former {
            Entry::Taken { tenant, .. } => Some(tenant),
            Entry::Vacant { .. } | Entry::Retired => None,
        }
    }

    /// The keys of all tenants.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(slot, entry): (u32, &Entry<T>)| match entry {
            Entry::Taken { generation, .. } => {
                Some(Key { slot: self.base | slot, generation: *generation })
            }
            Entry::Vacant { .. } | Entry::Retired => None,
        };
        (0..).zip(&self.entries).filter_map(key).collect()
    }
}
