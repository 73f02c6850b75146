//! A quicksort that stops as soon as it knows the soonest entry.
//!
//! Most timers are cancelled or pushed back long before they are due, so sorting them among each
//! other is wasted. Hence only the few soonest entries are kept in a heap; all others lie unsorted
//! in piles, each pile later than the one after it. An entry joins its pile without being compared
//! to anything in it. When the heap runs empty, the soonest pile is halved until a heapful is left,
//! and the halves that are cut off remain as piles. (The literature calls this a quickheap.)
//!
//! The piles lie behind each other in one vector, the latest first, so halving happens in place,
//! taking the soonest means truncating, and the memory is that of the entries.
//!
//! # Invariants
//!
//! * Every entry in the heap is sooner than every bound, and bounds grow sooner from pile to pile.
//! * An entry in a pile is no sooner than the bound of its pile, and sooner than that of the pile
//!   before it.
//! * The first pile starts at zero, and there is no entry outside of the piles.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;

/// How many entries a refill moves into the heap at most. A heap twice that long spills.
/// Tests have less patience: with few entries they must get to see many piles.
const HEAPFUL: usize = if cfg!(test) { 8 } else { 512 };

/// When an entry is due: at its deadline, and among equals in the order of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    pub(super) deadline: u64,
    pub(super) sequence: u64,
}

impl Ord for Rank {
    /// The sooner rank is the *greater* one, since a [`BinaryHeap`] yields the greatest first.
    fn cmp(&self, other: &Rank) -> Ordering {
        // One wide comparison has no branch to mispredict between its halves.
        let wide = |rank: &Rank| u128::from(rank.deadline) << 64 | u128::from(rank.sequence);
        wide(other).cmp(&wide(self))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Rank) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A timer's place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) slot: u32,
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Entry {}

/// A part of the far entries: from `start` to the start of the next pile.
#[derive(Clone, Copy, Debug)]
struct Pile {
    start: usize,
    bound: Rank,
}

/// The entries of the timers, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    near: BinaryHeap<Entry>,
    far: Vec<Entry>,
    piles: Vec<Pile>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.near.len() + self.far.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if self.piles.last().is_some_and(|pile| entry.rank <= pile.bound) {
            return self.push_far(entry);
        }
        if self.near.len() == 2 * HEAPFUL {
            self.spill();
            return self.push(entry);
        }
        self.near.push(entry);
    }

    /// Returns the soonest entry.
    pub(super) fn peek(&mut self) -> Option<Entry> {
        if self.near.is_empty() {
            self.refill();
        }
        self.near.peek().copied()
    }

    /// Takes the entry that [`peek`](Queue::peek) returned.
    pub(super) fn pop(&mut self) {
        self.near.pop();
    }

    /// Drops the entries that are not to be kept, and the memory that is no longer needed.
    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.near.retain(&keep);
        self.far.retain(&keep);
        // Where the piles begin is lost, but as a single pile they are right again.
        let soonest = self.piles.pop().filter(|_| !self.far.is_empty());
        self.piles.clear();
        self.piles.extend(soonest.map(|pile| Pile { start: 0, ..pile }));
        self.shrink();
    }

    pub(super) fn clear(&mut self) {
        self.near.clear();
        self.far.clear();
        self.piles.clear();
        self.shrink();
    }

    fn shrink(&mut self) {
        self.far.shrink_to(HEAPFUL.max(2 * self.far.len()));
    }

    /// Puts an entry into its pile.
    ///
    /// Piles have no gaps between them. So each pile that is sooner moves up by one, which for an
    /// unsorted pile means that its first entry becomes its last.
    fn push_far(&mut self, entry: Entry) {
        let mut hole = self.far.len();
        self.far.push(entry);
        for i in (1..self.piles.len()).rev() {
            if entry.rank > self.piles[i - 1].bound {
                break;
            }
            let start = self.piles[i].start;
            self.far[hole] = self.far[start];
            self.piles[i].start = start + 1;
            hole = start;
        }
        self.far[hole] = entry;
    }

    /// Moves the soonest entries of the soonest pile into the heap, which is empty.
    fn refill(&mut self) {
        self.merge();
        let Some(Pile { mut start, .. }) = self.piles.pop() else { return };
        while self.far.len() - start > HEAPFUL {
            let pile = &mut self.far[start..];
            let middle = pile.len() / 2;
            let bound = pile.select_nth_unstable(middle).1.rank;
            self.piles.push(Pile { start, bound });
            start += middle + 1;
        }
        self.near.extend(self.far.drain(start..));
    }

    /// Moves the later half of the heap into a pile of its own.
    fn spill(&mut self) {
        let mut near = mem::take(&mut self.near).into_vec();
        let middle = near.len() / 2;
        let bound = near.select_nth_unstable(middle).1.rank;
        self.piles.push(Pile { start: self.far.len(), bound });
        self.far.extend(near.drain(..=middle));
        self.near = near.into();
        self.merge();
    }

    /// Forgets the bound between the two soonest piles until the later one is half as long again.
    ///
    /// So their lengths grow geometrically, and there are only logarithmically many.
    fn merge(&mut self) {
        while let [.., before, last] = self.piles[..] {
            if 2 * (last.start - before.start) >= 3 * (self.far.len() - last.start) {
                break;
            }
            self.piles.pop();
            self.piles.pop();
            self.piles.push(Pile { start: before.start, bound: last.bound });
        }
    }
}

#[cfg(test)]
impl Queue {
    /// Panics if an invariant does not hold.
    pub(super) fn verify(&self) {
        assert_eq!(self.piles.first().map_or(self.far.len(), |pile| pile.start), 0);
        assert!(self.near.len() <= 2 * HEAPFUL);
        let mut end = self.far.len();
        let mut sooner: Vec<Rank> = self.near.iter().map(|entry| entry.rank).collect();
        for pile in self.piles.iter().rev() {
            assert!(sooner.iter().all(|rank| *rank > pile.bound));
            sooner = self.far[pile.start..end].iter().map(|entry| entry.rank).collect();
            assert!(sooner.iter().all(|rank| *rank <= pile.bound));
            sooner.push(pile.bound);
            end = pile.start;
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.near.iter().chain(&self.far)
    }

    pub(super) fn capacity(&self) -> usize {
        self.near.capacity() + self.far.capacity()
    }

    pub(super) fn pile_count(&self) -> usize {
        self.piles.len()
    }
}
