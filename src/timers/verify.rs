//! Checks of the timers' invariants, for tests.

use super::{Armed, MIN_STALE, NEVER, QueueEntry, Timer, TimerState, Timers, Unarmed};

impl Timers {
    /// Panics if an invariant does not hold.
    pub(crate) fn verify(&self) {
        self.queue.verify();
        self.verify_entries();
        self.verify_far();
        let is_free = |timer: &&Timer| matches!(timer.state, TimerState::Unarmed(Unarmed::Free(_)));
        assert_eq!(self.slots.len() - self.slots.iter().filter(is_free).count(), self.len);
    }

    fn verify_entries(&self) {
        let mut found = 0;
        for entry in self.queue.entries() {
            if let Some(armed) = self.timer_of(entry) {
                assert!(entry.deadline <= armed.deadline && entry.deadline <= self.horizon);
                assert!(entry.sequence <= armed.sequence);
                found += 1;
            }
        }
        // Sequence numbers are unique, so equal counts mean one entry for each timer.
        let with_entry = self.slots.iter().filter_map(Timer::entry).count();
        assert_eq!((found, with_entry), (self.live_entries, self.live_entries));
        assert!(self.queue.len() <= 2 * self.live_entries + MIN_STALE);
    }

    /// Returns the armed timer that an entry belongs to, or `None` if the entry is stale.
    fn timer_of(&self, entry: &QueueEntry) -> Option<Armed> {
        match self.slots.get(entry.slot as usize)?.state {
            TimerState::Armed(armed) if armed.entry == Some(entry.sequence) => Some(armed),
            _ => None,
        }
    }

    fn verify_far(&self) {
        let at_horizon = |entry: &&QueueEntry| entry.deadline == self.horizon;
        let valid = self.queue.entries().iter().filter(|entry| self.timer_of(entry).is_some());
        let latest = valid.filter(at_horizon).map(|entry| entry.sequence).max();
        let mut far = 0;
        for (slot, timer) in (0..).zip(&self.slots) {
            let TimerState::Armed(Armed { deadline, sequence, entry: None }) = timer.state else {
                assert!(!self.far.contains(slot));
                continue;
            };
            assert_eq!(self.far.contains(slot), deadline != NEVER);
            far += usize::from(deadline != NEVER);
            let is_later = (deadline, Some(sequence)) > (self.horizon, latest);
            assert!(is_later || self.live_entries == 0);
        }
        assert_eq!(self.far.len(), far);
    }

    /// Returns the numbers of timers and entries that fit into the allocated memory.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.slots.capacity(), self.queue.capacity())
    }
}
