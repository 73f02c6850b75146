//! Values of one kind, by keys that the ready deque can hold. A key contains the kind of its value.
//!
//! # Invariants
//!
//! * A key is never reused for a second value: a slot is retired after its last generation.
//! * Memory is given back after a peak, see [`free_list`](crate::arena::free_list).

use crate::arena::{self, Arena};
use crate::handle::Key;

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
    #[inline]
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
struct KeyedEntry<T> {
    generation: u32,
    value: T,
}

impl<T> arena::Entry for KeyedEntry<T> {
    const LIMIT: usize = SLOT as usize;

    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }
}

/// Values of one kind, by key.
#[derive(Debug)]
pub(crate) struct KeyedArena<T> {
    /// Upper bits of the keys.
    base: u32,
    arena: Arena<KeyedEntry<T>>,
}

impl<T> KeyedArena<T> {
    pub(crate) fn new(kind: KeyKind) -> KeyedArena<T> {
        KeyedArena { base: Key::TASK_BASE | (kind as u32) << SHIFT, arena: Arena::default() }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let make = |_, generation| KeyedEntry { generation, value };
        let (index, generation) = self.arena.insert(make);
        Key { slot: self.base | index, generation }
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.arena.get_mut(key.slot & SLOT, key.generation)?;
        Some(&mut entry.value)
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.arena.remove(key.slot & SLOT, key.generation).map(|entry| entry.value)
    }

    /// Returns the index of the first value from the index `from` on, cyclically, that is `wanted`.
    pub(crate) fn find(&self, from: u32, wanted: impl Fn(&T) -> bool) -> Option<u32> {
        self.arena.find(from, |entry| wanted(&entry.value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.arena.iter_mut().map(|entry| &mut entry.value)
    }

    /// Returns the keys of all values.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(index, entry): (u32, &KeyedEntry<T>)| Key {
            slot: self.base | index,
            generation: entry.generation,
        };
        self.arena.iter().map(key).collect()
    }
}
