//! The registrations of a selector whose kernel keeps none.
//!
//! poll(2) and select(2) are told everything anew in each call, so their backends keep the table
//! that epoll(7) and kqueue(2) have in the kernel: with the same errors, the same modes and the
//! same turns.
//!
//! # Invariants
//!
//! * The entries lie close together, in no order; `places` says where the entry of an fd lies.
//! * What is armed is part of the interest. An entry without an interest is dead: its fd was found
//!   closed.
//! * What was reported in edge mode stays in `told` until it is seen to have ended, or
//!   [`clear_readiness`](Table::clear_readiness) says so. It is not asked for, and so the rest still is.
//! * An entry is of the file that had the number when it was registered or changed, as in a kernel's
//!   table. A number that has another file has no entry, whatever is left of the old one: see
//!   [`FileId`] for files that cannot be told apart.
//! * Whoever was reported or registered later has the greater `turn`.

use std::io;
use std::os::fd::RawFd;

use crate::event::{Event, Events, Interest, Readiness, Token, TriggerMode};
use crate::fd::FileId;

/// The place of an fd that has no entry.
const NOWHERE: usize = usize::MAX;

/// A registration and what is left to report of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) fd: RawFd,
    file: FileId,
    /// Part of the interest that the mode leaves armed. An entry with nothing armed must not be shown to the
    /// kernel at all: it would report a hang-up in each wait.
    pub(crate) armed: Interest,
    /// Readiness that was reported in edge mode and lasts, in the words of the kernel.
    told: Readiness,
    /// True if something new is seen beside an error or a hang-up that was reported.
    stirs: bool,
    token: Token,
    interest: Interest,
    mode: TriggerMode,
    turn: u64,
}

/// Registrations by number of fd.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    places: Vec<usize>,
    turns: u64,
    /// True if there ever was an entry in edge mode.
    has_edges: bool,
}

impl Table {
    /// All registrations. Their indices are those that the other functions return.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds an entry. One that is dead, or of a file that has lost the number, gives way.
    pub(crate) fn insert(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<usize> {
        let file = FileId::of(fd)?;
        self.turns += 1;
        self.has_edges |= mode == TriggerMode::Edge;
        let entry = Entry::new((fd, file), token, interest, mode, self.turns);
        match self.place(fd) {
            Some(at) if !self.entries[at].is_of(file) => {
                self.entries[at] = entry;
                Ok(at)
            }
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(self.append(entry)),
        }
    }

    /// Changes an entry, and arms it.
    pub(crate) fn change(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<usize> {
        let file = FileId::of(fd)?;
        let at = self.place(fd).filter(|at| self.entries[*at].is_of(file));
        let at = at.ok_or(io::ErrorKind::NotFound)?;
        self.has_edges |= mode == TriggerMode::Edge;
        self.entries[at] = Entry::new((fd, file), token, interest, mode, self.entries[at].turn);
        Ok(at)
    }

    /// Removes an entry and moves the last one into its place, which is the answer.
    pub(crate) fn remove(&mut self, fd: RawFd) -> Option<usize> {
        let at = self.place(fd)?;
        self.entries.swap_remove(at);
        self.places[fd as usize] = NOWHERE;
        if let Some(moved) = self.entries.get(at) {
            self.places[moved.fd as usize] = at;
        }
        if is_mostly_vacant(&self.entries) {
            self.shrink();
        }
        Some(at)
    }

    /// Gives back the memory of a peak: each entry that has gone pays for a few numbers looked at.
    #[cold]
    fn shrink(&mut self) {
        shrink(&mut self.entries);
        let highest = self.entries.iter().map(|entry| entry.fd as usize + 1).max();
        self.places.truncate(highest.unwrap_or_default());
        self.places.shrink_to_fit();
    }

    /// Finds what a removal answers: `NotFound` without an entry of the file that has the number.
    pub(crate) fn check(&self, fd: RawFd) -> io::Result<()> {
        let file = FileId::of(fd)?;
        let entry = self.place(fd).map(|at| &self.entries[at]);
        let known = entry.filter(|entry| !entry.file.differs(file));
        known.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    /// Returns true if `fd` has an entry that was not found closed.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.place(fd).is_some_and(|at| !self.entries[at].is_dead())
    }

    /// Disarms all directions of the entry at `at` that are not in `left`.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn keep_armed(&mut self, at: usize, left: Interest) {
        let entry = &mut self.entries[at];
        match entry.mode {
            TriggerMode::Edge => entry.told |= (entry.armed - left).into(),
            TriggerMode::Level | TriggerMode::Oneshot => entry.armed &= left,
        }
    }

    /// Has the next readiness in these directions of an entry in edge mode reported.
    pub(crate) fn clear_readiness(&mut self, fd: RawFd, interest: Interest) -> Option<usize> {
        let at = self.place(fd)?;
        self.entries[at].told.remove((interest - Interest::READ_CLOSED).into()); // An end stays one.
        Some(at)
    }

    /// Entries of which something was reported that may have ended, with their indices.
    pub(crate) fn told(&mut self) -> impl Iterator<Item = (usize, &mut Entry)> {
        let entries = if self.has_edges { &mut self.entries[..] } else { &mut [] };
        entries.iter_mut().enumerate().filter(|(_, entry)| !entry.told.is_empty())
    }

    /// Leaves at most `room` of those that are ready: whoever was not reported for the longest
    /// time.
    pub(crate) fn take_turns(&self, ready: &mut Vec<Ready>, room: usize) {
        if ready.len() > room {
            ready.select_nth_unstable_by_key(room, |one| self.entries[one.at].turn);
            ready.truncate(room);
        }
    }

    /// Makes events of all that is ready, and disarms as the modes say.
    pub(crate) fn report(&mut self, ready: &[Ready], events: &mut Events) {
        for &Ready { at, readiness } in ready {
            self.turns += 1;
            let entry = &mut self.entries[at];
            entry.turn = self.turns;
            entry.disarm(readiness);
            events.push(Event { token: entry.token, readiness: readiness.with_implied() });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    fn place(&self, fd: RawFd) -> Option<usize> {
        let place = self.places.get(usize::try_from(fd).ok()?)?;
        Some(*place).filter(|place| *place != NOWHERE)
    }

    fn append(&mut self, entry: Entry) -> usize {
        let (fd, at) = (entry.fd as usize, self.entries.len());
        if fd >= self.places.len() {
            self.places.resize(fd + 1, NOWHERE);
        }
        self.places[fd] = at;
        self.entries.push(entry);
        at
    }
}

/// Capacity that a list keeps, in elements.
const KEEP: usize = 256;

/// Returns true if less than a quarter of a large list is in use.
#[inline]
pub(super) fn is_mostly_vacant<T>(list: &Vec<T>) -> bool {
    list.capacity() > KEEP && list.len() < list.capacity() / 4
}

/// Gives back the memory of such a list, but for room to grow.
pub(super) fn shrink<T>(list: &mut Vec<T>) {
    list.shrink_to(KEEP.max(2 * list.len()));
}

/// An entry, by its index, and what the kernel said about it that is news.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) at: usize,
    pub(crate) readiness: Readiness,
}

/// Readiness that kernels report unasked.
const UNASKED: Readiness = Readiness::ERROR.union(Readiness::HANGUP);

impl Entry {
    fn new(
        (fd, file): (RawFd, FileId),
        token: Token,
        interest: Interest,
        mode: TriggerMode,
        turn: u64,
    ) -> Entry {
        let (told, stirs) = (Readiness::empty(), false);
        Entry { fd, file, armed: interest, told, stirs, token, interest, mode, turn }
    }

    fn is_dead(&self) -> bool {
        self.interest.is_empty()
    }

    /// True if the entry is alive, and may be of this file.
    fn is_of(&self, file: FileId) -> bool {
        !self.is_dead() && !self.file.differs(file)
    }

    /// Interest to ask the kernel for, beside the end of the read side.
    pub(crate) fn asked(&self) -> Interest {
        self.armed - Interest::answered_by(self.told)
    }

    /// True if the end of the read side is to be asked for.
    pub(crate) fn asks_for_end(&self) -> bool {
        const WITH_END: Interest = Interest::READABLE.union(Interest::READ_CLOSED);
        self.armed.intersects(WITH_END) && !self.told.contains(Readiness::READ_CLOSED)
    }

    /// True if a wait must leave the entry out: nothing is armed, or what was reported would end each
    /// wait at once.
    pub(crate) fn sleeps(&self) -> bool {
        self.armed.is_empty() || self.told.intersects(UNASKED) && !self.stirs
    }

    /// Returns the part of an answer of the kernel that is new.
    pub(crate) fn news(&self, said: Readiness) -> Readiness {
        said - self.told
    }

    /// True if an end of the read side that was reported is to be asked for all the same.
    pub(crate) fn asked_for_end(&self) -> bool {
        self.asks_for_end() || self.told.contains(Readiness::READ_CLOSED)
    }

    /// Takes the kernel's answer to a question for all that is armed: what was reported and has
    /// ended is news when it begins again.
    pub(crate) fn look(&mut self, said: Readiness) {
        self.told &= said;
        self.stirs = !self.news(said).is_empty();
    }

    /// Takes back what the mode says is not to be reported again.
    fn disarm(&mut self, readiness: Readiness) {
        if readiness.contains(Readiness::INVALID) {
            self.interest = Interest::empty();
        }
        match self.mode {
            TriggerMode::Level => self.armed = self.interest,
            TriggerMode::Oneshot => self.armed = Interest::empty(),
            TriggerMode::Edge => {
                self.armed = self.interest;
                self.told |= readiness;
                self.stirs = false;
            }
        }
    }
}
