//! The causes of turns: the turn or source that fed each entry of the ready deque.
//!
//! Entries keep their size. Each turn notes the length of the deque when it begins, so the entries
//! from there up to the note of the next turn are its own.

use std::mem;

/// Stands for the sources of a tick, in place of a turn number.
pub(crate) const BY_SOURCES: u64 = u64::MAX;
/// Stands for other threads.
pub(crate) const BY_THREADS: u64 = u64::MAX - 1;
/// Stands for the timers of other clocks.
pub(crate) const BY_CLOCKS: u64 = u64::MAX - 2;
/// Stands for an unknown cause.
pub(super) const UNKNOWN: u64 = u64::MAX - 3;

/// Causes of the entries of the ready deque, and of the current batch.
#[derive(Debug, Default)]
pub(super) struct Causes {
    ready: Notes,
    batch: Notes,
    /// Index of the note about the last entry of the batch that was looked up.
    found: usize,
}

#[derive(Debug, Default)]
struct Notes {
    /// Position from which on entries were fed, and the turn that has fed them.
    turns: Vec<(u32, u64)>,
    /// Position of the first timer that the tick has fed.
    timers: usize,
    /// Deadlines of these timers, in nanoseconds since the start of the loop.
    deadlines: Vec<u64>,
}

impl Notes {
    fn clear(&mut self) {
        self.turns.clear();
        self.deadlines.clear();
    }
}

impl Causes {
    /// Notes that entries of the ready deque from `queued` on are fed by the turn `by`.
    #[inline]
    pub(super) fn mark(&mut self, queued: usize, by: u64) {
        let queued = queued as u32;
        match self.ready.turns.last_mut() {
            Some(last) if last.0 == queued => last.1 = by, // The turn before has fed nothing.
            _ => self.ready.turns.push((queued, by)),
        }
    }

    /// Begins a batch: the ready deque has become the batch, and is empty.
    pub(super) fn begin_batch(&mut self) {
        mem::swap(&mut self.ready, &mut self.batch);
        self.ready.clear();
        self.found = 0;
    }

    /// Notes that the timers of a tick are fed next, into a ready deque of `queued` keys.
    pub(super) fn begin_timers(&mut self, queued: usize) {
        self.ready.timers = queued;
    }

    /// Notes that a timer was due. It has fed a key if the ready deque has one key more.
    pub(super) fn add_deadline(&mut self, queued: usize, deadline: u64) {
        if queued == self.ready.timers + self.ready.deadlines.len() + 1 {
            self.ready.deadlines.push(deadline);
        }
    }

    /// Returns the turn that has fed the entry of the batch at `position`, or one of the constants.
    /// Positions only grow in a batch.
    #[inline]
    pub(super) fn fed_by(&mut self, position: usize) -> u64 {
        let turns = &self.batch.turns;
        while turns.get(self.found + 1).is_some_and(|next| next.0 as usize <= position) {
            self.found += 1;
        }
        match turns.get(self.found) {
            Some((from, by)) if *from as usize <= position => *by,
            _ => UNKNOWN,
        }
    }

    /// Returns the deadline of the timer that has fed the entry of the batch at `position`; `None`
    /// if something else has.
    #[inline]
    pub(super) fn deadline(&self, position: usize) -> Option<u64> {
        let index = position.checked_sub(self.batch.timers)?;
        self.batch.deadlines.get(index).copied()
    }

    /// Forgets all causes, after a batch that was interrupted.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
        self.batch.clear();
        self.found = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_the_turn_before_it() {
        let mut causes = Causes::default();
        causes.mark(0, BY_SOURCES);
        causes.begin_timers(1);
        causes.add_deadline(2, 70);
        causes.mark(2, 5);
        causes.mark(2, 6); // Turn 5 has fed nothing.
        causes.mark(4, 7);
        causes.begin_batch();
        let by: Vec<u64> = (0..5).map(|position| causes.fed_by(position)).collect();
        assert_eq!(by, [BY_SOURCES, BY_SOURCES, 6, 6, 7]);
        let deadlines: Vec<_> = (0..5).map(|position| causes.deadline(position)).collect();
        assert_eq!(deadlines, [None, Some(70), None, None, None]);
        // Another batch, with fewer notes.
        causes.mark(0, BY_SOURCES);
        causes.mark(1, 8);
        causes.begin_batch();
        assert_eq!([0, 1, 2].map(|position| causes.fed_by(position)), [BY_SOURCES, 8, 8]);
        causes.begin_batch();
        assert_eq!(causes.fed_by(0), UNKNOWN);
    }
}
