//! The far timers: a set of slots, as bits.
//!
//! A timer enters and leaves it without a trace, and it takes a bit of memory. The set is only ever
//! asked for all that is in it.
//!
//! # Invariants
//!
//! * `len` slots have their bit in `words`.
//! * A word that is not zero has its bit in `groups`; one that is zero may have it.

use std::mem;

/// How many words are kept in any case, lest small sets allocate again and again.
const KEPT: usize = 4;

/// Slots of far timers.
#[derive(Debug, Default)]
pub(super) struct Far {
    words: Vec<u64>,
    /// Where in `words` something may be.
    groups: Vec<u64>,
    len: usize,
}

impl Far {
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

    /// Takes out a slot that is in the set.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) {
        self.words[slot as usize / 64] &= !(1 << (slot % 64));
        self.len -= 1;
    }

    /// Takes out all slots.
    pub(super) fn drain(&mut self, mut each: impl FnMut(u32)) {
        self.len = 0;
        for (at, group) in self.groups.iter_mut().enumerate() {
            for word in bits(mem::take(group)) {
                let word = at as u32 * 64 + word;
                for slot in bits(mem::take(&mut self.words[word as usize])) {
                    each(word * 64 + slot);
                }
            }
        }
    }

    /// Gives back memory for slots from `end` on, none of which is in the set.
    pub(super) fn shrink_to(&mut self, end: usize) {
        let words = KEPT.max(end.div_ceil(64));
        if words >= self.words.len() {
            return;
        }
        self.words.truncate(words);
        self.words.shrink_to(words);
        self.groups.truncate(words.div_ceil(64));
        self.groups.shrink_to(KEPT.max(words.div_ceil(64)));
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

/// The places of the ones in a word.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(place)
    })
}
