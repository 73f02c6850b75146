//! A quicksort that stops as soon as it knows the soonest entries.
//!
//! Most timers are cancelled or pushed back long before they are due, so sorting them among each
//! other is wasted. Hence only the few soonest entries are kept in order, as the run; all others
//! lie unsorted in piles, each pile later than the one before it. An entry joins its pile without
//! being compared to anything in it. When the run is used up, the soonest pile is halved until it
//! is in order or short enough to be sorted, and the halves that are cut off remain as piles. (The
//! literature calls this a quickheap.) Timeouts of equal length come in order, and stay so.
//!
//! Run and piles lie behind each other in one vector, the soonest first. So cutting happens in
//! place, and the memory is that of the entries and of those that were taken of late.
//!
//! Candidates, in nanoseconds for each of a million timers that are due within a minute (stale
//! entries for all but the heap with positions, which needs none; lazy pushing back for all; for
//! none of them the far timers, which are not in the queue yet):
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
//! A radix heap is as good until a lone far timer drags its base beyond the present: from then on
//! all insertions are below the base. Bounds that are entries do not have this weakness.
//!
//! # Invariants
//!
//! * The run is in order and sooner than every bound.
//! * An entry in a pile is no sooner than the bound of its pile, and sooner than that of the pile
//!   after it.
//! * The piles are listed the latest first, and end where the one before in the list starts.

use std::cmp::Ordering;
use std::num::NonZeroU32;

/// How long a pile may be to be sorted. A run of twice that length is cut.
/// Tests have less patience: with few entries they must get to see many piles.
const SHORT: usize = if cfg!(test) { 8 } else { 64 };

/// How many piles there may be. Halving a million entries makes 14.
const MOST_PILES: usize = 32;

/// For how many entries memory is kept in any case, lest small queues allocate again and again.
const KEPT: usize = 1024;

/// A timer's place in the queue: by its deadline, and among equals by its sequence number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) deadline: u64,
    pub(super) sequence: NonZeroU32,
    pub(super) slot: u32,
}

impl Entry {
    /// No entry is sooner.
    const SOONEST: Entry = Entry { deadline: 0, sequence: NonZeroU32::MIN, slot: 0 };

    /// The order as one number, since one comparison has no branch between its halves.
    fn rank(&self) -> u128 {
        u128::from(self.deadline) << 32 | u128::from(self.sequence.get())
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        count_steps(1);
        self.rank().cmp(&other.rank())
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

/// Unsorted entries: from `start` to the start of the next later pile.
#[derive(Clone, Copy, Debug)]
struct Pile {
    start: usize,
    bound: Entry,
}

/// The entries of the timers, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Taken entries up to `head`, then the run, then the piles.
    entries: Vec<Entry>,
    head: usize,
    piles: Vec<Pile>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.head
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        if self.len() == 0 {
            self.clear();
        }
        match self.piles.first() {
            Some(latest) if entry >= latest.bound => self.entries.push(entry),
            _ => self.push_before(entry),
        }
    }

    /// Puts an entry before the latest pile.
    fn push_before(&mut self, entry: Entry) {
        self.cut();
        if self.piles.last().is_some_and(|pile| entry >= pile.bound) {
            self.push_pile(entry);
        } else {
            self.push_run(entry);
        }
    }

    /// Returns the soonest entry.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<Entry> {
        if self.head == self.run_end() {
            self.refill();
        }
        self.entries.get(self.head).copied()
    }

    /// Takes the entry that [`peek`](Queue::peek) returned.
    pub(super) fn pop(&mut self) {
        self.head += 1;
    }

    /// Drops the entries that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        count_steps(self.entries.len());
        self.reclaim();
        let run = &self.entries[..self.run_end()];
        let start = run.iter().filter(|entry| keep(entry)).count();
        self.entries.retain(keep);
        // Where the later piles start is lost, but all of them are right as a single one.
        let soonest = self.piles.pop();
        self.piles.clear();
        self.piles.extend(soonest.map(|pile| Pile { start, ..pile }));
        self.shrink();
    }

    /// Drops all entries. The next ones form a pile, until the soonest of them is asked for.
    pub(super) fn clear(&mut self) {
        self.clear_for(0);
    }

    /// The same, with memory for the entries that come next by [`add`](Queue::add).
    #[inline]
    pub(super) fn clear_for(&mut self, count: usize) {
        self.entries.clear();
        self.head = 0;
        self.piles.clear();
        self.piles.push(Pile { start: 0, bound: Entry::SOONEST });
        self.shrink_to(count);
        self.entries.reserve(count);
    }

    /// Adds an entry to a queue that was cleared, and not asked since.
    #[inline]
    pub(super) fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    fn run_end(&self) -> usize {
        self.piles.last().map_or(self.entries.len(), |pile| pile.start)
    }

    /// Puts an entry into its pile.
    ///
    /// Piles have no gaps between them. So each later pile moves up by one, which for something
    /// without order means that its first entry becomes its last.
    fn push_pile(&mut self, entry: Entry) {
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

    /// Puts an entry into the run, whose sooner part moves into the place of a taken entry.
    fn push_run(&mut self, entry: Entry) {
        if self.head == 0 {
            self.make_room();
        }
        let run = self.head..self.run_end();
        let place = self.head + self.entries[run].partition_point(|other| *other < entry);
        self.entries.copy_within(self.head..place, self.head - 1);
        self.head -= 1;
        self.entries[place - 1] = entry;
    }

    /// Moves everything up as if entries had been taken, by a share that makes this rare.
    fn make_room(&mut self) {
        let length = self.entries.len();
        let room = SHORT.max(length / 2);
        self.entries.resize(length + room, Entry::SOONEST);
        self.entries.copy_within(..length, room);
        for pile in &mut self.piles {
            pile.start += room;
        }
        self.head = room;
    }

    /// Makes piles of the later parts of a long run, so that an insertion has little to move.
    fn cut(&mut self) {
        let mut length = self.run_end() - self.head;
        while length >= 2 * SHORT {
            length /= 2;
            let start = self.head + length;
            self.piles.push(Pile { start, bound: self.entries[start] });
        }
        self.limit_piles();
    }

    /// Makes the run of the soonest pile.
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

    /// Forgets bounds between piles while there are too many piles.
    ///
    /// A pile is best twice as long as the next sooner one. So the latest one that is shorter than
    /// that swallows its neighbour; this will be paid for when it comes due, but once.
    fn limit_piles(&mut self) {
        while self.piles.len() > MOST_PILES {
            let mut end = self.entries.len();
            let too_short = self.piles.windows(2).position(|pair| {
                let (length, next) = (end - pair[0].start, pair[0].start - pair[1].start);
                end = pair[0].start;
                length < 2 * next.max(1)
            });
            self.piles.remove(too_short.unwrap_or(self.piles.len() - 2));
        }
    }

    /// Closes the gap that the taken entries have left.
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
        if self.entries.capacity() > KEPT.max(4 * count) {
            self.entries.shrink_to(KEPT.max(2 * count));
        }
    }
}

#[cfg(test)]
impl Queue {
    /// Panics if an invariant does not hold.
    pub(super) fn verify(&self) {
        assert!(self.piles.len() <= MOST_PILES);
        assert!(self.entries.capacity() <= KEPT.max(8 * self.len().max(4 * SHORT)));
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

    pub(super) fn entries(&self) -> &[Entry] {
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
    /// Comparisons of this thread's queues, and entries that a sweep has looked at.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts work for the tests; elsewhere it is nothing.
#[inline(always)]
fn count_steps(count: usize) {
    #[cfg(test)]
    STEPS.set(STEPS.get() + count);
    #[cfg(not(test))]
    let _ = count;
}
