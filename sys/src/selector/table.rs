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
//! * Whoever was reported or registered later has the greater `turn`.

use std::io;
use std::os::fd::RawFd;

use crate::event::{Event, Events, Interest, Mode, Readiness, Token};
use crate::fd::is_open;

/// The place of an fd that has no entry.
const NOWHERE: usize = usize::MAX;

/// A registration and what is left to report of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) fd: RawFd,
    /// What the kernel is to be asked for. An entry with nothing armed must not be shown to it at
    /// all: it would report a hang-up for ever.
    pub(crate) armed: Interest,
    token: Token,
    interest: Interest,
    mode: Mode,
    turn: u64,
}

/// Registrations by number of fd.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    places: Vec<usize>,
    turns: u64,
}

impl Table {
    /// All registrations. Their indices are those that the other functions return.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds an entry, over a dead one if need be: then the number belongs to another file by now.
    pub(crate) fn insert(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: Mode,
    ) -> io::Result<usize> {
        check_open(fd)?;
        self.turns += 1;
        let entry = Entry { fd, armed: interest, token, interest, mode, turn: self.turns };
        match self.place(fd) {
            Some(at) if self.entries[at].is_dead() => {
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
        mode: Mode,
    ) -> io::Result<usize> {
        check_open(fd)?;
        let at = self.place(fd).filter(|at| !self.entries[*at].is_dead());
        let at = at.ok_or(io::ErrorKind::NotFound)?;
        let turn = self.entries[at].turn;
        self.entries[at] = Entry { fd, armed: interest, token, interest, mode, turn };
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
        Some(at)
    }

    /// Returns true if `fd` has an entry that was not found closed.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.place(fd).is_some_and(|at| !self.entries[at].is_dead())
    }

    /// Disarms all directions of the entry at `at` that are not in `left`.
    #[cfg(any(has_kqueue, test))]
    pub(crate) fn keep_armed(&mut self, at: usize, left: Interest) {
        self.entries[at].armed &= left;
    }

    /// Arms these directions of an entry in edge mode again.
    pub(crate) fn drained(&mut self, fd: RawFd, interest: Interest) -> Option<usize> {
        let at = self.place(fd)?;
        let entry = &mut self.entries[at];
        if entry.mode == Mode::Edge {
            entry.armed |= interest & entry.interest;
        }
        Some(at)
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
            events.push(Event { token: entry.token, readiness });
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

/// An entry, by its index, and what the kernel said about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) at: usize,
    pub(crate) readiness: Readiness,
}

impl Entry {
    fn is_dead(&self) -> bool {
        self.interest.is_empty()
    }

    /// Takes back what the mode says is not to be reported again.
    ///
    /// A kernel reports an error or a hang-up whatever it is asked for, so in edge mode they take
    /// back everything.
    fn disarm(&mut self, readiness: Readiness) {
        if readiness.contains(Readiness::INVALID) {
            self.interest = Interest::empty();
        }
        self.armed = match self.mode {
            Mode::Level => self.interest,
            Mode::Oneshot => Interest::empty(),
            Mode::Edge if readiness.intersects(Readiness::ERROR | Readiness::HANGUP) => {
                Interest::empty()
            }
            Mode::Edge => (self.armed & self.interest) - Interest::answered_by(readiness),
        };
    }
}

/// The error of an fd that is not open.
pub(crate) fn check_open(fd: RawFd) -> io::Result<()> {
    if is_open(fd) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
}
