//! The free list of an arena, and the release of memory after a peak.
//!
//! The free slots are a list that is linked through the slots themselves, in both directions, so
//! that any slot can leave the list. While less than a quarter of an arena's slots is in use, free
//! slots at its end are given back. Each slot that is given back was added once, so this costs O(1)
//! amortized. A slot in use cannot move, because keys contain its index. So it keeps all slots
//! before it.
//!
//! # Invariants
//!
//! * A free slot is on the list, unless it is retired.
//! * An arena has at most four slots for each slot in use, or [`KEPT`] slots. Otherwise its last
//!   slot is in use, or has used up half of its generations.
//! * No slot that was given back had an entry with the generation [`floor`](FreeList::floor) or a
//!   later one. A new slot begins with that generation, so old keys do not match.

/// Number of slots that an arena keeps in any case, so that a small arena does not allocate again
/// and again. Smaller in tests, which then need few steps.
pub(crate) const KEPT: usize = if cfg!(test) { 8 } else { 256 };

/// Latest generation of a slot that is given back. A later one would raise the floor so far that
/// new slots begin with few generations left.
pub(super) const LAST_GENERATION: u32 = u32::MAX / 2;

/// End of the list. No slot has this index.
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
    /// Returns the links of a free slot, or `None` for a slot that is in use or retired.
    fn links(&self) -> Option<Links>;

    /// Sets the next neighbour of a free slot.
    fn set_next(&mut self, next: u32);

    /// Sets the previous neighbour of a free slot.
    fn set_previous(&mut self, previous: u32);

    /// Returns the generation of the next entry of a free slot.
    fn generation(&self) -> u32;
}

/// The list of free slots.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// Index of the first free slot, or [`NONE`].
    first: u32,
    /// Generation of the first entry of a new slot.
    floor: u32,
    /// Number of slots that are not on the list: in use, or retired.
    taken: usize,
}

impl Default for FreeList {
    fn default() -> FreeList {
        FreeList { first: NONE, floor: 0, taken: 0 }
    }
}

impl FreeList {
    /// Returns the number of slots in use. The few that are retired count too.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Counts a new slot, which the caller appends, and returns the generation of its first entry.
    #[inline]
    pub(crate) fn append(&mut self) -> u32 {
        self.taken += 1;
        self.floor
    }

    /// Takes a slot off the list and returns its index. The caller fills the slot.
    #[inline]
    pub(crate) fn take<S: Slot>(&mut self, slots: &[S]) -> Option<u32> {
        let index = self.first;
        let slot = slots.get(index as usize)?;
        self.first = slot.links().map_or(NONE, |links| links.next);
        self.taken += 1;
        Some(index)
    }

    /// Returns the links of a slot that will be [added](FreeList::add) next.
    #[inline]
    pub(crate) fn links(&self) -> Links {
        Links { next: self.first, previous: NONE }
    }

    /// Adds a slot that the caller has emptied and given these [`links`](FreeList::links). If less
    /// than a quarter of the slots is in use now, free slots at the end are given back.
    #[inline]
    pub(crate) fn add<S: Slot>(&mut self, slots: &mut Vec<S>, index: u32) {
        if let Some(second) = slots.get_mut(self.first as usize) {
            second.set_previous(index);
        }
        self.first = index;
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
            self.unlink_last(slots, links);
            slots.pop();
        }
        if slots.capacity() / 4 > slots.len().max(KEPT) {
            slots.shrink_to(2 * slots.len());
        }
    }

    /// Takes the last slot of the arena off the list.
    fn unlink_last<S: Slot>(&mut self, slots: &mut [S], Links { next, previous }: Links) {
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

#[cfg(all(not(loom), test))]
impl FreeList {
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    pub(super) fn floor(&self) -> u32 {
        self.floor
    }
}
