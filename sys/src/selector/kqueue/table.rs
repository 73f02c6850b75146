//! What the kernel was asked for, fd by fd.
//!
//! kqueue(2) knows filters, not descriptors: a second registration of an fd silently changes the
//! first, and an event names one direction only. This table gives the fd back to both.

use std::os::fd::RawFd;

use super::kernel::Kind;
use crate::event::{Interest, Token, TriggerMode};

/// A registration.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    pub kind: Kind,
    pub token: Token,
    pub interest: Interest,
    pub mode: TriggerMode,
    /// The filters that the kernel holds for the fd, enabled or not.
    pub held: Interest,
    /// True if nothing of it may be reported: the filters in `held` are disabled. It was reported
    /// in [`TriggerMode::Oneshot`], or its file has lost its other end and `always` reports it.
    pub asleep: bool,
    /// Where the report of this fd may lie in the batch under way. Only a report that names the fd
    /// makes it true, so nobody has to take old marks away.
    pub mark: usize,
}

impl Registration {
    pub fn new(kind: Kind, token: Token, interest: Interest, mode: TriggerMode) -> Registration {
        Registration { kind, token, interest, mode, held: interest, asleep: false, mark: 0 }
    }
}

/// Registrations by number of fd. The kernel gives out the lowest free number, so they lie close
/// together.
#[derive(Debug, Default)]
pub struct Table(Vec<Option<Registration>>);

impl Table {
    pub fn get(&self, fd: RawFd) -> Option<Registration> {
        *self.0.get(usize::try_from(fd).ok()?)?
    }

    pub fn get_mut(&mut self, fd: RawFd) -> Option<&mut Registration> {
        self.0.get_mut(usize::try_from(fd).ok()?)?.as_mut()
    }

    /// Adds or replaces the registration of an fd, which the kernel has said is open.
    pub fn insert(&mut self, fd: RawFd, registration: Registration) {
        let place = fd as usize;
        if place >= self.0.len() {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(registration);
    }

    pub fn remove(&mut self, fd: RawFd) {
        if let Some(place) = usize::try_from(fd).ok().and_then(|fd| self.0.get_mut(fd)) {
            *place = None;
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
