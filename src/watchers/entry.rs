//! An entry of the table of watchers: an fd and its callbacks.

use std::num::NonZeroU32;
use std::os::fd::RawFd;

use mainspring_sys::fd::FileId;
use mainspring_sys::{Interest, Readiness, Token, TriggerMode};

use crate::arena;
use crate::handle::Key;
use crate::ready::ReadyDeque;
use crate::watchers::fd_ownership::FdOwnership;

/// The role of a callback among those of its fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The reader.
    Reader = 1,
    /// The writer.
    Writer = 2,
    /// The only callback of the fd, for both directions.
    Both = 3,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Both => "watcher",
        }
    }

    /// Returns the index of the callback in [`WatcherEntry::registrations`].
    #[inline]
    pub(super) fn direction(self) -> usize {
        match self {
            Role::Reader | Role::Both => 0,
            Role::Writer => 1,
        }
    }
}

/// The place of a registration in the table. It is valid until the registration is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatcherId {
    /// Index and role in one number, so that a callback's source fits into a register.
    index_and_role: NonZeroU32,
}

impl WatcherId {
    pub(super) fn new(index: u32, role: Role) -> WatcherId {
        debug_assert!(index < 1 << 30, "a process has fewer than 2^30 fds");
        let index_and_role = index << 2 | role as u32;
        WatcherId { index_and_role: NonZeroU32::new(index_and_role).expect("a role is not zero") }
    }

    pub(super) fn index(self) -> u32 {
        self.index_and_role.get() >> 2
    }

    #[inline]
    pub(crate) fn role(self) -> Role {
        match self.index_and_role.get() & 0b11 {
            1 => Role::Reader,
            2 => Role::Writer,
            _ => Role::Both,
        }
    }
}

/// The registration of one callback for an fd.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registration {
    pub(crate) key: Key,
    pub(crate) role: Role,
    /// Directions that the callback waits for; empty while it is paused.
    pub(crate) interest: Interest,
    /// Trigger mode of the fd. A second callback of the fd gets the mode of the first one.
    pub(crate) mode: TriggerMode,
    pub(crate) ownership: FdOwnership,
}

impl Registration {
    /// Returns a registration for an fd that its source closes.
    pub(crate) fn owned(key: Key, role: Role, interest: Interest, mode: TriggerMode) -> Self {
        Registration { key, role, interest, mode, ownership: FdOwnership::Owned }
    }
}

/// An fd and its callbacks.
#[derive(Debug)]
pub(super) struct WatcherEntry {
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    /// Interest that the kernel has for the fd; empty if the fd is not registered there.
    pub(super) registered: Interest,
    /// Token that the kernel has for the fd. Meaningless if the fd is not registered there.
    pub(super) token: Token,
    pub(super) mode: TriggerMode,
    /// Reason why the fd is not registered in the kernel. Meaningless if it is registered.
    pub(super) unregistered: Unregistered,
    /// The callbacks by [direction](Role::direction): reader or only callback, then writer.
    pub(super) registrations: [Option<Registration>; 2],
}

impl arena::Entry for WatcherEntry {
    // An index fits into a `WatcherId`, and above `Key::SOON_BASE` into a token.
    const LIMIT: usize = 1 << 30;

    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }
}

/// Reason why an entry's fd is not registered in the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unregistered {
    /// All callbacks are paused, or there are none yet.
    Paused,
    /// All callbacks are paused, and the fd is borrowed. The number had this file at that time.
    PausedFile(FileId),
    /// The fd was closed while it was watched.
    Lost,
}

/// Returns the token of an owned fd with one callback: the callback's key, so that an event goes
/// into the ready deque without a lookup in the table.
fn callback_token(key: Key) -> Token {
    Token::new(key.slot, key.generation)
}

/// Returns the token of an entry with two callbacks or a borrowed fd. Its slot is outside of the
/// range of callback keys.
fn entry_token(index: u32, generation: u32) -> Token {
    Token::new(Key::SOON_BASE | index, generation)
}

/// The receiver of an event, decoded from its token.
#[derive(Debug, Clone, Copy)]
pub(super) enum EventTarget {
    /// One callback.
    Callback(Key),
    /// All callbacks of an entry.
    Entry { index: u32, generation: u32 },
}

impl EventTarget {
    #[inline]
    pub(super) fn of(token: Token) -> EventTarget {
        let key = Key { slot: token.slot(), generation: token.generation() };
        match key.is_soon() {
            true => {
                let index = key.slot & !Key::SOON_BASE;
                EventTarget::Entry { index, generation: key.generation }
            }
            false => EventTarget::Callback(key),
        }
    }
}

impl WatcherEntry {
    pub(super) fn new(fd: RawFd, generation: u32, mode: TriggerMode) -> WatcherEntry {
        let (registered, token) = (Interest::empty(), entry_token(0, 0));
        let (unregistered, registrations) = (Unregistered::Paused, [None; 2]);
        WatcherEntry { fd, generation, registered, token, mode, unregistered, registrations }
    }

    /// Returns true if the token in the kernel still reaches the right callbacks. An entry's token
    /// stays valid when one of two callbacks is removed.
    pub(super) fn routes_to(&self, token: Token) -> bool {
        self.token == token || matches!(EventTarget::of(self.token), EventTarget::Entry { .. })
    }

    /// Returns the registration with this role, if it belongs to the callback `key`.
    #[inline]
    pub(super) fn registration_of(&self, role: Role, key: Key) -> Option<&Registration> {
        self.registrations[role.direction()].as_ref().filter(|found| found.key == key)
    }

    /// Returns the union of the callbacks' interests.
    pub(super) fn wanted(&self) -> Interest {
        self.registrations
            .iter()
            .flatten()
            .fold(Interest::empty(), |all, registration| all | registration.interest)
    }

    /// Returns the token that the kernel should have for the fd.
    pub(super) fn best_token(&self, index: u32) -> Token {
        match self.registrations {
            [Some(only), None] | [None, Some(only)] if only.ownership == FdOwnership::Owned => {
                callback_token(only.key)
            }
            _ => entry_token(index, self.generation),
        }
    }

    /// Returns true if the number may become another file without the loop's knowledge.
    pub(super) fn is_borrowed(&self) -> bool {
        self.registrations
            .iter()
            .flatten()
            .all(|registration| registration.ownership == FdOwnership::Borrowed)
    }

    /// Records why the fd is not registered in the kernel.
    pub(super) fn note_unregistered(&mut self) {
        let has_callbacks = self.registrations.iter().any(Option::is_some);
        self.unregistered = match self.unregistered {
            Unregistered::Lost if self.registered.is_empty() => Unregistered::Lost,
            // One fstat(2), to recognize later that the number has another file. An owned fd needs
            // none: its source closes it only after the loop has removed it.
            _ if has_callbacks && self.is_borrowed() => {
                FileId::of(self.fd).map_or(Unregistered::Paused, Unregistered::PausedFile)
            }
            _ => Unregistered::Paused,
        };
    }

    /// Gives the entry a token that the kernel has not seen, so that late events of the number's
    /// former file reach no callback.
    pub(super) fn renew_token(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Queues the callbacks that wait for a part of `readiness`, the reader first. Returns false if
    /// there is none.
    pub(super) fn feed(&self, readiness: Readiness, ready: &mut ReadyDeque) -> bool {
        let mut has_fed = false;
        for registration in self.registrations.iter().flatten() {
            let readiness = visible(readiness, registration.interest);
            if !readiness.is_empty() {
                ready.feed(registration.key, readiness);
                has_fed = true;
            }
        }
        has_fed
    }

    /// Records that the fd was closed while it was watched, and queues `INVALID` for its callbacks,
    /// once.
    pub(super) fn report_closed(&mut self, ready: &mut ReadyDeque) {
        (self.registered, self.unregistered) = (Interest::empty(), Unregistered::Lost);
        for registration in self.registrations.iter().flatten() {
            ready.feed(registration.key, Readiness::INVALID);
        }
    }
}

/// Returns true if `readiness` has only bits that a kernel reports on request. The other bits
/// ([`Readiness::UNSOLICITED`]) imply further bits, which must be masked by the interest.
#[inline]
pub(crate) fn is_solicited(readiness: Readiness) -> bool {
    !readiness.intersects(Readiness::UNSOLICITED)
}

/// Returns the part of `readiness` that a callback with this interest gets. A paused callback has
/// an empty interest and gets nothing.
#[inline]
pub(crate) fn visible(readiness: Readiness, interest: Interest) -> Readiness {
    // These end a wait for any direction, as POLLERR, POLLHUP and POLLNVAL do in poll(2).
    const ALWAYS: Readiness = Readiness::ERROR.union(Readiness::HANGUP).union(Readiness::INVALID);
    let requested = Readiness::from(interest);
    if !interest.is_empty() && readiness.intersects(requested.union(ALWAYS)) {
        readiness.intersection(requested.union(Readiness::UNSOLICITED))
    } else {
        Readiness::empty()
    }
}
