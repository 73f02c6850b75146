//! Watchers: the callbacks registered for each fd, kept in step with the selector.
//!
//! # Invariants
//!
//! * The kernel watches an fd for exactly the union of its callbacks' interests. If that union is
//!   empty, the fd is not registered in the kernel. Table and kernel change together, at once.
//! * The kernel's token for an owned fd with one callback is that callback's key. Any other fd has
//!   the token of its entry. A token with an old generation reaches no callback.
//! * A borrowed fd number may come to refer to another file. A new interest then applies to the new
//!   file, and late events of the old file reach no callback.
//! * An error of the selector leaves the table as it was. Only a [rebuild](rebuild) that failed
//!   halfway leaves a kernel object that lacks registrations.
//! * Memory is given back after a peak, see [`free_list`](crate::arena::free_list). An entry takes
//!   about 130 bytes, and each number up to the highest watched fd takes 4.

use std::io;
use std::os::fd::RawFd;

use mainspring_sys::process::Process;
use mainspring_sys::{AnySelector, Event, Events, Interest, Readiness, Token, TriggerMode, fd};

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::metrics::Page;
use crate::ready::{Ready, ReadyDeque};

use self::entry::{EventTarget, WatcherEntry};
pub(crate) use self::entry::{Registration, Role, WatcherId, is_solicited, visible};
use self::fd_index::FdIndex;
pub(crate) use self::fd_ownership::FdOwnership;

mod closed_fds;
mod entry;
mod fd_index;
mod fd_ownership;
mod rebuild;

/// First slot of the tokens that the loop uses for its own wakeups.
const FIRST_INTERNAL: u32 = u32::MAX - 15;

/// Returns the token of the loop's wakeup number `index`, which is less than 16.
pub(crate) const fn internal_token(index: u32) -> Token {
    Token::new(FIRST_INTERNAL + index, 0)
}

/// Returns the bit of the wakeup `token` in [`FeedResult::wakeups`].
pub(crate) const fn wakeup_bit(token: Token) -> u16 {
    1 << (token.slot() - FIRST_INTERNAL)
}

/// The watchers of a loop, and the selector that watches their fds.
#[derive(Debug)]
pub(crate) struct Watchers {
    selector: AnySelector,
    entries: Arena<WatcherEntry>,
    fd_index: FdIndex,
    /// Fd, token and trigger mode of the loop's own wakeups.
    internal: Vec<(RawFd, Token, TriggerMode)>,
    /// Process that the kernel object's registrations belong to. In a forked child only the table
    /// changes until [`rebuild`](Watchers::rebuild), because the kernel object is shared with the
    /// parent.
    process: Process,
    /// True if the kernel lacks registrations of the table: a rebuild failed halfway.
    is_incomplete: bool,
}

/// Result of [`Watchers::feed`], besides the callbacks that it queued.
#[derive(Debug, Default)]
pub(crate) struct FeedResult {
    /// Wakeups that are readable, one bit each; see [`wakeup_bit`].
    pub(crate) wakeups: u16,
    /// True if an event had the token of an entry that no longer exists.
    pub(crate) unknown_tokens: bool,
}

impl Watchers {
    pub(crate) fn new(selector: AnySelector) -> Watchers {
        let (entries, fd_index, internal, is_incomplete) = Default::default();
        let process = Process::current();
        Watchers { selector, entries, fd_index, internal, process, is_incomplete }
    }

    #[inline]
    pub(crate) fn selector(&mut self) -> &mut AnySelector {
        &mut self.selector
    }

    /// Records a wakeup of the loop that the selector already watches, so that
    /// [`rebuild`](Watchers::rebuild) registers it again.
    pub(crate) fn add_internal(&mut self, fd: RawFd, token: Token, mode: TriggerMode) {
        self.internal.push((fd, token, mode));
    }

    /// Returns the number of fds with a callback.
    pub(crate) fn count(&self) -> usize {
        self.entries.count()
    }

    /// Returns true if an event is pending that the selector's own descriptor does not show.
    pub(crate) fn has_ready(&self) -> bool {
        self.selector.has_ready()
    }

    /// Removes a wakeup of the loop, before its fd is closed.
    pub(crate) fn remove_internal(&mut self, fd: RawFd) {
        self.internal.retain(|(other, ..)| *other != fd);
        if self.process.is_current() {
            // The fd is open and registered, so this does not fail.
            let _ = self.selector.deregister(fd);
        }
    }

    /// Registers a callback for `fd`.
    pub(crate) fn register(
        &mut self,
        fd: RawFd,
        registration: Registration,
        ready: &mut ReadyDeque,
    ) -> Result<WatcherId> {
        let index = self.fd_index.get(fd).filter(|index| !self.is_known_lost(*index));
        let index = match index.map(|index| (index, self.check_free(index, registration.role))) {
            Some((index, Ok(()))) => index,
            Some((index, Err(taken))) if !self.detect_reuse(index, ready) => return Err(taken),
            _ => self.allocate(fd, registration.mode),
        };
        let registered = self.insert(index, registration).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            // The kernel dropped the old file's registration, and the number is in use again.
            self.report_closed(index, ready);
            let index = self.allocate(fd, registration.mode);
            self.insert(index, registration)
        });
        registered.map_err(|source| Error::Watch { operation: "watch", fd, source })
    }

    fn insert(&mut self, index: u32, registration: Registration) -> io::Result<WatcherId> {
        let (role, direction) = (registration.role, registration.role.direction());
        self.entry(index).registrations[direction] = Some(registration);
        if let Err(error) = self.sync_kernel(index, false) {
            self.entry(index).registrations[direction] = None;
            self.release_if_empty(index);
            return Err(error);
        }
        // Only now: the index takes four bytes for each lower number, and an invalid number may be
        // `RawFd::MAX`.
        let fd = self.entry(index).fd;
        self.fd_index.set(fd, index);
        Ok(WatcherId::new(index, role))
    }

    fn check_free(&self, index: u32, role: Role) -> Result<()> {
        let Some(entry) = self.entries.at(index) else { return Ok(()) };
        let is_both = role == Role::Both;
        let taken = entry
            .registrations
            .iter()
            .flatten()
            .find(|other| is_both || other.role == Role::Both || other.role == role);
        match taken {
            Some(other) => Err(Error::AlreadyWatched { fd: entry.fd, role: other.role.name() }),
            None => Ok(()),
        }
    }

    fn allocate(&mut self, fd: RawFd, mode: TriggerMode) -> u32 {
        let make = |_, generation| WatcherEntry::new(fd, generation, mode);
        self.entries.insert(make).0
    }

    fn release_if_empty(&mut self, index: u32) {
        let WatcherEntry { fd, generation, registrations, .. } = self.entry(index);
        if registrations.iter().any(Option::is_some) {
            return;
        }
        let (fd, generation, capacity) = (*fd, *generation, self.entries.capacity());
        // Does nothing if a newer entry has the number, see `detect_reuse`.
        self.fd_index.remove(fd, index);
        self.entries.remove(index, generation);
        if self.entries.capacity() < capacity {
            self.fd_index.shrink();
        }
    }

    /// Returns the entry at an index of the table or of a valid [`WatcherId`].
    fn entry(&mut self, index: u32) -> &mut WatcherEntry {
        self.entries.at_mut(index).expect("the entry is in use")
    }

    /// Brings the kernel in line with the entry. With `rearm` it calls the kernel even if nothing
    /// changed.
    fn sync_kernel(&mut self, index: u32, rearm: bool) -> io::Result<()> {
        let Watchers { selector, entries, process, is_incomplete, .. } = self;
        let entry = entries.at_mut(index).expect("the entry is in use");
        let (wanted, token) = (entry.wanted(), entry.best_token(index));
        if *is_incomplete || !process.is_current() {
            (entry.registered, entry.token) = (wanted, token);
            return Ok(());
        }
        match (entry.registered.is_empty(), wanted.is_empty()) {
            (true, true) => entry.note_unregistered(),
            (true, false) => selector.register(entry.fd, token, wanted, entry.mode)?,
            (false, true) => {
                selector.deregister(entry.fd)?;
                entry.note_unregistered();
            }
            (false, false) if !rearm && wanted == entry.registered && entry.routes_to(token) => {
                return Ok(());
            }
            (false, false) => selector.reregister(entry.fd, token, wanted, entry.mode)?,
        }
        (entry.registered, entry.token) = (wanted, token);
        Ok(())
    }

    /// Like [`sync_kernel`](Watchers::sync_kernel), but registers a borrowed fd again if it is not
    /// registered in the kernel: its number belongs to another file now.
    fn sync_borrowed(&mut self, index: u32, rearm: bool) -> io::Result<()> {
        let synced = self.sync_kernel(index, rearm);
        let entry = self.entry(index);
        match synced {
            Err(error) if error.kind() == io::ErrorKind::NotFound && entry.is_borrowed() => {
                entry.registered = Interest::empty();
                entry.renew_token();
                self.sync_kernel(index, false)
            }
            synced => synced,
        }
    }

    /// Returns the registration `id` if it still belongs to the callback `key`.
    fn registration(&mut self, id: WatcherId, key: Key) -> Option<&mut Registration> {
        let entry = self.entries.at_mut(id.index())?;
        entry.registrations[id.role().direction()].as_mut().filter(|other| other.key == key)
    }

    /// Changes a callback's interest; an empty interest pauses the callback. In the modes oneshot
    /// and edge this re-arms the fd.
    pub(crate) fn set_interest(
        &mut self,
        id: WatcherId,
        key: Key,
        interest: Interest,
        ready: &mut ReadyDeque,
    ) -> Result<()> {
        let Some(registration) = self.registration(id, key) else {
            return Err(Error::Gone { operation: "change the interest" });
        };
        let before = std::mem::replace(&mut registration.interest, interest);
        // A borrowed fd may be another file by now, so the kernel is called even if the interest
        // is the same.
        let is_borrowed = registration.ownership == FdOwnership::Borrowed;
        let WatcherEntry { fd, mode, .. } = *self.entry(id.index());
        let synced = self.sync_borrowed(id.index(), is_borrowed || mode != TriggerMode::Level);
        synced.map_err(|source| {
            if let Some(registration) = self.registration(id, key) {
                registration.interest = before;
            }
            if source.kind() == io::ErrorKind::NotFound || !fd::is_open(fd) {
                self.report_closed(id.index(), ready);
            }
            Error::Watch { operation: "change the interest in", fd, source }
        })
    }

    /// Returns the callback's descriptor, if the registration still belongs to the callback.
    #[inline]
    pub(crate) fn fd_of(&self, id: WatcherId, key: Key) -> Option<RawFd> {
        let entry = self.entries.at(id.index())?;
        entry.registration_of(id.role(), key).map(|_| entry.fd)
    }

    /// Returns the callback's interest; empty if the callback is paused or was removed.
    pub(crate) fn interest(&self, id: WatcherId, key: Key) -> Interest {
        let entry = self.entries.at(id.index());
        let found = entry.and_then(|entry| entry.registration_of(id.role(), key));
        found.map_or(Interest::empty(), |found| found.interest)
    }

    /// Returns true if any event can reach the callback `key`: through `id`, or through a second
    /// registration on another fd, which a transport with two fds has.
    pub(crate) fn is_wanted(&self, id: WatcherId, key: Key) -> bool {
        let is_wanted = |other: &Registration| other.key == key && !other.interest.is_empty();
        match id.role() {
            Role::Both | Role::Writer => !self.interest(id, key).is_empty(),
            Role::Reader if !self.interest(id, key).is_empty() => true,
            Role::Reader => self
                .entries
                .iter()
                .any(|(_, entry)| entry.registrations.iter().flatten().any(is_wanted)),
        }
    }

    /// Replaces the callback of a registration. In the modes oneshot and edge this re-arms the fd,
    /// so that the new callback gets the events that the old one has not seen.
    pub(crate) fn replace_key(
        &mut self,
        id: WatcherId,
        old: Key,
        new: Key,
        ready: &mut ReadyDeque,
    ) {
        let Some(registration) = self.registration(id, old) else { return };
        registration.key = new;
        let WatcherEntry { registered, mode, .. } = *self.entry(id.index());
        if !registered.is_empty()
            && self.sync_borrowed(id.index(), mode != TriggerMode::Level).is_err()
        {
            self.report_closed(id.index(), ready);
        }
    }

    /// Removes a callback's registration. If it was the last one of its fd, the kernel forgets the
    /// fd before this returns.
    pub(crate) fn remove(&mut self, id: WatcherId, key: Key, ready: &mut ReadyDeque) {
        if self.registration(id, key).is_none() {
            return;
        }
        let entry = self.entry(id.index());
        entry.registrations[id.role().direction()] = None;
        // An fd that is not registered is paused or lost. If it is lost, its number may belong to
        // another file, which must not be touched.
        if !entry.registered.is_empty() && self.sync_borrowed(id.index(), false).is_err() {
            // The fd was closed before. This also reaches the other callback of the fd.
            self.report_closed(id.index(), ready);
        }
        self.release_if_empty(id.index());
    }

    /// Reports to the selector that a call on the fd would have blocked in the directions of
    /// `interest`.
    pub(crate) fn clear_readiness(&mut self, id: WatcherId, key: Key, interest: Interest) {
        if !self.selector.ignores_clear_readiness() && self.registration(id, key).is_some() {
            let WatcherEntry { fd, registered, .. } = *self.entry(id.index());
            self.selector.clear_readiness(fd, registered & interest);
        }
    }

    /// Returns the part of a queued readiness that the callback still waits for. Its interest may
    /// have changed since the event was queued.
    pub(crate) fn still_wanted(&self, id: WatcherId, ready: Ready) -> Readiness {
        visible(ready.readiness, self.interest(id, ready.key))
    }

    /// Queues the callbacks of all ready fds, the reader before the writer.
    ///
    /// The only callback of an fd is not looked up here. Its readiness is queued as the kernel
    /// reported it, without the mask of its interest: see [`is_solicited`].
    #[inline]
    pub(crate) fn feed(&self, events: &Events, ready: &mut ReadyDeque, page: &Page) -> FeedResult {
        let mut result = FeedResult::default();
        for Event { token, readiness } in events {
            match EventTarget::of(*token) {
                _ if token.slot() >= FIRST_INTERNAL => result.wakeups |= wakeup_bit(*token),
                EventTarget::Callback(key) => ready.feed(key, *readiness),
                EventTarget::Entry { index, generation } => {
                    match self.entries.get(index, generation) {
                        Some(entry) if entry.feed(*readiness, ready) => {}
                        Some(_) => page.spurious_events.add(1),
                        None => {
                            page.add_stale_event();
                            result.unknown_tokens = true;
                        }
                    }
                }
            }
        }
        result
    }

    /// Returns true if an event is for a callback that is not `known`.
    #[cold]
    pub(crate) fn has_unknown_keys(events: &Events, known: impl Fn(Key) -> bool) -> bool {
        events.into_iter().any(|Event { token, .. }| match EventTarget::of(*token) {
            EventTarget::Callback(key) => token.slot() < FIRST_INTERNAL && !known(key),
            EventTarget::Entry { .. } => false, // `feed` has checked these.
        })
    }
}
