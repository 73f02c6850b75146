//! A slab: values by key, with a generation for each slot.
//!
//! # Invariants
//!
//! * A key is never reused for a second value: a slot is retired after its last generation.
//! * Memory is given back after a peak, see [`vacancy`](crate::vacancy).

use std::mem;

use crate::handle::Key;
use crate::vacancy::{self, Links, Vacancies};

#[cfg(all(not(loom), test))]
mod tests;

/// The kind of value that a key of the task layer names, in the upper bits of its slot number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// A task.
    Task,
    /// A waker that does not belong to a task of this loop.
    Waker,
    /// State that most tasks do not have.
    Rare,
    /// An fd: its cached readiness and its waiters.
    Io,
}

const SHIFT: u32 = 29;
/// Mask of the bits that hold the slot number.
pub(crate) const SLOT: u32 = (1 << SHIFT) - 1;

impl KeyKind {
    pub(crate) fn of(key: Key) -> KeyKind {
        match (key.slot & !Key::TASK_BASE) >> SHIFT {
            0 => KeyKind::Task,
            1 => KeyKind::Waker,
            2 => KeyKind::Rare,
            _ => KeyKind::Io,
        }
    }
}

#[derive(Debug)]
enum Entry<T> {
    Taken {
        generation: u32,
        value: T,
    },
    /// `generation` is that of the next value.
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

/// Values of one kind, by key.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// The upper bits of all keys.
    base: u32,
    entries: Vec<Entry<T>>,
    free: Vacancies,
}

impl<T> Slab<T> {
    pub(crate) fn new(kind: KeyKind) -> Slab<T> {
        let base = Key::TASK_BASE | (kind as u32) << SHIFT;
        Slab { base, entries: Vec::new(), free: Vacancies::default() }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let Some(slot) = self.free.take(&self.entries) else { return self.append(value) };
        let entry = &mut self.entries[slot as usize];
        let generation = vacancy::Slot::generation(entry);
        *entry = Entry::Taken { generation, value };
        Key { slot: self.base | slot, generation }
    }

    #[inline]
    fn append(&mut self, value: T) -> Key {
        let (slot, generation) = (self.entries.len(), self.free.append());
        assert!(slot < SLOT as usize, "a loop can hold fewer than 2^29 values of a kind");
        self.entries.push(Entry::Taken { generation, value });
        Key { slot: self.base | slot as u32, generation }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut((key.slot & SLOT) as usize)? {
            Entry::Taken { generation, value } if *generation == key.generation => Some(value),
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
            Entry::Taken { value, .. } => Some(value),
            Entry::Vacant { .. } | Entry::Retired => None,
        }
    }

    /// Returns the keys of all values.
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
