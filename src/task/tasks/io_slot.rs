//! One fd that tasks wait for: its cached readiness, and the queue of its waiters.
//!
//! # Invariants
//!
//! * No waiter in the queue waits for a readiness that is cached.
//! * A waiter leaves the queue when it is woken. If another task used up the readiness first, it
//!   must queue again.

use std::collections::BTreeMap;
use std::mem;
use std::panic::Location;

use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::ticket::Ticket;
use crate::callbacks::RegisteredAt;
use crate::handle::Key;
use crate::step_counter::step;
use crate::watchers::{FdOwnership, WatcherId, visible};

/// An fd that tasks wait for.
pub(super) struct IoSlot {
    /// The registration; `None` if the fd was closed while it was watched.
    pub(super) watcher: Option<WatcherId>,
    /// Cached readiness: reported by the selector, and not disproved by a call since.
    pub(super) readiness: Readiness,
    pub(super) watching: Watching,
    /// The number that was assigned last.
    latest: u32,
    /// The first waiter. Most fds have only one, so they need no map.
    first: IoWaiter,
    /// Further waiters by number, so in the order of arrival.
    others: BTreeMap<u32, IoWaiter>,
    pub(super) registered_at: RegisteredAt,
    /// The call that made the registration; `None` if a loop that is gone had the fd before.
    pub(super) location: Option<&'static Location<'static>>,
}

const _: () = assert!(size_of::<IoSlot>() <= 64);

/// Modes of watching an fd.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watching {
    /// Edge-triggered.
    Edge,
    /// Level-triggered.
    Level,
    /// Level-triggered, but paused: the fd was ready without a waiter, so each tick would report
    /// it.
    Paused,
    /// Edge-triggered, for an fd number that may come to refer to another file. Before each wait
    /// the kernel is called with the interest of all waiters.
    Borrowed,
}

/// An entry of the queue.
#[derive(Clone, Copy)]
pub(super) struct IoWaiter {
    /// Key to wake; [`Key::NONE`] if there is no waiter.
    pub(super) key: Key,
    /// Distinguishes waiters with the same key.
    number: u32,
    pub(super) interest: Interest,
}

impl IoWaiter {
    const NONE: IoWaiter = IoWaiter { key: Key::NONE, number: 0, interest: Interest::empty() };

    fn is_ready(&self, readiness: Readiness) -> bool {
        self.key != Key::NONE && !visible(readiness, self.interest).is_empty()
    }
}

impl IoSlot {
    pub(super) fn new(
        mode: TriggerMode,
        ownership: FdOwnership,
        location: Option<&'static Location<'static>>,
        tick: u64,
    ) -> IoSlot {
        let (watcher, readiness) = (None, Readiness::empty());
        let watching = match (mode, ownership) {
            (_, FdOwnership::Borrowed) => Watching::Borrowed,
            (TriggerMode::Level, _) => Watching::Level,
            _ => Watching::Edge,
        };
        let (first, others) = (IoWaiter::NONE, BTreeMap::new());
        let registered_at = RegisteredAt::new(tick);
        IoSlot { watcher, readiness, watching, latest: 0, first, others, registered_at, location }
    }

    /// Returns all waiters, in the order of arrival.
    pub(super) fn waiters(&self) -> impl Iterator<Item = &IoWaiter> {
        let first = Some(&self.first).filter(|first| first.key != Key::NONE);
        first.into_iter().chain(self.others.values())
    }

    /// Returns the directions that waiters wait for.
    pub(super) fn wanted(&self) -> Interest {
        self.waiters().fold(Interest::empty(), |all, waiter| all | waiter.interest)
    }

    /// Returns true if there is a waiter.
    pub(super) fn is_awaited(&self) -> bool {
        self.first.key != Key::NONE || self.has_others()
    }

    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Returns the waiter with this number, if it waits for `interest`.
    fn waiter(&mut self, number: u32, interest: Interest) -> Option<&mut IoWaiter> {
        let waiter = match self.first.number == number {
            true => Some(&mut self.first),
            false => self.others.get_mut(&number),
        };
        waiter.filter(|waiter| waiter.key != Key::NONE && waiter.interest == interest)
    }

    /// Adds a waiter at the end of the queue. A waiter that is queued already keeps its position.
    pub(super) fn enqueue(&mut self, ticket: &Ticket, interest: Interest) {
        let (key, number) = (ticket.key.get(), ticket.number.get());
        // A search only for a waiter that was queued before: most tickets are new.
        if number != 0
            && let Some(queued) = self.waiter(number, interest)
        {
            queued.key = key;
            return;
        }
        self.latest = self.next_number();
        ticket.number.set(self.latest);
        let waiter = IoWaiter { key, number: self.latest, interest };
        match self.first.key {
            Key::NONE if self.others.is_empty() => self.first = waiter,
            _ => drop(self.others.insert(self.latest, waiter)),
        }
    }

    /// Returns a number that no waiter has, and that is not zero.
    fn next_number(&self) -> u32 {
        let mut number = self.latest;
        loop {
            number = number.checked_add(1).unwrap_or(1);
            if self.first.number != number && !self.others.contains_key(&number) {
                return number;
            }
        }
    }

    /// Removes the waiter with this number, if it waits for `interest`.
    pub(super) fn leave(&mut self, number: u32, interest: Interest) {
        if self.waiter(number, interest).is_none() {
            return;
        }
        match self.first.number == number {
            true => self.first = IoWaiter::NONE,
            false => drop(self.others.remove(&number)),
        }
    }

    /// Returns the key of the waiter that has waited longest for `readiness`.
    pub(super) fn first_ready(&self, readiness: Readiness) -> Option<Key> {
        self.waiters().find(|waiter| waiter.is_ready(readiness)).map(|waiter| waiter.key)
    }

    /// Removes the waiter that has waited longest for the cached readiness. Returns its key.
    pub(super) fn pop_ready(&mut self) -> Option<Key> {
        if self.first.is_ready(self.readiness) {
            return Some(mem::replace(&mut self.first, IoWaiter::NONE).key);
        }
        let mut others = self.others.iter().inspect(|_| step());
        let (number, _) = others.find(|(_, waiter)| waiter.is_ready(self.readiness))?;
        let number = *number;
        self.others.remove(&number).map(|waiter| waiter.key)
    }

    /// Removes all further waiters for the cached readiness. Returns their keys, in the order of
    /// arrival.
    pub(super) fn pop_others_ready(&mut self) -> Vec<Key> {
        let (mut ready, readiness) = (Vec::new(), self.readiness);
        self.others.retain(|_, waiter| {
            step();
            let is_ready = waiter.is_ready(readiness);
            ready.extend(is_ready.then_some(waiter.key));
            !is_ready
        });
        ready
    }
}
