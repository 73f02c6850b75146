//! Descriptors that tasks wait for: registration, cached readiness, waking.
//!
//! The watcher of such an fd is edge-triggered, for all directions at once, and stays registered.
//! Reported readiness is cached until a call on the fd disproves it. So a wait makes no system
//! call: a busy connection costs its reads and writes, and a share of the selector's wait.
//!
//! A listener is level-triggered: after an accept, the selector reports whether another client
//! waits, which saves a failing accept. A listener that is ready without a waiter is paused, and
//! the next waiter resumes it.

use std::os::fd::RawFd;
use std::panic::Location;
use std::task::Waker;

use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::Tasks;
use super::io_slot::{IoSlot, Watching};
use super::ticket::Ticket;
use crate::error::Result;
use crate::handle::Key;
use crate::ready::Ready;
use crate::task::keyed_arena::KeyKind;
use crate::watchers::{FdOwnership, Registration, Role};

impl Tasks {
    /// Registers `fd`, for the call at `location`. Nothing is known about its readiness yet.
    pub(crate) fn watch_io(
        &self,
        fd: RawFd,
        interest: Interest,
        mode: TriggerMode,
        ownership: FdOwnership,
        location: Option<&'static Location<'static>>,
    ) -> Result<Key> {
        self.core.check_open()?;
        let slot = IoSlot::new(mode, ownership, location, self.core.tick());
        let key = self.ios.borrow_mut().insert(slot);
        let registration = Registration { key, role: Role::Both, interest, mode, ownership };
        let watcher = self.core.register(fd, registration);
        let mut ios = self.ios.borrow_mut();
        match watcher {
            Ok(watcher) => {
                ios.get(key).expect("the slot was just inserted").watcher = Some(watcher);
            }
            Err(error) => {
                ios.remove(key);
                return Err(error);
            }
        }
        Ok(key)
    }

    /// Ends the registration of an fd in the kernel at once. Returns the location of the call that
    /// made it.
    pub(crate) fn unwatch_io(&self, key: Key) -> Option<&'static Location<'static>> {
        let slot = self.ios.borrow_mut().remove(key);
        let slot = slot?;
        if let Some(watcher) = slot.watcher {
            self.core.unwatch(watcher, key);
        }
        slot.waiters().for_each(|waiter| self.forget_waiter_later(waiter.key));
        slot.location
    }

    /// Keeps the ages of descriptors, see [`REFRESH_EVERY`](crate::callbacks::REFRESH_EVERY).
    pub(super) fn refresh_ios(&self) {
        let tick = self.core.tick();
        self.ios.borrow_mut().iter_mut().for_each(|slot| slot.registered_at.refresh(tick));
    }

    /// Ends all registrations, because the loop is closed.
    pub(super) fn unwatch_ios(&self) {
        let keys = self.ios.borrow().keys();
        for key in keys {
            let slot = self.ios.borrow_mut().remove(key);
            if let Some(watcher) = slot.and_then(|slot| slot.watcher) {
                self.core.unwatch(watcher, key);
            }
        }
    }

    /// Returns the cached readiness of an fd, or `None` if the loop is closed.
    #[inline]
    pub(crate) fn io_readiness(&self, key: Key) -> Option<Readiness> {
        self.ios.borrow_mut().get(key).map(|slot| slot.readiness)
    }

    /// Clears cached readiness after a call that would have blocked. An error that is over also
    /// clears the closed direction that it had implied.
    #[inline]
    pub(crate) fn io_blocked(&self, key: Key, interest: Interest) {
        let mut ios = self.ios.borrow_mut();
        let Some(slot) = ios.get(key) else { return };
        // A refused datagram, for example, implied that the peer accepts nothing; now it may again.
        let failed = slot.readiness.contains(Readiness::ERROR);
        let mut stale = Readiness::from(interest) | Readiness::ERROR | Readiness::HANGUP;
        stale.set(Readiness::READ_CLOSED, interest.contains(Interest::READABLE));
        stale.set(Readiness::WRITE_CLOSED, interest.contains(Interest::WRITABLE) || failed);
        self.clear_readiness(slot, key, interest, stale);
    }

    /// Clears cached readiness after a short transfer: the next call would block (epoll(7), Q9).
    /// Exceptions: a closed direction, because its edge is not reported again, and pending urgent
    /// data, because reads stop short there.
    #[inline]
    pub(crate) fn io_exhausted(&self, key: Key, interest: Interest) {
        const KEEPS: Readiness = Readiness::UNSOLICITED.union(Readiness::PRIORITY);
        let mut ios = self.ios.borrow_mut();
        if let Some(slot) = ios.get(key)
            && !slot.readiness.intersects(KEEPS)
        {
            self.clear_readiness(slot, key, interest, interest.into());
        }
    }

    #[inline]
    fn clear_readiness(&self, slot: &mut IoSlot, key: Key, interest: Interest, stale: Readiness) {
        slot.readiness.remove(stale);
        if let Some(watcher) = slot.watcher {
            self.core.watchers.borrow_mut().clear_readiness(watcher, key, interest);
        }
    }

    /// Counts bytes that a call has read or received, or with `WRITABLE` written or sent.
    #[inline]
    pub(crate) fn count_bytes(&self, interest: Interest, bytes: usize) {
        let page = &self.core.page;
        let is_sent = interest.contains(Interest::WRITABLE);
        let number = if is_sent { &page.sent_bytes } else { &page.received_bytes };
        number.add(bytes as u64);
    }

    /// Queues a waiter: `waker` is woken when the fd is ready for `interest`, which it is not now.
    #[inline]
    pub(crate) fn io_wait(
        &self,
        key: Key,
        ticket: &Ticket,
        interest: Interest,
        waker: &Waker,
    ) -> Result<()> {
        if ticket.loop_id.replace(self.loop_id()) != self.loop_id() {
            ticket.clear(); // It was for a loop that is closed.
        }
        self.wait(&ticket.key, waker);
        let mut ios = self.ios.borrow_mut();
        let Some(slot) = ios.get(key) else { return Ok(()) };
        slot.enqueue(ticket, interest);
        match slot.watching {
            Watching::Edge | Watching::Level => Ok(()),
            Watching::Paused => self.resume(slot, key, interest),
            Watching::Borrowed => self.check_file(slot, key),
        }
    }

    /// Registers the file that has the fd's number now, for the interest of all waiters.
    #[cold]
    fn check_file(&self, slot: &mut IoSlot, key: Key) -> Result<()> {
        let Some(watcher) = slot.watcher else { return Ok(()) };
        self.core.set_interest(watcher, key, slot.wanted())
    }

    #[cold]
    fn resume(&self, slot: &mut IoSlot, key: Key, interest: Interest) -> Result<()> {
        if let Some(watcher) = slot.watcher {
            self.core.set_interest(watcher, key, interest)?;
        }
        slot.watching = Watching::Level;
        Ok(())
    }

    /// Pauses a level-triggered fd without waiters, which each tick would report otherwise.
    #[cold]
    fn pause(&self, slot: &mut IoSlot, key: Key) {
        // An error means that the fd is lost, which is reported like any other event.
        if let Some(watcher) = slot.watcher
            && self.core.set_interest(watcher, key, Interest::empty()).is_ok()
        {
            slot.watching = Watching::Paused;
        }
    }

    /// Removes a waiter from the queue.
    pub(crate) fn io_leave(&self, key: Key, ticket: &Ticket, interest: Interest) {
        let number = ticket.number.get();
        if ticket.loop_id.get() != self.loop_id() {
            return; // It was for a loop that is closed.
        }
        if let Some(slot) = self.ios.borrow_mut().get(key) {
            slot.leave(number, interest);
        }
        self.forget_waiter(ticket.key.replace(Key::NONE));
    }

    /// Returns the key of the first waiter.
    pub(crate) fn io_waiter(&self, key: Key) -> Option<Key> {
        self.ios.borrow_mut().get(key)?.waiters().next().map(|waiter| waiter.key)
    }

    /// Returns the key of the waiter that an event of an fd wakes first.
    pub(super) fn io_waiter_for(&self, event: Ready) -> Option<Key> {
        let mut ios = self.ios.borrow_mut();
        let slot = ios.get(event.key)?;
        slot.first_ready(slot.readiness | event.readiness)
    }

    /// Delivers an event of an fd. The task that has waited longest runs at once, like the callback
    /// of a watcher would; all others that wait for this readiness are queued for the next tick.
    #[inline]
    pub(super) fn deliver(&self, ready: Ready) -> bool {
        // The fd's key is internal: `LoopHandle::current` must not return it.
        self.core.current.set(Key::NONE);
        let Some((first, is_alone)) = self.note_event(ready) else { return false };
        // All waiters of the direction are woken: a waiter that is cancelled now swallows nothing.
        if !is_alone {
            self.wake_others(ready.key);
        }
        if KeyKind::of(first) != KeyKind::Task {
            self.wake(first);
            return true;
        }
        // At once, not in the next tick: the task runs where a callback would.
        let must_run = self.mark_queued(first);
        #[cfg(feature = "tracing")]
        self.record_wake(first);
        if must_run {
            self.core.current.set(first);
            self.run(first);
        }
        must_run
    }

    /// Adds an event to the cached readiness. Returns the key of the waiter to wake, and true if it
    /// is the only one.
    #[inline]
    fn note_event(&self, ready: Ready) -> Option<(Key, bool)> {
        let mut ios = self.ios.borrow_mut();
        let Some(slot) = ios.get(ready.key) else {
            // The event is for a removed registration, or for one that only the kernel has.
            self.core.note_unknown_key(ready.readiness);
            return None;
        };
        slot.readiness |= ready.readiness;
        if ready.readiness.contains(Readiness::INVALID)
            && let Some(watcher) = slot.watcher.take()
        {
            self.core.unwatch(watcher, ready.key);
        }
        let Some(first) = slot.pop_ready() else {
            self.core.note_nothing_ran(ready.readiness);
            if slot.watching == Watching::Level {
                self.pause(slot, ready.key);
            }
            return None;
        };
        Some((first, !slot.has_others()))
    }

    fn wake_others(&self, key: Key) {
        let ready = self.ios.borrow_mut().get(key).map(IoSlot::pop_others_ready);
        for waiter in ready.unwrap_or_default() {
            self.wake(waiter);
        }
    }
}
