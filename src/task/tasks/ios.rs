//! Descriptors that tasks wait for: what each is ready for, as far as that is known, and who waits.
//!
//! The watcher of such an fd is edge-triggered, for all directions at once, and stays. What it was
//! told is kept here until a call on the fd finds the opposite. So whoever waits asks nothing of
//! the kernel: a connection in use costs its calls and its share of a wait.
//!
//! A listener is watched by level: who has accepted one client is told if another one waits, and
//! need not ask. It is paused when it is ready and nobody accepts, and resumed by whoever waits.
//!
//! # Invariants
//!
//! * Nobody waits for what the fd is known to be ready for.
//! * Who is told has left the line. Whoever finds that another one was faster queues up again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem;
use std::os::fd::RawFd;
use std::task::Waker;

use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::Tasks;
use crate::error::Result;
use crate::handle::Key;
use crate::ready::Ready;
use crate::steps::step;
use crate::task::slab::Kind;
use crate::watchers::{Half, Ownership, Role, WatcherId, visible};

/// An fd.
pub(super) struct IoSlot {
    /// None when the fd was closed behind the loop's back.
    watch: Option<WatcherId>,
    readiness: Readiness,
    level: Level,
    /// The latest ticket.
    ticket: u32,
    first: Waiting,
    /// By ticket, so in the order of arrival.
    others: BTreeMap<u32, Waiting>,
}

/// Whether an fd is watched by level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// By edges.
    No,
    Yes,
    /// It was ready, and nobody waited for that: the kernel does not watch it.
    Paused,
    /// By edges, and its number may become another file's: the kernel is asked before each wait, for
    /// what is waited for.
    Borrowed,
}

/// Somebody who waits.
#[derive(Clone, Copy)]
struct Waiting {
    key: Key,
    /// Tells apart those who wait under one key.
    ticket: u32,
    interest: Interest,
}

impl Waiting {
    fn is_due(&self, readiness: Readiness) -> bool {
        self.key != Key::NOWHERE && !visible(readiness, self.interest).is_empty()
    }
}

const NOBODY: Waiting = Waiting { key: Key::NOWHERE, ticket: 0, interest: Interest::empty() };

/// A place in the line of those who wait for an fd, which its holder gives up when it is done.
pub(in crate::task) struct Place {
    /// The loop of the line.
    loop_id: Cell<u32>,
    key: Cell<Key>,
    /// Zero is none.
    ticket: Cell<u32>,
}

impl Place {
    pub(in crate::task) const fn new() -> Place {
        Place { loop_id: Cell::new(0), key: Cell::new(Key::NOWHERE), ticket: Cell::new(0) }
    }

    /// Whether it may be in a line: who was told is not, and has not noticed.
    pub(in crate::task) fn is_taken(&self) -> bool {
        self.key.get() != Key::NOWHERE
    }

    /// Its holder was told.
    pub(in crate::task) fn clear(&self) {
        self.key.set(Key::NOWHERE);
        self.ticket.set(0);
    }
}

impl IoSlot {
    fn new(mode: TriggerMode, ownership: Ownership) -> IoSlot {
        let (watch, readiness) = (None, Readiness::empty());
        let level = match (mode, ownership) {
            (_, Ownership::Borrowed) => Level::Borrowed,
            (TriggerMode::Level, _) => Level::Yes,
            _ => Level::No,
        };
        IoSlot { watch, readiness, level, ticket: 0, first: NOBODY, others: BTreeMap::new() }
    }

    /// Returns all waiters, in their order.
    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        let first = Some(&self.first).filter(|first| first.key != Key::NOWHERE);
        first.into_iter().chain(self.others.values())
    }

    /// Returns the waiter with this ticket, if it waits for `interest`.
    fn waiter(&mut self, ticket: u32, interest: Interest) -> Option<&mut Waiting> {
        let waiting = match self.first.ticket == ticket {
            true => Some(&mut self.first),
            false => self.others.get_mut(&ticket),
        };
        waiting.filter(|waiting| waiting.key != Key::NOWHERE && waiting.interest == interest)
    }

    fn queue_up(&mut self, place: &Place, interest: Interest) {
        let (key, ticket) = (place.key.get(), place.ticket.get());
        if ticket != 0
            && let Some(known) = self.waiter(ticket, interest)
        {
            known.key = key;
            return;
        }
        self.ticket = self.next_ticket();
        place.ticket.set(self.ticket);
        let waiting = Waiting { key, ticket: self.ticket, interest };
        match self.first.key {
            Key::NOWHERE if self.others.is_empty() => self.first = waiting,
            _ => drop(self.others.insert(self.ticket, waiting)),
        }
    }

    /// Returns a ticket that no waiter has; zero is none.
    fn next_ticket(&self) -> u32 {
        let mut ticket = self.ticket;
        loop {
            ticket = ticket.checked_add(1).unwrap_or(1);
            if self.first.ticket != ticket && !self.others.contains_key(&ticket) {
                return ticket;
            }
        }
    }

    /// Removes the waiter with this ticket, if it waits for `interest`.
    fn leave(&mut self, ticket: u32, interest: Interest) {
        if self.waiter(ticket, interest).is_none() {
            return;
        }
        match self.first.ticket == ticket {
            true => self.first = NOBODY,
            false => drop(self.others.remove(&ticket)),
        }
    }

    /// Takes out the waiter that has waited longest for what the fd is ready for.
    fn take_due(&mut self) -> Option<Key> {
        if self.first.is_due(self.readiness) {
            return Some(mem::replace(&mut self.first, NOBODY).key);
        }
        let mut others = self.others.iter().inspect(|_| step());
        let (ticket, _) = others.find(|(_, waiting)| waiting.is_due(self.readiness))?;
        let ticket = *ticket;
        self.others.remove(&ticket).map(|waiting| waiting.key)
    }

    /// Takes out all waiters but the first for what the fd is ready for, in their order.
    fn take_others_due(&mut self) -> Vec<Key> {
        let (mut due, readiness) = (Vec::new(), self.readiness);
        self.others.retain(|_, waiting| {
            step();
            let is_due = waiting.is_due(readiness);
            due.extend(is_due.then_some(waiting.key));
            !is_due
        });
        due
    }
}

impl Tasks {
    /// Begins to watch `fd`; nothing is known of it yet.
    pub(in crate::task) fn watch_io(
        &self,
        fd: RawFd,
        interest: Interest,
        mode: TriggerMode,
        ownership: Ownership,
    ) -> Result<Key> {
        self.core.check_open()?;
        let key = self.ios.borrow_mut().insert(IoSlot::new(mode, ownership));
        let half = Half { key, interest, role: Role::Both, ownership };
        let watch = self.core.watch_half(fd, mode, half);
        let mut ios = self.ios.borrow_mut();
        match watch {
            Ok(watch) => ios.get(key).expect("just inserted").watch = Some(watch),
            Err(error) => {
                ios.remove(key);
                return Err(error);
            }
        }
        Ok(key)
    }

    /// Ends watching: the kernel forgets the fd now.
    pub(in crate::task) fn unwatch_io(&self, key: Key) {
        let slot = self.ios.borrow_mut().remove(key);
        let Some(IoSlot { watch, first, others, .. }) = slot else { return };
        if let Some(watch) = watch {
            self.core.unwatch(watch, key);
        }
        self.forget_waiter_later(first.key);
        others.into_values().for_each(|waiting| self.forget_waiter_later(waiting.key));
    }

    /// The loop is closed.
    pub(super) fn unwatch_ios(&self) {
        let keys = self.ios.borrow().keys();
        for key in keys {
            let slot = self.ios.borrow_mut().remove(key);
            if let Some(watch) = slot.and_then(|slot| slot.watch) {
                self.core.unwatch(watch, key);
            }
        }
    }

    /// What the fd is known to be ready for; none if the loop is closed.
    #[inline]
    pub(in crate::task) fn io_readiness(&self, key: Key) -> Option<Readiness> {
        self.ios.borrow_mut().get(key).map(|slot| slot.readiness)
    }

    /// A call would have blocked: the fd is not ready for `interest`, whatever was known. An error
    /// that is over takes with it what it had implied.
    #[inline]
    pub(in crate::task) fn io_blocked(&self, key: Key, interest: Interest) {
        let mut ios = self.ios.borrow_mut();
        let Some(slot) = ios.get(key) else { return };
        let failed = slot.readiness.contains(Readiness::ERROR);
        let mut stale = Readiness::from(interest) | Readiness::ERROR | Readiness::HANGUP;
        stale.set(Readiness::READ_CLOSED, interest.contains(Interest::READABLE));
        stale.set(Readiness::WRITE_CLOSED, interest.contains(Interest::WRITABLE) || failed);
        self.drain(slot, key, interest, stale);
    }

    /// A call did less than it was asked for, so the next one would block: epoll(7), "Questions and
    /// answers", 9. Not where the direction is over, which is no news a second time; and not after
    /// urgent data, at which a read stops short.
    #[inline]
    pub(in crate::task) fn io_exhausted(&self, key: Key, interest: Interest) {
        const OVER: Readiness = Readiness::UNSOLICITED.union(Readiness::PRIORITY);
        let mut ios = self.ios.borrow_mut();
        if let Some(slot) = ios.get(key)
            && !slot.readiness.intersects(OVER)
        {
            self.drain(slot, key, interest, interest.into());
        }
    }

    #[inline]
    fn drain(&self, slot: &mut IoSlot, key: Key, interest: Interest, stale: Readiness) {
        slot.readiness.remove(stale);
        if let Some(watch) = slot.watch {
            self.core.watchers.borrow_mut().clear_readiness(watch, key, interest);
        }
    }

    /// Sees to it that `waker` is woken when the fd is ready for `interest`, which it is not now.
    #[inline]
    pub(in crate::task) fn io_wait(
        &self,
        key: Key,
        place: &Place,
        interest: Interest,
        waker: &Waker,
    ) -> Result<()> {
        if place.loop_id.replace(self.loop_id()) != self.loop_id() {
            place.clear(); // That loop is closed.
        }
        self.wait(&place.key, waker);
        let mut ios = self.ios.borrow_mut();
        let Some(slot) = ios.get(key) else { return Ok(()) };
        slot.queue_up(place, interest);
        match slot.level {
            Level::No | Level::Yes => Ok(()),
            Level::Paused => self.resume(slot, key, interest),
            Level::Borrowed => self.ask_again(slot, key),
        }
    }

    /// Has the kernel watch what the number stands for now, for those who wait.
    #[cold]
    fn ask_again(&self, slot: &mut IoSlot, key: Key) -> Result<()> {
        let Some(watch) = slot.watch else { return Ok(()) };
        let waited_for = slot.waiting().fold(Interest::empty(), |all, it| all | it.interest);
        self.core.set_interest(watch, key, waited_for)
    }

    #[cold]
    fn resume(&self, slot: &mut IoSlot, key: Key, interest: Interest) -> Result<()> {
        if let Some(watch) = slot.watch {
            self.core.set_interest(watch, key, interest)?;
        }
        slot.level = Level::Yes;
        Ok(())
    }

    /// Nobody waits for an fd that would be reported in each tick.
    #[cold]
    fn pause(&self, slot: &mut IoSlot, key: Key) {
        // What cannot be changed any more is lost: that is told like any other event.
        if let Some(watch) = slot.watch
            && self.core.set_interest(watch, key, Interest::empty()).is_ok()
        {
            slot.level = Level::Paused;
        }
    }

    /// Takes somebody out of the line.
    pub(in crate::task) fn io_leave(&self, key: Key, place: &Place, interest: Interest) {
        let ticket = place.ticket.get();
        if place.loop_id.get() != self.loop_id() {
            return; // That loop is closed.
        }
        if let Some(slot) = self.ios.borrow_mut().get(key) {
            slot.leave(ticket, interest);
        }
        self.forget_waiter(place.key.replace(Key::NOWHERE));
    }

    /// The first one in the line.
    pub(in crate::task) fn io_waiter(&self, key: Key) -> Option<Key> {
        self.ios.borrow_mut().get(key)?.waiting().next().map(|waiting| waiting.key)
    }

    /// Something is known of an fd. Who has waited for it longest runs at once, as the callback of
    /// a watcher would, and the others in the next tick.
    #[inline]
    pub(super) fn deliver(&self, ready: Ready) -> bool {
        self.core.current.set(Key::NOWHERE); // Nobody but the watcher knows this key.
        let Some((first, is_alone)) = self.note(ready) else { return false };
        if !is_alone {
            self.wake_due(ready.key);
        }
        if Kind::of(first) != Kind::Task {
            self.wake(first);
            return true;
        }
        let due = self.mark_queued(first);
        if due {
            self.core.current.set(first);
            self.run(first);
        }
        due
    }

    /// The first one who is told, and whether nobody else waits.
    #[inline]
    fn note(&self, ready: Ready) -> Option<(Key, bool)> {
        let mut ios = self.ios.borrow_mut();
        let Some(slot) = ios.get(ready.key) else {
            self.core.note_unknown_key(ready);
            return None;
        };
        slot.readiness |= ready.readiness;
        if ready.readiness.contains(Readiness::INVALID)
            && let Some(watch) = slot.watch.take()
        {
            self.core.unwatch(watch, ready.key);
        }
        let Some(first) = slot.take_due() else {
            if slot.level == Level::Yes {
                self.pause(slot, ready.key);
            }
            return None;
        };
        Some((first, slot.others.is_empty()))
    }

    fn wake_due(&self, key: Key) {
        let due = self.ios.borrow_mut().get(key).map(IoSlot::take_others_due);
        for waiter in due.unwrap_or_default() {
            self.wake(waiter);
        }
    }
}
