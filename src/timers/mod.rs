//! The timer queue: who is due when, without a clock and without a loop.
//!
//! Time is in nanoseconds since the loop's start; [`NEVER`] is accepted and never due. Equal
//! deadlines are due in the order in which they were set.
//!
//! Daemons push deadlines back and cancel far more often than they let a timer run out. So a later
//! deadline only overwrites a field of the timer: its entry in the [`Queue`] stays where it is, and
//! goes to its right place when it becomes the soonest. A removed timer likewise leaves its entry
//! behind, as a stale one; when more than half of the entries are stale, all of them are swept out.
//!
//! # Invariants
//!
//! * A timer that is armed for a time other than `NEVER` has one entry, its ticket, which is no
//!   later than its deadline. All other entries of its slot are stale.
//! * Less than half of the entries are stale, but for a small constant.

mod queue;
#[cfg(test)]
mod tests;

use crate::handle::Key;
use queue::{Entry, Queue, Rank};

/// The deadline that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// How many stale entries are not worth a sweep.
const FEW: usize = 64;

/// The rank of an entry that does not exist: no deadline is later.
const NO_TICKET: Rank = Rank { deadline: NEVER, sequence: 0 };

/// Where a timer is kept. It is given out anew after [`Timers::remove`], so the caller uses it
/// only while it owns the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerSlot(u32);

#[derive(Clone, Copy, Debug)]
enum State {
    /// Has no timer; the vacant slots form a list.
    Vacant {
        next: Option<u32>,
    },
    Idle,
    Armed(Rank),
    /// Was due and has been fed, but not been dispatched.
    Fed,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    key: Key,
    state: State,
    ticket: Rank,
}

/// A set of timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<Timer>,
    vacant: Option<u32>,
    len: usize,
    queue: Queue,
    /// How many entries are tickets; all others are stale.
    tickets: usize,
    /// Grows with each arming, so that it orders equal deadlines.
    sequence: u64,
}

impl Timers {
    /// Adds a timer that is due at `deadline`.
    pub(crate) fn insert(&mut self, deadline: u64, key: Key) -> TimerSlot {
        let slot = self.insert_idle(key);
        self.reset(slot, deadline);
        slot
    }

    /// Adds a timer that is not due until it is [`reset`](Timers::reset).
    pub(crate) fn insert_idle(&mut self, key: Key) -> TimerSlot {
        let timer = Timer { key, state: State::Idle, ticket: NO_TICKET };
        self.len += 1;
        let Some(slot) = self.vacant else {
            let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
            self.slots.push(timer);
            return TimerSlot(slot);
        };
        let place = &mut self.slots[slot as usize];
        let State::Vacant { next } = place.state else { unreachable!("a vacant slot is in use") };
        self.vacant = next;
        *place = timer;
        TimerSlot(slot)
    }

    /// Arms the timer, and if it was fed already, takes that back.
    ///
    /// This counts as a new registration. It costs next to nothing when the deadline is later
    /// than that of the ticket.
    pub(crate) fn reset(&mut self, slot: TimerSlot, deadline: u64) {
        self.sequence += 1;
        let rank = Rank { deadline, sequence: self.sequence };
        let timer = &mut self.slots[slot.0 as usize];
        timer.state = State::Armed(rank);
        if timer.ticket.deadline > deadline {
            let stale = timer.ticket != NO_TICKET;
            self.enqueue(Entry { rank, slot: slot.0 });
            if stale {
                self.discard_ticket();
            }
        }
    }

    /// Makes the timer idle, whether it was armed or fed.
    pub(crate) fn disarm(&mut self, slot: TimerSlot) {
        self.slots[slot.0 as usize].state = State::Idle;
    }

    /// Ends the timer; its slot may be given to another one.
    pub(crate) fn remove(&mut self, slot: TimerSlot) {
        let timer = &mut self.slots[slot.0 as usize];
        let stale = timer.ticket != NO_TICKET;
        timer.ticket = NO_TICKET;
        timer.state = State::Vacant { next: self.vacant };
        self.vacant = Some(slot.0);
        self.len -= 1;
        if self.len == 0 {
            self.clear();
        } else if stale {
            self.discard_ticket();
        }
    }

    /// Returns when the timer is due, or `None` if it is not armed.
    pub(crate) fn deadline(&self, slot: TimerSlot) -> Option<u64> {
        match self.slots[slot.0 as usize].state {
            State::Armed(rank) => Some(rank.deadline),
            _ => None,
        }
    }

    /// Returns the exact deadline of the soonest timer, or `None` if no timer is ever due.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        self.soonest().map(|entry| entry.rank.deadline)
    }

    /// Hands the keys of all timers that are due at `now` to the sink, the soonest first.
    pub(crate) fn feed(&mut self, now: u64, mut sink: impl FnMut(Key)) {
        while let Some(entry) = self.soonest().filter(|entry| entry.rank.deadline <= now) {
            self.pop_ticket(entry);
            let timer = &mut self.slots[entry.slot as usize];
            timer.state = State::Fed;
            sink(timer.key);
        }
    }

    /// Makes a fed timer idle. Returns false if it was reset or disarmed since it was fed.
    pub(crate) fn take_fed(&mut self, slot: TimerSlot) -> bool {
        let state = &mut self.slots[slot.0 as usize].state;
        let fed = matches!(state, State::Fed);
        if fed {
            *state = State::Idle;
        }
        fed
    }

    /// Returns how many timers there are, armed or not.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the soonest entry after all before it have been dropped or put in their places.
    fn soonest(&mut self) -> Option<Entry> {
        loop {
            let entry = self.queue.peek()?;
            let timer = self.slots[entry.slot as usize];
            if timer.ticket != entry.rank {
                self.queue.pop();
                continue;
            }
            match timer.state {
                State::Armed(rank) if rank == entry.rank => return Some(entry),
                State::Armed(rank) if rank.deadline != NEVER => {
                    self.pop_ticket(entry);
                    self.enqueue(Entry { rank, ..entry });
                }
                _ => self.pop_ticket(entry),
            }
        }
    }

    fn enqueue(&mut self, entry: Entry) {
        self.slots[entry.slot as usize].ticket = entry.rank;
        self.tickets += 1;
        self.queue.push(entry);
    }

    fn pop_ticket(&mut self, entry: Entry) {
        self.queue.pop();
        self.slots[entry.slot as usize].ticket = NO_TICKET;
        self.tickets -= 1;
    }

    /// Accounts for a ticket that has become stale.
    fn discard_ticket(&mut self) {
        self.tickets -= 1;
        if self.queue.len() > 2 * self.tickets + FEW {
            let slots = &self.slots;
            self.queue.retain(|entry| slots[entry.slot as usize].ticket == entry.rank);
        }
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.tickets = 0;
        self.slots.clear();
        self.slots.shrink_to(FEW);
        self.vacant = None;
    }
}

#[cfg(test)]
impl Timers {
    /// Panics if an invariant does not hold.
    pub(crate) fn verify(&self) {
        self.queue.verify();
        let mut tickets = vec![NO_TICKET; self.slots.len()];
        for entry in self.queue.entries() {
            assert!(entry.rank.deadline < NEVER);
            if self.slots[entry.slot as usize].ticket == entry.rank {
                assert_eq!(tickets[entry.slot as usize], NO_TICKET, "two tickets of one timer");
                tickets[entry.slot as usize] = entry.rank;
            }
        }
        assert_eq!(tickets.iter().filter(|ticket| **ticket != NO_TICKET).count(), self.tickets);
        assert!(self.queue.len() <= 2 * self.tickets + FEW);
        for (timer, ticket) in self.slots.iter().zip(tickets) {
            assert_eq!(timer.ticket, ticket, "a ticket without an entry");
            match timer.state {
                State::Armed(rank) => assert!(ticket.deadline <= rank.deadline),
                State::Vacant { .. } | State::Fed => assert_eq!(ticket, NO_TICKET),
                State::Idle => {}
            }
        }
        let taken = |timer: &&Timer| !matches!(timer.state, State::Vacant { .. });
        assert_eq!(self.slots.iter().filter(taken).count(), self.len);
    }

    /// Returns for how many timers and entries there is memory.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.slots.capacity(), self.queue.capacity())
    }
}
