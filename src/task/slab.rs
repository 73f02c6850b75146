//! A slab: things by key, with a generation for each slot.
//!
//! # Invariant
//!
//! A key names one tenant for ever; a slot whose generations are used up is retired.

use crate::handle::Key;

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
struct Entry<T> {
    tenant: Option<T>,
    generation: u32,
}

/// Things of one kind, by key.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// The upper bits of its keys.
    base: u32,
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new(kind: Kind) -> Slab<T> {
        let base = Key::GUEST | (kind as u32) << SHIFT;
        Slab { base, entries: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(crate) fn insert(&mut self, tenant: T) -> Key {
        let Some(slot) = self.free.pop() else { return self.append(tenant) };
        let entry = &mut self.entries[slot as usize];
        entry.tenant = Some(tenant);
        Key { slot: self.base | slot, generation: entry.generation }
    }

    #[inline]
    fn append(&mut self, tenant: T) -> Key {
        let slot = self.entries.len();
        assert!(slot < SLOT as usize, "a loop holds fewer than 2^29 of each kind");
        self.entries.push(Entry { tenant: Some(tenant), generation: 0 });
        Key { slot: self.base | slot as u32, generation: 0 }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut T> {
        let Entry { tenant, generation } = self.entries.get_mut((key.slot & SLOT) as usize)?;
        if *generation == key.generation { tenant.as_mut() } else { None }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = key.slot & SLOT;
        let entry = self.entries.get_mut(slot as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let tenant = entry.tenant.take()?;
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            self.free.push(slot);
        }
        Some(tenant)
    }

    /// The keys of all tenants.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let taken = (0..).zip(&self.entries).filter(|(_, entry)| entry.tenant.is_some());
        taken
            .map(|(slot, entry)| Key { slot: self.base | slot, generation: entry.generation })
            .collect()
    }
}
