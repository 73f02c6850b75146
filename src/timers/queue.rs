//! A quicksort that stops as soon as it knows the soonest entries.
//!
//! Most timers are cancelled or pushed back long before they are due, so sorting them among each
//! other is wasted. Hence only the few soonest entries are kept in order, as the run; all others
//! lie unsorted in piles, each pile later than the one after it. An entry joins its pile without
//! being compared to anything in it. When the run is used up, the soonest pile is halved until it
//! is short enough to be sorted, and the halves that are cut off remain as piles. (The literature
//! calls this a quickheap.)
//!
//! The piles lie behind each other in one vector, the latest first, so halving happens in place,
//! taking the soonest means truncating, and the memory is that of the entries.
//!
//! # Invariants
//!
//! * The run is in order, the soonest entry last, and sooner than every bound.
//! * An entry in a pile is no sooner than the bound of its pile, and sooner than that of the pile
//!   before it.
//! * The first pile starts at zero, and there is no entry outside of the piles.

use std::cmp::Ordering;
use std::num::NonZeroU32;

/// How long a pile may be to become the run. A run twice that long spills.
/// Tests have less patience: with few entries they must get to see many piles.
const SHORT: usize = if cfg!(test) { 8 } else { 64 };

/// A timer's place in the queue: by its deadline, and among equals by its sequence number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) deadline: u64,
    pub(super) sequence: NonZeroU32,
    pub(super) slot: u32,
}

impl Entry {
    /// The order as one number, since one comparison has no branch between its halves.
    fn rank(&self) -> u128 {
        u128::from(self.deadline) << 32 | u128::from(self.sequence.get())
    }
}

impl Ord for Entry {
    /// The sooner entry is the *greater* one, so that what is taken next is last.
    fn cmp(&self, other: &Entry) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Entry {}

/// A part of the far entries: from `start` to the start of the next pile.
#[derive(Clone, Copy, Debug)]
struct Pile {
    start: usize,
    bound: Entry,
}

/// The entries of the timers, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    run: Vec<Entry>,
    far: Vec<Entry>,
    piles: Vec<Pile>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.run.len() + self.far.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if self.piles.last().is_some_and(|pile| entry <= pile.bound) {
            return self.push_far(entry);
        }
        let place = self.run.partition_point(|other| *other < entry);
        self.run.insert(place, entry);
        if self.run.len() == 2 * SHORT {
            self.spill();
        }
    }

    /// Returns the soonest entry.
    pub(super) fn peek(&mut self) -> Option<Entry> {
        if self.run.is_empty() {
            self.refill();
        }
        self.run.last().copied()
    }

    /// Takes the entry that [`peek`](Queue::peek) returned.
    pub(super) fn pop(&mut self) {
        self.run.pop();
    }

    /// Drops the entries that are not to be kept, and the memory that is no longer needed.
    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.run.retain(&keep);
        self.far.retain(&keep);
        // Where the piles begin is lost, but as a single pile they are right again.
        let soonest = self.piles.pop().filter(|_| !self.far.is_empty());
        self.piles.clear();
        self.piles.extend(soonest.map(|pile| Pile { start: 0, ..pile }));
        self.shrink();
    }

    pub(super) fn clear(&mut self) {
        self.run.clear();
        self.far.clear();
        self.piles.clear();
        self.shrink();
    }

    fn shrink(&mut self) {
        self.far.shrink_to(SHORT.max(2 * self.far.len()));
    }

    /// Puts an entry into its pile.
    ///
    /// Piles have no gaps between them. So each pile that is sooner moves up by one, which for an
    /// unsorted pile means that its first entry becomes its last.
    fn push_far(&mut self, entry: Entry) {
        let mut hole = self.far.len();
        self.far.push(entry);
        for i in (1..self.piles.len()).rev() {
            if entry > self.piles[i - 1].bound {
                break;
            }
            let start = self.piles[i].start;
            self.far[hole] = self.far[start];
            self.piles[i].start = start + 1;
            hole = start;
        }
        self.far[hole] = entry;
    }

    /// Makes a run of the soonest entries of the soonest pile.
    fn refill(&mut self) {
        self.merge();
        let Some(Pile { mut start, .. }) = self.piles.pop() else { return };
        while self.far.len() - start > SHORT {
            let pile = &mut self.far[start..];
            let middle = pile.len() / 2;
            let bound = *pile.select_nth_unstable(middle).1;
            self.piles.push(Pile { start, bound });
            start += middle + 1;
        }
        self.run.extend(self.far.drain(start..));
        self.run.sort_unstable();
    }

    /// Moves the later half of the run into a pile of its own.
    fn spill(&mut self) {
        let bound = self.run[SHORT - 1];
        self.piles.push(Pile { start: self.far.len(), bound });
        self.far.extend(self.run.drain(..SHORT));
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
        assert!(self.run.len() < 2 * SHORT);
        assert!(self.run.is_sorted());
        let mut end = self.far.len();
        let mut sooner = self.run.clone();
        for pile in self.piles.iter().rev() {
            assert!(sooner.iter().all(|entry| *entry > pile.bound));
            sooner = self.far[pile.start..end].to_vec();
            assert!(sooner.iter().all(|entry| *entry <= pile.bound));
            sooner.push(pile.bound);
            end = pile.start;
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.run.iter().chain(&self.far)
    }

    pub(super) fn capacity(&self) -> usize {
        self.run.capacity() + self.far.capacity()
    }

    pub(super) fn pile_count(&self) -> usize {
        self.piles.len()
    }
}
