//! The timer queue, which returns the keys of due timers. It reads no clock and is independent of
//! the loop.
//!
//! Time is in nanoseconds since the loop's start. The deadline [`NEVER`] is accepted and never due.
//! Timers with equal deadlines are due in the order in which they were armed.
//!
//! Daemons postpone and cancel timers far more often than they let them expire. So a timer with a
//! deadline beyond the horizon is not queued at all. It is one of the [`FarTimers`], which cost one
//! bit each. When the [`Queue`] is empty, all far timers are queued at once, and the latest of
//! their deadlines becomes the new horizon. Most timeouts that are set from then on lie beyond it.
//!
//! Effect of the far timers, in nanoseconds per timer, for a million timers that are due within a
//! minute:
//!
//! |                                   | all queued | far ones not |
//! |-----------------------------------|-----------:|-------------:|
//! | insert                            |         17 |            5 |
//! | cancel at random                  |         33 |           22 |
//! | cancel in order, deadline read    |         19 |           19 |
//! | insert and feed at once           |        119 |          101 |
//! | push back 10,000 in turn          |         29 |            8 |
//! | feed and set again, one of 10     |         29 |           36 |
//! | feed and set again, one of 10,000 |         47 |           57 |
//!
//! A later deadline only overwrites a field of the timer. Its entry stays in the queue, and moves
//! to the right place when it becomes the soonest. A removed timer leaves a stale entry behind.
//! When more than half of the entries are stale, all stale ones are removed.
//!
//! # Invariants
//!
//! * An armed timer has one entry, which has the sequence number in `Armed::entry` and a deadline
//!   that is not later than the timer's. Exceptions: the timer is far, or its deadline is `NEVER`.
//!   All other entries are stale.
//! * No entry is later than the horizon, and no far timer is due sooner than it. Of the timers with
//!   a deadline at the horizon, those with an entry are older.
//! * Less than half of the entries are stale, apart from a small constant. A stale entry may
//!   contain the index of a slot that was given back.
//! * Memory is that of the slots, see [`free_list`](crate::arena::free_list), with one bit for
//!   each, and that of the entries.

mod far_timers;
mod free_slots;
mod list;
mod queue;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verify;

use std::mem;
use std::num::NonZeroU32;

use crate::arena::free_list::{FreeList, Links};
use crate::handle::Key;
use far_timers::FarTimers;
use queue::{Queue, QueueEntry};

/// The deadline that is never due.
pub(crate) const NEVER: u64 = u64::MAX;

/// Maximum number of stale entries that are not worth a sweep. Smaller in tests, which then need
/// few steps.
const MIN_STALE: usize = if cfg!(test) { 4 } else { 16 };

/// The slot of a timer. After [`Timers::remove`] another timer may get it, so the caller must no
/// longer use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerSlot(u32);

/// A timer, in 24 bytes. Small, because most of the cost of a million timers is the first write to
/// their memory.
#[derive(Clone, Copy, Debug)]
struct Timer {
    key: Key,
    state: TimerState,
}

#[derive(Clone, Copy, Debug)]
enum TimerState {
    Armed(Armed),
    Unarmed(Unarmed),
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    deadline: u64,
    /// Number of the arming; orders timers with equal deadlines.
    sequence: NonZeroU32,
    /// Sequence number of the timer's queue entry: an older one if the timer was pushed back since.
    /// `None` if the timer is far or its deadline is `NEVER`.
    entry: Option<NonZeroU32>,
}

impl Armed {
    /// Returns true if the timer can be re-armed without moving its entry.
    #[inline]
    fn may_become(self, new: Armed) -> bool {
        match (self.entry, new.entry) {
            (Some(_), _) => self.deadline <= new.deadline,
            (None, None) => (self.deadline == NEVER) == (new.deadline == NEVER),
            (None, Some(_)) => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Unarmed {
    Idle,
    /// The timer was due, and its callback is in the ready deque.
    Fed,
    /// The slot is free.
    Free(Links),
}

const _: () = assert!(size_of::<Timer>() == 24);

/// A set of timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<Timer>,
    free: FreeList,
    /// Number of timers. Taken from the free list, it would cost a timer 3 instructions, of 785.
    len: usize,
    queue: Queue,
    /// Number of entries that belong to an armed timer. All others are stale.
    live_entries: usize,
    far: FarTimers,
    /// Deadline from which on timers are far.
    horizon: u64,
    /// Number of the latest arming.
    sequence: u32,
}

impl Timers {
    /// Adds a timer that is due at `deadline`.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, key: Key) -> TimerSlot {
        let armed = self.armed(deadline);
        let slot = self.take_slot(key, TimerState::Armed(armed));
        self.put(slot.0, armed);
        slot
    }

    /// Adds a timer that is not due until it is [`reset`](Timers::reset).
    pub(crate) fn insert_idle(&mut self, key: Key) -> TimerSlot {
        self.take_slot(key, TimerState::Unarmed(Unarmed::Idle))
    }

    #[inline]
    fn take_slot(&mut self, key: Key, state: TimerState) -> TimerSlot {
        let timer = Timer { key, state };
        self.len += 1;
        let Some(slot) = self.free.take(&self.slots) else {
            let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
            self.free.append();
            self.slots.push(timer);
            return TimerSlot(slot);
        };
        self.slots[slot as usize] = timer;
        TimerSlot(slot)
    }

    /// Arms the timer. If it was fed already, its callback does not run for the former deadline.
    ///
    /// The order among equal deadlines is that of a new timer. This writes one field if the timer
    /// is armed and the new deadline is not earlier, or if the timer is far and remains far.
    pub(crate) fn reset(&mut self, slot: TimerSlot, deadline: u64) {
        let armed = self.armed(deadline);
        let state = &mut self.slots[slot.0 as usize].state;
        if let TimerState::Armed(previous) = state
            && previous.may_become(armed)
        {
            *previous = Armed { entry: previous.entry, ..armed };
            return;
        }
        let previous = mem::replace(state, TimerState::Armed(armed));
        self.discard(slot.0, previous);
        self.put(slot.0, armed);
    }

    /// Makes an armed or fed timer idle.
    pub(crate) fn disarm(&mut self, slot: TimerSlot) {
        self.unarm(slot, Unarmed::Idle);
    }

    /// Removes the timer. Its slot may be used by another one.
    pub(crate) fn remove(&mut self, slot: TimerSlot) {
        self.unarm(slot, Unarmed::Free(self.free.links()));
        self.len -= 1;
        let capacity = self.slots.capacity();
        self.free.add(&mut self.slots, slot.0);
        if self.slots.capacity() < capacity {
            self.far.shrink_to(self.slots.len());
        }
        if self.len == 0 {
            self.clear();
        }
    }

    /// Returns the timer's deadline, or `None` if it is not armed.
    pub(crate) fn deadline(&self, slot: TimerSlot) -> Option<u64> {
        match self.slots[slot.0 as usize].state {
            TimerState::Armed(armed) => Some(armed.deadline),
            TimerState::Unarmed(_) => None,
        }
    }

    /// Returns the exact deadline of the soonest timer, or `None` if no timer is ever due.
    #[inline]
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        if self.is_any_armed() { self.soonest().map(|entry| entry.deadline) } else { None }
    }

    /// Returns true if a timer has a deadline other than [`NEVER`]. Two loads per tick.
    #[inline]
    pub(crate) fn is_any_armed(&self) -> bool {
        self.live_entries > 0 || !self.far.is_empty()
    }

    /// Passes the keys and deadlines of all timers that are due at `now` to the sink, the soonest
    /// first. Returns their number.
    pub(crate) fn feed(&mut self, now: u64, mut sink: impl FnMut(Key, u64)) -> u64 {
        let mut fed = 0;
        while let Some(entry) = self.soonest().filter(|entry| entry.deadline <= now) {
            self.queue.pop();
            self.live_entries -= 1;
            let timer = &mut self.slots[entry.slot as usize];
            timer.state = TimerState::Unarmed(Unarmed::Fed);
            sink(timer.key, entry.deadline);
            fed += 1;
        }
        // Most of the remaining entries may be stale.
        self.sweep();
        fed
    }

    /// Returns true if the timer was due and has not been armed or disarmed since.
    pub(crate) fn is_fed(&self, slot: TimerSlot) -> bool {
        matches!(self.slots[slot.0 as usize].state, TimerState::Unarmed(Unarmed::Fed))
    }

    /// Sets the key that is passed on when the timer is due.
    pub(crate) fn set_key(&mut self, slot: TimerSlot, key: Key) {
        self.slots[slot.0 as usize].key = key;
    }

    /// Makes a fed timer idle. Returns false if it was reset or disarmed since it was fed.
    pub(crate) fn take_fed(&mut self, slot: TimerSlot) -> bool {
        let state = &mut self.slots[slot.0 as usize].state;
        let fed = matches!(state, TimerState::Unarmed(Unarmed::Fed));
        if fed {
            *state = TimerState::Unarmed(Unarmed::Idle);
        }
        fed
    }

    #[inline]
    fn next_sequence(&mut self) -> NonZeroU32 {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.sequence += 1;
        NonZeroU32::new(self.sequence).expect("sequence numbers start at 1")
    }

    /// Restarts the sequence numbers, and keeps the order of all armed timers.
    #[cold]
    fn renumber(&mut self) {
        self.queue.clear();
        self.live_entries = 0;
        self.far.drain(|_| {});
        self.sequence = 0;
        let mut order = Vec::new();
        for (slot, timer) in self.slots.iter_mut().enumerate() {
            if let TimerState::Armed(armed) = timer.state {
                timer.state = TimerState::Unarmed(Unarmed::Idle);
                order.push((armed.sequence, armed.deadline, TimerSlot(slot as u32)));
            }
        }
        order.sort_unstable_by_key(|&(sequence, ..)| sequence);
        for (_, deadline, slot) in order {
            self.reset(slot, deadline);
        }
    }

    /// Returns a new arming, with `entry` set if the timer must be queued.
    #[inline]
    fn armed(&mut self, deadline: u64) -> Armed {
        let sequence = self.next_sequence();
        if self.live_entries == 0 {
            self.horizon = 0; // The queue is empty, so all timers may be far.
        }
        let entry = (deadline < self.horizon).then_some(sequence);
        Armed { deadline, sequence, entry }
    }

    /// Adds an armed timer to the queue or to the far timers.
    #[inline]
    fn put(&mut self, slot: u32, Armed { deadline, sequence, entry }: Armed) {
        if entry.is_some() {
            self.live_entries += 1;
            self.queue.push(QueueEntry { deadline, sequence, slot });
        } else if deadline != NEVER {
            self.far.insert(slot);
        }
    }

    /// Returns the soonest entry that has its timer's deadline. Drops stale entries before it, and
    /// moves those of timers that were pushed back.
    fn soonest(&mut self) -> Option<QueueEntry> {
        loop {
            if self.live_entries == 0 {
                self.queue_far();
            }
            let entry = self.queue.peek()?;
            match self.slots.get_mut(entry.slot as usize).map(|timer| &mut timer.state) {
                Some(TimerState::Armed(armed)) if armed.entry == Some(entry.sequence) => {
                    if armed.sequence == entry.sequence {
                        return Some(entry);
                    }
                    self.queue.pop();
                    self.live_entries -= 1;
                    armed.entry = (armed.deadline < self.horizon).then_some(armed.sequence);
                    let armed = *armed;
                    self.put(entry.slot, armed);
                    self.sweep();
                }
                _ => self.queue.pop(),
            }
        }
    }

    /// Moves all far timers to the queue, which is empty.
    fn queue_far(&mut self) {
        let Timers { slots, queue, far, .. } = self;
        self.live_entries = far.len();
        queue.clear_for(far.len());
        let mut horizon = 0;
        far.drain(|slot| {
            let TimerState::Armed(armed) = &mut slots[slot as usize].state else {
                unreachable!("an unarmed timer is in the set of far timers")
            };
            armed.entry = Some(armed.sequence);
            horizon = horizon.max(armed.deadline);
            queue.add(QueueEntry { deadline: armed.deadline, sequence: armed.sequence, slot });
        });
        self.horizon = horizon;
    }

    #[inline]
    fn unarm(&mut self, slot: TimerSlot, state: Unarmed) {
        let timer = &mut self.slots[slot.0 as usize];
        let previous = mem::replace(&mut timer.state, TimerState::Unarmed(state));
        self.discard(slot.0, previous);
    }

    /// Updates queue and far timers after a state was replaced. Its entry, if it has one, is stale
    /// now.
    #[inline]
    fn discard(&mut self, slot: u32, previous: TimerState) {
        match previous {
            TimerState::Armed(Armed { entry: Some(_), .. }) => {
                self.live_entries -= 1;
                self.sweep();
            }
            TimerState::Armed(Armed { deadline, .. }) if deadline != NEVER => self.far.remove(slot),
            _ => {}
        }
    }

    /// Removes the stale entries if they are more than half.
    #[inline]
    fn sweep(&mut self) {
        if self.queue.len() > 2 * self.live_entries + MIN_STALE {
            self.remove_stale();
        }
    }

    fn remove_stale(&mut self) {
        let slots = &self.slots;
        let entry_of = |slot: u32| slots.get(slot as usize).and_then(Timer::entry);
        self.queue.retain(|entry| entry_of(entry.slot) == Some(entry.sequence));
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.far.shrink_to(0);
        self.slots.clear();
        self.free = FreeList::default();
    }
}

impl Timer {
    fn entry(&self) -> Option<NonZeroU32> {
        match self.state {
            TimerState::Armed(armed) => armed.entry,
            TimerState::Unarmed(_) => None,
        }
    }
}
