//! A quicksort that stops as soon as it has found the soonest entries (a "quickheap").
//!
//! Most timers are cancelled or pushed back long before they are due, so sorting all of them would
//! be wasted work. Only the few soonest entries, the run, are kept in order. All others are in
//! unsorted piles, each pile later than the one before it. An entry joins its pile without a
//! comparison with the entries in it. When the run is used up, the soonest pile is halved until it
//! is sorted or short enough to sort. The halves that are cut off remain as piles. Timeouts of
//! equal length arrive in order, and stay in order.
//!
//! Run and piles are stored one after another in one vector, the soonest first. So cutting works in
//! place, and the memory is that of the entries and of those that were taken recently.
//!
//! Candidates, in nanoseconds per timer, for a million timers that are due within a minute. All
//! push back lazily and have no far timers. All but the heap with positions have stale entries:
//!
//! |                                   | this | 4-ary heap with positions | radix heap |
//! |-----------------------------------|-----:|--------------------------:|-----------:|
//! | insert                            |   11 |                        31 |         10 |
//! | cancel in order                   |    7 |                        35 |         13 |
//! | cancel at random                  |   45 |                       123 |         54 |
//! | insert and feed at once           |  115 |                       307 |        139 |
//! | the same, a lone far timer first  |  113 |                       286 |        640 |
//! | the same, equal deadlines         |   22 |                        97 |        101 |
//! | the same, falling deadlines       |   47 |                        80 |         81 |
//! | push back one of 10,000 at random |    7 |                        12 |          8 |
//! | push back 10,000 in turn          |   32 |                        50 |         29 |
//! | feed and set again, one of 10     |   33 |                        24 |         42 |
//! | feed and set again, one of 10,000 |   65 |                        90 |         53 |
//!
//! A radix heap is as fast until a single late timer moves its base into the future. From then on
//! all insertions are below the base. Bounds of piles are entries and do not have this weakness.
//!
//! # Invariants
//!
//! * The run is in order, and sooner than each bound.
//! * An entry of a pile is not sooner than the pile's bound, and sooner than the bound of the next
//!   later pile.
//! * `piles` has the latest pile first. A pile ends where the one before it in `piles` starts.

use std::cmp::Ordering;
use std::num::NonZeroU32;

/// Maximum length of a pile that is sorted. A run of twice that length is cut. Smaller in tests, to
/// have many piles with few entries.
const SHORT: usize = if cfg!(test) { 8 } else { 64 };

/// Maximum number of piles. Halving a million entries makes 14.
const MAX_PILES: usize = 32;

/// Number of entries that keep their memory in any case, so that a small queue does not allocate
/// again and again.
const KEPT_ENTRIES: usize = 1024;

/// A timer in the queue. Ordered by deadline, and equal deadlines by sequence number.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueEntry {
    pub(super) deadline: u64,
    pub(super) sequence: NonZeroU32,
    pub(super) slot: u32,
}

impl QueueEntry {
    /// A bound for a pile of any entries: no entry is sooner.
    const SOONEST: QueueEntry = QueueEntry { deadline: 0, sequence: NonZeroU32::MIN, slot: 0 };

    /// Returns deadline and sequence as one number. Comparing it takes one branch instead of two.
    fn rank(&self) -> u128 {
        u128::from(self.deadline) << 32 | u128::from(self.sequence.get())
    }
}

impl Ord for QueueEntry {
    fn cmp(&self, other: &QueueEntry) -> Ordering {
        count_steps(1);
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for QueueEntry {
    fn partial_cmp(&self, other: &QueueEntry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for QueueEntry {
    fn eq(&self, other: &QueueEntry) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for QueueEntry {}

/// Unsorted entries, from `start` to the start of the next later pile.
#[derive(Clone, Copy, Debug)]
struct Pile {
    start: usize,
    /// No entry of the pile is sooner.
    bound: QueueEntry,
}

/// The entries of the timers, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Entries that were taken, up to `head`; then the run; then the piles.
    entries: Vec<QueueEntry>,
    head: usize,
    piles: Vec<Pile>,
}

impl Queue {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.head
    }

    #[inline]
    pub(super) fn push(&mut self, entry: QueueEntry) {
        if self.len() == 0 {
            self.clear();
        }
        match self.piles.first() {
            Some(latest) if entry >= latest.bound => self.entries.push(entry),
            _ => self.push_before(entry),
        }
    }

    /// Adds an entry that is sooner than the latest pile.
    fn push_before(&mut self, entry: QueueEntry) {
        self.cut();
        if self.piles.last().is_some_and(|pile| entry >= pile.bound) {
            self.push_pile(entry);
        } else {
            self.push_run(entry);
        }
    }

    /// Returns the soonest entry.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<QueueEntry> {
        if self.head == self.run_end() {
            self.refill();
        }
        self.entries.get(self.head).copied()
    }

    /// Takes the entry that [`peek`](Queue::peek) returned.
    #[inline]
    pub(super) fn pop(&mut self) {
        self.head += 1;
    }

    /// Drops the entries for which `keep` returns false.
    pub(super) fn retain(&mut self, keep: impl Fn(&QueueEntry) -> bool) {
        count_steps(self.entries.len());
        self.reclaim();
        let run = &self.entries[..self.run_end()];
        let start = run.iter().filter(|entry| keep(entry)).count();
        self.entries.retain(keep);
        // The starts of the later piles are lost. All piles together are a valid pile.
        let soonest = self.piles.pop();
        self.piles.clear();
        self.piles.extend(soonest.map(|pile| Pile { start, ..pile }));
        self.shrink();
    }

    /// Drops all entries. New entries form one pile until [`peek`](Queue::peek).
    pub(super) fn clear(&mut self) {
        self.clear_for(0);
    }

    /// Like [`clear`](Queue::clear), but reserves memory for `count` entries, which
    /// [`add`](Queue::add) adds next.
    #[inline]
    pub(super) fn clear_for(&mut self, count: usize) {
        self.entries.clear();
        self.head = 0;
        self.piles.clear();
        self.piles.push(Pile { start: 0, bound: QueueEntry::SOONEST });
        self.shrink_to(count);
        self.entries.reserve(count);
    }

    /// Adds an entry to a queue that was cleared, before the next [`peek`](Queue::peek).
    #[inline]
    pub(super) fn add(&mut self, entry: QueueEntry) {
        self.entries.push(entry);
    }

    #[inline]
    fn run_end(&self) -> usize {
        self.piles.last().map_or(self.entries.len(), |pile| pile.start)
    }

    /// Adds an entry to its pile.
    ///
    /// There are no gaps between piles, so each later pile moves up by one. Since a pile has no
    /// order, it is enough to move its first entry behind its last.
    fn push_pile(&mut self, entry: QueueEntry) {
        let mut hole = self.entries.len();
        self.entries.push(entry);
        for pile in &mut self.piles {
            if entry >= pile.bound {
                break;
            }
            self.entries[hole] = self.entries[pile.start];
            hole = pile.start;
            pile.start += 1;
        }
        self.entries[hole] = entry;
    }

    /// Adds an entry to the run. The entries before it move down by one, over an entry that was
    /// taken.
    fn push_run(&mut self, entry: QueueEntry) {
        if self.head == 0 {
            self.make_room();
        }
        let run = self.head..self.run_end();
        let place = self.head + self.entries[run].partition_point(|other| *other < entry);
        self.entries.copy_within(self.head..place, self.head - 1);
        self.head -= 1;
        self.entries[place - 1] = entry;
    }

    /// Moves all entries up, to leave room as if entries had been taken: half of the length, so
    /// that this is rare.
    fn make_room(&mut self) {
        let length = self.entries.len();
        let room = SHORT.max(length / 2);
        self.entries.resize(length + room, QueueEntry::SOONEST);
        self.entries.copy_within(..length, room);
        for pile in &mut self.piles {
            pile.start += room;
        }
        self.head = room;
    }

    /// Turns the later parts of a long run into piles, so that an insertion moves few entries.
    fn cut(&mut self) {
        let mut length = self.run_end() - self.head;
        while length >= 2 * SHORT {
            length /= 2;
            let start = self.head + length;
            self.piles.push(Pile { start, bound: self.entries[start] });
        }
        self.limit_piles();
    }

    /// Turns the sooner part of the soonest pile into the run.
    #[inline]
    fn refill(&mut self) {
        if self.head > self.entries.len() / 2 {
            self.reclaim();
            self.shrink();
        }
        self.piles.pop();
        let end = self.run_end();
        let mut run = &mut self.entries[self.head..end];
        while !run.is_sorted() {
            if run.len() <= SHORT {
                run.sort_unstable();
                break;
            }
            let middle = run.len() / 2;
            let bound = *run.select_nth_unstable(middle).1;
            self.piles.push(Pile { start: self.head + middle, bound });
            run = &mut run[..middle];
        }
        self.limit_piles();
    }

    /// Merges piles while there are too many.
    ///
    /// A pile should be twice as long as the next sooner one. So the latest pile that is shorter is
    /// merged with its neighbour. That costs one more halving when the pile is due.
    #[inline]
    fn limit_piles(&mut self) {
        while self.piles.len() > MAX_PILES {
            let mut end = self.entries.len();
            let too_short = self.piles.windows(2).position(|pair| {
                let (length, next) = (end - pair[0].start, pair[0].start - pair[1].start);
                end = pair[0].start;
                length < 2 * next.max(1)
            });
            self.piles.remove(too_short.unwrap_or(self.piles.len() - 2));
        }
    }

    /// Removes the gap at the front that taken entries have left.
    fn reclaim(&mut self) {
        self.entries.drain(..self.head);
        for pile in &mut self.piles {
            pile.start -= self.head;
        }
        self.head = 0;
    }

    fn shrink(&mut self) {
        self.shrink_to(self.entries.len());
    }

    fn shrink_to(&mut self, count: usize) {
        if self.entries.capacity() > KEPT_ENTRIES.max(4 * count) {
            self.entries.shrink_to(KEPT_ENTRIES.max(2 * count));
        }
    }
}

#[cfg(test)]
impl Queue {
    /// Panics if an invariant does not hold.
    pub(super) fn verify(&self) {
        assert!(self.piles.len() <= MAX_PILES);
        assert!(self.entries.capacity() <= KEPT_ENTRIES.max(8 * self.len().max(4 * SHORT)));
        let mut parts = vec![(self.head, None)];
        parts.extend(self.piles.iter().rev().map(|pile| (pile.start, Some(pile.bound))));
        parts.push((self.entries.len(), None));
        assert!(self.entries[self.head..self.run_end()].is_sorted());
        for (i, &(start, bound)) in parts[..parts.len() - 1].iter().enumerate() {
            let (end, next) = parts[i + 1];
            for entry in &self.entries[start..end] {
                assert!(bound.is_none_or(|bound| *entry >= bound));
                assert!(next.is_none_or(|next| *entry < next));
            }
        }
    }

    pub(super) fn entries(&self) -> &[QueueEntry] {
        &self.entries[self.head..]
    }

    pub(super) fn run_len(&self) -> usize {
        self.run_end() - self.head
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}

#[cfg(test)]
thread_local! {
    /// Number of comparisons, and of entries that a sweep has checked, in this thread.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts work in tests. Compiles to nothing in other builds.
#[inline(always)]
fn count_steps(count: usize) {
    #[cfg(test)]
    STEPS.set(STEPS.get() + count);
    #[cfg(not(test))]
    let _ = count;
}
