//! The vacant slots of an arena, and the end of an arena that has become too long.
//!
//! The vacant slots form a list through themselves, in both directions, so that one in its middle
//! can leave it. Thus vacant slots at the end of an arena are given back while less than a quarter of
//! its slots is in use. Each slot that is given back was added once, so this costs O(1) amortized. A
//! slot in use cannot move, because keys name it; it keeps all slots before it.
//!
//! # Invariants
//!
//! * A vacant slot is on the list, unless it is retired.
//! * An arena has at most four slots for each one in use, or [`KEPT`], or else its last slot is in
//!   use, or has half of its generations behind it.
//! * No slot that was given back had a tenant of the generation [`floor`](Vacancies::floor) or of a
//!   later one. A new slot begins with that generation, so a key of earlier times misses.

use std::collections::HashMap;
use std::hash::Hash;

/// Slots that an arena keeps in any case, lest small arenas allocate again and again. Tests keep
/// less, so that few steps suffice.
pub(crate) const KEPT: usize = if cfg!(test) { 8 } else { 256 };

/// Generations from here on would raise the floor too far: such a slot stays.
const LAST_GENERATION: u32 = u32::MAX / 2;

/// No slot has this number.
const NONE: u32 = u32::MAX;

/// The neighbours of a slot on the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) next: u32,
    /// Meaningless for the first slot of the list.
    pub(crate) previous: u32,
}

/// A slot of an arena.
pub(crate) trait Slot {
    /// Returns the links of a vacant slot, or `None` for one that is in use or retired.
    fn links(&self) -> Option<Links>;

    /// Changes the one link of a vacant slot.
    fn set_next(&mut self, next: u32);

    /// Changes the other link of a vacant slot.
    fn set_previous(&mut self, previous: u32);

    /// Returns the generation of the next tenant of a vacant slot.
    fn generation(&self) -> u32;
}

/// The list of vacant slots.
#[derive(Debug)]
pub(crate) struct Vacancies {
    first: u32,
    floor: u32,
    /// How many slots are not on the list: in use, or retired.
    taken: usize,
}

impl Default for Vacancies {
    fn default() -> Vacancies {
        Vacancies { first: NONE, floor: 0, taken: 0 }
    }
}

impl Vacancies {
    /// The generation of the first tenant of a new slot, which the caller appends.
    #[inline]
    pub(crate) fn append(&mut self) -> u32 {
        self.taken += 1;
        self.floor
    }

    /// Takes a slot from the list. The caller fills it.
    #[inline]
    pub(crate) fn take<S: Slot>(&mut self, slots: &[S]) -> Option<u32> {
        let at = self.first;
        let slot = slots.get(at as usize)?;
        self.first = slot.links().map_or(NONE, |links| links.next);
        self.taken += 1;
        Some(at)
    }

    /// The links of a slot that is about to be [added](Vacancies::add).
    #[inline]
    pub(crate) fn links(&self) -> Links {
        Links { next: self.first, previous: NONE }
    }

    /// Adds a slot that the caller has vacated, with [`links`](Vacancies::links). If less than a
    /// quarter of the slots is in use then, those at the end that are not are given back.
    #[inline]
    pub(crate) fn add<S: Slot>(&mut self, slots: &mut Vec<S>, at: u32) {
        if let Some(second) = slots.get_mut(self.first as usize) {
            second.set_previous(at);
        }
        self.first = at;
        self.taken -= 1;
        if slots.len() / 4 > self.taken {
            self.trim(slots);
        }
    }

    #[inline(never)]
    fn trim<S: Slot>(&mut self, slots: &mut Vec<S>) {
        while slots.len() > KEPT
            && let Some(last) = slots.last()
            && let Some(links) = last.links()
            && last.generation() <= LAST_GENERATION
        {
            self.floor = self.floor.max(last.generation());
            self.unlink(slots, links);
            slots.pop();
        }
        if slots.capacity() / 4 > slots.len().max(KEPT) {
            slots.shrink_to(2 * slots.len());
        }
    }

    /// Takes the last slot from the list.
    fn unlink<S: Slot>(&mut self, slots: &mut [S], Links { next, previous }: Links) {
        if self.first as usize + 1 == slots.len() {
            self.first = next;
            return;
        }
        if let Some(slot) = slots.get_mut(previous as usize) {
            slot.set_next(next);
        }
        if let Some(slot) = slots.get_mut(next as usize) {
            slot.set_previous(previous);
        }
    }
}

/// Gives back memory of a map that had far more keys. The caller has removed one, and this costs
/// O(1) amortized.
pub(crate) fn shrink_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    let capacity = map.capacity();
    if capacity > 4 * KEPT && capacity / 8 > map.len() {
        map.shrink_to(2 * map.len());
    }
}

#[cfg(all(not(loom), test))]
mod tests;
