//! Registrations by fd, with the filters that the kernel holds for them.
//!
//! kqueue(2) has filters, not descriptors: a second registration of an fd would silently change the
//! first, and an event concerns one direction only. This table maps both to the fd.

use std::os::fd::RawFd;

use super::kernel::FileKind;
use crate::event::{Interest, Token, TriggerMode};
use crate::selector::registrations::{is_mostly_vacant, shrink};

/// A registration.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    pub kind: FileKind,
    pub token: Token,
    pub interest: Interest,
    pub mode: TriggerMode,
    /// Filters that the kernel holds for the fd, enabled or disabled.
    pub held: Interest,
    /// True if nothing may be reported, because the filters in `held` are disabled. Either it was
    /// reported in [`TriggerMode::Oneshot`], or its file has lost its other end and `always`
    /// reports it.
    pub asleep: bool,
    /// Index of the report of this fd in the present batch, if that report has the same fd.
    /// Therefore old values need no reset.
    pub mark: usize,
}

impl Registration {
    pub fn new(
        kind: FileKind,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> Registration {
        Registration { kind, token, interest, mode, held: interest, asleep: false, mark: 0 }
    }
}

/// Registrations by fd number, up to the highest one. The kernel assigns the lowest free number, so
/// they are dense.
#[derive(Debug, Default)]
pub struct Table(Vec<Option<Registration>>);

impl Table {
    pub fn get(&self, fd: RawFd) -> Option<Registration> {
        *self.0.get(usize::try_from(fd).ok()?)?
    }

    pub fn get_mut(&mut self, fd: RawFd) -> Option<&mut Registration> {
        self.0.get_mut(usize::try_from(fd).ok()?)?.as_mut()
    }

    /// Adds or replaces the registration of an fd that is open according to the kernel.
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
        // Each place was added once, so this takes constant time on average.
        while self.0.last().is_some_and(Option::is_none) {
            self.0.pop();
        }
        if is_mostly_vacant(&self.0) {
            shrink(&mut self.0);
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_gives_its_memory_back() {
        let interest = Interest::READABLE;
        let (token, mode) = (Token::new(0, 0), TriggerMode::Level);
        let one = Registration::new(FileKind::Other, token, interest, mode);
        let mut table = Table::default();
        (0..5000).for_each(|fd| table.insert(fd, one));
        (1..4999).for_each(|fd| table.remove(fd));
        assert!(table.get(0).is_some() && table.get(1).is_none() && table.get(4999).is_some());
        table.remove(4999);
        assert!(table.0.capacity() <= 256, "{}", table.0.capacity());
        assert!(table.get(0).is_some());
        table.remove(0);
        table.remove(-1);
        assert!(table.0.is_empty());
    }
}
