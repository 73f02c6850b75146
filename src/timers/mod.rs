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
//! * An armed timer has one entry, which bears the number of its ticket and is no later than its
//!   deadline; only when that is `NEVER` it may have none. All other entries are stale.
//! * Less than half of the entries are stale, but for a small constant.

mod queue;
#[cfg(test)]
mod tests;

use std::mem;
use std::num::NonZeroU32;

use crate::handle::Key;
use queue::{Entry, Queue};

/// The deadline that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// How many stale entries are not worth a sweep. Tests sweep early, so that few steps suffice.
const FEW: usize = if cfg!(test) { 4 } else { 16 };

/// Where a timer is kept. It is given out anew after [`Timers::remove`], so the caller uses it
/// only while it owns the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerSlot(u32);

/// A timer, in 24 bytes: filling fresh memory is the larger part of what a million timers cost.
#[derive(Clone, Copy, Debug)]
struct Timer {
    key: Key,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Armed(Armed),
    Unarmed(Unarmed),
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    deadline: u64,
    /// When it was armed, in relation to others.
    sequence: NonZeroU32,
    /// The sequence number of its entry, an older one if it has been pushed back since.
    ticket: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug)]
enum Unarmed {
    Idle,
    /// Was due and has been fed, but not been dispatched.
    Fed,
    /// Has no timer; the vacant slots form a list.
    Vacant {
        next: Option<u32>,
    },
}

const _: () = assert!(size_of::<Timer>() == 24);

/// A set of timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<Timer>,
    vacant: Option<u32>,
    len: usize,
    queue: Queue,
    /// How many entries are tickets; all others are stale.
    tickets: usize,
    /// The number of the latest arming.
    sequence: u32,
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
        let timer = Timer { key, state: State::Unarmed(Unarmed::Idle) };
        self.len += 1;
        let Some(slot) = self.vacant else {
            let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
            self.slots.push(timer);
            return TimerSlot(slot);
        };
        let place = &mut self.slots[slot as usize];
        let State::Unarmed(Unarmed::Vacant { next }) = place.state else {
            unreachable!("a slot in use is listed as vacant")
        };
        self.vacant = next;
        *place = timer;
        TimerSlot(slot)
    }

    /// Arms the timer, and if it was fed already, takes that back.
    ///
    /// This counts as a new registration. It costs next to nothing when the timer is armed for an
    /// earlier time.
    pub(crate) fn reset(&mut self, slot: TimerSlot, deadline: u64) {
        let sequence = self.next_sequence();
        let timer = &mut self.slots[slot.0 as usize];
        if let State::Armed(armed) = &mut timer.state
            && armed.ticket.is_some()
            && armed.deadline <= deadline
        {
            armed.deadline = deadline;
            armed.sequence = sequence;
            return;
        }
        let ticket = (deadline != NEVER).then_some(sequence);
        let armed = State::Armed(Armed { deadline, sequence, ticket });
        let former = mem::replace(&mut timer.state, armed);
        if ticket.is_some() {
            self.tickets += 1;
            self.queue.push(Entry { deadline, sequence, slot: slot.0 });
        }
        self.discard(former);
    }

    /// Makes the timer idle, whether it was armed or fed.
    pub(crate) fn disarm(&mut self, slot: TimerSlot) {
        self.unarm(slot, Unarmed::Idle);
    }

    /// Ends the timer; its slot may be given to another one.
    pub(crate) fn remove(&mut self, slot: TimerSlot) {
        self.len -= 1;
        if self.len == 0 {
            return self.clear();
        }
        self.unarm(slot, Unarmed::Vacant { next: self.vacant });
        self.vacant = Some(slot.0);
    }

    /// Returns when the timer is due, or `None` if it is not armed.
    pub(crate) fn deadline(&self, slot: TimerSlot) -> Option<u64> {
        match self.slots[slot.0 as usize].state {
            State::Armed(armed) => Some(armed.deadline),
            State::Unarmed(_) => None,
        }
    }

    /// Returns the exact deadline of the soonest timer, or `None` if no timer is ever due.
    #[inline]
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        if self.tickets == 0 {
            return None; // Most ticks of a loop without timers end here.
        }
        self.soonest().map(|entry| entry.deadline)
    }

    /// Hands the keys of all timers that are due at `now` to the sink, the soonest first.
    pub(crate) fn feed(&mut self, now: u64, mut sink: impl FnMut(Key)) {
        while let Some(entry) = self.soonest().filter(|entry| entry.deadline <= now) {
            self.queue.pop();
            self.tickets -= 1;
            let timer = &mut self.slots[entry.slot as usize];
            timer.state = State::Unarmed(Unarmed::Fed);
            sink(timer.key);
        }
        // Those that were due may have left the stale ones in the majority.
        self.sweep();
    }

    /// Whether the timer was due, and has not been armed since.
    pub(crate) fn is_fed(&self, slot: TimerSlot) -> bool {
        matches!(self.slots[slot.0 as usize].state, State::Unarmed(Unarmed::Fed))
    }

    /// Whom to feed when the timer is due.
    pub(crate) fn set_key(&mut self, slot: TimerSlot, key: Key) {
        self.slots[slot.0 as usize].key = key;
    }

    /// Makes a fed timer idle. Returns false if it was reset or disarmed since it was fed.
    pub(crate) fn take_fed(&mut self, slot: TimerSlot) -> bool {
        let state = &mut self.slots[slot.0 as usize].state;
        let fed = matches!(state, State::Unarmed(Unarmed::Fed));
        if fed {
            *state = State::Unarmed(Unarmed::Idle);
        }
        fed
    }

    fn next_sequence(&mut self) -> NonZeroU32 {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.sequence += 1;
        NonZeroU32::new(self.sequence).expect("it was increased")
    }

    /// Starts the sequence again from zero, with all armings in the order they had.
    #[cold]
    fn renumber(&mut self) {
        self.queue.clear();
        self.tickets = 0;
        self.sequence = 0;
        let mut order = Vec::new();
        for (slot, timer) in self.slots.iter_mut().enumerate() {
            if let State::Armed(armed) = timer.state {
                timer.state = State::Unarmed(Unarmed::Idle);
                order.push((armed.sequence, armed.deadline, TimerSlot(slot as u32)));
            }
        }
        order.sort_unstable_by_key(|&(sequence, ..)| sequence);
        for (_, deadline, slot) in order {
            self.reset(slot, deadline);
        }
    }

    /// Returns the soonest entry after all before it have been dropped or put in their places.
    fn soonest(&mut self) -> Option<Entry> {
        loop {
            let entry = self.queue.peek()?;
            match &mut self.slots[entry.slot as usize].state {
                State::Armed(armed) if armed.ticket == Some(entry.sequence) => {
                    if armed.sequence == entry.sequence {
                        return Some(entry);
                    }
                    self.queue.pop();
                    if armed.deadline == NEVER {
                        armed.ticket = None;
                        self.tickets -= 1;
                        self.sweep();
                    } else {
                        armed.ticket = Some(armed.sequence);
                        let (deadline, sequence) = (armed.deadline, armed.sequence);
                        self.queue.push(Entry { deadline, sequence, ..entry });
                    }
                }
                _ => self.queue.pop(),
            }
        }
    }

    fn unarm(&mut self, slot: TimerSlot, state: Unarmed) {
        let timer = &mut self.slots[slot.0 as usize];
        let former = mem::replace(&mut timer.state, State::Unarmed(state));
        self.discard(former);
    }

    /// Accounts for the ticket of a state that has been replaced: its entry is stale now.
    fn discard(&mut self, former: State) {
        if let State::Armed(Armed { ticket: Some(_), .. }) = former {
            self.tickets -= 1;
            self.sweep();
        }
    }

    /// Drops the stale entries if they are the larger part.
    fn sweep(&mut self) {
        if self.queue.len() <= 2 * self.tickets + FEW {
            return;
        }
        let slots = &self.slots;
        self.queue.retain(|entry| slots[entry.slot as usize].ticket() == Some(entry.sequence));
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.tickets = 0;
        self.slots.clear();
        self.slots.shrink_to(FEW);
        self.vacant = None;
    }
}

impl Timer {
    fn ticket(&self) -> Option<NonZeroU32> {
        match self.state {
            State::Armed(armed) => armed.ticket,
            State::Unarmed(_) => None,
        }
    }
}

#[cfg(test)]
impl Timers {
    /// Panics if an invariant does not hold.
    pub(crate) fn verify(&self) {
        self.queue.verify();
        let mut found = 0;
        for entry in self.queue.entries() {
            assert!(entry.deadline < NEVER);
            match self.slots.get(entry.slot as usize).map(|timer| timer.state) {
                Some(State::Armed(armed)) if armed.ticket == Some(entry.sequence) => {
                    assert!(entry.deadline <= armed.deadline);
                    assert!(entry.sequence <= armed.sequence);
                    found += 1;
                }
                _ => {}
            }
        }
        // Sequence numbers are unique, so as many entries as tickets means one for each.
        let tickets = self.slots.iter().filter_map(Timer::ticket).count();
        assert_eq!((found, tickets), (self.tickets, self.tickets));
        assert!(self.queue.len() <= 2 * self.tickets + FEW);
        let without = |timer: &&Timer| match timer.state {
            State::Armed(armed) => armed.ticket.is_none() && armed.deadline != NEVER,
            State::Unarmed(_) => false,
        };
        assert_eq!(self.slots.iter().filter(without).count(), 0);
        let vacant = |timer: &&Timer| matches!(timer.state, State::Unarmed(Unarmed::Vacant { .. }));
        assert_eq!(self.slots.len() - self.slots.iter().filter(vacant).count(), self.len);
    }

    /// Returns for how many timers and entries there is memory.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.slots.capacity(), self.queue.capacity())
    }
}
