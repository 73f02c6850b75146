//! The far timers: those beyond the horizon of the queue, as a bit set of slots.
//!
//! Adding or removing a timer sets or clears one bit. The set is only read as a whole.
//!
//! # Invariants
//!
//! * `len` bits are set in `words`, one for each slot in the set.
//! * For each word that is not zero, a bit is set in `groups`. It may also be set for a zero word.

use std::mem;

/// Number of words that are kept in any case, so that a small set does not allocate again and
/// again.
const KEPT_WORDS: usize = 4;

/// Slots of far timers.
#[derive(Debug, Default)]
pub(super) struct FarTimers {
    words: Vec<u64>,
    /// One bit for each word that may have a bit set.
    groups: Vec<u64>,
    len: usize,
}

impl FarTimers {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a slot that is not in the set.
    #[inline]
    pub(super) fn insert(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if word >= self.words.len() {
            self.grow(word);
        }
        self.words[word] |= 1 << (slot % 64);
        self.groups[word / 64] |= 1 << (word % 64);
        self.len += 1;
    }

    #[cold]
    fn grow(&mut self, word: usize) {
        self.words.resize(word + 1, 0);
        self.groups.resize(self.words.len().div_ceil(64), 0);
    }

    /// Removes a slot that is in the set.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) {
        self.words[slot as usize / 64] &= !(1 << (slot % 64));
        self.len -= 1;
    }

    /// Removes all slots, and calls `each` for them in ascending order.
    #[inline]
    pub(super) fn drain(&mut self, mut each: impl FnMut(u32)) {
        self.len = 0;
        for (at, group) in self.groups.iter_mut().enumerate() {
            for word in set_bits(mem::take(group)) {
                let word = at as u32 * 64 + word;
                for slot in set_bits(mem::take(&mut self.words[word as usize])) {
                    each(word * 64 + slot);
                }
            }
        }
    }

    /// Gives back memory for the slots from `end` on. None of them is in the set.
    pub(super) fn shrink_to(&mut self, end: usize) {
        let words = KEPT_WORDS.max(end.div_ceil(64));
        if words >= self.words.len() {
            return;
        }
        self.words.truncate(words);
        self.words.shrink_to(words);
        self.groups.truncate(words.div_ceil(64));
        self.groups.shrink_to(KEPT_WORDS.max(words.div_ceil(64)));
        if let Some(last) = self.groups.last_mut()
            && !words.is_multiple_of(64)
        {
            *last &= (1 << (words % 64)) - 1;
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, slot: u32) -> bool {
        let word = slot as usize / 64;
        self.words.get(word).is_some_and(|bits| bits >> (slot % 64) & 1 == 1)
    }
}

/// Returns the indices of the bits that are set in a word.
fn set_bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let index = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(index)
    })
}
