//! Registrations for selectors without a table in the kernel.
//!
//! poll(2) and select(2) get all registrations in each call. So their backends keep the table that
//! epoll(7) and kqueue(2) have in the kernel, with the same errors, modes and fairness.
//!
//! # Invariants
//!
//! * The entries are dense and unordered; `indices[fd]` is the index of the entry of `fd`.
//! * `armed` is a part of the interest. An entry with an empty interest is dead: its fd was found
//!   closed.
//! * Readiness reported in edge mode stays in `reported` until it is seen to have ended or
//!   [`clear_readiness`](Registrations::clear_readiness) removes it. It is not requested from the
//!   kernel; the rest of the interest still is.
//! * An entry belongs to the file that had the number when it was registered or changed, as in a
//!   kernel's table. If the number now has another file, it has no entry, and the old entry is
//!   ignored. See [`FileId`] for files that cannot be distinguished.
//! * An entry that was reported or registered later has a greater `last_served`.

use std::io;
use std::os::fd::RawFd;

use crate::event::{Event, Events, Interest, Readiness, Token, TriggerMode};
use crate::fd::FileId;

/// Index of an fd without an entry.
const NO_ENTRY: usize = usize::MAX;

/// A registration, and what is still to be reported of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) fd: RawFd,
    file: FileId,
    /// Part of the interest that the mode leaves armed. An entry with nothing armed must not be
    /// passed to the kernel: it would report a hang-up in each wait.
    pub(crate) armed: Interest,
    /// Readiness that was reported in edge mode and still lasts, without implied bits.
    reported: Readiness,
    /// True if there is unreported readiness beside an error or hang-up that was reported.
    has_unreported: bool,
    token: Token,
    interest: Interest,
    mode: TriggerMode,
    /// Value of `serve_count` when the entry was registered or last reported.
    last_served: u64,
}

/// Registrations by fd number.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    entries: Vec<Entry>,
    indices: Vec<usize>,
    /// Number of registrations and reports so far.
    serve_count: u64,
    /// True if there ever was an entry in edge mode. Without one, no probe is needed before a wait.
    has_edges: bool,
}

impl Registrations {
    /// Returns all registrations. Their indices are those that the other functions return.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds an entry and returns its index. It replaces a dead entry, or one of a file that has
    /// lost the number.
    pub(crate) fn insert(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<usize> {
        let file = FileId::of(fd)?;
        self.serve_count += 1;
        self.has_edges |= mode == TriggerMode::Edge;
        let entry = Entry::new((fd, file), token, interest, mode, self.serve_count);
        match self.index_of(fd) {
            // The number was closed without `deregister`: the old entry is replaced.
            Some(at) if !self.entries[at].is_of(file) => {
                self.entries[at] = entry;
                Ok(at)
            }
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(self.append(entry)),
        }
    }

    /// Changes an entry, arms it again and returns its index.
    pub(crate) fn change(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<usize> {
        let file = FileId::of(fd)?;
        let at = self.index_of(fd).filter(|at| self.entries[*at].is_of(file));
        let at = at.ok_or(io::ErrorKind::NotFound)?;
        self.has_edges |= mode == TriggerMode::Edge;
        self.entries[at] =
            Entry::new((fd, file), token, interest, mode, self.entries[at].last_served);
        Ok(at)
    }

    /// Removes an entry, and moves the last entry to its index, which is returned.
    pub(crate) fn remove(&mut self, fd: RawFd) -> Option<usize> {
        let at = self.index_of(fd)?;
        self.entries.swap_remove(at);
        self.indices[fd as usize] = NO_ENTRY;
        if let Some(moved) = self.entries.get(at) {
            self.indices[moved.fd as usize] = at;
        }
        if is_mostly_vacant(&self.entries) {
            self.shrink();
        }
        Some(at)
    }

    /// Releases the memory of a peak. The scan costs each removed entry a few comparisons.
    #[cold]
    fn shrink(&mut self) {
        shrink(&mut self.entries);
        let highest = self.entries.iter().map(|entry| entry.fd as usize + 1).max();
        self.indices.truncate(highest.unwrap_or_default());
        self.indices.shrink_to_fit();
    }

    /// Returns the error of removing `fd`: `NotFound` if there is no entry of the file that has the
    /// number.
    pub(crate) fn check_registered(&self, fd: RawFd) -> io::Result<()> {
        let file = FileId::of(fd)?;
        let entry = self.index_of(fd).map(|at| &self.entries[at]);
        let known = entry.filter(|entry| !entry.file.differs(file));
        known.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    /// Returns true if `fd` has an entry that was not found closed.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.index_of(fd).is_some_and(|at| !self.entries[at].is_dead())
    }

    /// Disarms all directions of the entry at `at` except `left`.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn keep_armed(&mut self, at: usize, left: Interest) {
        let entry = &mut self.entries[at];
        match entry.mode {
            TriggerMode::Edge => entry.reported |= (entry.armed - left).into(),
            TriggerMode::Level | TriggerMode::Oneshot => entry.armed &= left,
        }
    }

    /// Makes the next readiness in these directions a new edge.
    pub(crate) fn clear_readiness(&mut self, fd: RawFd, interest: Interest) -> Option<usize> {
        let at = self.index_of(fd)?;
        // The end of the read side stays reported: it never ends.
        self.entries[at].reported.remove((interest - Interest::READ_CLOSED).into());
        Some(at)
    }

    /// Returns the entries with reported readiness that may have ended, with their indices.
    pub(crate) fn reported_edges(&mut self) -> impl Iterator<Item = (usize, &mut Entry)> {
        let entries = if self.has_edges { &mut self.entries[..] } else { &mut [] };
        entries.iter_mut().enumerate().filter(|(_, entry)| !entry.reported.is_empty())
    }

    /// Keeps at most `room` ready entries: those that were not reported for the longest time.
    pub(crate) fn keep_least_recent(&self, ready: &mut Vec<Ready>, room: usize) {
        if ready.len() > room {
            // Linear: the order among those that are kept does not matter.
            ready.select_nth_unstable_by_key(room, |one| self.entries[one.at].last_served);
            ready.truncate(room);
        }
    }

    /// Adds an event for each ready entry, and disarms it according to its mode.
    pub(crate) fn report(&mut self, ready: &[Ready], events: &mut Events) {
        for &Ready { at, readiness } in ready {
            self.serve_count += 1;
            let entry = &mut self.entries[at];
            entry.last_served = self.serve_count;
            entry.disarm(readiness);
            events.push(Event { token: entry.token, readiness: readiness.with_implied() });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.indices.clear();
    }

    fn index_of(&self, fd: RawFd) -> Option<usize> {
        let index = self.indices.get(usize::try_from(fd).ok()?)?;
        Some(*index).filter(|index| *index != NO_ENTRY)
    }

    fn append(&mut self, entry: Entry) -> usize {
        let (fd, at) = (entry.fd as usize, self.entries.len());
        if fd >= self.indices.len() {
            self.indices.resize(fd + 1, NO_ENTRY);
        }
        self.indices[fd] = at;
        self.entries.push(entry);
        at
    }
}

/// Capacity that a list keeps, in elements. Without a limit, 5,000 removed watchers left 716 KB.
const KEEP: usize = 256;

/// Returns true if less than a quarter of a large list is in use.
#[inline]
pub(super) fn is_mostly_vacant<T>(list: &Vec<T>) -> bool {
    list.capacity() > KEEP && list.len() < list.capacity() / 4
}

/// Releases the memory of such a list, except for room to grow.
pub(super) fn shrink<T>(list: &mut Vec<T>) {
    list.shrink_to(KEEP.max(2 * list.len()));
}

/// A ready entry: its index and its unreported readiness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) at: usize,
    pub(crate) readiness: Readiness,
}

/// Readiness that poll(2) reports without a request.
const UNREQUESTED: Readiness = Readiness::ERROR.union(Readiness::HANGUP);

impl Entry {
    fn new(
        (fd, file): (RawFd, FileId),
        token: Token,
        interest: Interest,
        mode: TriggerMode,
        last_served: u64,
    ) -> Entry {
        let (reported, has_unreported) = (Readiness::empty(), false);
        Entry {
            fd,
            file,
            armed: interest,
            reported,
            has_unreported,
            token,
            interest,
            mode,
            last_served,
        }
    }

    fn is_dead(&self) -> bool {
        self.interest.is_empty()
    }

    /// Returns true if the entry is alive and may belong to this file.
    fn is_of(&self, file: FileId) -> bool {
        !self.is_dead() && !self.file.differs(file)
    }

    /// Returns true if the number is open, and may still belong to the registered file.
    #[cfg(any(has_epoll, has_kqueue, test))]
    pub(crate) fn has_its_file(&self) -> bool {
        FileId::of(self.fd).is_ok_and(|file| !self.file.differs(file))
    }

    /// Returns the interest to request from the kernel, apart from the end of the read side.
    pub(crate) fn kernel_interest(&self) -> Interest {
        self.armed - Interest::answered_by(self.reported)
    }

    /// Returns true if the end of the read side must be requested.
    pub(crate) fn wants_read_end(&self) -> bool {
        const WITH_END: Interest = Interest::READABLE.union(Interest::READ_CLOSED);
        self.armed.intersects(WITH_END) && !self.reported.contains(Readiness::READ_CLOSED)
    }

    /// Returns true if a wait must leave the entry out: nothing is armed, or what was reported
    /// would end each wait at once.
    pub(crate) fn is_asleep(&self) -> bool {
        self.armed.is_empty() || self.reported.intersects(UNREQUESTED) && !self.has_unreported
    }

    /// Returns the part of the kernel's report that is new.
    pub(crate) fn unreported(&self, current: Readiness) -> Readiness {
        current - self.reported
    }

    /// Returns true if the probe must request the end of the read side, even if it was reported.
    pub(crate) fn polls_read_end(&self) -> bool {
        self.wants_read_end() || self.reported.contains(Readiness::READ_CLOSED)
    }

    /// Compares with the kernel's report for everything that is armed. Reported readiness that has
    /// ended is reported again when it begins again.
    pub(crate) fn note_current(&mut self, current: Readiness) {
        self.reported &= current;
        self.has_unreported = !self.unreported(current).is_empty();
    }

    /// Disarms what the mode does not report again.
    fn disarm(&mut self, readiness: Readiness) {
        if readiness.contains(Readiness::INVALID) {
            self.interest = Interest::empty();
        }
        match self.mode {
            TriggerMode::Level => self.armed = self.interest,
            TriggerMode::Oneshot => self.armed = Interest::empty(),
            TriggerMode::Edge => {
                self.armed = self.interest;
                self.reported |= readiness;
                self.has_unreported = false;
            }
        }
    }
}
