//! Watchers: for each fd the handles of its reader and its writer, kept in step with the selector.
//!
//! # Invariants
//!
//! * The kernel watches an fd for exactly the union of what its reader and its writer want; for
//!   nothing, it does not know it. Both change together, at once.
//! * The kernel knows an owned fd with one callback by that callback's key, and any other by its
//!   entry. A key or an entry of earlier times misses.
//! * A borrowed fd may become another file's under the same number. An interest that is set is then
//!   set for that file, and events of the old one miss.
//! * An error of the selector leaves the table as it was.
//! * Memory is given back after a peak, see [`vacancy`](crate::vacancy). An
//!   entry takes about 130 bytes, and each number up to the highest fd four.

use std::io;
use std::os::fd::RawFd;

use mainspring_sys::process::Process;
use mainspring_sys::{AnySelector, Event, Events, Interest, Readiness, Token, TriggerMode, fd};

use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::{Ready, ReadyDeque};
use crate::vacancy::Vacancies;

use self::entry::{Entry, Name};
pub(crate) use self::entry::{Registration, Role, WatcherId, is_solicited, visible};
use self::fd_index::Numbers;
pub(crate) use self::fd_ownership::FdOwnership;

mod closed_fds;
mod entry;
mod fd_index;
mod fd_ownership;

/// Tokens from this slot on are not watchers: the doorbells of the loop itself.
const FIRST_INTERNAL: u32 = u32::MAX - 15;

/// The token of the `index`-th doorbell.
pub(crate) const fn internal_token(index: u32) -> Token {
    Token::new(FIRST_INTERNAL + index, 0)
}

/// The bit of a doorbell in [`FeedResult::wakeups`].
pub(crate) const fn wakeup_bit(doorbell: Token) -> u16 {
    1 << (doorbell.slot() - FIRST_INTERNAL)
}

/// The watchers of a loop, and the selector that watches for them.
#[derive(Debug)]
pub(crate) struct Watchers {
    selector: AnySelector,
    entries: Vec<Entry>,
    free: Vacancies,
    numbers: Numbers,
    /// The loop's own doorbells, and how they are watched.
    fixed: Vec<(RawFd, Token, TriggerMode)>,
    /// The process that the selector watches for. In a forked child only the table changes, until
    /// it is [rebuilt](Watchers::rebuild): the kernel's registrations are the parent's.
    process: Process,
}

/// What [`Watchers::feed`] found besides watchers.
#[derive(Debug, Default)]
pub(crate) struct FeedResult {
    /// Doorbells that rang, a bit for each.
    pub(crate) wakeups: u16,
    /// Registrations that nobody knows came from the kernel.
    pub(crate) unknown_tokens: bool,
}

impl Watchers {
    pub(crate) fn new(selector: AnySelector) -> Watchers {
        let (entries, free, numbers, fixed) = Default::default();
        Watchers { selector, entries, free, numbers, fixed, process: Process::current() }
    }

    #[inline]
    pub(crate) fn selector(&mut self) -> &mut AnySelector {
        &mut self.selector
    }

    /// Remembers a doorbell of the loop, so that it survives [`rebuild`](Watchers::rebuild).
    pub(crate) fn add_internal(&mut self, fd: RawFd, token: Token, mode: TriggerMode) {
        self.fixed.push((fd, token, mode));
    }

    /// Whether an event waits that the selector's descriptor does not show.
    pub(crate) fn has_ready(&self) -> bool {
        self.selector.has_ready()
    }

    /// Lets go of a doorbell, before it is closed.
    pub(crate) fn remove_internal(&mut self, fd: RawFd) {
        self.fixed.retain(|(other, ..)| *other != fd);
        if self.process.is_current() {
            // The doorbell is open and registered, so this cannot fail; and a closed one needs no
            // more.
            let _ = self.selector.deregister(fd);
        }
    }

    /// Watches `fd` for the callback of `half`.
    pub(crate) fn register(
        &mut self,
        fd: RawFd,
        half: Registration,
        ready: &mut ReadyDeque,
    ) -> Result<WatcherId> {
        let slot = self.numbers.slot_of(fd).filter(|slot| !self.is_lost(*slot));
        let slot = match slot.map(|slot| (slot, self.check_free(slot, half.role))) {
            Some((slot, Ok(()))) => slot,
            Some((slot, Err(taken))) if !self.outlived(slot, ready) => return Err(taken),
            _ => self.take_slot(fd, half.mode),
        };
        let placed = self.place(slot, half).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            // The number is in use again, and the kernel has forgotten whose it was.
            self.lose(slot, ready);
            let slot = self.take_slot(fd, half.mode);
            self.place(slot, half)
        });
        placed.map_err(|source| Error::Watch { operation: "watch", fd, source })
    }

    fn place(&mut self, slot: u32, half: Registration) -> io::Result<WatcherId> {
        let (role, at) = (half.role, half.role.half());
        self.entries[slot as usize].halves[at] = Some(half);
        let settled = self.settle(slot, false);
        if settled.is_err() {
            self.entries[slot as usize].halves[at] = None;
            self.release_if_empty(slot);
        }
        settled.map(|()| WatcherId::new(slot, role))
    }

    fn check_free(&self, slot: u32, role: Role) -> Result<()> {
        let entry = &self.entries[slot as usize];
        let whole = role == Role::Both;
        let taken = entry
            .halves
            .iter()
            .flatten()
            .find(|half| whole || half.role == Role::Both || half.role == role);
        match taken {
            Some(half) => Err(Error::AlreadyWatched { fd: entry.fd, role: half.role.name() }),
            None => Ok(()),
        }
    }

    fn take_slot(&mut self, fd: RawFd, mode: TriggerMode) -> u32 {
        let slot = match self.free.take(&self.entries) {
            Some(slot) => {
                let entry = &mut self.entries[slot as usize];
                *entry = Entry::new(fd, entry.generation, mode);
                slot
            }
            None => {
                self.entries.push(Entry::new(fd, self.free.append(), mode));
                self.entries.len() as u32 - 1
            }
        };
        self.numbers.assign(fd, slot);
        slot
    }

    fn release_if_empty(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        if entry.halves.iter().any(Option::is_some) {
            return;
        }
        self.numbers.remove(entry.fd, slot); // It may have a new owner, see `outlived`.
        // A slot whose generations are used up is retired.
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.links = Some(self.free.links());
            let capacity = self.entries.capacity();
            self.free.add(&mut self.entries, slot);
            if self.entries.capacity() < capacity {
                self.numbers.shrink();
            }
        }
    }

    /// Brings the kernel in line with the table; `rearm` also where nothing else changed.
    fn settle(&mut self, slot: u32, rearm: bool) -> io::Result<()> {
        let entry = &mut self.entries[slot as usize];
        let (wanted, name) = (entry.wanted(), entry.name(slot));
        if !self.process.is_current() {
            (entry.registered, entry.token) = (wanted, name);
            return Ok(());
        }
        let selector = &mut self.selector;
        match (entry.registered.is_empty(), wanted.is_empty()) {
            (true, true) => entry.pause(),
            (true, false) => selector.register(entry.fd, name, wanted, entry.mode)?,
            (false, true) => {
                selector.deregister(entry.fd)?;
                entry.pause();
            }
            (false, false) if !rearm && wanted == entry.registered && entry.is_called(name) => {
                return Ok(());
            }
            (false, false) => selector.reregister(entry.fd, name, wanted, entry.mode)?,
        }
        (entry.registered, entry.token) = (wanted, name);
        Ok(())
    }

    /// Like [`settle`](Watchers::settle), but where the kernel does not know a borrowed fd, the number
    /// is another file's by now, and that one is watched.
    fn settle_borrowed(&mut self, slot: u32, rearm: bool) -> io::Result<()> {
        let settled = self.settle(slot, rearm);
        let entry = &mut self.entries[slot as usize];
        match settled {
            Err(error) if error.kind() == io::ErrorKind::NotFound && entry.is_borrowed() => {
                entry.registered = Interest::empty();
                entry.rename();
                self.settle(slot, false)
            }
            settled => settled,
        }
    }

    /// The half that `key` has at `watch`; none if it was removed, whoever has the place now.
    fn half(&mut self, watch: WatcherId, key: Key) -> Option<&mut Registration> {
        let entry = self.entries.get_mut(watch.slot() as usize)?;
        entry.halves[watch.role().half()].as_mut().filter(|half| half.key == key)
    }

    /// Changes what a callback wants to be told; nothing pauses it. In the modes oneshot and edge
    /// this re-arms. The kernel is asked even for the same interest if the fd is borrowed.
    pub(crate) fn set_interest(
        &mut self,
        watch: WatcherId,
        key: Key,
        interest: Interest,
        ready: &mut ReadyDeque,
    ) -> Result<()> {
        let Some(half) = self.half(watch, key) else {
            return Err(Error::Gone { operation: "change the interest" });
        };
        let before = std::mem::replace(&mut half.interest, interest);
        let is_borrowed = half.ownership == FdOwnership::Borrowed;
        let Entry { fd, mode, .. } = self.entries[watch.slot() as usize];
        let settled = self.settle_borrowed(watch.slot(), is_borrowed || mode != TriggerMode::Level);
        settled.map_err(|source| {
            if let Some(half) = self.half(watch, key) {
                half.interest = before;
            }
            if source.kind() == io::ErrorKind::NotFound || !fd::is_open(fd) {
                self.lose(watch.slot(), ready);
            }
            Error::Watch { operation: "change the interest in", fd, source }
        })
    }

    pub(crate) fn interest(&self, watch: WatcherId, key: Key) -> Interest {
        let entry = self.entries.get(watch.slot() as usize);
        let half = entry.and_then(|entry| entry.halves[watch.role().half()].as_ref());
        half.filter(|half| half.key == key).map_or(Interest::empty(), |half| half.interest)
    }

    /// Whether anything can be told to `key`: at its place, or at the writer's where that has
    /// another fd.
    pub(crate) fn is_wanted(&self, watch: WatcherId, key: Key) -> bool {
        let of_key = |half: &&Registration| half.key == key && !half.interest.is_empty();
        match watch.role() {
            Role::Both | Role::Writer => !self.interest(watch, key).is_empty(),
            Role::Reader if !self.interest(watch, key).is_empty() => true,
            Role::Reader => {
                self.entries.iter().any(|it| it.halves.iter().flatten().any(|half| of_key(&half)))
            }
        }
    }

    /// Gives the place of one callback to another one. In the modes oneshot and edge this re-arms:
    /// what the old one was to be told, the new one is told.
    pub(crate) fn replace_key(
        &mut self,
        watch: WatcherId,
        old: Key,
        new: Key,
        ready: &mut ReadyDeque,
    ) {
        let Some(half) = self.half(watch, old) else { return };
        half.key = new;
        let Entry { registered, mode, .. } = self.entries[watch.slot() as usize];
        if !registered.is_empty()
            && self.settle_borrowed(watch.slot(), mode != TriggerMode::Level).is_err()
        {
            self.lose(watch.slot(), ready);
        }
    }

    /// Ends watching for one callback. When it was the last one of its fd, the kernel forgets the
    /// fd now.
    pub(crate) fn remove(&mut self, watch: WatcherId, key: Key, ready: &mut ReadyDeque) {
        if self.half(watch, key).is_none() {
            return;
        }
        let entry = &mut self.entries[watch.slot() as usize];
        entry.halves[watch.role().half()] = None;
        // What is not registered was paused, or it was lost: then the number may be a stranger's by
        // now.
        if !entry.registered.is_empty() && self.settle_borrowed(watch.slot(), false).is_err() {
            // Only an fd that was closed before. Whoever shares it is told.
            self.lose(watch.slot(), ready);
        }
        self.release_if_empty(watch.slot());
    }

    /// Passes on that a call on the fd in the directions of `interest` would have blocked.
    pub(crate) fn clear_readiness(&mut self, watch: WatcherId, key: Key, interest: Interest) {
        if !self.selector.ignores_clear_readiness() && self.half(watch, key).is_some() {
            let entry = &self.entries[watch.slot() as usize];
            self.selector.clear_readiness(entry.fd, entry.registered & interest);
        }
    }

    /// What of `readiness` the callback wants to hear of now; its interest may have changed since
    /// it was fed.
    pub(crate) fn still_wanted(&self, watch: WatcherId, ready: Ready) -> Readiness {
        visible(ready.readiness, self.interest(watch, ready.key))
    }

    /// Feeds the handles of everything that is ready, reader before writer.
    ///
    /// A callback that has the fd for itself is not looked up here, so it hears what the kernel
    /// said, and not only what it asked for: see [`is_solicited`].
    #[inline]
    pub(crate) fn feed(&self, events: &Events, ready: &mut ReadyDeque) -> FeedResult {
        let mut fed = FeedResult::default();
        for Event { token, readiness } in events {
            match Name::of(*token) {
                _ if token.slot() >= FIRST_INTERNAL => fed.wakeups |= wakeup_bit(*token),
                Name::One(key) => ready.feed(key, *readiness),
                Name::Two { slot, generation } => match self.entries.get(slot as usize) {
                    Some(entry) if entry.generation == generation => {
                        entry.feed(*readiness, ready);
                    }
                    _ => fed.unknown_tokens = true,
                },
            }
        }
        fed
    }

    /// Whether an event is for a callback that is not `known`.
    #[cold]
    pub(crate) fn has_unknown_keys(events: &Events, known: impl Fn(Key) -> bool) -> bool {
        events.into_iter().any(|Event { token, .. }| match Name::of(*token) {
            Name::One(key) => token.slot() < FIRST_INTERNAL && !known(key),
            Name::Two { .. } => false, // Seen when it was fed.
        })
    }

    /// Makes the kernel forget registrations that nobody can take back.
    ///
    /// epoll registers the open file, not its number. If an fd is closed behind the loop's back
    /// while a copy of it lives on (dup(2), a child), its events keep coming and `EPOLL_CTL_DEL`
    /// has no number to name it by: epoll(7), "Questions and answers", 6. A fresh kernel object
    /// with the registrations that are known is the only cure.
    pub(crate) fn rebuild(&mut self, ready: &mut ReadyDeque) -> io::Result<()> {
        self.selector.reset()?;
        self.process = Process::current();
        for (fd, token, mode) in &self.fixed {
            self.selector.register(*fd, *token, Interest::READABLE, *mode)?;
        }
        for entry in &mut self.entries {
            if !entry.registered.is_empty() {
                let Entry { fd, token, registered, mode, .. } = *entry;
                if self.selector.register(fd, token, registered, mode).is_err() {
                    entry.invalidate(ready);
                }
            }
        }
        Ok(())
    }
}
