//! What holds of the timers between any two calls, for tests.

use super::{Armed, Entry, FEW, NEVER, State, Timer, Timers, Unarmed};

impl Timers {
    /// Panics if an invariant does not hold.
    pub(crate) fn verify(&self) {
        self.queue.verify();
        self.verify_entries();
        self.verify_far();
        let vacant = |timer: &&Timer| matches!(timer.state, State::Unarmed(Unarmed::Vacant(_)));
        assert_eq!(self.slots.len() - self.slots.iter().filter(vacant).count(), self.len);
    }

    fn verify_entries(&self) {
        let mut found = 0;
        for entry in self.queue.entries() {
            if let Some(armed) = self.holder(entry) {
                assert!(entry.deadline <= armed.deadline && entry.deadline <= self.horizon);
                assert!(entry.sequence <= armed.sequence);
                found += 1;
            }
        }
        // Sequence numbers are unique, so as many entries as tickets means one for each.
        let tickets = self.slots.iter().filter_map(Timer::ticket).count();
        assert_eq!((found, tickets), (self.tickets, self.tickets));
        assert!(self.queue.len() <= 2 * self.tickets + FEW);
    }

    /// Whose ticket an entry is.
    fn holder(&self, entry: &Entry) -> Option<Armed> {
        match self.slots.get(entry.slot as usize)?.state {
            State::Armed(armed) if armed.ticket == Some(entry.sequence) => Some(armed),
            _ => None,
        }
    }

    fn verify_far(&self) {
        let at_horizon = |entry: &&Entry| entry.deadline == self.horizon;
        let valid = self.queue.entries().iter().filter(|entry| self.holder(entry).is_some());
        let latest = valid.filter(at_horizon).map(|entry| entry.sequence).max();
        let mut far = 0;
        for (slot, timer) in (0..).zip(&self.slots) {
            let State::Armed(Armed { deadline, sequence, ticket: None }) = timer.state else {
                assert!(!self.far.contains(slot));
                continue;
            };
            assert_eq!(self.far.contains(slot), deadline != NEVER);
            far += usize::from(deadline != NEVER);
            let is_later = (deadline, Some(sequence)) > (self.horizon, latest);
            assert!(is_later || self.tickets == 0);
        }
        assert_eq!(self.far.len(), far);
    }

    /// Returns for how many timers and entries there is memory.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.slots.capacity(), self.queue.capacity())
    }
}
