//! The causes of turns: the turn or source that fed each entry of the ready deque.
//!
//! Entries keep their size. Each turn notes the length of the deque when it begins, so the entries
//! from there up to the note of the next turn are its own.

use std::cell::{Cell, RefCell, RefMut};
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
    /// The end of the entries with the cause that was found last, and this cause. In cells, because
    /// the entries of a turn are often many.
    found: Cell<(usize, u64)>,
    /// The latest note about the ready deque, or [`NONE`]. It joins the others when a note about
    /// another position follows: most turns feed nothing, and replace it.
    latest: Cell<Note>,
    notes: RefCell<BothNotes>,
}

/// Position from which on entries were fed, and the turn that has fed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    from: u32,
    by: u64,
}

/// No note. A ready deque is shorter.
const NONE: Note = Note { from: u32::MAX, by: UNKNOWN };

impl Default for Note {
    fn default() -> Note {
        NONE
    }
}

#[derive(Debug, Default)]
struct BothNotes {
    ready: Notes,
    batch: Notes,
    /// Index of the note about the last entry of the batch that was looked up.
    found: usize,
}

#[derive(Debug, Default)]
struct Notes {
    turns: Vec<Note>,
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
    #[inline(always)]
    pub(super) fn mark(&self, queued: usize, by: u64) {
        let from = queued as u32;
        let latest = self.latest.replace(Note { from, by });
        if latest.from < from {
            self.notes.borrow_mut().ready.turns.push(latest);
        }
    }

    /// Begins a batch: the ready deque has become the batch of `queued` entries, and is empty.
    #[inline(always)]
    pub(super) fn begin_batch(&self, queued: usize) {
        let latest = self.latest.take();
        let BothNotes { ready, batch, found } = &mut *self.notes.borrow_mut();
        if (latest.from as usize) < queued {
            ready.turns.push(latest);
        }
        self.found.take();
        *found = 0;
        match *ready.turns {
            // The usual case, without a swap: one cause of all entries, none of them a timer.
            [Note { from: 0, by }] if ready.deadlines.is_empty() => {
                batch.clear();
                ready.turns.clear();
                self.found.set((usize::MAX, by));
            }
            _ => {
                mem::swap(ready, batch);
                ready.clear();
            }
        }
    }

    /// Notes that the timers of a tick are fed next, into a ready deque of `queued` keys. Returns
    /// the list of the deadlines of those that feed a key.
    pub(super) fn begin_timers(&self, queued: usize) -> RefMut<'_, Vec<u64>> {
        let mut notes = self.notes.borrow_mut();
        notes.ready.timers = queued;
        RefMut::map(notes, |notes| &mut notes.ready.deadlines)
    }

    /// Returns the turn that has fed the entry of the batch at `position`, or one of the constants.
    /// Positions only grow in a batch.
    #[inline(always)]
    pub(super) fn fed_by(&self, position: usize) -> u64 {
        let (end, by) = self.found.get();
        if position < end { by } else { self.find(position) }
    }

    #[inline]
    fn find(&self, position: usize) -> u64 {
        let BothNotes { batch: Notes { turns, .. }, found, .. } = &mut *self.notes.borrow_mut();
        let mut next = turns.get(*found + 1);
        while next.is_some_and(|next| next.from as usize <= position) {
            *found += 1;
            next = turns.get(*found + 1);
        }
        let (end, by) = match turns.get(*found) {
            Some(note) if note.from as usize <= position => {
                (next.map_or(usize::MAX, |next| next.from as usize), note.by)
            }
            Some(note) => (note.from as usize, UNKNOWN),
            None => (usize::MAX, UNKNOWN),
        };
        self.found.set((end, by));
        by
    }

    /// Returns the deadline of the timer that has fed the entry of the batch at `position`; `None`
    /// if something else has.
    #[inline(always)]
    pub(super) fn deadline(&self, position: usize) -> Option<u64> {
        let batch = &self.notes.borrow().batch;
        batch.deadlines.get(position.checked_sub(batch.timers)?).copied()
    }

    /// Forgets all causes, after a batch that was interrupted.
    pub(super) fn clear(&self) {
        let BothNotes { ready, batch, found } = &mut *self.notes.borrow_mut();
        ready.clear();
        batch.clear();
        *found = 0;
        self.found.take();
        self.latest.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_the_turn_before_it() {
        let causes = Causes::default();
        causes.mark(0, BY_SOURCES);
        causes.begin_timers(1).push(70);
        causes.mark(2, 5);
        causes.mark(2, 6); // Turn 5 has fed nothing.
        causes.mark(4, 7);
        causes.begin_batch(5);
        let by: Vec<u64> = (0..5).map(|position| causes.fed_by(position)).collect();
        assert_eq!(by, [BY_SOURCES, BY_SOURCES, 6, 6, 7]);
        let deadlines: Vec<_> = (0..5).map(|position| causes.deadline(position)).collect();
        assert_eq!(deadlines, [None, Some(70), None, None, None]);
        // Another batch, with fewer notes.
        causes.mark(0, BY_SOURCES);
        causes.mark(1, 8);
        causes.begin_batch(3);
        assert_eq!([0, 1, 2].map(|position| causes.fed_by(position)), [BY_SOURCES, 8, 8]);
        causes.begin_batch(0);
        assert_eq!(causes.fed_by(0), UNKNOWN);
    }
}
