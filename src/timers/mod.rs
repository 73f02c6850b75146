//! The timer queue: who is due when, without a clock and without a loop.
//!
//! Time is in nanoseconds since the loop's start; [`NEVER`] is accepted and never due. Equal
//! deadlines are due in the order in which they were set.
//!
//! Daemons push deadlines back and cancel far more often than they let a timer run out. So whatever
//! lies behind the horizon is not queued at all: such a timer is one of the [`Far`], which costs a
//! bit. When the [`Queue`] is used up, all of them get an entry in it at once, and the latest of
//! their deadlines is the new horizon; timeouts that are set from then on mostly lie behind it.
//!
//! What that changes, in nanoseconds for each of a million timers that are due within a minute:
//!
//! |                                   | all queued | far ones not |
//! |-----------------------------------|-----------:|-------------:|
//! | insert                            |         17 |            5 |
//! | cancel at random, unasked         |         33 |           22 |
//! | cancel in order, after a question |         19 |           19 |
//! | insert and feed at once           |        119 |          101 |
//! | push back 10,000 in turn          |         29 |            8 |
//! | feed and set again, one of 10     |         29 |           36 |
//! | feed and set again, one of 10,000 |         47 |           57 |
//!
//! A later deadline only overwrites a field of the timer: its entry stays where it is, and goes to
//! its right place when it becomes the soonest. A removed timer likewise leaves its entry behind, as
//! a stale one; when more than half of the entries are stale, all of them are swept out.
//!
//! # Invariants
//!
//! * An armed timer either has one entry, which bears the number of its ticket and is no later than
//!   its deadline, or is far, or its deadline is `NEVER`. All other entries are stale.
//! * No entry is later than the horizon, and no far timer's deadline is sooner than it. Of those at
//!   the horizon itself the entries are the older ones.
//! * Less than half of the entries are stale, but for a small constant. A stale one may name a slot
//!   that was given back.
//! * Memory is that of the slots, see [`free_list`](crate::arena::free_list), with a bit for each, and that of
//!   the entries.

mod far_timers;
mod free_slots;
mod queue;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verify;

use std::mem;
use std::num::NonZeroU32;

use crate::arena::free_list::{FreeList, Links};
use crate::handle::Key;
use far_timers::Far;
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
    /// The sequence number of its entry, an older one if it has been pushed back since. Without an
    /// entry it is far, or its deadline is `NEVER`.
    ticket: Option<NonZeroU32>,
}

impl Armed {
    /// Whether the timer may be armed anew where it is.
    #[inline]
    fn may_become(self, new: Armed) -> bool {
        match (self.ticket, new.ticket) {
            (Some(_), _) => self.deadline <= new.deadline,
            (None, None) => (self.deadline == NEVER) == (new.deadline == NEVER),
            (None, Some(_)) => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Unarmed {
    Idle,
    /// Was due and has been fed, but not been dispatched.
    Fed,
    /// Has no timer.
    Vacant(Links),
}

const _: () = assert!(size_of::<Timer>() == 24);

/// A set of timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<Timer>,
    vacant: FreeList,
    len: usize,
    queue: Queue,
    /// How many entries are tickets; all others are stale.
    tickets: usize,
    far: Far,
    /// From which deadline on timers are far.
    horizon: u64,
    /// The number of the latest arming.
    sequence: u32,
}

impl Timers {
    /// Adds a timer that is due at `deadline`.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, key: Key) -> TimerSlot {
        let armed = self.armed(deadline);
        let slot = self.take_slot(key, State::Armed(armed));
        self.put(slot.0, armed);
        slot
    }

    /// Adds a timer that is not due until it is [`reset`](Timers::reset).
    pub(crate) fn insert_idle(&mut self, key: Key) -> TimerSlot {
        self.take_slot(key, State::Unarmed(Unarmed::Idle))
    }

    #[inline]
    fn take_slot(&mut self, key: Key, state: State) -> TimerSlot {
        let timer = Timer { key, state };
        self.len += 1;
        let Some(slot) = self.vacant.take(&self.slots) else {
            let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
            self.vacant.append();
            self.slots.push(timer);
            return TimerSlot(slot);
        };
        self.slots[slot as usize] = timer;
        TimerSlot(slot)
    }

    /// Arms the timer, and if it was fed already, takes that back.
    ///
    /// This counts as a new registration. It costs next to nothing when the timer is armed for an
    /// earlier time, or is far and remains so.
    pub(crate) fn reset(&mut self, slot: TimerSlot, deadline: u64) {
        let armed = self.armed(deadline);
        let state = &mut self.slots[slot.0 as usize].state;
        if let State::Armed(former) = state
            && former.may_become(armed)
        {
            *former = Armed { ticket: former.ticket, ..armed };
            return;
        }
        let former = mem::replace(state, State::Armed(armed));
        self.discard(slot.0, former);
        self.put(slot.0, armed);
    }

    /// Makes the timer idle, whether it was armed or fed.
    pub(crate) fn disarm(&mut self, slot: TimerSlot) {
        self.unarm(slot, Unarmed::Idle);
    }

    /// Ends the timer; its slot may be given to another one.
    pub(crate) fn remove(&mut self, slot: TimerSlot) {
        self.unarm(slot, Unarmed::Vacant(self.vacant.links()));
        self.len -= 1;
        let capacity = self.slots.capacity();
        self.vacant.add(&mut self.slots, slot.0);
        if self.slots.capacity() < capacity {
            self.far.shrink_to(self.slots.len());
        }
        if self.len == 0 {
            self.clear();
        }
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
        if self.is_any_armed() { self.soonest().map(|entry| entry.deadline) } else { None }
    }

    /// Whether any timer has a deadline that will come. Most ticks of a loop without timers ask no
    /// more.
    #[inline]
    pub(crate) fn is_any_armed(&self) -> bool {
        self.tickets > 0 || !self.far.is_empty()
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

    #[inline]
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
        self.far.drain(|_| {});
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

    /// An arming, with a ticket if it is to be queued.
    #[inline]
    fn armed(&mut self, deadline: u64) -> Armed {
        let sequence = self.next_sequence();
        if self.tickets == 0 {
            self.horizon = 0; // Nothing is queued that the far ones have to be later than.
        }
        let ticket = (deadline < self.horizon).then_some(sequence);
        Armed { deadline, sequence, ticket }
    }

    /// Puts a timer that was armed where it belongs.
    #[inline]
    fn put(&mut self, slot: u32, Armed { deadline, sequence, ticket }: Armed) {
        if ticket.is_some() {
            self.tickets += 1;
            self.queue.push(Entry { deadline, sequence, slot });
        } else if deadline != NEVER {
            self.far.insert(slot);
        }
    }

    /// Returns the soonest entry after all before it have been dropped or put in their places.
    fn soonest(&mut self) -> Option<Entry> {
        loop {
            if self.tickets == 0 {
                self.queue_far();
            }
            let entry = self.queue.peek()?;
            match self.slots.get_mut(entry.slot as usize).map(|timer| &mut timer.state) {
                Some(State::Armed(armed)) if armed.ticket == Some(entry.sequence) => {
                    if armed.sequence == entry.sequence {
                        return Some(entry);
                    }
                    self.queue.pop();
                    self.tickets -= 1;
                    armed.ticket = (armed.deadline < self.horizon).then_some(armed.sequence);
                    let armed = *armed;
                    self.put(entry.slot, armed);
                    self.sweep();
                }
                _ => self.queue.pop(),
            }
        }
    }

    /// Queues the far timers, when nothing else is queued.
    fn queue_far(&mut self) {
        let Timers { slots, queue, far, .. } = self;
        self.tickets = far.len();
        queue.clear_for(far.len());
        let mut horizon = 0;
        far.drain(|slot| {
            let State::Armed(armed) = &mut slots[slot as usize].state else {
                unreachable!("a timer is far that is not armed")
            };
            armed.ticket = Some(armed.sequence);
            horizon = horizon.max(armed.deadline);
            queue.add(Entry { deadline: armed.deadline, sequence: armed.sequence, slot });
        });
        self.horizon = horizon;
    }

    fn unarm(&mut self, slot: TimerSlot, state: Unarmed) {
        let timer = &mut self.slots[slot.0 as usize];
        let former = mem::replace(&mut timer.state, State::Unarmed(state));
        self.discard(slot.0, former);
    }

    /// Takes a state that has been replaced out of the account: if it has an entry, that is stale
    /// now.
    #[inline]
    fn discard(&mut self, slot: u32, former: State) {
        match former {
            State::Armed(Armed { ticket: Some(_), .. }) => {
                self.tickets -= 1;
                self.sweep();
            }
            State::Armed(Armed { deadline, .. }) if deadline != NEVER => self.far.remove(slot),
            _ => {}
        }
    }

    /// Drops the stale entries if they are the larger part.
    fn sweep(&mut self) {
        if self.queue.len() <= 2 * self.tickets + FEW {
            return;
        }
        let slots = &self.slots;
        let ticket = |slot: u32| slots.get(slot as usize).and_then(Timer::ticket);
        self.queue.retain(|entry| ticket(entry.slot) == Some(entry.sequence));
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.far.shrink_to(0);
        self.slots.clear();
        self.vacant = FreeList::default();
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
