//! An entry of the table of watchers: an fd and its callbacks.

use std::num::NonZeroU32;
use std::os::fd::RawFd;

use mainspring_sys::fd::FileId;
use mainspring_sys::{Interest, Readiness, Token, TriggerMode};

use crate::handle::Key;
use crate::ready::ReadyDeque;
use crate::vacancy::{self, Links};
use crate::watchers::FdOwnership;

/// Which callback of an fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The reader.
    Reader = 1,
    /// The writer.
    Writer = 2,
    /// Both in one.
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

    pub(super) fn half(self) -> usize {
        match self {
            Role::Reader | Role::Both => 0,
            Role::Writer => 1,
        }
    }
}

/// A callback's place in the table. Valid for as long as the callback is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatcherId {
    /// Slot and role in one number, so that a callback's source fits into a register.
    slot_and_role: NonZeroU32,
}

impl WatcherId {
    pub(super) fn new(slot: u32, role: Role) -> WatcherId {
        debug_assert!(slot < 1 << 30, "there are no more fds than that");
        let slot_and_role = slot << 2 | role as u32;
        WatcherId { slot_and_role: NonZeroU32::new(slot_and_role).expect("a role is not zero") }
    }

    pub(super) fn slot(self) -> u32 {
        self.slot_and_role.get() >> 2
    }

    pub(crate) fn role(self) -> Role {
        match self.slot_and_role.get() & 0b11 {
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

/// An fd, and its callbacks: the reader or the one for both first, then the writer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    /// What the kernel was asked for; nothing: it does not know the fd.
    pub(super) registered: Interest,
    /// What the kernel calls it, if it knows it.
    pub(super) token: Token,
    pub(super) mode: TriggerMode,
    /// The reason why the kernel does not know it, if it does not.
    pub(super) idle: Idle,
    pub(super) halves: [Option<Registration>; 2],
    /// Its neighbours among the free entries, if it is one.
    pub(super) links: Option<Links>,
}

impl vacancy::Slot for Entry {
    fn links(&self) -> Option<Links> {
        self.links
    }

    fn set_next(&mut self, next: u32) {
        if let Some(links) = &mut self.links {
            links.next = next;
        }
    }

    fn set_previous(&mut self, previous: u32) {
        if let Some(links) = &mut self.links {
            links.previous = previous;
        }
    }

    fn generation(&self) -> u32 {
        self.generation
    }
}

/// The reason why the kernel does not know an entry's fd.
#[derive(Debug, Clone, Copy)]
pub(super) enum Idle {
    /// Its callbacks are paused, or not there yet.
    Paused,
    /// Like `Paused`, for a borrowed number that had this file then.
    PausedOf(FileId),
    /// The number has lost the file that its callbacks watch.
    Lost,
}

/// The name of an owned fd with one callback is that callback's key, so its events go straight to it.
fn name_of_one(key: Key) -> Token {
    Token::new(key.slot, key.generation)
}

/// An fd with two callbacks, or a borrowed one, is named by its entry, among numbers that are no keys
/// of callbacks of descriptors.
fn name_of_two(slot: u32, generation: u32) -> Token {
    Token::new(Key::SOON_BASE | slot, generation)
}

/// Whom an event is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    One(Key),
    Two { slot: u32, generation: u32 },
}

impl Name {
    #[inline]
    pub(super) fn of(token: Token) -> Name {
        let key = Key { slot: token.slot(), generation: token.generation() };
        match key.is_soon() {
            true => Name::Two { slot: key.slot & !Key::SOON_BASE, generation: key.generation },
            false => Name::One(key),
        }
    }
}

impl Entry {
    pub(super) fn new(fd: RawFd, generation: u32, mode: TriggerMode) -> Entry {
        let (registered, token) = (Interest::empty(), name_of_two(0, 0));
        let (idle, halves, links) = (Idle::Paused, [None; 2], None);
        Entry { fd, generation, registered, token, mode, idle, halves, links }
    }

    /// Whether events reach its callbacks under the name that the kernel has for it: the name of
    /// two does also for the one who is left.
    pub(super) fn is_called(&self, name: Token) -> bool {
        self.token == name || matches!(Name::of(self.token), Name::Two { .. })
    }

    pub(super) fn wanted(&self) -> Interest {
        self.halves.iter().flatten().fold(Interest::empty(), |all, half| all | half.interest)
    }

    /// What the kernel is to call it.
    pub(super) fn name(&self, slot: u32) -> Token {
        match self.halves {
            [Some(half), None] | [None, Some(half)] if half.ownership == FdOwnership::Owned => {
                name_of_one(half.key)
            }
            _ => name_of_two(slot, self.generation),
        }
    }

    /// True if the number may have become another file's without the loop's knowledge: the entry of
    /// a library's fd.
    pub(super) fn is_borrowed(&self) -> bool {
        self.halves.iter().flatten().all(|half| half.ownership == FdOwnership::Borrowed)
    }

    /// Notes that the kernel does not know the fd now. A borrowed number costs one fstat(2), so that
    /// another owner of it is recognized.
    pub(super) fn pause(&mut self) {
        let is_paused = self.halves.iter().any(Option::is_some);
        self.idle = match self.idle {
            Idle::Lost if self.registered.is_empty() => Idle::Lost,
            _ if is_paused && self.is_borrowed() => {
                FileId::of(self.fd).map_or(Idle::Paused, Idle::PausedOf)
            }
            _ => Idle::Paused,
        };
    }

    /// Gives the entry a name that the kernel has not seen: an event of the file that had the number
    /// before misses.
    pub(super) fn rename(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    pub(super) fn feed(&self, readiness: Readiness, ready: &mut ReadyDeque) {
        for half in self.halves.iter().flatten() {
            let readiness = visible(readiness, half.interest);
            if !readiness.is_empty() {
                ready.feed(half.key, readiness);
            }
        }
    }

    /// The fd is gone from the kernel: tells the callbacks, once.
    pub(super) fn invalidate(&mut self, ready: &mut ReadyDeque) {
        (self.registered, self.idle) = (Interest::empty(), Idle::Lost);
        for half in self.halves.iter().flatten() {
            ready.feed(half.key, Readiness::INVALID);
        }
    }
}

/// Whether a kernel says that only to somebody who has asked for it. Facts imply more than that.
#[inline]
pub(crate) fn is_solicited(readiness: Readiness) -> bool {
    !readiness.intersects(Readiness::UNSOLICITED)
}

/// The part of `readiness` that somebody with this interest is told: nothing to the paused.
#[inline]
pub(crate) fn visible(readiness: Readiness, interest: Interest) -> Readiness {
    const ALWAYS: Readiness = Readiness::ERROR.union(Readiness::HANGUP).union(Readiness::INVALID);
    let answers = Readiness::from(interest);
    if !interest.is_empty() && readiness.intersects(answers.union(ALWAYS)) {
        readiness.intersection(answers.union(Readiness::UNSOLICITED))
    } else {
        Readiness::empty()
    }
}
